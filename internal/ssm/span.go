package ssm

import (
	"context"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// A question whether some entry's time is before or after another is decided by the first and the last of a node's
// times, and a store may find those for much less than it reads documents for.

// meetBySpan tells which nodes meet a question as far as spans decide it, and which of them, by place, are still open.
func (d documents) meetBySpan(ctx context.Context, nodes []inventory.NodeID, q inventory.TypeQuestion) (met []bool, open []int, err error) {
	met = make([]bool, len(nodes))
	spanner, ok := d.service.store.(store.Spanner)
	if !ok || !d.spanned(q) {
		for i := range nodes {
			open = append(open, i)
		}
		return met, open, nil
	}
	spans, err := spanner.Spans(ctx, nodeKeys(d.partition, nodes), q.Type, q.Same[0].Attribute)
	if err != nil {
		return nil, nil, err
	}
	for i, span := range spans {
		var decided bool
		if met[i], decided = spanMeets(span, q.Same); !decided {
			open = append(open, i)
		}
	}
	return met, open, nil
}

// spanned reports whether a question asks for nothing but the order of one attribute's values that shapes leave out.
func (d documents) spanned(q inventory.TypeQuestion) bool {
	if len(q.Same) == 0 || len(q.Differ)+len(q.None) > 0 {
		return false
	}
	for _, f := range q.Same {
		if f.Attribute != q.Same[0].Attribute || f.Number || f.Operator != inventory.LessThan && f.Operator != inventory.GreaterThan {
			return false
		}
	}
	types := d.service.schemas.remembered(d.partition)
	if types == nil {
		types = &catalogue{}
	}
	return types.split(q.Type).IsVolatile(q.Same[0].Attribute)
}

// spanMeets tells whether one and the same of the values in a span meets all filters.
func spanMeets(span store.Span, filters []inventory.Filter) (met, decided bool) {
	if !span.Sure {
		return false, false
	}
	if span.Entries == 0 {
		return false, true
	}
	least, most := inventory.Fold(span.Least), inventory.Fold(span.Most)
	atLeast, atMost := true, true
	for _, f := range filters {
		holdsLeast, holdsMost := f.Holds(least), f.Holds(most)
		if f.Operator == inventory.GreaterThan && !holdsMost || f.Operator == inventory.LessThan && !holdsLeast {
			return false, true
		}
		atLeast, atMost = atLeast && holdsLeast, atMost && holdsMost
	}
	return true, atLeast || atMost
}
