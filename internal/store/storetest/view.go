package storetest

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

func (r *trial) view() store.View {
	r.Helper()
	v, err := r.s.View(r.Context())
	r.check(err)
	r.Cleanup(func() {
		if err := v.Close(); err != nil {
			r.Error(err)
		}
	})
	return v
}

// viewIsOfOneMoment changes all that can be changed once a view is taken: what it shows stays, also when no document
// names its shapes any more and the feed it shows was pruned.
func viewIsOfOneMoment(t *testing.T, m Maker) {
	r := newTrial(t, m)
	source := r.played(61, 120)
	r.put("kept", "1", 0)
	before := r.content(r.s)
	v := r.view()
	if v.Identity() != r.s.Identity() {
		t.Error("a view is of another identity")
	}
	for range 60 {
		_, err := source.Next(t.Context())
		r.check(err)
	}
	for shard := range r.s.Identity().Shards {
		nodes, err := ScanAll(t.Context(), r.s, shard, 10)
		r.check(err)
		for _, n := range nodes {
			r.commit(r.drop(n.Node.Key, Epoch.Add(240*time.Hour), inventory.CauseDeletion))
		}
	}
	r.prune(Epoch.Add(1000 * time.Hour))
	r.put("new", "1", 0)
	if _, err := r.s.Sweep(t.Context()); err != nil { // which may wait for the view to be closed, and drop nothing now
		t.Fatal(err)
	}
	r.sameContent(before, v, "a view, and the store when it was taken")
	late := r.content(r.s)
	r.sameContent(late, r.view(), "a view taken later")
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	r.sameContent(late, r.s, "the store after a view was closed")
	if err := v.Close(); err != nil {
		t.Errorf("a view closed twice: %v", err)
	}
}

// viewBesideCommits takes views while nodes report: each shows what was acknowledged before, and is in itself whole.
func viewBesideCommits(t *testing.T, m Maker) {
	r := newTrial(t, m)
	const writers, rounds, reports = 4, 8, 12 // a feed that grows without bound takes ever longer to read
	var acknowledged [writers]atomic.Uint64
	for range rounds {
		var group sync.WaitGroup
		for i := range writers {
			group.Go(func() {
				for n := range reports {
					done := r.report(Node(i), Epoch, packages([]string{"a", "b", "c", "d"}[:n%5]...))
					acknowledged[i].Store(done.Changes[0].Seq)
				}
			})
		}
		var before [writers]uint64
		for acknowledged[0].Load() == 0 { // the first view is taken once there is something to see
			runtime.Gosched()
		}
		for i := range writers {
			before[i] = acknowledged[i].Load()
		}
		v := r.view()
		r.wholeView(v)
		heads, err := v.Heads(t.Context())
		r.check(err)
		for i := range writers {
			if head := heads[r.shardOf(Node(i))]; head.Seq < before[i] {
				t.Errorf("change %d was acknowledged before a view of %d was taken", before[i], head.Seq)
			}
		}
		r.check(v.Close())
		group.Wait()
	}
}

// wholeView reads a view's feed after its nodes: it goes on for ever while the store does, so a feed that moved would tell.
func (r *trial) wholeView(v store.View) {
	r.Helper()
	c := r.content(v)
	for shard, head := range c.Heads {
		changes := c.Changes[shard]
		if len(changes) > 0 && changes[len(changes)-1].Position != head {
			r.Errorf("shard %d of a view ends at change %d, and its head is %d", shard, changes[len(changes)-1].Seq, head.Seq)
		}
		newest := map[inventory.DocumentKey]uint64{}
		for _, change := range changes {
			newest[change.Document] = change.Seq
		}
		for _, n := range c.Nodes[shard] {
			for _, item := range n.Node.Items {
				if seq := newest[DocumentKey(n.Node.Key, item.ItemKey)]; seq != item.Seq {
					r.Errorf("node %s of a view has a document of change %d, and its feed ends at %d of it", n.Node.Key.Node, item.Seq, seq)
				}
			}
		}
	}
}
