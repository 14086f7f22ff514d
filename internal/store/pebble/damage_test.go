package pebble_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"stocktake/internal/store"
	"stocktake/internal/store/memory"
	"stocktake/internal/store/pebble"
	"stocktake/internal/store/storetest"
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

// damagedSteps is the script the damaged store held.
const damagedSeed, damagedSteps = 9, 150

// TestDamageIsNeverRead flips bits in, blanks pages of and cuts short the files of a closed store, one thing at a time.
// Whatever can then be read must be what was stored, and the rest an error that says so.
func TestDamageIsNeverRead(t *testing.T) {
	t.Parallel()
	sound := t.TempDir()
	s := open(t, pebble.Options{Dir: sound, Shards: 2, MemTableBytes: 24 << 10})
	played := storetest.NewPlayer(s, damagedSeed)
	mem, err := memory.New(2)
	if err != nil {
		t.Fatal(err)
	}
	oracle := storetest.NewPlayer(mem, damagedSeed)
	for range damagedSteps {
		if _, err := played.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := oracle.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	want, err := oracle.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rounds := 60
	if *every {
		rounds = 1000
	}
	chance := rand.New(rand.NewPCG(7, 0))
	found := 0
	for round := range rounds {
		dir := filepath.Join(t.TempDir(), "store")
		if err := os.CopyFS(dir, os.DirFS(sound)); err != nil {
			t.Fatal(err)
		}
		what := fmt.Sprintf("round %d: %s", round, spoil(t, dir, chance))
		if judge(t, dir, played, want, what) {
			found++
		}
	}
	t.Logf("%d of %d damages were found; the others were where nothing is read", found, rounds)
}

// spoil damages one file and tells what it did.
func spoil(t *testing.T, dir string, chance *rand.Rand) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if info, infoErr := e.Info(); err == nil && infoErr == nil && !e.IsDir() && info.Size() > 0 {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	name := names[chance.IntN(len(names))]
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	at := chance.IntN(len(data))
	what := fmt.Sprintf("%s at %d of %d: ", filepath.Base(name), at, len(data))
	switch chance.IntN(3) {
	case 0:
		what += "a bit flipped"
		data[at] ^= 1 << chance.IntN(8)
	case 1:
		what += "a page blank"
		page := data[at&^4095 : min(len(data), at&^4095+4096)]
		if bytes.Count(page, []byte{0}) == len(page) {
			page[0] = 1
		} else {
			clear(page)
		}
	default:
		what += "cut off"
		data = data[:at]
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return what
}

// judge opens a damaged store and reads it. It reports whether the damage was found, and fails the test when anything
// else than what was stored was read as good.
func judge(t *testing.T, dir string, played *storetest.Player, want storetest.State, what string) bool {
	t.Helper()
	s, err := pebble.Open(pebble.Options{Dir: dir, Shards: 2, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return true
	}
	defer func() { _ = s.Close() }()
	played.Take(s)
	got, err := played.Read(t.Context())
	if err != nil {
		if !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", what, err)
		}
		return true
	}
	if d := storetest.Diff(want, got); d != "" {
		t.Errorf("%s: wrong data was read as good:\n%.2000s", what, d)
	}
	return false
}
