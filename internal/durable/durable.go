// Package durable writes files that are whole whatever happens: when the power fails at any moment, the file is as it was
// or as it was to be.
//
// Call [Replace] to write a file, and [MakeFolder] before it where the folder may be missing.
//
// Promises: what returned without an error is on stable storage, folders' entries included; what was cut off, or failed
// before the file had its name, left the file before it as it was. A process that dies in between leaves a file NAME.*.tmp
// beside it, which nothing reads; what it left undone MakeFolder does, so who calls that may build on the files it finds.
//
// It does not keep two writers of one file apart (the last one's file stays), and does not retry: after an error the old
// file or the new one is there, whole.
package durable

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Replace puts what write writes in the place of the file of a name, if there is one, with a mode.
func Replace(name string, mode fs.FileMode, write func(io.Writer) error) error {
	return replace(local{}, name, mode, write)
}

// ReplaceBytes is Replace with what is to be in the file.
func ReplaceBytes(name string, mode fs.FileMode, content []byte) error {
	return Replace(name, mode, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// MakeFolder makes a folder of mode 0700, and those it is in, where there is none. Of one that is there it brings the
// entries to stable storage, and its own: a process that died may have left either in the machine's memory alone.
func MakeFolder(dir string) error { return makeFolder(local{}, dir) }

// Remove removes a file; that there is none is no error.
func Remove(name string) error { return remove(local{}, name) }

// disk is what a file system does, in steps between any two of which the power may fail. Its errors are those of package os.
type disk interface {
	// create makes a file of mode 0600 whose name is the pattern with something random for its star.
	create(dir, pattern string) (file, error)
	rename(from, to string) error
	remove(name string) error
	mkdir(dir string) error
	exists(name string) (bool, error)
	// syncFolder brings the entries of a folder to stable storage.
	syncFolder(dir string) error
}

type file interface {
	io.Writer
	Name() string
	Chmod(fs.FileMode) error
	Sync() error
	Close() error
}

func replace(d disk, name string, mode fs.FileMode, write func(io.Writer) error) (err error) {
	dir := filepath.Dir(name)
	f, err := d.create(dir, filepath.Base(name)+".*.tmp")
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = d.rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, d.remove(f.Name()))
	}
	return d.syncFolder(dir)
}

// makeFolder makes one folder after the other down the path, so that one that holds something is on stable storage itself.
func makeFolder(d disk, dir string) error {
	parent := filepath.Dir(dir)
	switch there, err := d.exists(dir); {
	case err != nil:
		return err
	case there:
		if err := d.mkdir(dir); err != nil { // which says so where it is no folder
			return err
		}
		return errors.Join(settle(d, dir), settle(d, parent))
	}
	if err := makeFolder(d, parent); err != nil {
		return err
	}
	if err := d.mkdir(dir); err != nil {
		return err
	}
	return d.syncFolder(parent)
}

// settle syncs a folder that this process has changed nothing in. One that it may not open, or whose file system has
// nothing to sync, has nothing in it of a process before it either.
func settle(d disk, dir string) error {
	err := d.syncFolder(dir)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

func remove(d disk, name string) error {
	if err := d.remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return d.syncFolder(filepath.Dir(name))
}

// local is the machine's own file system.
type local struct{}

func (local) create(dir, pattern string) (file, error) { return os.CreateTemp(dir, pattern) }
func (local) rename(from, to string) error             { return os.Rename(from, to) }
func (local) remove(name string) error                 { return os.Remove(name) }

func (local) mkdir(dir string) error { return os.MkdirAll(dir, 0o700) }

func (local) exists(name string) (bool, error) {
	_, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (local) syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
