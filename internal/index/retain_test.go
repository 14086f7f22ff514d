package index_test

import (
	"slices"
	"strings"
	"testing"
	"unsafe"

	"stocktake/internal/index"
	"stocktake/internal/inventory"
)

// What is put comes as parts of a request's body: an index that kept one would keep all of the body.
func TestNothingOfTheCallersTextIsKept(t *testing.T) {
	body := strings.Repeat(" ", 1000) + "111122223333 eu-north-1 i-00000001 Custom:Rack Bay A7 part"
	words := strings.Fields(body)
	p := inventory.Partition{Account: words[0], Region: words[1]}
	key := inventory.DocumentKey{NodeKey: inventory.NodeKey{Partition: p, Node: inventory.NodeID(words[2])}, Type: inventory.TypeName(words[3])}
	shape := inventory.Shape{ID: inventory.ShapeID{1}, Text: string(inventory.AppendShapeText(nil, inventory.Entry{{Name: words[4], Value: words[5]}}))}
	x := index.New(index.Config{Shards: 1})
	change := inventory.Change{Position: inventory.Position{Seq: 1}, Document: key, Added: []inventory.ShapeID{shape.ID}}
	change.Delta = inventory.Delta{{Insert: []inventory.Ref{{Shape: shape.ID, Volatile: inventory.Entry{{Name: words[6], Value: "x"}}}}}}
	if err := x.Apply(change, []inventory.Shape{shape}); err != nil {
		t.Fatal(err)
	}
	var kept []string
	stats := x.Stats()
	kept = append(kept, stats[0].Partition.Account, stats[0].Partition.Region, string(stats[0].Types[0].Type))
	all, err := x.Query(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	ids, _, err := all.Page(t.Context(), nil, "", 1)
	if err != nil || len(ids) != 1 {
		t.Fatalf("nodes %v, %v", ids, err)
	}
	entry, _ := x.Entry(p, key.Type, shape.ID)
	kept = append(kept, string(ids[0]), entry[0].Name, entry[0].Value)
	if want := words[:6]; !slices.Equal([]string{kept[0], kept[1], kept[3], kept[2], kept[4], kept[5]}, want) {
		t.Errorf("kept %v, want %v", kept, want)
	}
	for _, text := range kept {
		within := func(whole string) bool {
			from := uintptr(unsafe.Pointer(unsafe.StringData(whole)))
			at := uintptr(unsafe.Pointer(unsafe.StringData(text)))
			return from <= at && at < from+uintptr(len(whole))
		}
		if within(body) || within(shape.Text) {
			t.Errorf("%q is kept as part of what was given", text)
		}
	}
}

// A commit hands in the shapes of all its documents, whatever their types: each belongs to the dictionary of one.
func TestShapesOfOtherDocumentsAreNotLearnt(t *testing.T) {
	p := inventory.Partition{Account: "1", Region: "r"}
	x := index.New(index.Config{Shards: 1})
	types := []inventory.TypeName{"Custom:A", "Custom:B"}
	var shapes []inventory.Shape
	for i := range types {
		shapes = append(shapes, inventory.Shape{ID: inventory.ShapeID{byte(i)}, Text: string(inventory.AppendShapeText(nil, inventory.Entry{{Name: "N", Value: "v"}}))})
	}
	for i, name := range types {
		change := inventory.Change{Position: inventory.Position{Seq: uint64(i + 1)}, Added: []inventory.ShapeID{shapes[i].ID}}
		change.Document = inventory.DocumentKey{NodeKey: inventory.NodeKey{Partition: p, Node: "i-00000001"}, Type: name}
		if err := x.Apply(change, shapes); err != nil {
			t.Fatal(err)
		}
	}
	for i, name := range types {
		if _, known := x.Entry(p, name, shapes[1-i].ID); known {
			t.Errorf("%s knows a shape of %s", name, types[1-i])
		}
		if _, known := x.Entry(p, name, shapes[i].ID); !known {
			t.Errorf("%s does not know its own shape", name)
		}
	}
}
