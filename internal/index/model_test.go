package index_test

import (
	"testing"
	"time"

	"stocktake/internal/index/indextest"
	"stocktake/internal/inventory"
)

// TestRandomFleets holds the index beside a plain scan through random reports, removals, new splits, snapshots and
// reloads. The seed is printed; give it to runFleet to see a failure again.
func TestRandomFleets(t *testing.T) {
	start := uint64(time.Now().UnixNano())
	for seed := start; seed < start+40; seed++ {
		if !runFleet(t, seed, 60) {
			t.Fatalf("seed %d", seed)
		}
	}
}

func TestRandomFleetsOfKnownSeeds(t *testing.T) {
	for seed := range uint64(20) {
		if !runFleet(t, seed, 120) {
			t.Fatalf("seed %d", seed)
		}
	}
}

func runFleet(t *testing.T, seed uint64, steps int) bool {
	return t.Run("", func(t *testing.T) {
		t.Logf("seed %d", seed)
		random := indextest.NewRandom(seed)
		r := newRig(t)
		for range steps {
			r.step(random)
			if random.IntN(4) == 0 {
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
		r.reload(random)
	default:
		for _, node := range r.fleet.Nodes() {
			if random.IntN(3) == 0 {
				for _, key := range r.fleet.Documents(node) {
					r.remove(node, key)
				}
			}
		}
	}
}

func (r *rig) reload(random indextest.Random) {
	r.tb.Helper()
	shard := random.IntN(shards)
	r.index.DropShard(shard)
	if got := r.index.Positions()[shard]; got != (inventory.Position{}) {
		r.tb.Fatalf("position after DropShard is %v", got)
	}
	r.load(r.index, shard, uint64(random.IntN(len(r.feed[shard])+1)))
	r.index.SetPosition(shard, inventory.Position{Seq: uint64(len(r.feed[shard]))})
}

func (r *rig) ask(random indextest.Random) {
	r.tb.Helper()
	r.checkQuery(random.Filters(random.IntN(2) == 0))
	r.checkCounts(random.Aggregator(), random.Filters(false))
	r.checkCounts(random.Aggregator(), nil)
}
