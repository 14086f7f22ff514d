package pebble_test

import (
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"stocktake/internal/store"
	"stocktake/internal/store/pebble"
	"stocktake/internal/store/storetest"
)

// open opens a store of a test; closing it twice is no harm.
func open(tb testing.TB, o pebble.Options) *pebble.Store {
	tb.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	s, err := pebble.Open(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// maker makes stores on the machine's own disk, or for fs on that.
func maker(shards int, fs vfs.FS) storetest.Maker {
	var dirs sync.Map // of each store
	openIn := func(tb testing.TB, dir string) store.Store {
		s := open(tb, pebble.Options{Dir: dir, Shards: shards, FS: fs})
		dirs.Store(s, dir)
		return s
	}
	return storetest.Maker{
		Name: "pebble",
		Open: func(tb testing.TB) store.Store { return openIn(tb, filepath.Join(tb.TempDir(), "data", "store")) },
		Like: func(tb testing.TB, id store.Identity) store.Store {
			dir := filepath.Join(tb.TempDir(), "store")
			s := open(tb, pebble.Options{Dir: dir, Identity: &id, FS: fs})
			dirs.Store(s, dir)
			return s
		},
		Reopen: func(tb testing.TB, s store.Store) store.Store {
			if err := s.Close(); err != nil {
				tb.Fatal(err)
			}
			dir, _ := dirs.Load(s)
			return openIn(tb, dir.(string))
		},
	}
}

// ofShards are the laws in which several shards play a part.
var ofShards = []string{
	"ReadGivesNodesWithDocuments", "ScanPages", "ScanIsConsistent", "ViewIsOfOneMoment", "ChangesNeverGoBack",
	"ChangesSayWhatHappened", "ReplayOverScanGivesNow", "BehindIsTold", "OldestChangeBeginsTheFeed", "PruneKeepsReaders",
	"PruneStopsAtAge", "NewestChangeStays", "ShapeLivesWhileNamed", "SweptShapeReturns", "LoaderGivesTheSameStore",
	"LoaderRefusesOther", "ReopenGoesOn",
}

// TestLawsOneShard tries the laws that are of shards, with -every all, on a store of one; those on many, and the model run,
// are where all kinds of store are.
func TestLawsOneShard(t *testing.T) {
	t.Parallel()
	m := maker(1, vfs.NewMem())
	if *every {
		storetest.Run(t, m)
		return
	}
	storetest.Run(t, m, ofShards...)
}

func TestIdentityIsGivenOnce(t *testing.T) {
	fs := vfs.NewMem()
	id := store.Identity{ID: [16]byte{1}, Shards: 3, RootKey: [32]byte{2}}
	s := open(t, pebble.Options{Dir: "/given", Identity: &id, FS: fs})
	if s.Identity() != id {
		t.Errorf("made with %+v, it has %+v", id, s.Identity())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	other, bare := id, store.Identity{Shards: 3}
	other.RootKey[31] = 1
	for what, o := range map[string]pebble.Options{
		"another identity":               {Dir: "/given", Identity: &other, FS: fs},
		"an identity without an id":      {Dir: "/new", Identity: &bare, FS: fs},
		"shards that are not identity's": {Dir: "/new", Identity: &id, Shards: 4, FS: fs},
	} {
		o.Logger = slog.New(slog.DiscardHandler)
		if s, err := pebble.Open(o); err == nil {
			t.Errorf("a store was opened with %s", what)
			_ = s.Close()
		}
	}
	for _, o := range []pebble.Options{{Dir: "/given", Identity: &id, Shards: 3, FS: fs}, {Dir: "/given", FS: fs}} {
		s := open(t, o)
		if s.Identity() != id {
			t.Errorf("opened again it has %+v", s.Identity())
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkStore(b *testing.B) { storetest.Benchmarks(b, maker(64, nil)) }

// BenchmarkDisk loads simulated machines, one an iteration, and reports what each takes on disk once the store is closed
// (bytes/node), the memory of the numbering of shapes, and the time to open the store again.
func BenchmarkDisk(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "store")
	s := open(b, pebble.Options{Dir: dir})
	w, src := storetest.NewWriter(s), storetest.NewSource(1)
	for i := range b.N {
		if _, err := w.Report(b.Context(), storetest.Node(i), storetest.Epoch, src.Fleet(i)...); err != nil {
			b.Fatal(err)
		}
	}
	shapes := s.Metrics()
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	begin := time.Now()
	s = open(b, pebble.Options{Dir: dir})
	b.ReportMetric(float64(time.Since(begin).Milliseconds()), "ms-to-open")
	b.ReportMetric(float64(s.Metrics().DiskBytes)/float64(b.N), "bytes/node")
	b.ReportMetric(float64(shapes.Shapes), "shapes")
	b.ReportMetric(float64(shapes.DictionaryBytes)/float64(b.N), "dictionary-bytes/node")
}

func TestCloseLeavesNothingRunning(t *testing.T) {
	before := goleak.IgnoreCurrent()
	s := open(t, pebble.Options{Dir: filepath.Join(t.TempDir(), "store")})
	if _, err := storetest.NewWriter(s).Report(t.Context(), storetest.Node(1), storetest.Epoch, storetest.NewSource(1).Fleet(1)...); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	goleak.VerifyNone(t, before)
}
