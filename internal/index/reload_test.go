package index_test

import (
	"bytes"
	"testing"

	"stocktake/internal/index"
	"stocktake/internal/index/indextest"
	"stocktake/internal/inventory"
)

// TestReloadedShardIsWholeBeforeAndAfter asks while a shard is loaded aside, with another content than it
// had, and when it is in place.
func TestReloadedShardIsWholeBeforeAndAfter(t *testing.T) {
	r := newRig(t)
	random := indextest.NewRandom(11)
	random.Nodes = 60
	for range 300 {
		r.put(random.Node(), random.Key(), random.Entries(), 0)
	}
	other := newRig(t) // another history of shard 1: the other shards are the same
	for _, changes := range r.feed {
		for _, c := range changes {
			if shardOf(c.Document.Node) != 1 {
				continue
			}
			other.put(random.Node()[:9]+c.Document.Node[9:], inventory.ItemKey{Type: c.Document.Type, SubType: c.Document.SubType}, random.Entries(), 0)
		}
	}
	x := r.index.Reload(1)
	other.load(x, 1, 0)
	for range 40 {
		r.ask(random)
	}
	x.Finish()
	x.Close()
	for _, node := range r.fleet.Nodes() {
		for _, key := range r.fleet.Documents(node) {
			if shardOf(node) == 1 {
				r.fleet.Remove(node, key)
			}
		}
	}
	for _, node := range other.fleet.Nodes() {
		for _, key := range other.fleet.Documents(node) {
			if entries, _ := other.fleet.Document(node, key); shardOf(node) == 1 {
				r.fleet.Put(node, key, entries)
			}
		}
	}
	for range 40 {
		r.ask(random)
	}
}

func TestShardBeingReplacedIsNotInASnapshot(t *testing.T) {
	r := newRig(t)
	random := indextest.NewRandom(12)
	random.Nodes = 40
	for range 200 {
		r.put(random.Node(), random.Key(), random.Entries(), 0)
	}
	var b bytes.Buffer
	r.index.WhileUnsettled(1, func() {
		if err := r.index.WriteSnapshot(&b); err != nil {
			t.Fatal(err)
		}
	})
	x, err := index.ReadSnapshot(&b, config)
	if err != nil {
		t.Fatal(err)
	}
	if at := x.Position(1); at != (inventory.Position{}) {
		t.Errorf("the shard is at %v in the snapshot", at)
	}
	for _, id := range r.pages(ask(t, x, nil), 50) {
		if shardOf(id) == 1 {
			t.Errorf("the snapshot has node %s of the shard", id)
		}
	}
	r.index = x
	r.replay(x, 1, 0)
	r.checkQuery(nil)
}
