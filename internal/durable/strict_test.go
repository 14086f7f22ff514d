package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// strict is a disk in memory that keeps no more than it must: what was not synced may be lost or kept, each piece for
// itself. It stops at a step, by an error or as if the power were gone.
type strict struct {
	entries map[string]*inode // as a process sees them
	synced  map[string]*inode // as they are on stable storage
	pending []entryChange     // what tells the two apart, in order

	steps   int   // taken so far
	stop    int   // the step that does not happen, 0: none
	failure error // what it gives; after errCut nothing happens any more

	unsyncable map[string]error // folders, and what a sync of each gives

	forgetsFiles, forgetsFolders bool // to show that the check finds it: syncs of files, or of folders, do nothing
}

var errCut = errors.New("the power is gone")

type inode struct {
	folder       bool
	data, synced []byte
}

// entryChange is one change of a folder's entries, which happens as a whole; nil: the entry goes.
type entryChange struct {
	dir  string
	sets map[string]*inode
}

func newStrict() *strict {
	root := map[string]*inode{"/": {folder: true}}
	return &strict{entries: root, synced: maps.Clone(root)}
}

// step reports whether the next step happens.
func (s *strict) step() error {
	if s.stop > 0 && s.steps >= s.stop && errors.Is(s.failure, errCut) {
		return errCut
	}
	if s.steps++; s.steps == s.stop {
		return s.failure
	}
	return nil
}

func (s *strict) change(dir string, sets map[string]*inode) {
	s.pending = append(s.pending, entryChange{dir, sets})
	apply(s.entries, sets)
}

func apply(entries, sets map[string]*inode) {
	for name, node := range sets {
		if entries[name] = node; node == nil {
			delete(entries, name)
		}
	}
}

func (s *strict) create(dir, pattern string) (file, error) {
	if err := s.step(); err != nil {
		return nil, err
	}
	if s.entries[dir] == nil {
		return nil, fs.ErrNotExist
	}
	name := filepath.Join(dir, strings.Replace(pattern, "*", fmt.Sprint(s.steps), 1))
	f := &strictFile{s, name, &inode{}}
	s.change(dir, map[string]*inode{name: f.node})
	return f, nil
}

func (s *strict) rename(from, to string) error {
	if err := s.step(); err != nil {
		return err
	}
	s.change(filepath.Dir(to), map[string]*inode{from: nil, to: s.entries[from]})
	return nil
}

func (s *strict) remove(name string) error {
	if err := s.step(); err != nil {
		return err
	}
	if s.entries[name] == nil {
		return fs.ErrNotExist
	}
	s.change(filepath.Dir(name), map[string]*inode{name: nil})
	return nil
}

func (s *strict) mkdir(dir string) error {
	if err := s.step(); err != nil {
		return err
	}
	if s.entries[dir] == nil {
		s.change(filepath.Dir(dir), map[string]*inode{dir: {folder: true}})
	}
	return nil
}

func (s *strict) exists(name string) (bool, error) { return s.entries[name] != nil, nil }

func (s *strict) syncFolder(dir string) error {
	if err := s.step(); err != nil || s.forgetsFolders {
		return err
	}
	if err := s.unsyncable[dir]; err != nil {
		return err
	}
	s.pending = slices.DeleteFunc(s.pending, func(c entryChange) bool {
		if c.dir == dir {
			apply(s.synced, c.sets)
		}
		return c.dir == dir
	})
	return nil
}

// outcomes gives what the file of a name may hold when the power comes back; "none" where it may not be there.
func (s *strict) outcomes(name string) map[string]bool {
	found := map[string]bool{}
	for kept := range 1 << len(s.pending) {
		entries := maps.Clone(s.synced)
		for i, c := range s.pending {
			if kept>>i&1 == 1 {
				apply(entries, c.sets)
			}
		}
		node := entries[name]
		for dir := filepath.Dir(name); dir != "/"; dir = filepath.Dir(dir) {
			if entries[dir] == nil {
				node = nil
			}
		}
		if node == nil {
			found["none"] = true
			continue
		}
		for _, text := range node.outcomes() {
			found[text] = true
		}
	}
	return found
}

// outcomes gives what a file may hold: what was synced of it, any start of what was written, and blocks that are there
// and were not written.
func (n *inode) outcomes() []string {
	all := []string{string(n.synced)}
	if string(n.data) != string(n.synced) {
		for i := range len(n.data) + 1 {
			all = append(all, string(n.data[:i]))
		}
		all = append(all, strings.Repeat("\x00", len(n.data)))
	}
	return all
}

type strictFile struct {
	disk *strict
	name string
	node *inode
}

func (f *strictFile) Name() string            { return f.name }
func (f *strictFile) Chmod(fs.FileMode) error { return f.disk.step() }
func (f *strictFile) Close() error            { return f.disk.step() }
func (f *strictFile) Write(p []byte) (int, error) {
	if err := f.disk.step(); err != nil {
		return 0, err
	}
	f.node.data = append(f.node.data, p...)
	return len(p), nil
}

func (f *strictFile) Sync() error {
	if err := f.disk.step(); err != nil || f.disk.forgetsFiles {
		return err
	}
	f.node.synced = slices.Clone(f.node.data)
	return nil
}
