package index_test

import (
	"fmt"
	"testing"
	"time"

	"stocktake/internal/index"
	"stocktake/internal/index/indextest"
	"stocktake/internal/inventory"
)

// rebuild puts an index filled in bulk in the place of the one there is.
func (r *rig) rebuild() {
	r.tb.Helper()
	x := index.New(config)
	err := x.Bulk(func() error {
		for shard := range shards {
			r.load(x, shard, uint64(len(r.feed[shard])))
			x.SetPosition(shard, inventory.Position{Seq: uint64(len(r.feed[shard]))})
		}
		return nil
	})
	if err != nil {
		r.tb.Fatal(err)
	}
	r.index = x
}

// TestBulkAnswersAlike asks an index that was filled in bulk, and goes on writing to it.
func TestBulkAnswersAlike(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := indextest.NewRandom(seed)
	r := newRig(t)
	for range 20 {
		for range 30 {
			r.step(random)
		}
		r.rebuild()
		for range 10 {
			r.ask(random)
		}
	}
}

// TestBulkMakesGroups has values of more shapes than a group needs, in two types, spread over nodes.
func TestBulkMakesGroups(t *testing.T) {
	r := newRig(t)
	const nodes = 150
	for n := range nodes {
		id := inventory.NodeID(fmt.Sprintf("i-%08d", n))
		for _, name := range []inventory.TypeName{"Custom:A", "Custom:B"} {
			entries := []inventory.Entry{{{Name: "Kind", Value: "common"}, {Name: "Serial", Value: fmt.Sprint(n)}}}
			if n%3 == 0 {
				entries = append(entries, inventory.Entry{{Name: "Kind", Value: "third"}, {Name: "Serial", Value: fmt.Sprint("x", n)}})
			}
			r.put(id, inventory.ItemKey{Type: name}, entries, 0)
		}
	}
	check := func() {
		t.Helper()
		for _, value := range []string{"common", "third", "none"} {
			for _, operator := range []inventory.Operator{inventory.Equal, inventory.NotEqual} {
				r.checkQuery([]inventory.Filter{{Type: "Custom:A", Attribute: "Kind", Operator: operator, Values: []string{value}}})
			}
		}
		r.checkCounts(inventory.Aggregator{Type: "Custom:B", Attribute: "Kind"}, nil)
	}
	r.rebuild()
	check()
	for n := range nodes / 2 {
		r.remove(inventory.NodeID(fmt.Sprintf("i-%08d", n)), inventory.ItemKey{Type: "Custom:A"})
	}
	check()
	r.rebuild()
	check()
}
