package index_test

import (
	"fmt"
	"testing"

	"stocktake/internal/inventory"
)

// TestManyNodes has answers too large for lists, values with many shapes, and many nodes that leave one at once.
func TestManyNodes(t *testing.T) {
	r := newRig(t)
	app := inventory.ItemKey{Type: "App"}
	id := func(i int) inventory.NodeID { return inventory.NodeID(fmt.Sprintf("i-%08d", i)) }
	entries := func(i int, arch string) []inventory.Entry {
		return []inventory.Entry{
			{{Name: "Arch", Value: arch}, {Name: "Name", Value: fmt.Sprintf("lib%d", i)}},
			{{Name: "Name", Value: "own"}},
		}
	}
	const nodes = 1500
	for i := range nodes {
		r.put(id(i), app, entries(i, "x"), 0)
	}
	is := func(attribute string, op inventory.Operator, values ...string) []inventory.Filter {
		return []inventory.Filter{{Type: "App", Attribute: attribute, Operator: op, Values: values}}
	}
	check := func() {
		t.Helper()
		r.checkQuery(is("Name", inventory.BeginWith, "lib"))
		r.checkQuery(is("Name", inventory.BeginWith, "lib", "own"))
		r.checkQuery(is("Name", inventory.GreaterThan, "lib700"))
		r.checkQuery(is("Arch", inventory.Equal, "x"))
		r.checkQuery(is("Arch", inventory.NotEqual, "x"))
		r.checkCounts(inventory.Aggregator{Type: "App", Attribute: "Arch"}, nil)
		r.checkCounts(inventory.Aggregator{Type: "App", Attribute: "Arch"}, is("Name", inventory.BeginWith, "lib1"))
	}
	check()
	for i := range 200 {
		r.put(id(3*i), app, entries(3*i, "y"), 0)
		if i%50 == 10 {
			check()
		}
	}
	check()
	for i := range 100 { // back again, and some gone
		r.put(id(3*i), app, entries(3*i, "x"), 0)
		r.remove(id(3*i+1), app)
	}
	check()
	r.reopen()
	check()
}
