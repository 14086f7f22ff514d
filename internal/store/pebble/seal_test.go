package pebble_test

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"stocktake/internal/store"
	"stocktake/internal/store/pebble"
	"stocktake/internal/store/storetest"
)

// stocked makes a store of some nodes.
func stocked(t *testing.T) (*pebble.Store, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	s := open(t, pebble.Options{Dir: dir, MemTableBytes: 64 << 10})
	w, src := storetest.NewWriter(s), storetest.NewSource(1)
	for i := range 30 {
		if _, err := w.Report(t.Context(), storetest.Node(i), storetest.Epoch, src.Fleet(i)...); err != nil {
			t.Fatal(err)
		}
	}
	return s, dir
}

func TestCloseKeepsNoLogs(t *testing.T) {
	s, dir := stocked(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	logs, err := filepath.Glob(filepath.Join(dir, "db", "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range logs {
		if info, err := os.Stat(name); err != nil || info.Size() > 1024 {
			t.Errorf("%s is left with %d bytes, %v", name, info.Size(), err)
		}
	}
}

// TestSealedManifestIsHeldToItsSum: without logs nothing else would make up for a manifest that has lost its end.
func TestSealedManifestIsHeldToItsSum(t *testing.T) {
	s, dir := stocked(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	manifests, err := filepath.Glob(filepath.Join(dir, "db", "MANIFEST-*"))
	if err != nil || len(manifests) == 0 {
		t.Fatal(manifests, err)
	}
	last := manifests[len(manifests)-1]
	sound, err := os.ReadFile(last)
	if err != nil {
		t.Fatal(err)
	}
	for at := range sound {
		damaged := append([]byte(nil), sound...)
		damaged[at] ^= 0x10
		if err := os.WriteFile(last, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := pebble.Open(pebble.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)}); !errors.Is(err, store.ErrCorrupt) {
			t.Fatalf("byte %d of %d was changed: %v", at, len(sound), err)
		}
	}
}

// copied gives a copy of an open store's folder as it is at one moment: where files came and went meanwhile, which a store
// does in its own time after it was opened, it is copied again.
func copied(t *testing.T, dir string) string {
	t.Helper()
	files := func() (names []string) {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			names = append(names, path)
			return err
		})
		if err != nil {
			return nil
		}
		return names
	}
	for {
		to, before := filepath.Join(t.TempDir(), "store"), files()
		err := os.CopyFS(to, os.DirFS(dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if err == nil && before != nil && slices.Equal(before, files()) {
			return to
		}
	}
}

// TestSealIsOfOneManifest: a seal says nothing of what was written after the store was opened again.
func TestSealIsOfOneManifest(t *testing.T) {
	s, dir := stocked(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, pebble.Options{Dir: dir})
	if _, err := storetest.NewWriter(s).Report(t.Context(), storetest.Node(99), storetest.Epoch, storetest.NewSource(2).Fleet(1)...); err != nil {
		t.Fatal(err)
	}
	again := open(t, pebble.Options{Dir: copied(t, dir)})
	if _, err := again.Node(t.Context(), storetest.Node(99)); err != nil {
		t.Error(err)
	}
}

func TestFeedIsPartOfTheDisk(t *testing.T) {
	s, dir := stocked(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, pebble.Options{Dir: dir})
	if m := s.Metrics(); m.FeedBytes == 0 || m.FeedBytes >= m.DiskBytes/2 {
		t.Errorf("of %d bytes %d are the feed's", m.DiskBytes, m.FeedBytes)
	}
}
