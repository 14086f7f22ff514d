package backup

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
	"stocktake/internal/store/storetest"
)

// FuzzContent reads what no checksum vouches for: whatever it is, it ends in an error or in what renders as the same again.
func FuzzContent(f *testing.F) {
	var all []store.Typed
	for i := range 5 {
		all = append(all, store.Typed{Shape: inventory.Shape{ID: inventory.ShapeID{byte(i)}}})
	}
	number := func(id inventory.ShapeID) (uint64, bool) { return uint64(id[0]), int(id[0]) < len(all) }
	var e encoder
	node := store.NodeScan{
		Node: inventory.Node{
			Key: storetest.Node(1), Status: inventory.Active, Revision: 7, Enrolled: storetest.Epoch,
			Items: []inventory.ItemState{{ItemKey: inventory.ItemKey{Type: "AWS:Application"}, Hash: "h", Arrival: storetest.Epoch, Seq: 3, Entries: 2}},
		},
		Documents: []inventory.Document{{Split: 1, Refs: []inventory.Ref{{Shape: all[3].ID, Volatile: inventory.Entry{{Name: "a", Value: "b"}}}, {Shape: all[0].ID}}}},
	}
	of := func(inventory.Partition, inventory.TypeName) numberOf { return number }
	if err := e.node(&node, of); err != nil {
		f.Fatal(err)
	}
	f.Add(e.buf)
	f.Fuzz(func(t *testing.T, b []byte) {
		d := &decoder{buf: b}
		n := d.node(&texts{all: all})
		if d.err != nil {
			return
		}
		var e encoder
		if err := e.node(&n, of); err != nil {
			t.Fatal(err)
		}
		again := &decoder{buf: e.buf}
		if diff := cmp.Diff(n, again.node(&texts{all: all}), cmpopts.EquateEmpty()); diff != "" || again.err != nil {
			t.Errorf("rendered again (%v):\n%s", again.err, diff)
		}
		(&decoder{buf: b}).change(0, &texts{all: all})
	})
}
