package ssm

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// TestSpansDecideAsEntriesDo: where a span decides a question, all entries decide it alike.
func TestSpansDecideAsEntriesDo(t *testing.T) {
	const seed = 3
	chance := rand.New(rand.NewPCG(seed, 0))
	value := func() string {
		if chance.IntN(8) == 0 {
			return []string{"", "~", "Z", "2", "T10"}[chance.IntN(5)]
		}
		return fmt.Sprintf("2025-%02d-01T00:00:00Z", 1+chance.IntN(12))
	}
	decided := map[bool]int{}
	for round := range 20000 {
		var n store.NodeScan
		var entries []inventory.Entry
		n.Node.Items = []inventory.ItemState{{ItemKey: inventory.ItemKey{Type: "T"}}}
		n.Documents = make([]inventory.Document, 1)
		for range chance.IntN(5) {
			e := inventory.Entry{{Name: "At", Value: value()}}
			entries = append(entries, e)
			n.Documents[0].Refs = append(n.Documents[0].Refs, inventory.Ref{Volatile: e})
		}
		q := inventory.TypeQuestion{Type: "T"}
		for range 1 + chance.IntN(2) {
			f := inventory.Filter{Type: "T", Attribute: "At", Operator: []inventory.Operator{inventory.LessThan, inventory.GreaterThan}[chance.IntN(2)]}
			for range 1 + chance.IntN(2) {
				f.Values = append(f.Values, inventory.Fold(value()))
			}
			q.Same = append(q.Same, f)
		}
		span := store.SpanOf(n, "T", "At")
		met, ok := spanMeets(span, q.Same)
		if want := q.MatchEntries(true, entries); ok && met != want {
			t.Fatalf("seed %d, round %d: the span %v of %v meets %v: %v, its entries: %v", seed, round, span, entries, q.Same, met, want)
		}
		if !ok && len(q.Same) == 1 {
			t.Fatalf("seed %d, round %d: the span %v does not decide %v", seed, round, span, q.Same)
		}
		if ok {
			decided[met]++
		}
	}
	if decided[true] < 1000 || decided[false] < 1000 {
		t.Errorf("%v were decided", decided)
	}
}

func TestSpansOfSomeEntriesDecideNothing(t *testing.T) {
	after := []inventory.Filter{{Type: "T", Attribute: "At", Operator: inventory.GreaterThan, Values: []string{"1"}}}
	if _, ok := spanMeets(store.Span{Entries: 2, Least: "2", Most: "3"}, after); ok {
		t.Error("a span that is not sure decided")
	}
}
