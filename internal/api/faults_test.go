package api_test

import (
	"context"
	"errors"
	"sync/atomic"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// faults is what a script does to the store beneath the service: it fails the commits of deletion jobs, to look at a job
// that is under way, or every call.
type faults struct {
	broken atomic.Bool
	left   atomic.Int64 // commits of deletion jobs that may pass
}

// unheld is more commits than any script makes.
const unheld = 1 << 40

func newFaults() *faults {
	f := &faults{}
	f.left.Store(unheld)
	return f
}

// faulty is a store with faults.
type faulty struct {
	store.Store
	faults *faults
}

var errHeld = errors.New("deletions are held")

var errBroken = errors.New("the store is broken: secret detail")

func (s faulty) Commit(ctx context.Context, c store.Commit) (store.Committed, error) {
	for _, w := range c.Writes {
		if w.Cause == inventory.CauseDeletion {
			if s.faults.left.Add(-1) < 0 {
				return store.Committed{}, errHeld
			}
		}
	}
	if s.faults.broken.Load() {
		return store.Committed{}, errBroken
	}
	return s.Store.Commit(ctx, c)
}

func (s faulty) Node(ctx context.Context, key inventory.NodeKey) (inventory.Node, error) {
	if s.faults.broken.Load() {
		return inventory.Node{}, errBroken
	}
	return s.Store.Node(ctx, key)
}

func (s faulty) Read(ctx context.Context, keys []inventory.NodeKey, types []inventory.TypeName) ([]store.NodeScan, error) {
	if s.faults.broken.Load() {
		return nil, errBroken
	}
	return s.Store.Read(ctx, keys, types)
}

func (s faulty) RecordsHead(ctx context.Context) (inventory.Position, error) {
	if s.faults.broken.Load() {
		return inventory.Position{}, errBroken
	}
	return s.Store.RecordsHead(ctx)
}

func (s faulty) ListRecords(ctx context.Context, prefix, after string, limit int) ([]store.Record, error) {
	if s.faults.broken.Load() {
		return nil, errBroken
	}
	return s.Store.ListRecords(ctx, prefix, after, limit)
}
