package collect

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The stock agent's bounds on one gathering of AWS:File.
const (
	maxFiles   = 500
	maxFolders = 5000
)

// fileRow is one row of AWS:File, its fields in the stock agent's order. Linux knows four of them.
type fileRow struct {
	Name             string
	Size             string
	Description      string
	FileVersion      string
	InstalledDate    string
	ModificationTime string
	LastAccessTime   string
	ProductName      string
	InstalledDir     string
	CompanyName      string
	ProductVersion   string
	ProductLanguage  string
}

// fileFilter is one member of the documented files filter.
type fileFilter struct {
	Path         string
	Pattern      []string
	Recursive    bool
	DirScanLimit *int
}

// parseFileFilters reads the files filter: a JSON list. A backslash reads as a slash, as in the stock agent.
func parseFileFilters(text string) ([]fileFilter, error) {
	const example = `[{"Path":"/etc","Pattern":["*.conf"],"Recursive":true,"DirScanLimit":1000}]`
	var filters []fileFilter
	if err := json.Unmarshal([]byte(strings.ReplaceAll(text, `\`, `/`)), &filters); err != nil {
		return nil, fmt.Errorf("the files filter is not the documented JSON (%w): write it like %s", err, example)
	}
	for i, f := range filters {
		if f.Path == "" || len(f.Pattern) == 0 {
			return nil, fmt.Errorf("files filter %d has no Path or no Pattern: write it like %s", i+1, example)
		}
		if f.DirScanLimit != nil && *f.DirScanLimit < 1 {
			return nil, fmt.Errorf("files filter %d has DirScanLimit %d: it counts folders from 1", i+1, *f.DirScanLimit)
		}
		for _, pattern := range f.Pattern {
			if _, err := filepath.Match(pattern, ""); err != nil {
				return nil, fmt.Errorf("files filter %d has the pattern %q: %w", i+1, pattern, err)
			}
		}
	}
	return filters, nil
}

// fileSearch is one gathering of AWS:File: what was found so far, each path once.
type fileSearch struct {
	m        *Machine
	found    []string
	seen     map[string]bool
	problems []Problem
}

// files finds what the filters name. Beyond a bound the whole gathering fails; a path that is not there or cannot be
// read is a Problem.
func (m *Machine) files(text string) ([]fileRow, []Problem, error) {
	filters, err := parseFileFilters(text)
	if err != nil {
		return nil, nil, err
	}
	s := &fileSearch{m: m, seen: make(map[string]bool)}
	for _, f := range filters {
		if err := s.filter(f); err != nil {
			return nil, nil, err
		}
	}
	var rows []fileRow
	for _, path := range s.found {
		info, err := os.Stat(m.path(path))
		if err != nil {
			s.report(path, err)
			continue
		}
		rows = append(rows, fileRow{
			Name: info.Name(), Size: strconv.FormatInt(info.Size(), 10),
			ModificationTime: info.ModTime().Format(time.RFC3339), InstalledDir: filepath.Dir(path),
		})
	}
	return rows, s.problems, nil
}

func (s *fileSearch) report(path string, err error) {
	var failed *fs.PathError
	if errors.As(err, &failed) {
		err = failed.Err
	}
	s.problems = append(s.problems, Problem{typeFile, fmt.Errorf("%s: %w", path, err)})
}

// filter walks one filter's folder. Symbolic links are listed, never followed into.
func (s *fileSearch) filter(f fileFilter) error {
	limit, folders := maxFolders, 0
	if f.DirScanLimit != nil {
		limit = *f.DirScanLimit
	}
	top := filepath.Clean("/" + os.Expand(f.Path, s.m.Getenv))
	// The slash at the end has a link that is named itself read as the folder it leads to.
	return filepath.WalkDir(s.m.path(top)+"/", func(real string, d fs.DirEntry, err error) error {
		path := s.shown(real)
		switch {
		case err != nil:
			s.report(path, err)
			return nil
		case d.IsDir() && path != top && !f.Recursive:
			return filepath.SkipDir
		case d.IsDir():
			if folders++; folders > limit {
				return fmt.Errorf("the files filter of %s passes %d folders, the most it may: name a narrower Path, or set DirScanLimit", f.Path, limit)
			}
			return nil
		case matches(f.Pattern, d.Name()):
			return s.add(path)
		}
		return nil
	})
}

// shown is the path as the machine knows it, without the root it is read under.
func (s *fileSearch) shown(real string) string {
	rest, err := filepath.Rel(s.m.Root, real)
	if err != nil {
		return real
	}
	return filepath.Join("/", rest)
}

func (s *fileSearch) add(path string) error {
	if s.seen[path] {
		return nil
	}
	if len(s.found) == maxFiles {
		return fmt.Errorf("the files filter names more than %d files: narrow its Pattern or its Path", maxFiles)
	}
	s.seen[path] = true
	s.found = append(s.found, path)
	return nil
}

func matches(patterns []string, name string) bool {
	for _, p := range patterns {
		if ok, err := filepath.Match(p, name); err == nil && ok {
			return true
		}
	}
	return false
}
