package storetest

import (
	"testing"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// trial is a law being tried on a store. Its methods end the test where a sound store could not fail.
type trial struct {
	*testing.T
	s store.Store
	w *Writer
	// handles are of one store, s the first of them.
	handles []store.Store
}

func newTrial(t *testing.T, m Maker) *trial {
	t.Helper()
	return newTrialOf(t, m.Open(t))
}

func newTrialOf(t *testing.T, handles ...store.Store) *trial {
	return &trial{T: t, s: handles[0], w: NewWriter(handles[0]), handles: handles}
}

// newTrialBy2 tries a law through two handles on one store.
func newTrialBy2(t *testing.T, m Maker) *trial {
	t.Helper()
	s := m.Open(t)
	return newTrialOf(t, s, m.Handle(t, s))
}

// handle gives the i-th handle, round and round where there are fewer.
func (r *trial) handle(i int) store.Store { return r.handles[i%len(r.handles)] }

// on goes on with the i-th handle.
func (r *trial) on(i int) *trial { return newTrialOf(r.T, r.handle(i)) }

// reopen goes on with the store opened anew.
func (r *trial) reopen(m Maker) {
	r.Helper()
	*r = *newTrialOf(r.T, m.Reopen(r.T, r.s))
}

func (r *trial) check(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *trial) build(key inventory.NodeKey, at time.Time, items ...inventory.Item) store.Commit {
	r.Helper()
	c, err := r.w.Build(r.Context(), key, at, items...)
	r.check(err)
	return c
}

func (r *trial) drop(key inventory.NodeKey, at time.Time, cause inventory.Cause, keys ...inventory.ItemKey) store.Commit {
	r.Helper()
	c, err := r.w.Drop(r.Context(), key, at, cause, keys...)
	r.check(err)
	return c
}

func (r *trial) commit(c store.Commit) store.Committed {
	r.Helper()
	done, err := r.s.Commit(r.Context(), c)
	r.check(err)
	return done
}

func (r *trial) report(key inventory.NodeKey, at time.Time, items ...inventory.Item) store.Committed {
	r.Helper()
	return r.commit(r.build(key, at, items...))
}

func (r *trial) node(key inventory.NodeKey) inventory.Node {
	r.Helper()
	n, err := r.s.Node(r.Context(), key)
	r.check(err)
	return n
}

func (r *trial) document(key inventory.DocumentKey) inventory.Document {
	r.Helper()
	d, err := r.s.Document(r.Context(), key)
	r.check(err)
	return d
}

func (r *trial) heads() []inventory.Position {
	r.Helper()
	heads, err := r.s.Heads(r.Context())
	r.check(err)
	return heads
}

func (r *trial) shardOf(key inventory.NodeKey) int { return store.ShardOf(key, r.s.Identity().Shards) }

// changes gives the whole feed of a node's shard, which must not have been pruned.
func (r *trial) changes(key inventory.NodeKey) []inventory.Change {
	r.Helper()
	changes, err := ChangesAll(r.Context(), r.s, r.shardOf(key), inventory.Position{}, 3)
	r.check(err)
	return changes
}

// start is the position before the first change of every shard.
func (r *trial) start() []inventory.Position {
	return make([]inventory.Position, r.s.Identity().Shards)
}

// all reads everything of a store whose feed was not pruned.
func (r *trial) all() State {
	r.Helper()
	state, err := Read(r.Context(), r.s, r.start())
	r.check(err)
	return state
}

func (r *trial) prune(before time.Time) int {
	r.Helper()
	n, err := r.s.Prune(r.Context(), before)
	r.check(err)
	return n
}

func (r *trial) sweep() int {
	r.Helper()
	n, err := r.s.Sweep(r.Context())
	r.check(err)
	return n
}

func (r *trial) put(key, value string, revision uint64) uint64 {
	r.Helper()
	revision, err := r.s.PutRecord(r.Context(), store.Record{Key: key, Value: []byte(value), Revision: revision})
	r.check(err)
	return revision
}

func (r *trial) close() {
	r.Helper()
	r.check(r.s.Close())
}

// spread reports from so many nodes, each a few times, and gives their keys.
func (r *trial) spread(seed uint64, reports int) {
	r.Helper()
	src := NewSource(seed)
	for range reports {
		r.report(src.NodeKey(12), Epoch, src.Item(12))
	}
}
