package store

import (
	"context"

	"stocktake/internal/inventory"
)

// Spanner is the role of a store that finds the ends of an attribute's values for less than it reads documents for.
type Spanner interface {
	// Spans gives for each of the nodes, in their order, the span of what its entries of a type say of an attribute; for one
	// that is not stored that of no entries. It takes one round trip however many keys, as Read does.
	Spans(ctx context.Context, keys []inventory.NodeKey, t inventory.TypeName, attribute string) ([]Span, error)
}

// Span is the least and the greatest of some values, as inventory.CompareNatural orders them once they are folded.
type Span struct {
	// Sure tells that every entry carries the attribute itself, outside of its shape, and no context stands before it. Where
	// it is false nothing else here means anything: read the entries.
	Sure        bool
	Entries     int
	Least, Most string // as reported; empty where there are no entries
}

// NoSpan is that of no entries.
var NoSpan = Span{Sure: true}

// SpanOf gives the span of a node that was read with its documents of the type: what Spans gives.
func SpanOf(n NodeScan, t inventory.TypeName, attribute string) Span {
	all := NoSpan
	for i, item := range n.Node.Items {
		if item.Type != t {
			continue
		}
		one := Span{Sure: len(item.Context) == 0, Entries: len(n.Documents[i].Refs)}
		for j, r := range n.Documents[i].Refs {
			value, has := r.Volatile.Get(attribute)
			one.Sure = one.Sure && has
			one.Add(value, j == 0)
		}
		all = all.With(one)
	}
	return all
}

// Add widens a span by a value, or begins it.
func (s *Span) Add(value string, begin bool) {
	if begin || before(value, s.Least) {
		s.Least = value
	}
	if begin || before(s.Most, value) {
		s.Most = value
	}
}

// With gives the span of both.
func (s Span) With(o Span) Span {
	sum := Span{Sure: s.Sure && o.Sure, Entries: s.Entries + o.Entries, Least: s.Least, Most: s.Most}
	if o.Entries > 0 {
		sum.Add(o.Least, s.Entries == 0)
		sum.Add(o.Most, false)
	}
	return sum
}

func before(a, b string) bool {
	return inventory.CompareNatural(inventory.Fold(a), inventory.Fold(b)) < 0
}
