package ssm_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"

	"stocktake/internal/inventory"
	"stocktake/internal/replica"
	"stocktake/internal/ssm"
	"stocktake/internal/store"
	"stocktake/internal/store/memory"
	"stocktake/internal/store/pebble"
)

var discard = slog.New(slog.DiscardHandler)

// home is the partition of the tests.
var home = inventory.Partition{Account: "000000000000", Region: "eu-north-1"}

// trial is a service over a store that a test can close and open again.
type trial struct {
	*ssm.Service
	t       testing.TB
	config  ssm.Config
	open    func() store.Store
	wrap    func(store.Store) store.Store // what the service gets instead of the store
	store   store.Store
	dir     string // of the snapshot; "" keeps none
	replica *replica.Replica

	isRunning bool
}

// newTrial starts a service over an empty store of memory.
func newTrial(t testing.TB) *trial {
	t.Helper()
	st, err := memory.New(4)
	if err != nil {
		t.Fatal(err)
	}
	tr := &trial{t: t, config: ssm.Config{Limits: inventory.DefaultLimits(), Logger: discard, Exclusive: true}, open: func() store.Store { return unclosed{st} }}
	tr.start()
	return tr
}

// newPebbleTrial starts a service over an empty store on disk, with a folder for snapshots.
func newPebbleTrial(t testing.TB) *trial {
	t.Helper()
	dir := t.TempDir()
	tr := &trial{t: t, config: ssm.Config{Limits: inventory.DefaultLimits(), Logger: discard, Exclusive: true}, dir: t.TempDir(), open: func() store.Store {
		st, err := pebble.Open(pebble.Options{Dir: dir, Shards: 4, CacheBytes: 4 << 20, MemTableBytes: 1 << 20, Logger: discard})
		if err != nil {
			t.Fatal(err)
		}
		return st
	}}
	tr.start()
	return tr
}

// unclosed keeps what a memory store holds when the service over it ends.
type unclosed struct{ *memory.Store }

func (unclosed) Close() error { return nil }

func (tr *trial) start() {
	tr.t.Helper()
	tr.store = tr.open()
	if tr.wrap != nil {
		tr.store = tr.wrap(tr.store)
	}
	var err error
	if tr.replica, err = replica.Open(context.Background(), tr.store, replica.Options{Dir: tr.dir, Limits: tr.config.Limits}); err != nil {
		tr.t.Fatal(err)
	}
	if tr.Service, err = ssm.New(tr.store, tr.replica, tr.config); err != nil {
		tr.t.Fatal(err)
	}
	if err = tr.Start(context.Background()); err != nil {
		tr.t.Fatal(err)
	}
	tr.isRunning = true
	tr.t.Cleanup(func() {
		if tr.isRunning {
			tr.stop()
		}
	})
}

func (tr *trial) stop() {
	tr.t.Helper()
	tr.isRunning = false
	tr.Stop()
	if err := errors.Join(tr.replica.Close(), tr.store.Close()); err != nil {
		tr.t.Error(err)
	}
}

func (tr *trial) restart() {
	tr.t.Helper()
	tr.stop()
	tr.start()
}

// held is a store that lets only so many commits for a cause pass.
type held struct {
	store.Store
	cause inventory.Cause
	left  *atomic.Int64
}

var errHeld = errors.New("commits are held")

func (h held) Commit(ctx context.Context, c store.Commit) (store.Committed, error) {
	for _, w := range c.Writes {
		if w.Cause == h.cause && h.left.Add(-1) < 0 {
			return store.Committed{}, errHeld
		}
	}
	return h.Store.Commit(ctx, c)
}

// hold lets so many commits for a cause pass from the trial's next start on, and gives what it counts down.
func (tr *trial) hold(cause inventory.Cause, commits int64) *atomic.Int64 {
	var left atomic.Int64
	left.Store(commits)
	tr.wrap = func(st store.Store) store.Store { return held{st, cause, &left} }
	return &left
}

// entry makes an entry of names and values, in name order.
func entry(namesAndValues ...string) inventory.Entry {
	var e inventory.Entry
	for i := 0; i < len(namesAndValues); i += 2 {
		e = e.Merge(inventory.Entry{{Name: namesAndValues[i], Value: namesAndValues[i+1]}})
	}
	return e
}

// versionOf gives the schema version reports of a type carry in the tests.
func versionOf(t inventory.TypeName) string {
	if s, ok := inventory.BuiltIn(t); ok {
		return s.Version
	}
	return "1.0"
}

// item makes an item with content.
func item(t inventory.TypeName, entries ...inventory.Entry) inventory.Item {
	return inventory.Item{
		Type: t, SchemaVersion: versionOf(t), CaptureTime: "2026-01-02T03:04:05Z", HasContent: true, Content: entries, Bytes: 100,
	}
}

// node gives the nth node's id.
func node(n int) inventory.NodeID { return inventory.NodeID(fmt.Sprintf("i-%08d", n)) }

// report puts items by an administrator's key.
func (tr *trial) report(id inventory.NodeID, items ...inventory.Item) error {
	_, err := tr.PutInventory(context.Background(), home, ssm.PutInventoryInput{Node: id, Items: items, Administrator: true})
	return err
}

func (tr *trial) mustReport(id inventory.NodeID, items ...inventory.Item) {
	tr.t.Helper()
	if err := tr.report(id, items...); err != nil {
		tr.t.Fatalf("report of %s: %v", id, err)
	}
}

// equal makes the filter that asks for one value.
func equal(key, value string) []inventory.RawFilter {
	return []inventory.RawFilter{{Key: key, Values: []string{value}}}
}

// find gives the nodes that meet the filters, all pages.
func (tr *trial) find(filters ...inventory.RawFilter) []inventory.NodeID {
	tr.t.Helper()
	ids, err := tr.search(filters)
	if err != nil {
		tr.t.Fatal(err)
	}
	return ids
}

func (tr *trial) search(filters []inventory.RawFilter) ([]inventory.NodeID, error) {
	var ids []inventory.NodeID
	in := ssm.GetInventoryInput{Filters: filters}
	for {
		out, err := tr.GetInventory(context.Background(), home, in)
		if err != nil {
			return nil, err
		}
		for _, e := range out.Entities {
			ids = append(ids, e.Node)
		}
		if out.NextToken == "" {
			return ids, nil
		}
		in.NextToken = out.NextToken
	}
}

// list gives a node's entries of a type, all pages.
func (tr *trial) list(id inventory.NodeID, t inventory.TypeName) []inventory.Entry {
	tr.t.Helper()
	var entries []inventory.Entry
	in := ssm.ListInventoryEntriesInput{Node: id, Type: t}
	for {
		out, err := tr.ListInventoryEntries(context.Background(), home, in)
		if err != nil {
			tr.t.Fatalf("list %s of %s: %v", t, id, err)
		}
		entries = append(entries, out.Entries...)
		if out.NextToken == "" {
			return entries
		}
		in.NextToken = out.NextToken
	}
}

// wantCode fails the test unless err is a refusal with the code.
func wantCode(t testing.TB, err error, code inventory.Code) {
	t.Helper()
	var refusal *inventory.Error
	if !errors.As(err, &refusal) || refusal.Code != code {
		t.Errorf("error is %v, not a refusal with code %d", err, code)
	}
}
