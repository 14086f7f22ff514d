package replica

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
	"stocktake/internal/store/memory"
	"stocktake/internal/store/storetest"
)

// reads is a store that counts how often its feed is read.
type reads struct {
	store.Store
	feed atomic.Int64
}

func (r *reads) Changes(ctx context.Context, shard int, after inventory.Position, most int) ([]inventory.Change, error) {
	r.feed.Add(1)
	return r.Store.Changes(ctx, shard, after, most)
}

// committed is a commit as its caller hands it in.
type committed struct {
	done   store.Committed
	shapes []inventory.Shape
}

// commits makes n commits of two documents each in a store of one shard, and gives the replica that has not heard of them.
func commits(t *testing.T, n int, follow time.Duration) (*Replica, *reads, []committed) {
	t.Helper()
	st, err := memory.New(1)
	if err != nil {
		t.Fatal(err)
	}
	counted := &reads{Store: st}
	r, err := Open(t.Context(), counted, Options{Limits: inventory.DefaultLimits(), Follow: follow})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	w := storetest.NewWriter(st)
	all := make([]committed, n)
	for i := range all {
		key := inventory.NodeKey{Partition: inventory.Partition{Account: "1", Region: "r"}, Node: inventory.NodeID(fmt.Sprintf("i-%08d", i))}
		var items []inventory.Item
		for _, name := range []inventory.TypeName{"Custom:A", "Custom:B"} {
			items = append(items, inventory.Item{Type: name, SchemaVersion: "1.0", HasContent: true, Content: []inventory.Entry{{{Name: "N", Value: fmt.Sprint(i)}}}})
		}
		c, err := w.Build(t.Context(), key, time.Now(), items...)
		if err != nil {
			t.Fatal(err)
		}
		done, err := st.Commit(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		all[i].done = done
		for _, write := range c.Writes {
			all[i].shapes = append(all[i].shapes, write.Shapes...)
		}
	}
	return r, counted, all
}

func TestCommitsOutOfOrderAreApplied(t *testing.T) {
	const n = 20
	r, counted, all := commits(t, n, 0)
	var handing sync.WaitGroup
	for i := n - 1; i >= 0; i-- {
		handing.Go(func() {
			if err := r.Apply(t.Context(), all[i].done, all[i].shapes); err != nil {
				t.Errorf("commit %d: %v", i, err)
			}
			if at := r.Index().Position(0).Seq; at < uint64(2*i+2) {
				t.Errorf("commit %d returned with the index at change %d", i, at)
			}
		})
		if i > 0 { // it is waiting before the one before it comes
			for waiting := 0; waiting < n-i; {
				if err := r.shards[0].lock(t.Context()); err != nil {
					t.Fatal(err)
				}
				waiting = len(r.shards[0].early)
				r.shards[0].unlock()
				if r.Index().Position(0).Seq > 0 || counted.feed.Load() > 0 {
					break // patience ran out on a machine this slow
				}
			}
		}
	}
	handing.Wait()
	if got := r.Index().Stats()[0].Nodes; got != n {
		t.Errorf("%d nodes are in the index, want %d", got, n)
	}
}

func TestACommitNobodyHandsInIsReadFromTheFeed(t *testing.T) {
	r, counted, all := commits(t, 3, 0)
	var handing sync.WaitGroup
	for _, c := range []committed{all[2], all[1]} {
		handing.Go(func() {
			if err := r.Apply(t.Context(), c.done, c.shapes); err != nil {
				t.Error(err)
			}
		})
	}
	handing.Wait()
	if got := r.Index().Position(0).Seq; got != 6 || counted.feed.Load() == 0 {
		t.Errorf("the index is at change %d after %d reads of the feed", got, counted.feed.Load())
	}
	if err := r.Apply(t.Context(), all[0].done, all[0].shapes); err != nil {
		t.Errorf("a commit the feed brought already: %v", err)
	}
	if left := len(r.shards[0].early); left != 0 {
		t.Errorf("%d commits still wait", left)
	}
}

func TestAnEarlyCommitReadsNothingBack(t *testing.T) {
	r, counted, all := commits(t, 2, 0)
	early := &commit{after: all[1].done.After, changes: all[1].done.Changes, shapes: all[1].shapes, done: make(chan error, 1)}
	r.shards[0].early = map[uint64]*commit{3: early}
	if err := r.Apply(t.Context(), all[0].done, all[0].shapes); err != nil {
		t.Fatal(err)
	}
	if err := <-early.done; err != nil || r.Index().Position(0).Seq != 4 || counted.feed.Load() != 0 {
		t.Errorf("outcome %v, the index at change %d, %d reads of the feed", err, r.Index().Position(0).Seq, counted.feed.Load())
	}
}

// TestOwnCommitsAreNotReadBack hands in commits in every order of a few where others may write too: nobody waits, and the
// feed is not read for what fits.
func TestOwnCommitsAreNotReadBack(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		r, counted, all := commits(t, 3, time.Hour)
		for _, i := range order {
			if err := r.Apply(t.Context(), all[i].done, all[i].shapes); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		if at, n := r.Index().Position(0), counted.feed.Load(); at != all[2].done.Changes[1].Position || n != 0 {
			t.Errorf("in the order %v the index is at change %d after %d reads of the feed", order, at.Seq, n)
		}
	}
}

// TestACommitOfAnotherHistoryIsLeft hands in a commit whose sequence fits and whose change before it is another.
func TestACommitOfAnotherHistoryIsLeft(t *testing.T) {
	r, counted, all := commits(t, 2, time.Hour)
	strange := all[0]
	strange.done.After.ID[0]++
	for _, c := range []committed{strange, all[1]} {
		if err := r.Apply(t.Context(), c.done, c.shapes); err != nil {
			t.Fatal(err)
		}
	}
	if at := r.Index().Position(0); at != (inventory.Position{}) {
		t.Errorf("the index is at change %d", at.Seq)
	}
	if err := r.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if at := r.Index().Position(0); at != all[1].done.Changes[1].Position || counted.feed.Load() == 0 || len(r.shards[0].early) != 0 {
		t.Errorf("the index is at change %d after %d reads of the feed; %d commits wait", at.Seq, counted.feed.Load(), len(r.shards[0].early))
	}
}
