package storetest

import (
	"errors"
	"slices"
	"testing"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// spansAreOfWhatIsRead holds the ends of values, of a store that finds them by itself, to the documents.
func spansAreOfWhatIsRead(t *testing.T, m Maker) {
	r := newTrial(t, m)
	spanner, ok := r.s.(store.Spanner)
	if !ok {
		return
	}
	r.spread(31, 80)
	var keys []inventory.NodeKey
	for _, p := range Partitions {
		for n := range 20 { // some of them are not stored
			keys = append(keys, inventory.NodeKey{Partition: p, Node: Node(n).Node})
		}
	}
	sure := 0
	for _, of := range []inventory.TypeName{"AWS:Application", "AWS:Network", "Custom:RackInfo", inventory.TypeComplianceItem, "AWS:Service"} {
		for _, attribute := range []string{"InstalledTime", "Name", "nothing has it"} {
			scans := r.read(keys, of)
			got, err := spanner.Spans(r.Context(), keys, of, attribute)
			r.check(err)
			for i, key := range keys {
				want := store.NoSpan
				if at := slices.IndexFunc(scans, func(n store.NodeScan) bool { return n.Node.Key == key }); at >= 0 {
					want = store.SpanOf(scans[at], of, attribute)
				}
				if got[i].Sure != want.Sure || want.Sure && !sameSpan(got[i], want) {
					t.Fatalf("the span of %s of the %q of node %s is %v, by its entries %v", attribute, of, key.Node, got[i], want)
				}
				if want.Sure && want.Entries > 0 {
					sure++
				}
			}
		}
	}
	if sure == 0 {
		t.Error("no span was sure")
	}
}

func sameSpan(a, b store.Span) bool {
	equal := func(x, y string) bool { return inventory.CompareNatural(inventory.Fold(x), inventory.Fold(y)) == 0 }
	return a.Entries == b.Entries && equal(a.Least, b.Least) && equal(a.Most, b.Most)
}

// excerptIsPartOfWhatIsRead holds parts of documents, of a store that reads them, to the whole.
func excerptIsPartOfWhatIsRead(t *testing.T, m Maker) {
	r := newTrial(t, m)
	excerpter, ok := r.s.(store.Excerpter)
	if !ok {
		return
	}
	r.spread(32, 80)
	src := NewSource(33)
	for _, node := range r.all().Nodes {
		for _, of := range allTypes(node.Node) {
			whole := r.read([]inventory.NodeKey{node.Node.Key}, of)[0]
			first, most := src.IntN(12), src.IntN(12)
			got, err := excerpter.Excerpt(r.Context(), node.Node.Key, of, first, most)
			r.check(err)
			at := 0
			for i := range whole.Documents {
				refs := whole.Documents[i].Refs
				if len(got.Documents[i].Refs) != len(refs) {
					t.Fatalf("an excerpt has %d refs of %q, the document %d", len(got.Documents[i].Refs), of, len(refs))
				}
				for j := range refs {
					if at < first || at >= first+most {
						refs[j], got.Documents[i].Refs[j] = inventory.Ref{}, inventory.Ref{}
					}
					at++
				}
			}
			if d := differ(whole, got); d != "" {
				t.Fatalf("%d refs from %d on of %q (-of the whole +excerpt):\n%s", most, first, of, d)
			}
		}
	}
	if _, err := excerpter.Excerpt(r.Context(), Node(1000), "AWS:Application", 0, 5); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("excerpt of a node that is not stored: %v", err)
	}
}
