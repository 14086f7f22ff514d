package index_test

import (
	"bytes"
	"flag"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/index/indextest"
	"stocktake/internal/inventory"
)

// fleets is how much of everything random is tried: one is some seconds with the race detector on.
var fleets = flag.Int("fleets", 1, "times what is tried at random")

// TestRandomFleets holds the index beside a plain scan through random reports, removals, new splits, snapshots and
// reloads. The seed is printed; give it to runFleet to see a failure again.
func TestRandomFleets(t *testing.T) {
	start := uint64(time.Now().UnixNano())
	for seed := start; seed < start+uint64(12**fleets); seed++ {
		if !runFleet(t, seed, 40, 60) {
			t.Fatalf("seed %d", seed)
		}
	}
}

func TestRandomFleetsOfKnownSeeds(t *testing.T) {
	for seed := range uint64(6 * *fleets) {
		if !runFleet(t, seed, 40, 120) {
			t.Fatalf("seed %d", seed)
		}
	}
}

// TestLargerRandomFleets has values with many shapes, and answers that are a small share of the nodes.
func TestLargerRandomFleets(t *testing.T) {
	start := uint64(time.Now().UnixNano())
	for seed := start; seed < start+uint64(*fleets); seed++ {
		if !runFleet(t, seed, 300, 900) {
			t.Fatalf("seed %d", seed)
		}
	}
}

func runFleet(t *testing.T, seed uint64, nodes, steps int) bool {
	return t.Run("", func(t *testing.T) {
		t.Logf("seed %d", seed)
		random := indextest.NewRandom(seed)
		random.Nodes = nodes
		r := newRig(t)
		for range steps {
			r.step(random)
			if random.IntN(1+nodes/10) == 0 {
				r.ask(random)
			}
		}
		for range 20 {
			r.ask(random)
		}
	})
}

func (r *rig) step(random indextest.Random) {
	r.tb.Helper()
	node, key := random.Node(), random.Key()
	switch at := random.IntN(40); {
	case at < 20:
		r.put(node, key, random.Entries(), len(r.splits)-1)
	case at < 30:
		before, _ := r.fleet.Document(node, key)
		r.put(node, key, random.Edit(before), len(r.splits)-1)
	case at < 35:
		r.remove(node, key)
	case at < 36:
		r.splits = append(r.splits, random.Split())
	case at < 37:
		r.reopen()
	case at < 38:
		// A snapshot or scan newer than its position: changes in it already are applied again.
		shard := random.IntN(shards)
		r.replay(r.index, shard, uint64(random.IntN(len(r.feed[shard])+1)))
	case at < 39:
		r.reload(random, random.IntN(shards))
		r.index.SweepAll()
	default:
		for _, node := range r.fleet.Nodes() {
			if random.IntN(8) == 0 {
				for _, key := range r.fleet.Documents(node) {
					r.remove(node, key)
				}
			}
		}
	}
}

// TestFrozenViewsStay writes what was frozen before and after the index went on.
func TestFrozenViewsStay(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := indextest.NewRandom(seed)
	r := newRig(t)
	for range 15 * *fleets {
		for range 20 {
			r.step(random)
		}
		write := r.index.Still()
		before := write()
		for range 20 {
			r.step(random)
		}
		if !bytes.Equal(before, write()) {
			t.Fatal("a frozen view changed")
		}
	}
}

// TestResultsStay walks a result after the index went on, removals and sweeps included.
func TestResultsStay(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := indextest.NewRandom(seed)
	random.Nodes = 200
	r := newRig(t)
	r.splits = [][]string{{}} // without volatile attributes no answer needs documents, which do move on
	for range 20 {
		for range 50 {
			r.put(random.Node(), random.Key(), random.Entries(), 0)
		}
		filters := random.Filters(true)
		want := r.fleet.Match(filters)
		res := ask(r.tb, r.index, filters)
		for _, node := range r.fleet.Nodes() {
			if random.IntN(3) == 0 {
				for _, key := range r.fleet.Documents(node) {
					r.remove(node, key)
				}
			}
		}
		r.index.SweepAll()
		for range 20 {
			r.put(random.Node(), random.Key(), random.Entries(), 0)
		}
		if diff := cmp.Diff(want, r.pages(res, 7)); diff != "" {
			t.Fatalf("filters %+v (-want +got):\n%s", filters, diff)
		}
	}
}

func (r *rig) reload(random indextest.Random, shard int) {
	r.tb.Helper()
	if random.IntN(3) == 0 {
		x := r.index.Reload(shard)
		r.load(x, shard, uint64(random.IntN(len(r.feed[shard])+1)))
		x.Close()
	}
	x := r.index.Reload(shard)
	after := uint64(random.IntN(len(r.feed[shard]) + 1))
	x.SetPosition(shard, inventory.Position{Seq: after})
	r.load(x, shard, after)
	x.Finish()
	x.Close()
	if got := r.index.Positions()[shard]; got.Seq != uint64(len(r.feed[shard])) {
		r.tb.Fatalf("position after a reload is %v", got)
	}
}

func (r *rig) ask(random indextest.Random) {
	r.tb.Helper()
	r.checkQuery(random.Filters(random.IntN(2) == 0))
	r.checkCounts(random.Aggregator(), random.Filters(false))
	r.checkCounts(random.Aggregator(), nil)
}
