package index_test

import (
	"slices"
	"testing"

	"stocktake/internal/index"
	"stocktake/internal/inventory"
)

// BenchmarkApplyFleet applies the first reports of a fleet's nodes one after the other, as their commits hand them over:
// each brings some shapes that no node had before.
func BenchmarkApplyFleet(b *testing.B) {
	s := loaded()
	type report struct {
		changes []inventory.Change
		shapes  []inventory.Shape
	}
	reports := make([]report, min(300, s.fleet.Len()))
	for n := range reports {
		p := s.prepare(n)
		r := &reports[n]
		for at, d := range p.documents {
			set := slices.Clone(d.Shapes)
			slices.SortFunc(set, inventory.CompareShapeIDs)
			set = slices.Compact(set)
			r.changes = append(r.changes, inventory.Change{
				Document: documentKey(p.node.Node, d.Key), Delta: inventory.Diff(nil, p.refs[at]), Added: set,
			})
			for _, id := range set {
				r.shapes = append(r.shapes, inventory.Shape{ID: id, Text: p.texts[id]})
			}
		}
	}
	b.ReportAllocs()
	x, next := index.New(config), 0
	for b.Loop() {
		if next == len(reports) {
			b.StopTimer()
			x, next = index.New(config), 0
			b.StartTimer()
		}
		for _, c := range reports[next].changes {
			if err := x.Apply(c, reports[next].shapes); err != nil {
				b.Fatal(err)
			}
		}
		next++
	}
}
