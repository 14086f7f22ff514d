package pebble

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store/storetest"
)

// application is a document as most are: some hundred entries, each with the time it was installed at.
func application() []inventory.Ref {
	chance := rand.New(rand.NewPCG(1, 0))
	refs := make([]inventory.Ref, 400)
	for i := range refs {
		at := time.Unix(1767225600-chance.Int64N(2*365*86400), 0).UTC().Format("2006-01-02T15:04:05Z")
		refs[i] = inventory.Ref{Shape: shape(1 + uint32(chance.IntN(150_000))), Volatile: inventory.Entry{{Name: "InstalledTime", Value: at}}}
	}
	return refs
}

func BenchmarkEncodeDocument(b *testing.B) {
	refs := application()
	b.ReportAllocs()
	for b.Loop() {
		value, _, _ := appendRefs(nil, refs, numbering)
		b.ReportMetric(float64(len(value)), "stored-B")
	}
}

func BenchmarkDecodeDocument(b *testing.B) {
	refs := application()
	space := newSpace(1)
	for i := range refs {
		space.intern(refs[i].Shape)
	}
	stored, _, _ := appendRefs(nil, refs, space.lookup)
	value := appendDocument(nil, 0, stored)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeDocument(value, space.reverse()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeNode(b *testing.B) {
	node := inventory.Node{Key: storetest.Node(1), Status: inventory.Active, Enrolled: storetest.Epoch}
	places := make([]place, 5)
	for i, t := range []inventory.TypeName{"AWS:Application", "AWS:InstanceInformation", "AWS:Network", "AWS:Service", "Custom:RackInfo"} {
		places[i].seq = uint64(1000 + i)
		node.SetItem(inventory.ItemState{
			ItemKey: inventory.ItemKey{Type: t}, SchemaVersion: "1.0", CaptureTime: "2026-01-01T00:10:17Z", Arrival: storetest.Epoch,
			Hash: fmt.Sprintf("%022d==", i), Entries: 400,
		})
	}
	value := appendNodeBody(appendNodeHead(nil, 9, places), &node)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeNode(node.Key, value); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeExcerpt(b *testing.B) {
	refs := application()
	space := newSpace(1)
	for i := range refs {
		space.intern(refs[i].Shape)
	}
	stored, _, _ := appendRefs(nil, refs, space.lookup)
	value := appendDocument(nil, 0, stored)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeExcerpt(value, part{0, 51}, space.reverse()); err != nil {
			b.Fatal(err)
		}
	}
}
