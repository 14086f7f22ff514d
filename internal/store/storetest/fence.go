package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

func (r *trial) raise(lease string, number uint64) {
	r.Helper()
	r.check(r.s.RaiseFence(r.Context(), store.Fence{Lease: lease, Number: number}))
}

// refresh builds a report that writes no document.
func (r *trial) refresh(key inventory.NodeKey) store.Commit {
	r.Helper()
	item := packages()
	item.HasContent, item.CaptureTime = false, "2024-07-01T00:00:00Z"
	return r.build(key, Epoch.Add(time.Hour), item)
}

func fencedCommitIsRefused(t *testing.T, m Maker) {
	r := newTrial(t, m)
	const lease = "ret\x00ention/ü"
	r.report(Node(1), Epoch, packages("a"), rack("r"))
	r.raise(lease, 2)
	r.raise(lease, 2)
	if err := r.s.RaiseFence(t.Context(), store.Fence{Lease: lease, Number: 1}); !errors.Is(err, store.ErrFenced) {
		t.Errorf("a fence lowered from 2 to 1: %v, want ErrFenced", err)
	}
	before, heads, node := r.all(), r.heads(), r.node(Node(1))
	for what, c := range map[string]store.Commit{
		"report": r.build(Node(1), Epoch, packages("b")), "unchanged report": r.refresh(Node(1)),
		"removal": r.drop(Node(1), Epoch, inventory.CauseDeletion), "first report": r.build(Node(2), Epoch, packages("c")),
	} {
		c.Fence = store.Fence{Lease: lease, Number: 1}
		if _, err := r.s.Commit(t.Context(), c); !errors.Is(err, store.ErrFenced) {
			t.Errorf("%s under a lease that was taken over: %v, want ErrFenced", what, err)
		}
	}
	if d := Diff(before, r.all()); d != "" {
		t.Errorf("refused commits left something behind (-before +after):\n%s", d)
	}
	if d := cmp.Diff(heads, r.heads()); d != "" || r.node(Node(1)).Revision != node.Revision {
		t.Errorf("refused commits moved the revision, or a head:\n%s", d)
	}
	for _, f := range []store.Fence{{}, {Lease: lease, Number: 3}, {Lease: lease, Number: 2}, {Lease: "other", Number: 1}} {
		for _, c := range []func() store.Commit{
			func() store.Commit { return r.build(Node(1), Epoch, packages("b")) },
			func() store.Commit { return r.refresh(Node(1)) },
		} {
			c := c()
			c.Fence = f
			if _, err := r.s.Commit(t.Context(), c); err != nil {
				t.Errorf("commit under lease %q at %d: %v", f.Lease, f.Number, err)
			}
		}
	}
	for _, f := range []store.Fence{{Lease: lease}, {Number: 3}, {Lease: lease, Number: 1 << 63}} {
		c := r.refresh(Node(1))
		c.Fence = f
		if _, err := r.s.Commit(t.Context(), c); err == nil || errors.Is(err, store.ErrFenced) {
			t.Errorf("commit under half a fence: %v, want a refusal that tells what is wrong", err)
		}
		if err := r.s.RaiseFence(t.Context(), f); err == nil || errors.Is(err, store.ErrFenced) {
			t.Errorf("half a fence was raised: %v", err)
		}
	}
}

func raiseFenceStopsRacingCommits(t *testing.T, m Maker) { newTrial(t, m).raceFences() }

// raceFences raises a fence while several hold the lease it was at: what they have written when it is raised is all they
// ever write.
func (r *trial) raceFences() {
	r.Helper()
	const workers = 4
	keys := make([]inventory.NodeKey, workers)
	for i := range keys {
		keys[i] = Node(i)
		r.report(keys[i], Epoch, packages("a"))
	}
	raiser := r.on(1)
	for number := uint64(1); number <= 8; number++ {
		raiser.raise("lease", number)
		var group, busy sync.WaitGroup
		var raised atomic.Bool
		busy.Add(workers)
		for i, key := range keys {
			group.Go(func() {
				r.on(i).workUnder(store.Fence{Lease: "lease", Number: number}, key, &busy, &raised)
			})
		}
		busy.Wait()
		raiser.raise("lease", number+1)
		raised.Store(true)
		left := raiser.written(keys)
		heads := raiser.heads()
		group.Wait()
		if d := differ(left, raiser.written(keys)); d != "" {
			r.Fatalf("commits took effect after the fence was raised to %d (-when raised +later):\n%s", number+1, d)
		}
		if d := cmp.Diff(heads, raiser.heads()); d != "" {
			r.Fatalf("changes came after the fence was raised to %d (-when raised +later):\n%s", number+1, d)
		}
	}
}

// written reads nodes without what a commit of no document changes: such a one may take effect a little after a fence.
func (r *trial) written(keys []inventory.NodeKey) []store.NodeScan {
	scans := r.read(keys, "AWS:Application")
	for i := range scans {
		n := &scans[i].Node
		n.Revision = 0
		for j := range n.Items {
			n.Items[j].Arrival, n.Items[j].CaptureTime = time.Time{}, ""
		}
	}
	return scans
}

// workUnder commits until the lease is taken over, and tells busy once it is well under way.
func (r *trial) workUnder(f store.Fence, key inventory.NodeKey, busy *sync.WaitGroup, raised *atomic.Bool) {
	tell := sync.OnceFunc(busy.Done)
	defer tell()
	for n := 0; ; n++ {
		if n == 3 {
			tell()
		}
		over := raised.Load()
		switch err := r.commitUnder(f, key, n); {
		case errors.Is(err, store.ErrFenced):
			return
		case err != nil:
			r.Errorf("commit under lease %d: %v", f.Number, err)
			return
		case over:
			r.Errorf("lease %d goes on after the fence was raised above it", f.Number)
			return
		}
	}
}

// commitUnder commits a report, every other one unchanged, under a fence.
func (r *trial) commitUnder(f store.Fence, key inventory.NodeKey, n int) error {
	c := r.refresh(key)
	if n%2 == 0 {
		c = r.build(key, Epoch, packages(string(rune('a'+n%26))))
	}
	c.Fence = f
	_, err := r.s.Commit(r.Context(), c)
	return err
}

func reopenKeepsFences(t *testing.T, m Maker) {
	r := newTrial(t, m)
	r.report(Node(1), Epoch, packages("a"))
	r.raise("one", 7)
	r.raise("two", 1)
	r.raise("two", 1<<63-1)
	r.reopen(m)
	for f, want := range map[store.Fence]error{
		{Lease: "one", Number: 6}: store.ErrFenced, {Lease: "one", Number: 7}: nil,
		{Lease: "two", Number: 1<<63 - 2}: store.ErrFenced, {Lease: "two", Number: 1<<63 - 1}: nil, {Lease: "three", Number: 1}: nil,
	} {
		if err := r.commitUnder(f, Node(1), 0); !errors.Is(err, want) {
			t.Errorf("commit under lease %q at %d after reopening: %v, want %v", f.Lease, f.Number, err, want)
		}
		if err := r.s.RaiseFence(t.Context(), f); !errors.Is(err, want) {
			t.Errorf("lease %q raised to %d after reopening: %v, want %v", f.Lease, f.Number, err, want)
		}
	}
}
