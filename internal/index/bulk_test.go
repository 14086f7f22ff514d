package index_test

import (
	"bytes"
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
	for range 6 * *fleets {
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

// TestBulkMakesGroupsOfManyNodes has more nodes than one container of a bitmap holds, all of which have two values of many
// shapes.
func TestBulkMakesGroupsOfManyNodes(t *testing.T) {
	const nodes, kinds = 70_000, 100
	key := inventory.ItemKey{Type: "App"}
	shapes := make([]inventory.Shape, kinds)
	for i := range shapes {
		e := inventory.Entry{{Name: "Arch", Value: "x"}, {Name: "Few", Value: "z"}, {Name: "Kind", Value: "y"}, {Name: "Name", Value: fmt.Sprint(i)}}
		if i >= 70 {
			e = inventory.Entry{e[0], e[2], e[3]}
		}
		text := inventory.AppendShapeText(nil, e)
		shapes[i] = inventory.Shape{ID: inventory.HashKey{}.ShapeIDOf(key.Type, text), Text: string(text)}
	}
	x := index.New(config)
	if err := x.Bulk(func() error {
		if err := x.Define(here, key.Type, shapes); err != nil {
			return err
		}
		for n := range nodes {
			node := inventory.NodeKey{Partition: here, Node: inventory.NodeID(fmt.Sprintf("i-%08d", n))}
			if err := x.Load(0, node, []index.Loaded{{Key: key, Shapes: []inventory.ShapeID{shapes[n%kinds].ID}}}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := x.WriteSnapshot(&b); err != nil {
		t.Fatal(err)
	}
	read, err := index.ReadSnapshot(&b, config)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []*index.Index{x, read} {
		for attribute, value := range map[string]string{"Arch": "x", "Kind": "y"} {
			r := ask(t, x, []inventory.Filter{{Type: key.Type, Attribute: attribute, Operator: inventory.Equal, Values: []string{value}}})
			if n, err := r.Count(t.Context(), nil); err != nil || n != nodes {
				t.Errorf("%d nodes have the %s, %v; want all %d", n, attribute, err, nodes)
			}
		}
		r := ask(t, x, []inventory.Filter{{Type: key.Type, Attribute: "Few", Operator: inventory.Equal, Values: []string{"z"}}})
		if n, err := r.Count(t.Context(), nil); err != nil || n != 70*nodes/kinds {
			t.Errorf("%d nodes have what few have, %v; want %d", n, err, 70*nodes/kinds)
		}
	}
}
