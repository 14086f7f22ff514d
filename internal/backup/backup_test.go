package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stocktake/internal/backup"
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

var header = backup.Header{Created: storetest.Epoch, Program: "test"}

// fill puts a random life into a store: reports, unchanged and changed, documents and nodes dropped, records, and a feed
// that no longer reaches back to its first change.
func fill(t testing.TB, s store.Store, seed uint64) {
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
	if n, err := s.Prune(ctx, storetest.Epoch.Add(time.Hour)); err != nil || n == 0 {
		t.Fatalf("%d changes pruned (%v)", n, err)
	}
}

// sumsOf gives what the shards of a store or view, its records and its journal come to.
func sumsOf(t testing.TB, v store.View) []transfer.Sum {
	t.Helper()
	sums := transfer.NewSums(v.Identity())
	if err := transfer.Stream(t.Context(), v, sums, transfer.Options{}, nil); err != nil {
		t.Fatal(err)
	}
	all := []transfer.Sum{sums.Records()}
	for shard := range v.Identity().Shards {
		all = append(all, sums.Shard(shard))
	}
	return append(all, sums.Journal())
}

func sameSums(t testing.TB, want, got []transfer.Sum, what string) {
	t.Helper()
	for i := range want {
		if want[i] != got[i] {
			t.Errorf("%s: part %d comes to %+v, want %+v", what, i, got[i], want[i])
		}
	}
}

