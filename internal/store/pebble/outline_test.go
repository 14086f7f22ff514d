package pebble_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
	"stocktake/internal/store/pebble"
	"stocktake/internal/store/storetest"
)

type space struct {
	partition inventory.Partition
	t         inventory.TypeName
}

// TestOutlineIsTheScan puts documents together again from numbers, and holds them beside the scan's.
func TestOutlineIsTheScan(t *testing.T) {
	st := open(t, pebble.Options{Dir: t.TempDir()})
	p := storetest.NewPlayer(st, 5)
	for range 150 {
		if what, err := p.Next(t.Context()); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	ids := map[space]map[uint32]inventory.ShapeID{}
	if err := st.EachText(t.Context(), func(some store.Numbered) error {
		at := space{some.Partition, some.Type}
		if ids[at] == nil {
			ids[at] = map[uint32]inventory.ShapeID{}
		}
		var shapes []inventory.ShapeID
		for i, n := range some.Numbers {
			ids[at][n] = some.Shapes[i].ID
			shapes = append(shapes, some.Shapes[i].ID)
		}
		want, err := st.Shapes(t.Context(), 0, some.Partition, some.Type, shapes)
		if diff := cmp.Diff(want, some.Shapes); diff != "" {
			t.Fatalf("%v, texts of %s (-asked for +handed over):\n%s", err, some.Type, diff)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	o := outlines{t: t, st: st, ids: ids}
	for shard := range st.Identity().Shards {
		o.check(shard)
	}
	if o.nodes == 0 {
		t.Fatal("nothing was compared")
	}
}

// outlines compares outlines with scans.
type outlines struct {
	t     *testing.T
	st    *pebble.Store
	ids   map[space]map[uint32]inventory.ShapeID
	nodes int
}

func (o *outlines) check(shard int) {
	t := o.t
	scanned, _, err := o.st.Scan(t.Context(), shard, nil, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var outlined []store.NodeOutline
	var after *inventory.NodeKey
	for more := true; more; {
		var page []store.NodeOutline
		if page, more, err = o.st.Outline(t.Context(), shard, after, 2); err != nil {
			t.Fatal(err)
		}
		if outlined = append(outlined, page...); len(page) > 0 {
			after = &page[len(page)-1].Node.Key
		}
	}
	if len(scanned) != len(outlined) {
		t.Fatalf("shard %d has %d nodes, %d in outline", shard, len(scanned), len(outlined))
	}
	for i, want := range scanned {
		o.nodes++
		if diff := cmp.Diff(want.Node, outlined[i].Node); diff != "" {
			t.Fatalf("node (-scan +outline):\n%s", diff)
		}
		for k, d := range want.Documents {
			o.compare(space{want.Node.Key.Partition, want.Node.Items[k].Type}, d, outlined[i].Documents[k])
		}
	}
}

func (o *outlines) compare(at space, want inventory.Document, got store.DocumentOutline) {
	var names []string
	var shapes, known []inventory.ShapeID
	for _, r := range want.Refs {
		shapes = append(shapes, r.Shape)
		for _, a := range r.Volatile {
			names = append(names, a.Name)
		}
	}
	for _, n := range got.Shapes {
		known = append(known, o.ids[at][n])
	}
	slices.Sort(names)
	slices.Sort(got.Volatile)
	if diff := cmp.Diff(slices.Compact(names), got.Volatile); diff != "" {
		o.t.Fatalf("volatile names of %q (-scan +outline):\n%s", at.t, diff)
	}
	if diff := cmp.Diff(shapes, known); diff != "" || want.Split != got.Split {
		o.t.Fatalf("shapes of %q, split %d and %d (-scan +outline):\n%s", at.t, want.Split, got.Split, diff)
	}
}
