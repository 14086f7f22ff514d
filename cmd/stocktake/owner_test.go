package main

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"stocktake/internal/store"
)

// TestFolderOfAnotherUser asks who may write to a folder of the user who runs this.
func TestFolderOfAnotherUser(t *testing.T) {
	t.Parallel()
	me := os.Geteuid()
	own := func(uid int) func(string) (int, error) { return func(string) (int, error) { return uid, nil } }
	refused := func(string) (int, error) { return -1, fs.ErrPermission }
	for name, c := range map[string]struct {
		by      writer
		store   fs.FileMode // of its folder; 0: there is none
		refuses bool
	}{
		"its owner":                            {writer{me, own(me)}, 0o700, false},
		"another":                              {writer{me + 1, own(me + 1)}, 0o700, true},
		"another who cannot write":             {writer{me + 1, refused}, 0o700, true},
		"another, and all files are the one's": {writer{me + 1, own(me)}, 0o700, false},
		"another, whose group may write":       {writer{me + 1, own(me + 1)}, 0o770, false},
		"another, into a volume":               {writer{me + 1, own(me + 1)}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := t.TempDir()
			if c.store != 0 {
				dir := filepath.Join(data, storeFolder)
				if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, c.store)); err != nil {
					t.Fatal(err)
				}
			}
			owner, err := c.by.foreign(data)
			if err != nil || (owner >= 0) != c.refuses || c.refuses && owner != me {
				t.Errorf("the owner in the way is %d (%v)", owner, err)
			}
			if !c.refuses {
				return
			}
			if text := c.by.refusal(data, owner).Error(); !strings.Contains(text, "belongs to user "+userName(me)) || !strings.Contains(text, "-u "+userName(me)) {
				t.Errorf("it says %s", text)
			}
		})
	}
	if owner, err := (writer{me + 1, own(me + 1)}).foreign(filepath.Join(t.TempDir(), "none")); owner >= 0 || err != nil {
		t.Errorf("a folder that is not there is %d's (%v)", owner, err)
	}
	if owner, err := ownerOfNew(t.TempDir()); owner != me || err != nil {
		t.Errorf("what is made here is %d's (%v), and this is %d", owner, err, me)
	}
}

// TestCommandsLeaveForeignStoresAlone gives a store to another user and has commands and the service open it: all refuse, but for
// a command whose service answers. Who may not give a folder away keeps it, and nobody refuses.
func TestCommandsLeaveForeignStoresAlone(t *testing.T) {
	data, empty := t.TempDir(), t.TempDir()
	s, err := openEmbedded(t.Context(), data, slog.New(slog.DiscardHandler))
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "a.backup")
	if code, out, log := command(t, "backup", "--data", data, "--to", file); code != 0 {
		t.Fatalf("backup ended with %d: %s%s", code, out, log)
	}
	foreign := give(t, os.Geteuid()+1, filepath.Join(data, storeFolder), empty)
	before := names(t, data)
	for _, args := range [][]string{
		{"backup", "--data", data, "--to", filepath.Join(t.TempDir(), "x")},
		{"verify", "--data", data},
		{"audit", "verify", "--data", data},
		{"audit", "tail", "--data", data},
		{"copy", "--from", data, "--to", filepath.Join(t.TempDir(), "x")},
		{"restore", "--from", file, "--data", empty},
	} {
		code, out, log := command(t, args...)
		if refused := code == 1 && strings.Contains(log, "hint: run it as "); refused != foreign {
			t.Errorf("%v ended with %d: %s%s", args, code, out, log)
		}
	}
	if left := names(t, data); foreign && left != before {
		t.Errorf("the folder had %s and has %s", before, left)
	}
	answering(t, data, nil)
	if err := checkOwner(t.Context(), data); errors.Is(err, store.ErrInUse) != foreign {
		t.Errorf("of a folder in use: %v", err)
	}
	if s, err := openStorage(t.Context(), data, "", slog.New(slog.DiscardHandler)); err == nil {
		if err := s.Close(); err != nil || foreign {
			t.Errorf("the service opens it (%v)", err)
		}
	} else if !foreign {
		t.Error(err)
	}
}

// give gives folders to another user, and reports whether it may.
func give(t *testing.T, uid int, dirs ...string) bool {
	t.Helper()
	for _, dir := range dirs {
		if err := os.Chown(dir, uid, -1); errors.Is(err, syscall.EPERM) {
			return false
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return true
}

// names gives the names of all that is in a folder.
func names(t *testing.T, dir string) string {
	t.Helper()
	var all []string
	if err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		all = append(all, path)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

// TestDoctorFindsForeignFiles has a file deep in a store be another user's than the store.
func TestDoctorFindsForeignFiles(t *testing.T) {
	t.Parallel()
	data, me := t.TempDir(), os.Geteuid()
	part := filepath.Join(data, storeFolder)
	manifest := filepath.Join(part, "db", "MANIFEST-000001")
	if err := errors.Join(os.MkdirAll(filepath.Dir(manifest), 0o700), os.WriteFile(manifest, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		part           string
		service        int
		mode           fs.FileMode
		isAny, isThere bool
	}{
		{part, me, 0o600, true, false},
		{part, me + 1, 0o644, true, true},
		{manifest, me + 1, 0o600, false, true},
		{manifest, me + 1, 0o644, false, false},
		{filepath.Join(data, "none"), me + 1, 0o600, true, false},
	} {
		if err := os.Chmod(manifest, c.mode); err != nil {
			t.Fatal(err)
		}
		if found, owner := foreignFile(c.part, c.service, c.isAny); (found != "") != c.isThere || c.isThere && owner != me {
			t.Errorf("%+v: %q of user %d", c, found, owner)
		}
	}
	text, warned, failed := examined(config{}, func(d *doctor) { d.owners(data, me) })
	if text != "" {
		t.Errorf("of one user: %d, %d:\n%s", warned, failed, text)
	}
	text, warned, failed = examined(config{}, func(d *doctor) { d.owners(data, me+1) })
	if warned != 1 || failed != 0 || !strings.Contains(text, "store in "+data+" belongs to user "+userName(me)) {
		t.Errorf("run by another: %d, %d:\n%s", warned, failed, text)
	}
	foreign := give(t, me+1, manifest)
	text, _, failed = examined(config{}, func(d *doctor) { d.owners(data, me) })
	if (failed == 1) != foreign || foreign && !strings.Contains(text, "chown -R "+userName(me)+" "+part) {
		t.Errorf("of two users: %d:\n%s", failed, text)
	}
}
