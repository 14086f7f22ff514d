package pebble_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stocktake/internal/store"
	"stocktake/internal/store/memory"
	"stocktake/internal/store/pebble"
	"stocktake/internal/store/storetest"
)

// rotSeed and rotSteps are the script the damaged stores hold.
const rotSeed, rotSteps = 9, 150

// sound is a store that was closed in order, and what it holds.
type sound struct {
	dir    string
	played *storetest.Player
	want   storetest.State
}

func newSound(t *testing.T) *sound {
	t.Helper()
	dir := t.TempDir()
	s := open(t, pebble.Options{Dir: dir, Shards: 2, MemTableBytes: 24 << 10})
	mem, err := memory.New(2)
	if err != nil {
		t.Fatal(err)
	}
	played, oracle := storetest.NewPlayer(s, rotSeed), storetest.NewPlayer(mem, rotSeed)
	for range rotSteps {
		for _, p := range []*storetest.Player{played, oracle} {
			if _, err := p.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	want, err := oracle.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &sound{dir, played, want}
}

// copied gives a copy of the store to damage.
func (o *sound) copied(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	if err := os.CopyFS(dir, os.DirFS(o.dir)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// rot is one damage of one file.
type rot struct{ path, what string }

func (r *rot) String() string { return filepath.Base(r.path) + " " + r.what }

// holdsData tells the files whose damage must be found from those nothing of what is stored is read from: options, a log
// that was emptied, a manifest and its seal that a later opening replaced.
func (r *rot) holdsData() bool { return strings.HasSuffix(r.path, ".sst") }

// spoil damages one file in a random way.
func spoil(t *testing.T, dir string, chance *rand.Rand, chosen func(path string) bool) *rot {
	t.Helper()
	var paths []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if info, infoErr := e.Info(); err == nil && infoErr == nil && !e.IsDir() && info.Size() > 0 && chosen(path) {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &rot{path: paths[chance.IntN(len(paths))]}
	if err := r.do(chance); err != nil {
		t.Fatal(err)
	}
	return r
}

// do damages the file where it lies, as a disk does, not by another of the same name.
func (r *rot) do(chance *rand.Rand) error {
	data, err := os.ReadFile(r.path)
	if err != nil {
		return err
	}
	at := chance.IntN(len(data))
	from, part := at, data[at:at+1]
	r.what = fmt.Sprintf("at %d of %d: ", at, len(data))
	switch chance.IntN(3) {
	case 0:
		r.what += "a bit flipped"
		data[at] ^= 1 << chance.IntN(8)
	case 1:
		r.what += "a page blank"
		from = at &^ 4095
		part = data[from:min(len(data), from+4096)]
		if bytes.Count(part, []byte{0}) == len(part) {
			part[0] = 1
		} else {
			clear(part)
		}
	default:
		r.what += "cut off"
		return os.Truncate(r.path, int64(at))
	}
	f, err := os.OpenFile(r.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(part, int64(from))
	return errors.Join(err, f.Close())
}

// judge reads all of a store that was damaged, and reports whether that was found: by an error that names where. It fails
// the test when anything else than what was stored was read as good.
func (o *sound) judge(t *testing.T, s store.Store, what string) (found bool) {
	t.Helper()
	o.played.Take(s)
	got, err := o.played.Read(t.Context())
	if err != nil {
		if !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "key ") {
			t.Errorf("%s: %v, want ErrCorrupt with the key", what, err)
		}
		return true
	}
	if d := storetest.Diff(o.want, got); d != "" {
		t.Errorf("%s: wrong data was read as good:\n%.2000s", what, d)
	}
	return false
}

// checked reports whether the check of tables finds damage.
func checked(t *testing.T, s *pebble.Store) bool {
	t.Helper()
	findings, err := s.CheckTables(t.Context())
	if err != nil {
		t.Error(err)
	}
	return len(findings) > 0
}

// rotRounds is how many damages are tried.
func rotRounds(few int) int {
	if *every {
		return 1000
	}
	return few
}

// TestDamageOfClosedStores flips bits in, blanks pages of and cuts short the files of a closed store, one thing at a time.
// Whatever can then be read must be what was stored, and the rest an error that says so, or a start that is refused.
func TestDamageOfClosedStores(t *testing.T) {
	t.Parallel()
	o := newSound(t)
	chance := rand.New(rand.NewPCG(7, 0))
	rounds, refused, found, verified, harmless := rotRounds(12), 0, 0, 0, 0
	for round := range rounds {
		dir := o.copied(t)
		r := spoil(t, dir, chance, func(string) bool { return true })
		what := fmt.Sprintf("round %d: %s", round, r)
		s, err := pebble.Open(pebble.Options{Dir: dir, Shards: 2, Logger: slog.New(slog.DiscardHandler)})
		switch {
		case err != nil && (!strings.Contains(err.Error(), dir) || errors.Is(err, context.DeadlineExceeded)):
			t.Errorf("%s: the start was refused without saying where: %v", what, err)
		case err != nil:
			refused++
		default:
			switch {
			case o.judge(t, s, what):
				found++
			case checked(t, s):
				verified++
			case r.holdsData():
				t.Errorf("%s: nothing noticed", what)
			default:
				harmless++
			}
			_ = s.Close() // a damaged store may say so again
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d damages: %d starts refused, %d found on read, %d by the check of tables, %d in files nothing is read from; wrong data read: none unless said above",
		rounds, refused, found, verified, harmless)
}

// TestDamageOfOpenStores damages the tables under a store that is open, and has little in memory. It must say which file is
// damaged, read nothing wrong, and go on with the rest.
func TestDamageOfOpenStores(t *testing.T) {
	t.Parallel()
	o := newSound(t)
	chance := rand.New(rand.NewPCG(8, 0))
	rounds, found, verified := rotRounds(3), 0, 0
	for round := range rounds {
		dir, log := o.copied(t), &told{Handler: slog.DiscardHandler}
		s, err := pebble.Open(pebble.Options{Dir: dir, Shards: 2, CacheBytes: 1, RowBytes: 1, Logger: slog.New(log)})
		if err != nil {
			t.Fatal(err)
		}
		if o.judge(t, s, "sound") || checked(t, s) { // all files are open, and known
			t.Fatal("a sound store is said to be damaged")
		}
		r := spoil(t, dir, chance, func(path string) bool { return strings.HasSuffix(path, ".sst") })
		what := fmt.Sprintf("round %d: %s", round, r)
		switch {
		case o.judge(t, s, what):
			found++
		case checked(t, s):
			verified++
		default:
			t.Errorf("%s: nothing noticed", what)
		}
		if _, err := s.PutRecord(t.Context(), store.Record{Key: store.Key("goes", "on")}); err != nil && !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s: writing beside it: %v", what, err)
		}
		_ = s.Close() // a damaged store may say so again
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d damages under an open store, %d found on read, %d by the check of tables; wrong data read: none unless said above", rounds, found, verified)
}