// backedUp gives a file of a store.
func backedUp(t testing.TB, v store.View) []byte {
	t.Helper()
	var file bytes.Buffer
	summary, err := backup.Write(t.Context(), v, &file, header, transfer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	checked, err := backup.Check(t.Context(), bytes.NewReader(file.Bytes()), transfer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if checked != summary || int(checked.Bytes) != file.Len() || checked.Identity != v.Identity() {
		t.Errorf("written as %+v, checked as %+v", summary, checked)
	}
	return file.Bytes()
}

func restore(t testing.TB, file []byte, to func(id store.Identity) store.Store) (store.Store, error) {
	t.Helper()
	var s store.Store
	_, err := backup.Restore(t.Context(), bytes.NewReader(file), func(h backup.Header) (store.Store, error) {
		s = to(h.Identity)
		return s, nil
	}, transfer.Options{})
	return s, err
}

// busy has nodes of their own report to a store, changed and unchanged, until stop is called; acknowledged are, for each,
// the newest change and capture time the store answered for.
type busy struct {
	acknowledged [8]atomic.Pointer[said]
	ended        chan struct{}
	writers      sync.WaitGroup
}

type said struct {
	seq     uint64
	capture string
}

func (b *busy) start(t *testing.T, s store.Store) {
	b.ended = make(chan struct{})
	for i := range b.acknowledged {
		b.writers.Go(func() {
			source, w := storetest.NewSource(uint64(i)), storetest.NewWriter(s)
			key := storetest.Node(1000 + i)
			for n := 0; ; n++ {
				select {
				case <-b.ended:
					return
				default:
				}
				item := source.Item(6)
				item.Type, item.Context = "AWS:Application", nil
				item.CaptureTime = storetest.Epoch.Add(time.Duration(n) * time.Second).Format("2006-01-02T15:04:05Z")
				if n > 0 && n%3 == 0 {
					item.HasContent, item.Content = false, nil
				}
				done, err := w.Report(context.WithoutCancel(t.Context()), key, storetest.Epoch, item)
				if err != nil {
					t.Errorf("writer %d: %v", i, err)
					return
				}
				now := &said{capture: item.CaptureTime}
				if len(done.Changes) > 0 {
					now.seq = done.Changes[0].Seq
				} else {
					now.seq = b.acknowledged[i].Load().seq
				}
				b.acknowledged[i].Store(now)
			}
		})
	}
}

func (b *busy) stop() {
	close(b.ended)
	b.writers.Wait()
}

// holds checks that a store has every report that was acknowledged by then, or a later one.
func (b *busy) holds(t *testing.T, s store.Store, then []*said) {
	t.Helper()
	for i, want := range then {
		if want == nil {
			continue
		}
		node, err := s.Node(t.Context(), storetest.Node(1000+i))
		if err != nil {
			t.Errorf("a node whose report was acknowledged before the backup: %v", err)
			continue
		}
		if got := node.Items[0]; got.Seq < want.seq || got.CaptureTime < want.capture {
			t.Errorf("node %s is restored of change %d at %s; change %d at %s was acknowledged before the backup began",
				node.Key.Node, got.Seq, got.CaptureTime, want.seq, want.capture)
		}
	}
}

func TestBackupBesideWritersIsRestoredEverywhere(t *testing.T) {
	for _, from := range stores.All(shards) {
		t.Run(from.Name, func(t *testing.T) {
			s := from.Open(t)
			fill(t, s, rand.Uint64())
			var b busy
			b.start(t, s)
			time.Sleep(50 * time.Millisecond) // for some to have reported
			then := make([]*said, len(b.acknowledged))
			for i := range then {
				then[i] = b.acknowledged[i].Load()
			}
			v, err := s.View(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			file := backedUp(t, v)
			b.stop()
			want := sumsOf(t, v)
			if err := v.Close(); err != nil {
				t.Fatal(err)
			}
			for _, to := range stores.All(shards) {
				t.Run("to "+to.Name, func(t *testing.T) {
					r, err := restore(t, file, func(id store.Identity) store.Store { return to.Like(t, id) })
					if err != nil {
						t.Fatal(err)
					}
					sameSums(t, want, sumsOf(t, r), "restored")
					if _, err := backup.Compare(t.Context(), bytes.NewReader(file), r, transfer.Options{}); err != nil {
						t.Error(err)
					}
					b.holds(t, r, then)
					goesOn(t, r, want)
					if _, err := backup.Compare(t.Context(), bytes.NewReader(file), r, transfer.Options{}); !errors.Is(err, transfer.ErrDiffers) {
						t.Errorf("after a report: %v", err)
					}
				})
			}
		})
	}
}

// goesOn writes to a restored store: its sequences go on after those of the backup.
func goesOn(t *testing.T, s store.Store, before []transfer.Sum) {
	t.Helper()
	ctx := t.Context()
	heads, err := s.Heads(ctx)
	if err != nil {
		t.Fatal(err)
	}
	key := storetest.Node(1)
	shard := store.ShardOf(key, s.Identity().Shards)
	done, err := storetest.NewWriter(s).Report(ctx, key, storetest.Epoch.Add(48*time.Hour), storetest.NewSource(1).Item(5))
	if err != nil {
		t.Fatal(err)
	}
	if done.Changes[0].Seq != heads[shard].Seq+1 || done.After != heads[shard] {
		t.Errorf("a restored store goes on with change %d after %d", done.Changes[0].Seq, heads[shard].Seq)
	}
	if _, err := s.Changes(ctx, shard, heads[shard], 10); err != nil {
		t.Errorf("a position in the feed of before the backup: %v", err)
	}
	if sumsOf(t, s)[shard+1] == before[shard+1] {
		t.Error("a report does not change what a shard comes to")
	}
}

func TestEmptyStoreIsBackedUp(t *testing.T) {
	s := oracle.Open(t)
	r, err := restore(t, backedUp(t, s), func(id store.Identity) store.Store { return oracle.Like(t, id) })
	if err != nil {
		t.Fatal(err)
	}
	sameSums(t, sumsOf(t, s), sumsOf(t, r), "an empty store, restored")
}

func TestRestoreRefusesWhatIsNotEmpty(t *testing.T) {
	s := oracle.Open(t)
	fill(t, s, 1)
	file := backedUp(t, s)
	if _, err := restore(t, file, func(store.Identity) store.Store { return s }); !errors.Is(err, transfer.ErrNotEmpty) {
		t.Errorf("onto the store itself: %v", err)
	}
	if _, err := restore(t, file, func(store.Identity) store.Store { return oracle.Open(t) }); !errors.Is(err, transfer.ErrOther) {
		t.Errorf("into a store of its own: %v", err)
	}
}

// cut fails every load from the n-th on.
type cut struct {
	store.Store
	left *atomic.Int64
}

var errCut = errors.New("no space left on device")

func (c cut) LoadNodes(ctx context.Context, shard int, nodes []store.NodeScan) error {
	if c.left.Add(-1) < 0 {
		return errCut
	}
	return c.Store.LoadNodes(ctx, shard, nodes)
}

func (c cut) LoadRecords(ctx context.Context, records []store.Record) error {
	if c.left.Add(-1) < 0 {
		return errCut
	}
	return c.Store.LoadRecords(ctx, records)
}

func TestInterruptedRestoreIsKnownAndGoesOn(t *testing.T) {
	for _, kind := range stores.All(shards) {
		t.Run(kind.Name, func(t *testing.T) {
			s := oracle.Open(t)
			fill(t, s, rand.Uint64())
			file := backedUp(t, s)
			other := backedUp(t, s) // of the same moment, and yet another file: shards may end in another order
			to := kind.Like(t, s.Identity())
			for _, loads := range []int64{0, 1, 1} {
				left := &atomic.Int64{}
				left.Store(loads)
				if _, err := restore(t, file, func(store.Identity) store.Store { return cut{to, left} }); !errors.Is(err, errCut) {
					t.Fatalf("cut after %d loads: %v", loads, err)
				}
				if err := transfer.Unfinished(t.Context(), to); !errors.Is(err, transfer.ErrUnfinished) {
					t.Fatalf("an interrupted target says %v", err)
				}
			}
			if !bytes.Equal(file, other) {
				if _, err := restore(t, other, func(store.Identity) store.Store { return to }); !errors.Is(err, transfer.ErrMoved) {
					t.Errorf("going on with another file: %v", err)
				}
			}
			if _, err := restore(t, file, func(store.Identity) store.Store { return to }); err != nil {
				t.Fatal(err)
			}
			if err := transfer.Unfinished(t.Context(), to); err != nil {
				t.Error(err)
			}
			sameSums(t, sumsOf(t, s), sumsOf(t, to), "restored in several goes")
		})
	}
}

func TestStoreThatReadsBackOtherwiseIsFound(t *testing.T) {
	s := oracle.Open(t)
	fill(t, s, rand.Uint64())
	_, err := restore(t, backedUp(t, s), func(id store.Identity) store.Store { return forgetful{oracle.Like(t, id)} })
	if !errors.Is(err, transfer.ErrDiffers) {
		t.Errorf("a store that loses a node: %v", err)
	}
}

// forgetful is a store that loses one node of every page it is given.
type forgetful struct{ store.Store }

func (f forgetful) LoadNodes(ctx context.Context, shard int, nodes []store.NodeScan) error {
	return f.Store.LoadNodes(ctx, shard, nodes[1:])
}

func TestWriteEndsWithItsWriter(t *testing.T) {
	s := oracle.Open(t)
	fill(t, s, 1)
	whole := len(backedUp(t, s))
	for room := 0; room < whole; room += whole/29 + 1 {
		if _, err := backup.Write(t.Context(), s, &full{room}, header, transfer.Options{}); !errors.Is(err, errCut) {
			t.Errorf("a disk with room for %d of %d bytes: %v", room, whole, err)
		}
	}
}

// full is a disk with so much room.
type full struct{ room int }

func (f *full) Write(b []byte) (int, error) {
	n := min(len(b), f.room)
	f.room -= n
	if n < len(b) {
		return n, errCut
	}
	return n, nil
}

var _ io.Writer = (*full)(nil)
