package replica_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stocktake/internal/index/indextest"
	"stocktake/internal/inventory"
	"stocktake/internal/replica"
	"stocktake/internal/store"
	"stocktake/internal/store/memory"
	"stocktake/internal/store/pebble"
	"stocktake/internal/store/storetest"
)

const shards = 4

var discard = slog.New(slog.DiscardHandler)

// scans is a store that counts how often it is scanned, and can lie on another.
type scans struct {
	store.Store
	n atomic.Int64
}

func (s *scans) Scan(ctx context.Context, shard int, after *inventory.NodeKey, limit int) ([]store.NodeScan, bool, error) {
	s.n.Add(1)
	return s.Store.Scan(ctx, shard, after, limit)
}

func newMemory(t *testing.T) store.Store {
	t.Helper()
	st, err := memory.New(shards)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func openPebble(t *testing.T, dir string) store.Store {
	t.Helper()
	st, err := pebble.Open(pebble.Options{Dir: dir, Shards: shards, CacheBytes: 1 << 20, MemTableBytes: 1 << 20, Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func closed(t *testing.T, c interface{ Close() error }) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func openReplica(t *testing.T, st store.Store, dir string) *replica.Replica {
	t.Helper()
	r, err := replica.Open(t.Context(), st, replica.Options{Dir: dir, Limits: inventory.DefaultLimits(), Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// play makes so many random steps on the player's store.
func play(t *testing.T, p *storetest.Player, steps int) {
	t.Helper()
	for range steps {
		if what, err := p.Next(t.Context()); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// check holds a replica, brought up to the heads, to a plain scan of its store.
func check(t *testing.T, when string, r *replica.Replica, st store.Store) {
	t.Helper()
	if err := r.CatchUp(t.Context()); err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	fleets := scan(t, st)
	for _, p := range storetest.Partitions {
		fleet := fleets[p]
		for _, filters := range questions(fleet) {
			res, err := r.Index().Query(t.Context(), p, filters)
			if err != nil {
				t.Fatal(err)
			}
			got, _, err := res.Page(t.Context(), fleet, "", 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if want := fleet.Match(filters); !slices.Equal(got, want) {
				t.Errorf("%s, %s: %+v is answered with %v, and is on %v", when, p, filters, got, want)
			}
		}
	}
}

// scan reads what every partition has.
func scan(t *testing.T, st store.Store) map[inventory.Partition]*indextest.Fleet {
	t.Helper()
	fleets := map[inventory.Partition]*indextest.Fleet{}
	for _, p := range storetest.Partitions {
		fleets[p] = &indextest.Fleet{}
	}
	for shard := range shards {
		nodes, err := storetest.ScanAll(t.Context(), st, shard, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range nodes {
			for i, state := range n.Node.Items {
				entries, err := storetest.Entries(t.Context(), st, storetest.DocumentKey(n.Node.Key, state.ItemKey), n.Documents[i])
				if err != nil {
					t.Fatal(err)
				}
				fleets[n.Node.Key.Partition].Put(n.Node.Key.Node, state.ItemKey, entries)
			}
		}
	}
	return fleets
}

// questions asks for every node, every type, and some values of two attributes, of which one is volatile: each scan of the
// fleet takes its time.
func questions(fleet *indextest.Fleet) [][]inventory.Filter {
	const every = 16
	all := [][]inventory.Filter{nil}
	seen := map[string]bool{}
	for _, node := range fleet.Nodes() {
		for _, key := range fleet.Documents(node) {
			if name := string(key.Type); !seen[name] {
				seen[name] = true
				all = append(all, []inventory.Filter{{Operator: inventory.Exists, Values: []string{name}}})
			}
			entries, _ := fleet.Document(node, key)
			for _, e := range entries {
				for _, attribute := range []string{"Name", "InstalledTime"} {
					v, ok := e.Get(attribute)
					if id := string(key.Type) + attribute + v; ok && !seen[id] {
						seen[id] = true
						if len(seen)%every > 0 {
							continue
						}
						all = append(all, []inventory.Filter{{Type: key.Type, Attribute: attribute, Values: []string{inventory.Fold(v)}}})
					}
				}
			}
		}
	}
	return all
}

// TestReplicaFollowsTheStore lets a store go through random steps the replica hears nothing of but by the feed, and
// prunes and sweeps beneath it.
func TestReplicaFollowsTheStore(t *testing.T) {
	for seed := range uint64(3) {
		st := newMemory(t)
		r := openReplica(t, st, "")
		p := storetest.NewPlayer(st, seed)
		for range 8 {
			play(t, p, 30)
			check(t, fmt.Sprint("seed ", seed), r, st)
		}
		closed(t, r)
	}
}

// TestReplicaReadsAPrunedShardAgain has the feed pruned away under a replica that has not read it.
func TestReplicaReadsAPrunedShardAgain(t *testing.T) {
	st := &scans{Store: newMemory(t)}
	w := storetest.NewWriter(st)
	r := openReplica(t, st, "")
	defer closed(t, r)
	report := func(n int, version string) {
		t.Helper()
		item := inventory.Item{Type: "AWS:Application", SchemaVersion: "1.1", HasContent: true, Content: []inventory.Entry{
			{{Name: "Name", Value: "a"}, {Name: "Version", Value: version}},
		}}
		if _, err := w.Report(t.Context(), storetest.Node(n), time.Now(), item); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 20 {
		report(n, "1")
	}
	check(t, "before", r, st)
	for n := range 20 {
		report(n, "2")
		report(n, "3")
	}
	if err := w.Store.SetReader(t.Context(), "x", make([]uint64, shards)); err != nil {
		t.Fatal(err)
	}
	if n, err := st.Prune(t.Context(), time.Now().Add(time.Hour)); err != nil || n != 0 {
		t.Fatalf("a reader that has read nothing lost %d changes (%v)", n, err)
	}
	if err := w.Store.DropReader(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	if n, err := st.Prune(t.Context(), time.Now().Add(time.Hour)); err != nil || n == 0 {
		t.Fatalf("nothing was pruned (%v)", err)
	}
	if _, err := st.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := st.n.Load()
	check(t, "after", r, st)
	if st.n.Load() == before {
		t.Error("no shard was read again, and the feed could not lead on")
	}
}

// TestApplyInAnyOrder hands in commits as their callers return, many at a time.
func TestApplyInAnyOrder(t *testing.T) {
	st := newMemory(t)
	w := storetest.NewWriter(st)
	r := openReplica(t, st, "")
	defer closed(t, r)
	var wg sync.WaitGroup
	for n := range 12 {
		wg.Go(func() {
			src := storetest.NewSource(uint64(n))
			for range 30 {
				c, err := w.Build(t.Context(), storetest.Node(n), time.Now(), src.Item(5))
				if err != nil {
					t.Errorf("build: %v", err)
					return
				}
				done, err := st.Commit(t.Context(), c)
				if err != nil {
					t.Errorf("commit: %v", err)
					return
				}
				var shapes []inventory.Shape
				if n%3 > 0 { // a third hands in no texts, as after a restart
					for _, write := range c.Writes {
						shapes = append(shapes, write.Shapes...)
					}
				}
				if n%4 == 0 {
					continue // a fourth died before it could hand in anything
				}
				if err := r.Apply(t.Context(), done, shapes); err != nil {
					t.Errorf("apply: %v", err)
				}
			}
		})
	}
	wg.Wait()
	check(t, "all applied", r, st)
}

// copyDir copies a closed store's directory, as a backup does.
func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// snapshotFile gives the one file of a folder of snapshots.
func snapshotFile(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("the folder of snapshots holds %v (%v)", files, err)
	}
	return files[0]
}

func TestSweepGivesBackWhatNoNodeHas(t *testing.T) {
	st := newMemory(t)
	w := storetest.NewWriter(st)
	r := openReplica(t, st, "")
	defer closed(t, r)
	report := func(version string, entries int) {
		t.Helper()
		item := inventory.Item{Type: "AWS:Application", SchemaVersion: "1.1", HasContent: true}
		for i := range entries {
			item.Content = append(item.Content, inventory.Entry{{Name: "Name", Value: fmt.Sprint(i)}, {Name: "Version", Value: version}})
		}
		if _, err := w.Report(t.Context(), storetest.Node(1), time.Now(), item); err != nil {
			t.Fatal(err)
		}
		if err := r.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	report("1", 3000)
	report("2", 10)
	if shapes, _ := r.Sweep(); shapes != 3000 {
		t.Errorf("%d shapes were dropped, want the 3000 of the report before", shapes)
	}
	report("1", 10)
	check(t, "after a sweep", r, st)
}
