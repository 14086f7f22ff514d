package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
	"stocktake/internal/store/storetest"
	"stocktake/internal/store/storetest/stores"
	"stocktake/internal/transfer"
)

// shards is how many the tests' stores have.
const shards = 4

// oracle makes the plainest stores.
var oracle = stores.All(shards)[0]

// fill puts a random life into a store: reports, unchanged and changed, documents and nodes dropped, records, and where
// prune is set a feed that no longer reaches back to its first change.
func fill(t *testing.T, s store.Store, seed uint64, prune bool) {
	t.Helper()
	ctx := t.Context()
	t.Logf("seed %d", seed)
	source, w := storetest.NewSource(seed), storetest.NewWriter(s)
	for i := range 120 {
		key := source.NodeKey(20)
		at := storetest.Epoch.Add(time.Duration(i) * time.Minute)
		var err error
		if source.IntN(10) == 0 {
			var c store.Commit
			if c, err = w.Drop(ctx, key, at, inventory.CauseDeletion); err == nil {
				_, err = s.Commit(ctx, c)
			}
		} else {
			_, err = w.Report(ctx, key, at, source.Item(12))
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Fatal(err)
		}
	}
	for i := range 7 {
		if _, err := s.PutRecord(ctx, store.Record{Key: store.Key("event", fmt.Sprint(i)), Value: []byte{0, byte(i), 0xff}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := storetest.FillJournal(ctx, s); err != nil {
		t.Fatal(err)
	}
	if prune {
		if n, err := s.Prune(ctx, storetest.Epoch.Add(time.Hour)); err != nil || n == 0 {
			t.Fatalf("%d changes pruned (%v)", n, err)
		}
	}
}

func TestCopyCarriesEverything(t *testing.T) {
	for _, from := range stores.All(shards) {
		for _, to := range stores.All(shards) {
			t.Run(from.Name+" to "+to.Name, func(t *testing.T) {
				ctx := t.Context()
				a := from.Open(t)
				fill(t, a, rand.Uint64(), true)
				b := to.Like(t, a.Identity())
				report, err := transfer.Copy(ctx, a, b, transfer.Options{})
				if err != nil {
					t.Fatal(err)
				}
				if report.Nodes == 0 || report.Changes == 0 || report.Records != 7 || report.Shards != a.Identity().Shards {
					t.Errorf("carried %+v", report)
				}
				if err := transfer.Unfinished(ctx, b); err != nil {
					t.Errorf("a finished copy leaves its mark: %v", err)
				}
				goesOn(t, a, b)
			})
		}
	}
}

// goesOn writes the same to a store and its copy, and wants the copy to take it as the store does: every node at its
// revision, every sequence the next.
func goesOn(t *testing.T, a, b store.Store) {
	t.Helper()
	ctx := t.Context()
	nodes, _, err := a.Scan(ctx, 0, nil, 1)
	if err != nil || len(nodes) == 0 {
		t.Fatalf("shard 0 has %d nodes (%v)", len(nodes), err)
	}
	source := storetest.NewSource(1)
	item := source.Item(5)
	var seqs []uint64
	for _, s := range []store.Store{a, b} {
		done, err := storetest.NewWriter(s).Report(ctx, nodes[0].Node.Key, storetest.Epoch.Add(48*time.Hour), item)
		if err != nil {
			t.Fatal(err)
		}
		seqs = append(seqs, done.Changes[0].Seq)
		if done.Revision == nodes[0].Node.Revision {
			t.Errorf("revision %d is given twice", done.Revision)
		}
	}
	if seqs[0] != seqs[1] {
		t.Errorf("the store goes on with change %d, its copy with %d", seqs[0], seqs[1])
	}
}

// cut fails every load from the n-th on.
type cut struct {
	store.Store
	left *atomic.Int64
}

var errCut = errors.New("cut")

func (c cut) LoadNodes(ctx context.Context, shard int, nodes []store.NodeScan) error {
	if c.left.Add(-1) < 0 {
		return errCut
	}
	return c.Store.LoadNodes(ctx, shard, nodes)
}

func (c cut) LoadChanges(ctx context.Context, shard int, changes []inventory.Change) error {
	if c.left.Add(-1) < 0 {
		return errCut
	}
	return c.Store.LoadChanges(ctx, shard, changes)
}

func (c cut) LoadRecords(ctx context.Context, records []store.Record) error {
	if c.left.Add(-1) < 0 {
		return errCut
	}
	return c.Store.LoadRecords(ctx, records)
}

// interrupt begins a copy that fails after so many loads.
func interrupt(t *testing.T, from, to store.Store, loads int64) {
	t.Helper()
	left := &atomic.Int64{}
	left.Store(loads)
	if _, err := transfer.Copy(t.Context(), from, cut{to, left}, transfer.Options{Workers: 1}); !errors.Is(err, errCut) {
		t.Fatalf("cut after %d loads: %v", loads, err)
	}
}

func TestInterruptedCopyGoesOn(t *testing.T) {
	for _, kind := range stores.All(shards) {
		t.Run(kind.Name, func(t *testing.T) {
			ctx := t.Context()
			a := oracle.Open(t)
			fill(t, a, rand.Uint64(), true)
			b := kind.Like(t, a.Identity())
			resumed := 0
			for loads := range int64(2 * a.Identity().Shards) {
				interrupt(t, a, b, loads%5)
				if err := transfer.Unfinished(ctx, b); !errors.Is(err, transfer.ErrUnfinished) {
					t.Fatalf("an interrupted target says %v", err)
				}
			}
			if _, err := transfer.Copy(ctx, b, oracle.Like(t, a.Identity()), transfer.Options{}); !errors.Is(err, transfer.ErrUnfinished) {
				t.Errorf("copied from an unfinished target: %v", err)
			}
			report, err := transfer.Copy(ctx, a, b, transfer.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if resumed = report.Resumed; resumed == 0 {
				t.Error("no shard was taken over from the interrupted copies")
			}
			if err := transfer.Unfinished(ctx, b); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestCopyRefusesMovedSource(t *testing.T) {
	ctx := t.Context()
	a := oracle.Open(t)
	fill(t, a, rand.Uint64(), false)
	b := oracle.Like(t, a.Identity())
	interrupt(t, a, b, 2)
	if _, err := a.PutRecord(ctx, store.Record{Key: "event/new"}); err != nil {
		t.Fatal(err)
	}
	if _, err := transfer.Copy(ctx, a, b, transfer.Options{}); !errors.Is(err, transfer.ErrMoved) {
		t.Errorf("going on from a source that moved: %v", err)
	}
	// A node that reports while it is copied.
	c := oracle.Like(t, a.Identity())
	source := storetest.NewSource(3)
	once := false
	_, err := transfer.Copy(ctx, a, c, transfer.Options{Progress: func(p transfer.Progress) {
		if p.Phase == transfer.Verifying && !once {
			once = true
			if _, err := storetest.NewWriter(a).Report(ctx, storetest.Node(99), storetest.Epoch, source.Item(3)); err != nil {
				t.Error(err)
			}
		}
	}, Workers: 1})
	if !errors.Is(err, transfer.ErrMoved) {
		t.Errorf("copying a source that is written to: %v", err)
	}
	if err := transfer.Unfinished(ctx, c); !errors.Is(err, transfer.ErrUnfinished) {
		t.Errorf("the target of a copy that failed says %v", err)
	}
}

func TestCopyRefusesFullTarget(t *testing.T) {
	ctx := t.Context()
	a := oracle.Open(t)
	id := a.Identity()
	fill(t, a, 1, false)
	fills := map[string]func(s store.Store) error{
		"a node": func(s store.Store) error {
			_, err := s.Commit(ctx, store.Commit{Node: inventory.Node{Key: storetest.Node(1), Status: inventory.Active}})
			return err
		},
		"a record": func(s store.Store) error {
			_, err := s.PutRecord(ctx, store.Record{Key: "x"})
			return err
		},
	}
	for name, put := range fills {
		b := oracle.Like(t, id)
		if err := put(b); err != nil {
			t.Fatal(err)
		}
		if _, err := transfer.Copy(ctx, a, b, transfer.Options{}); !errors.Is(err, transfer.ErrNotEmpty) {
			t.Errorf("into a target with %s: %v", name, err)
		}
	}
	if _, err := transfer.Copy(ctx, a, oracle.Open(t), transfer.Options{}); !errors.Is(err, transfer.ErrOther) {
		t.Errorf("into a store of its own: %v", err)
	}
	if _, err := transfer.Copy(ctx, a, a, transfer.Options{}); !errors.Is(err, transfer.ErrNotEmpty) {
		t.Errorf("onto itself: %v", err)
	}
}

func TestVerifyFindsEveryDifference(t *testing.T) {
	ctx := t.Context()
	a := oracle.Open(t)
	id := a.Identity()
	fill(t, a, rand.Uint64(), true)
	b := oracle.Like(t, id)
	if _, err := transfer.Copy(ctx, a, b, transfer.Options{}); err != nil {
		t.Fatal(err)
	}
	for name, tamper := range tampers {
		t.Run(name, func(t *testing.T) {
			if _, err := transfer.Verify(ctx, a, tampered{b, tamper}, transfer.Options{}); !errors.Is(err, transfer.ErrDiffers) {
				t.Errorf("verified: %v", err)
			}
		})
	}
	if _, err := transfer.Verify(ctx, a, b, transfer.Options{}); err != nil {
		t.Errorf("equal stores: %v", err)
	}
	if _, err := transfer.Verify(ctx, a, retold{b}, transfer.Options{}); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("a shape with another text: %v", err)
	}
}
