package pebble_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"stocktake/internal/store"
	"stocktake/internal/store/pebble"
)

// TestDirectoryIsPrivate: nobody else reads what nodes reported.
func TestDirectoryIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "store")
	open(t, pebble.Options{Dir: dir})
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v; want 0700", info.Mode(), err)
	}
}

// TestSecondProcessIsRefused opens the directory from this process and from another one.
func TestSecondProcessIsRefused(t *testing.T) {
	if dir := os.Getenv("STORE_IN_USE"); dir != "" {
		_, err := pebble.Open(pebble.Options{Dir: dir})
		fmt.Println("outcome:", errors.Is(err, store.ErrInUse), strings.Contains(fmt.Sprint(err), dir))
		return
	}
	dir := t.TempDir()
	s := open(t, pebble.Options{Dir: dir})
	if _, err := pebble.Open(pebble.Options{Dir: dir}); !errors.Is(err, store.ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a second open in one process: %v, want ErrInUse with the directory's name", err)
	}
	other := exec.Command(os.Args[0], "-test.run", "^TestSecondProcessIsRefused$", "-test.v")
	other.Env = append(os.Environ(), "STORE_IN_USE="+dir)
	out, err := other.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "outcome: true true") {
		t.Errorf("a second process: %v\n%s", err, out)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, pebble.Options{Dir: dir})
}

func TestShardsStayAsChosen(t *testing.T) {
	dir := t.TempDir()
	if err := open(t, pebble.Options{Dir: dir, Shards: 8}).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := pebble.Open(pebble.Options{Dir: dir, Shards: 16}); err == nil || !strings.Contains(err.Error(), "8 shards") {
		t.Errorf("open with other shards: %v", err)
	}
	if s := open(t, pebble.Options{Dir: dir}); s.Identity().Shards != 8 {
		t.Errorf("%d shards, want 8", s.Identity().Shards)
	}
}

func TestBadOptionsAreRefused(t *testing.T) {
	for _, o := range []pebble.Options{{}, {Dir: t.TempDir(), Shards: -1}, {Dir: t.TempDir(), Shards: 1025}} {
		if _, err := pebble.Open(o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}
