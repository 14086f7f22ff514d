package storetest

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// shapesOf gives the shapes of a node's applications.
func (r *trial) shapesOf(key inventory.NodeKey) []inventory.ShapeID {
	r.Helper()
	return r.document(inventory.DocumentKey{NodeKey: key, Type: "AWS:Application"}).ShapeSet()
}

func (r *trial) hasShapes(ids []inventory.ShapeID) bool {
	r.Helper()
	shapes, err := r.s.Shapes(r.Context(), 0, Partitions[0], "AWS:Application", ids)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		r.Fatal(err)
	}
	for i, sh := range shapes {
		if sh.ID != ids[i] || r.w.HashKey.ShapeIDOf("AWS:Application", []byte(sh.Text)) != sh.ID {
			r.Errorf("shape %s has the text %q", ids[i], sh.Text)
		}
	}
	return err == nil
}

func shapeLivesWhileNamed(t *testing.T, m Maker) {
	r := newTrial(t, m)
	r.report(Node(1), Epoch, packages("only here", "shared"))
	r.report(Node(2), Epoch, packages("shared"))
	both := r.shapesOf(Node(1))
	shared := r.shapesOf(Node(2))
	if n := r.sweep(); n != 0 || !r.hasShapes(both) {
		t.Errorf("a sweep dropped %d shapes that documents name", n)
	}
	r.report(Node(1), Epoch.Add(time.Hour), packages())
	if n := r.sweep(); n != 0 || !r.hasShapes(both) {
		t.Errorf("a sweep dropped %d shapes that changes name", n)
	}
	// The newest change of node 1 names both as removed, and stays whatever is pruned, until one of its shard follows.
	r.report(Node(1), Epoch.Add(2*time.Hour), packages("last"))
	r.report(Node(1), Epoch.Add(3*time.Hour), packages("last", "and least"))
	r.prune(Epoch.Add(1000 * time.Hour))
	if n := r.sweep(); n != 1 {
		t.Errorf("a sweep dropped %d shapes, want the one nothing names", n)
	}
	only := slices.DeleteFunc(slices.Clone(both), func(id inventory.ShapeID) bool { return id == shared[0] })
	if r.hasShapes(only) {
		t.Error("a shape that nothing names outlived a sweep")
	}
	if !r.hasShapes(shared) || !r.hasShapes(r.shapesOf(Node(1))) {
		t.Error("a sweep dropped a shape that a document names")
	}
	r.whole()
}

// whole reads everything of a store whose feed was pruned, the changes left out.
func (r *trial) whole() State {
	r.Helper()
	state, err := Read(r.Context(), r.s, r.heads())
	r.check(err)
	return state
}

func sweptShapeReturns(t *testing.T, m Maker) { newTrial(t, m).returnSweptShape() }

// returnSweptShape commits through one handle and prunes, sweeps and looks through the next.
func (r *trial) returnSweptShape() {
	r.Helper()
	other := r.on(1)
	for round := range 3 {
		at := Epoch.Add(time.Duration(round) * time.Hour)
		r.report(Node(1), at, packages("comes", "goes"))
		ids := r.shapesOf(Node(1))
		r.report(Node(1), at, packages("other"))
		r.report(Node(1), at, packages("other", "others"))
		other.prune(at.Add(time.Hour))
		if n := other.sweep(); n < 2 || other.hasShapes(ids[:1]) || other.hasShapes(ids[1:]) {
			r.Fatalf("round %d: a sweep dropped %d shapes, want 2 or more", round, n)
		}
		if round > 0 {
			r.report(Node(2), at, packages("goes", "new", string(rune('a'+round))))
			if !other.hasShapes(r.shapesOf(Node(2))) {
				r.Fatalf("round %d: shapes that come again are not all there", round)
			}
			r.commit(r.drop(Node(2), at, inventory.CauseDeletion))
			r.report(Node(2), at, rack("r"))
			r.report(Node(2), at, rack("s"))
		}
	}
}

func sweepBesideCommits(t *testing.T, m Maker) { newTrial(t, m).sweepWhileCommitting() }

// sweepWhileCommitting commits through one handle and sweeps through the next.
func (r *trial) sweepWhileCommitting() {
	r.Helper()
	other := r.on(1)
	var group sync.WaitGroup
	stop := make(chan struct{})
	for i := range 4 {
		r.report(Node(i), Epoch, packages("first"))
		group.Go(func() {
			src := NewSource(uint64(i))
			for {
				select {
				case <-stop:
					return
				default:
				}
				item := packages()
				for range src.IntN(6) {
					item.Content = append(item.Content, src.Entry())
				}
				r.report(Node(i), Epoch, item)
			}
		})
	}
	dropped := 0
	for range 30 {
		other.prune(Epoch.Add(time.Hour))
		dropped += other.sweep()
		for i := range 4 {
			// The document may change between two reads, and what it then no longer names may be swept: ErrNotFound.
			other.hasShapes(other.shapesOf(Node(i)))
		}
	}
	close(stop)
	group.Wait()
	for i := range 4 {
		if !r.hasShapes(r.shapesOf(Node(i))) {
			r.Errorf("node %d names a shape that was swept", i)
		}
	}
	r.Logf("%d shapes were swept", dropped)
	r.whole()
}
