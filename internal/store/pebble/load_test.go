package pebble

import (
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
	"stocktake/internal/store/storetest"
)

// TestLoadedChangesBorrow holds a loaded store to keeping but once what a document and the change that wrote it share, as
// the store it was loaded from does.
func TestLoadedChangesBorrow(t *testing.T) {
	open := func(o Options) *Store {
		o.FS, o.Logger = vfs.NewMem(), slog.New(slog.DiscardHandler)
		o.Dir = "/store"
		s, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	from := open(Options{Shards: 1})
	w, src := storetest.NewWriter(from), storetest.NewSource(1)
	for i := range 3 {
		_, err := w.Report(t.Context(), storetest.Node(i), storetest.Epoch, src.Fleet(i)...)
		check(err)
	}
	_, err := w.Report(t.Context(), storetest.Node(1), storetest.Epoch, src.Fleet(4)[0]) // over one that lent
	check(err)
	id := from.Identity()
	to := open(Options{Identity: &id})
	nodes, _, err := from.Scan(t.Context(), 0, nil, 10)
	check(err)
	changes, err := from.Changes(t.Context(), 0, inventory.Position{}, 100)
	check(err)
	for _, c := range changes {
		shapes, err := from.Shapes(t.Context(), 0, c.Document.Partition, c.Document.Type, storetest.ShapesOf(c))
		check(err)
		typed := make([]store.Typed, len(shapes))
		for i := range shapes {
			typed[i] = store.Typed{Partition: c.Document.Partition, Type: c.Document.Type, Shape: shapes[i]}
		}
		check(to.LoadShapes(t.Context(), 0, typed))
	}
	check(to.LoadNodes(t.Context(), 0, nodes))
	check(to.LoadChanges(t.Context(), 0, changes))
	check(to.LoadNodes(t.Context(), 0, nodes)) // leaves what is lent as it is
	want, got := borrowing(t, from), borrowing(t, to)
	if want != len(changes)-1 || got != want {
		t.Errorf("%d changes of the source borrow and %d of the loaded store, of %d", want, got, len(changes))
	}
}

// borrowing counts the changes of shard 0 that borrow their documents, and finds as many documents that lend.
func borrowing(t *testing.T, s *Store) (changes int) {
	t.Helper()
	lent := 0
	err := each(s.db, []byte{kindChange}, []byte{kindChange + 1}, func(_, value []byte) error {
		changes += int(value[changeFlagsAt]&flagBorrowed) / flagBorrowed
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = each(s.db, []byte{kindNode}, []byte{kindNode + 1}, func(key, value []byte) error {
		k, err := parseNodeKey(key)
		if err != nil {
			return err
		}
		r, err := decodeNode(k, value)
		for _, p := range r.places {
			if p.borrowed {
				lent++
			}
		}
		return err
	})
	if err != nil || lent != changes {
		t.Errorf("%d changes borrow and %d documents lend, %v", changes, lent, err)
	}
	return changes
}
