package index_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/index"
	"stocktake/internal/inventory"
)

func TestVolatility(t *testing.T) {
	r := newRig(t)
	custom, only := inventory.ItemKey{Type: "Custom:Process"}, inventory.ItemKey{Type: "Custom:Run"}
	for node := range 100 {
		var entries, runs []inventory.Entry
		for i := range 60 {
			run := inventory.Attribute{Name: "Run", Value: fmt.Sprintf("%d-%d", node, i)}
			entries = append(entries, inventory.Entry{
				{Name: "Name", Value: fmt.Sprint("p", (node+i)%90)}, run, {Name: "Version", Value: fmt.Sprint(i % 3)},
			})
			runs = append(runs, inventory.Entry{run})
		}
		id := inventory.NodeID(fmt.Sprintf("i-%08d", node))
		r.put(id, custom, entries, 0)
		r.put(id, only, runs, 0)
	}
	for _, c := range []struct {
		name string
		t    inventory.TypeName
		keep []string
		want []string
	}{
		{"nearly unique", custom.Type, nil, []string{"Run"}},
		{"must stay", custom.Type, []string{"Run"}, nil},
		{"the last attribute", only.Type, nil, nil},
		{"unknown type", "Custom:Nothing", nil, nil},
	} {
		if diff := cmp.Diff(c.want, r.index.Volatility(here, c.t, c.keep)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	// Left out of shapes, it is no longer suggested.
	r.splits = append(r.splits, []string{"Run"})
	for _, id := range r.fleet.Nodes() {
		entries, _ := r.fleet.Document(id, custom)
		r.put(id, custom, entries, 1)
	}
	if got := r.index.Volatility(here, custom.Type, nil); got != nil {
		t.Errorf("after the split, Volatility = %q", got)
	}
	if n := r.outdated(custom.Type, 1).Most(); n != 0 {
		t.Errorf("%d nodes are of another split than 1", n)
	}
	if n := r.outdated(only.Type, 1).Most(); n != 100 {
		t.Errorf("%d nodes of %s are of another split than 1, want 100", n, only.Type)
	}
}

func TestFits(t *testing.T) {
	r := newRig(t)
	r.index = index.New(index.Config{Shards: shards, Nodes: 2, Shapes: 3})
	app := inventory.ItemKey{Type: "App"}
	r.put("i-a", app, []inventory.Entry{{{Name: "Name", Value: "a"}}, {{Name: "Name", Value: "b"}}}, 0)
	elsewhere := inventory.Partition{Account: here.Account, Region: "us-east-1"}
	for _, c := range []struct {
		name          string
		p             inventory.Partition
		nodes, shapes int
		text          string
	}{
		{"room", here, 1, 1, ""},
		{"a report that adds nothing", here, 0, 0, ""},
		{"too many nodes", here, 2, 0, "1 nodes in this region; its limit is 2"},
		{"too many shapes", here, 0, 2, "2 different entries of App in this region; its limit is 3"},
		{"another region", elsewhere, 2, 3, ""},
		{"too many for an empty region", elsewhere, 3, 0, "limit is 2"},
	} {
		err := r.index.Fits(c.p, c.nodes, app.Type, c.shapes)
		switch {
		case c.text == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.text != "" && (err == nil || !strings.Contains(err.Error(), c.text) || inventory.CodeOf(err) == inventory.Internal):
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.text)
		}
	}
	// Shapes no node has any more do not count.
	r.put("i-a", app, []inventory.Entry{{{Name: "Name", Value: "c"}}}, 0)
	if err := r.index.Fits(here, 0, app.Type, 2); err != nil {
		t.Error(err)
	}
}

func TestMissingTextChangesNothing(t *testing.T) {
	x := index.New(config)
	id := inventory.ShapeID{1}
	c := inventory.Change{Document: documentKey("i-a", inventory.ItemKey{Type: "App"}), Position: inventory.Position{Seq: 1}, Added: []inventory.ShapeID{id}}
	var missing *index.MissingError
	if err := x.Apply(c, nil); !errors.As(err, &missing) || !slices.Equal(missing.IDs, c.Added) {
		t.Fatalf("Apply: %v", err)
	}
	documents := []index.Loaded{{Key: inventory.ItemKey{Type: "App"}, Shapes: c.Added}}
	if err := x.Load(0, c.Document.NodeKey, documents); !errors.As(err, &missing) {
		t.Fatalf("Load: %v", err)
	}
	if n := ask(t, x, nil).Most(); n != 0 || x.Position(0).Seq != 0 {
		t.Errorf("%d nodes at %v after failures", n, x.Position(0))
	}
	if err := x.Apply(c, []inventory.Shape{{ID: id, Text: "\x05Na"}}); err == nil {
		t.Error("damaged text was taken")
	}
	text := inventory.AppendShapeText(nil, inventory.Entry{{Name: "Name", Value: "Bash"}})
	if err := x.Apply(c, []inventory.Shape{{ID: id, Text: string(text)}}); err != nil {
		t.Fatal(err)
	}
	e, ok := x.Entry(here, "App", id)
	if want := (inventory.Entry{{Name: "Name", Value: "Bash"}}); !ok || !slices.Equal(e, want) {
		t.Errorf("Entry = %v, %v", e, ok)
	}
	if x.Position(0).Seq != 1 {
		t.Errorf("position %v", x.Position(0))
	}
}

func TestStats(t *testing.T) {
	r := newRig(t)
	r.put("i-a", inventory.ItemKey{Type: "App"}, []inventory.Entry{{{Name: "Name", Value: "a"}}, {{Name: "Name", Value: "A"}}}, 0)
	r.put("i-b", inventory.ItemKey{Type: "App"}, []inventory.Entry{{{Name: "Name", Value: "a"}}}, 0)
	got := r.index.Stats()
	got[0].Bytes = 0
	want := []index.PartitionStats{{Partition: here, Nodes: 2, Types: []index.TypeStats{{Type: "App", Nodes: 2, Shapes: 2, Entries: 3, Values: 2}}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAggregateGivesUpWithItsContext(t *testing.T) {
	r := newRig(t)
	for i := range 600 {
		r.put(inventory.NodeID(fmt.Sprintf("i-%08d", i)), inventory.ItemKey{Type: "App"}, []inventory.Entry{{{Name: "Name", Value: fmt.Sprint(i)}}}, 0)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	name := inventory.Aggregator{Type: "App", Attribute: "Name"}
	for _, a := range []inventory.Aggregator{name, {Type: "App", Attribute: "Name", Nested: []inventory.Aggregator{name}}} {
		if _, err := r.index.Aggregate(ctx, here, []inventory.Aggregator{a}, nil, nil, index.Bounds{}); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	}
}
