package storetest

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/inventory"
)

func documentsKeepOrderAndDuplicates(t *testing.T, m Maker) {
	r := newTrial(t, m)
	src := NewSource(11)
	for i := range 60 {
		item := src.Item(40)
		if n := len(item.Content); n > 0 {
			item.Content = append(item.Content, item.Content[src.IntN(n)], item.Content[src.IntN(n)])
		}
		key := Node(i % 3)
		r.report(key, Epoch, item)
		name := DocumentKey(key, KeyOf(item))
		entries, err := Entries(t.Context(), r.s, name, r.document(name))
		r.check(err)
		if d := differ(item.Content, entries); d != "" {
			t.Fatalf("report %d (-reported +stored):\n%s", i, d)
		}
	}
}

func anyTextIsKept(t *testing.T, m Maker) {
	r := newTrial(t, m)
	texts := []string{
		"", "\x00", "\x00\x01", "\x00\xff", "\xff\xff", "ü\u0000é", "2024-02-29T00:00:00Z", "2023-02-29T00:00:00Z",
		"0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2024-12-31T24:00:00Z", "2024-13-01T00:00:00Z",
		"deadbeefdeadbeefdeadbeefdeadbeef", "DEADBEEFDEADBEEFDEADBEEFDEADBEEF", "deadbeefdeadbeefdead", string(make([]byte, 5000)),
	}
	for i, text := range texts {
		item := packages("p")
		item.SchemaVersion, item.CaptureTime, item.ContentHash = text, text, text
		item.Content = nil
		for j := range i + 3 {
			e := inventory.Entry{{Name: "InstalledTime", Value: text}, {Name: "Name", Value: text + fmt.Sprint(j)}}
			if j == 1 {
				e[0].Value = texts[(i+1)%len(texts)]
			}
			item.Content = append(item.Content, e)
		}
		key := Node(i)
		compliance := rack("r")
		compliance.Type = inventory.TypeComplianceItem
		compliance.Context = inventory.Entry{{Name: "ComplianceType", Value: text}, {Name: "ExecutionId", Value: text}}
		r.report(key, Epoch, item, compliance)
		node := r.node(key)
		state := node.Item(KeyOf(item))
		if state == nil || state.SchemaVersion != text || state.CaptureTime != text || state.Hash != text {
			t.Errorf("%q became %+v", text, state)
		}
		if c := node.Item(KeyOf(compliance)); c == nil || cmp.Diff(c.Context, compliance.Context) != "" {
			t.Errorf("sub-type and context %q became %+v", text, c)
		}
		r.document(DocumentKey(key, KeyOf(compliance)))
		name := DocumentKey(key, KeyOf(item))
		entries, err := Entries(t.Context(), r.s, name, r.document(name))
		r.check(err)
		if d := differ(item.Content, entries); d != "" {
			t.Errorf("%q (-reported +stored):\n%s", text, d)
		}
	}
	r.all()
}

func partitionsAreApart(t *testing.T, m Maker) {
	r := newTrial(t, m)
	id := Node(1).Node
	for i, p := range Partitions {
		r.report(inventory.NodeKey{Partition: p, Node: id}, Epoch, packages("of all", fmt.Sprint("of ", i)))
	}
	texts := map[string]inventory.ShapeID{}
	for i, p := range Partitions {
		key := inventory.DocumentKey{NodeKey: inventory.NodeKey{Partition: p, Node: id}, Type: "AWS:Application"}
		doc := r.document(key)
		entries, err := Entries(t.Context(), r.s, key, doc)
		r.check(err)
		if name, _ := entries[1].Get("Name"); name != fmt.Sprint("of ", i) {
			t.Errorf("partition %s reads %q", p, name)
		}
		texts[p.String()] = doc.Refs[1].Shape
	}
	// What only another partition has is not found, though its name is known.
	foreign := texts[Partitions[1].String()]
	if _, err := r.s.Shapes(t.Context(), r.shardOf(Node(1)), Partitions[0], "AWS:Application", []inventory.ShapeID{foreign}); err == nil {
		t.Error("a partition reads the shape of another")
	}
	r.commit(r.drop(inventory.NodeKey{Partition: Partitions[0], Node: id}, Epoch, inventory.CauseDeletion))
	if state := r.all(); len(state.Nodes) != len(Partitions)-1 {
		t.Errorf("removing a node of one partition left %d of %d", len(state.Nodes), len(Partitions))
	}
}
