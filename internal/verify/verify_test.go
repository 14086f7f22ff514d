package verify_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"stocktake/internal/backup"
	"stocktake/internal/index"
	"stocktake/internal/inventory"
	"stocktake/internal/replica"
	"stocktake/internal/store"
	"stocktake/internal/store/storetest"
	"stocktake/internal/store/storetest/stores"
	"stocktake/internal/transfer"
	"stocktake/internal/verify"
)

const shards = 3

var oracle = stores.All(shards)[0]

// fill puts a random life into a store; where prune is set its feed no longer reaches back to its first change.
func fill(t *testing.T, s store.Store, seed uint64, prune bool) {
	t.Helper()
	ctx := t.Context()
	t.Logf("seed %d", seed)
	source, w := storetest.NewSource(seed), storetest.NewWriter(s)
	for i := range 200 {
		key, at := source.NodeKey(15), storetest.Epoch.Add(time.Duration(i)*time.Minute)
		var err error
		switch source.IntN(10) {
		case 0:
			var c store.Commit
			if c, err = w.Drop(ctx, key, at, inventory.CauseDeletion); err == nil {
				_, err = s.Commit(ctx, c)
			}
		case 1, 2:
			err = again(ctx, s, w, key, at)
		default:
			_, err = w.Report(ctx, key, at, source.Item(12))
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"a/1", "a/2", "b"} {
		if _, err := s.PutRecord(ctx, store.Record{Key: key, Value: []byte(key)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := storetest.FillJournal(ctx, s); err != nil {
		t.Fatal(err)
	}
	if prune {
		if n, err := s.Prune(ctx, storetest.Epoch.Add(100*time.Minute)); err != nil || n == 0 {
			t.Fatalf("%d changes pruned (%v)", n, err)
		}
		if _, err := s.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// again has a node report something it has once more, unchanged.
func again(ctx context.Context, s store.Store, w *storetest.Writer, key inventory.NodeKey, at time.Time) error {
	node, err := s.Node(ctx, key)
	if err != nil || len(node.Items) == 0 {
		return err
	}
	i := node.Items[0]
	_, err = w.Report(ctx, key, at, inventory.Item{Type: i.Type, SchemaVersion: i.SchemaVersion, CaptureTime: "2026-01-02T03:04:05Z", ContentHash: i.Hash, Context: i.Context})
	return err
}

func whole(t *testing.T, r verify.Report, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		t.Errorf("of a sound store it says: %s", f)
	}
}

func TestSoundStoresAreWhole(t *testing.T) {
	for _, kind := range stores.All(shards) {
		for _, prune := range []bool{false, true} {
			t.Run(kind.Name, func(t *testing.T) {
				s := kind.Open(t)
				fill(t, s, rand.Uint64(), prune)
				x := indexed(t, s)
				r, err := verify.Store(t.Context(), s, verify.Options{Index: x})
				whole(t, r, err)
				if r.Nodes == 0 || r.Documents == 0 || r.Entries == 0 || r.Shapes == 0 || r.Changes == 0 || r.Records != 3 || r.Recomputed == 0 || r.Postings == 0 {
					t.Errorf("it looked at %+v", r)
				}
				if !prune && r.Recomputed < r.Documents {
					t.Errorf("%d of %d documents were made anew of a whole feed", r.Recomputed, r.Documents)
				}
				ofBackup(t, s, r)
			})
		}
	}
}

// indexed gives the index as a start would make it: of a snapshot that is not the newest, and the feed.
func indexed(t *testing.T, s store.Store) *index.Index {
	t.Helper()
	dir := t.TempDir()
	r, err := replica.Open(t.Context(), s, replica.Options{Dir: dir, Every: -1})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	source, w := storetest.NewSource(7), storetest.NewWriter(s)
	for i := range 20 {
		if _, err := w.Report(t.Context(), source.NodeKey(15), storetest.Epoch.Add(time.Duration(300+i)*time.Minute), source.Item(12)); err != nil {
			t.Fatal(err)
		}
	}
	x, err := replica.Recover(t.Context(), s, replica.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// ofBackup checks a backup of the store by the same checker.
func ofBackup(t *testing.T, s store.Store, want verify.Report) {
	t.Helper()
	var file bytes.Buffer
	if _, err := backup.Write(t.Context(), s, &file, backup.Header{}, transfer.Options{}); err != nil {
		t.Fatal(err)
	}
	var c *verify.Checker
	_, err := backup.Read(t.Context(), &file, transfer.Options{}, func(h backup.Header) (backup.Sink, error) {
		c = verify.New(h.Identity, verify.Options{})
		return backup.Sink{Loader: c, Ended: func(_ context.Context, shard int, _ transfer.Sum) error {
			c.End(shard, nil)
			return nil
		}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r := c.Finish()
	whole(t, r, nil)
	if r.Nodes != want.Nodes || r.Documents != want.Documents || r.Changes != want.Changes || r.Records != want.Records || r.Recomputed != want.Recomputed {
		t.Errorf("of a backup it looked at %+v, of the store at %+v", r, want)
	}
}

func TestEveryDamageIsFound(t *testing.T) {
	s := oracle.Open(t)
	fill(t, s, 11, false)
	for name, d := range damages {
		t.Run(name, func(t *testing.T) {
			r, err := verify.Store(t.Context(), &damaged{Store: s, damage: d}, verify.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if all := strings.Join(r.Findings, "\n"); !strings.Contains(all, d.says) {
				t.Errorf("want a finding that says %q, and there are:\n%s", d.says, all)
			}
		})
	}
	r, err := verify.Store(t.Context(), s, verify.Options{})
	whole(t, r, err)
}

// TestIndexIsHeldAgainstDocuments looks over an index of another moment: what it lacks and what it has too much is told.
func TestIndexIsHeldAgainstDocuments(t *testing.T) {
	s := oracle.Open(t)
	fill(t, s, 13, false)
	x := indexed(t, s)
	source, w := storetest.NewSource(17), storetest.NewWriter(s)
	key := storetest.Node(3)
	node, err := s.Node(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := w.Drop(t.Context(), key, storetest.Epoch, inventory.CauseDeletion)
	if err != nil || len(node.Items) == 0 {
		t.Fatalf("%d items, %v", len(node.Items), err)
	}
	if _, err := s.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	fresh := source.Item(5)
	fresh.Type, fresh.Context = "Custom:Fresh", nil
	if _, err := w.Report(t.Context(), storetest.Node(900), storetest.Epoch, fresh); err != nil {
		t.Fatal(err)
	}
	r, err := verify.Store(t.Context(), s, verify.Options{Index: x, Most: 1000})
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(r.Findings, "\n")
	for _, want := range []string{
		"index: it does not know of document Custom:Fresh of node " + string(storetest.Node(900).Node),
		"to report " + string(node.Items[0].Type) + ", and ",
		" documents have it; its first is ",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no finding says %q:\n%s", want, all)
		}
	}
}

func TestFindingsAreBounded(t *testing.T) {
	s := oracle.Open(t)
	fill(t, s, 19, false)
	r, err := verify.Store(t.Context(), &damaged{Store: s, damage: damages["hash key"]}, verify.Options{Most: 3})
	if err != nil || len(r.Findings) != 3 || r.More == 0 {
		t.Errorf("%d findings and %d more (%v)", len(r.Findings), r.More, err)
	}
}

func TestUnreachableStoreIsNoFinding(t *testing.T) {
	s := oracle.Open(t)
	fill(t, s, 23, false)
	if _, err := verify.Store(t.Context(), &damaged{Store: s, damage: damage{err: store.ErrUnavailable}}, verify.Options{}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a store that does not answer: %v", err)
	}
	r, err := verify.Store(t.Context(), &damaged{Store: s, damage: damage{err: store.ErrCorrupt}}, verify.Options{})
	if err != nil || len(r.Findings) != shards {
		t.Errorf("a store that cannot be read in any shard: %v, %v", r.Findings, err)
	}
}
