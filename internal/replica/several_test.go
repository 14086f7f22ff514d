package replica_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stocktake/internal/index"
	"stocktake/internal/inventory"
	"stocktake/internal/replica"
	"stocktake/internal/store"
	"stocktake/internal/store/memory"
	"stocktake/internal/store/storetest"
)

// switched is a store that can be another from one moment to the next, as one that failed over, or can be away.
type switched struct {
	store.Store
	mu   sync.RWMutex
	now  store.Store
	away atomic.Bool
	// before, if set, is called before a page is scanned.
	before atomic.Pointer[func(shard int)]
}

func newSwitched(st store.Store) *switched { return &switched{Store: st, now: st} }

func (s *switched) become(st store.Store) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = st
}

func (s *switched) current() (store.Store, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.away.Load() {
		return nil, store.ErrUnavailable
	}
	return s.now, nil
}

func (s *switched) Heads(ctx context.Context) ([]inventory.Position, error) {
	st, err := s.current()
	if err != nil {
		return nil, err
	}
	return st.Heads(ctx)
}

func (s *switched) Changes(ctx context.Context, shard int, after inventory.Position, limit int) ([]inventory.Change, error) {
	st, err := s.current()
	if err != nil {
		return nil, err
	}
	return st.Changes(ctx, shard, after, limit)
}

func (s *switched) Scan(ctx context.Context, shard int, after *inventory.NodeKey, limit int) ([]store.NodeScan, bool, error) {
	if before := s.before.Load(); before != nil {
		(*before)(shard)
	}
	st, err := s.current()
	if err != nil {
		return nil, false, err
	}
	return st.Scan(ctx, shard, after, min(limit, 2))
}

func (s *switched) Shapes(ctx context.Context, shard int, p inventory.Partition, t inventory.TypeName, ids []inventory.ShapeID) ([]inventory.Shape, error) {
	st, err := s.current()
	if err != nil {
		return nil, err
	}
	return st.Shapes(ctx, shard, p, t, ids)
}

// follow opens a replica of a store that others write to.
func follow(t *testing.T, st store.Store, every time.Duration) *replica.Replica {
	t.Helper()
	r, err := replica.Open(t.Context(), st, replica.Options{Follow: every, Every: -1, Limits: inventory.DefaultLimits(), Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// like makes an empty store with the identity of another.
func like(t *testing.T, st store.Store) store.Store {
	t.Helper()
	twin, err := memory.NewLike(st.Identity())
	if err != nil {
		t.Fatal(err)
	}
	return twin
}

// TestSeveralReplicasOfOneStore writes through one handle and asks all, some following all the time and some only when
// asked. A follower has come by itself where the others are brought by a question.
func TestSeveralReplicasOfOneStore(t *testing.T) {
	st := newMemory(t)
	all := []*replica.Replica{follow(t, st, time.Millisecond), follow(t, st, time.Hour), follow(t, st, 3*time.Millisecond)}
	p := storetest.NewPlayer(st, 21)
	for range 8 {
		play(t, p, 25)
		for n, r := range all {
			check(t, fmt.Sprint("replica ", n), r, st)
		}
	}
	play(t, p, 20)
	heads, err := st.Heads(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); !slices.Equal(all[0].Index().Positions(), heads); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the follower is at %v, the heads are %v", all[0].Index().Positions(), heads)
		}
	}
	for _, r := range all {
		closed(t, r)
	}
}

// TestOwnCommitsOverAnotherHistoryAreNotMixedIn has a server whose store failed over commit at the very sequence it
// expects, after another server has written another change before.
func TestOwnCommitsOverAnotherHistoryAreNotMixedIn(t *testing.T) {
	st := newMemory(t)
	now := newSwitched(st)
	r := follow(t, now, time.Hour)
	defer closed(t, r)
	report := func(to store.Store, n int, version string) {
		t.Helper()
		item := inventory.Item{Type: "AWS:Application", SchemaVersion: "1.1", HasContent: true, Content: []inventory.Entry{
			{{Name: "Name", Value: fmt.Sprint("a", n)}, {Name: "Version", Value: version}},
		}}
		if _, err := storetest.NewWriter(to).Report(t.Context(), storetest.Node(n), time.Now(), item); err != nil {
			t.Fatal(err)
		}
	}
	twin := like(t, st)
	for n := range 30 {
		report(st, n, "old")
		report(twin, n, "new")
	}
	check(t, "before", r, st)
	now.become(twin)
	w := storetest.NewWriter(twin)
	for n := range 10 {
		c, err := w.Build(t.Context(), storetest.Node(n), time.Now(), storetest.NewSource(uint64(n)).Item(5))
		if err != nil {
			t.Fatal(err)
		}
		done, err := twin.Commit(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		var shapes []inventory.Shape
		for _, write := range c.Writes {
			shapes = append(shapes, write.Shapes...)
		}
		if err := r.Apply(t.Context(), done, shapes); err != nil {
			t.Fatal(err)
		}
		check(t, fmt.Sprint("after ", n, " commits"), r, twin)
	}
}

func TestQuestionsFailWhileTheStoreIsAway(t *testing.T) {
	st := newMemory(t)
	now := newSwitched(st)
	r := follow(t, now, time.Millisecond)
	defer closed(t, r)
	play(t, storetest.NewPlayer(st, 22), 40)
	check(t, "before", r, st)
	now.away.Store(true)
	for range 3 {
		if err := r.CatchUp(t.Context()); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("while the store is away: %v", err)
		}
	}
	now.away.Store(false)
	check(t, "after", r, st)
}

// marked is what the still nodes of TestReloadUnderQuestions report.
var marked = inventory.Filter{Type: "Custom:Still", Attribute: "Name", Values: []string{"still"}}

// still has some nodes of a partition, in all shards, report the same to every store.
func still(t *testing.T, stores ...store.Store) []inventory.NodeID {
	t.Helper()
	var ids []inventory.NodeID
	for n := range 24 {
		key := inventory.NodeKey{Partition: storetest.Partitions[0], Node: inventory.NodeID(fmt.Sprintf("i-5%015x", n))}
		ids = append(ids, key.Node)
		item := inventory.Item{Type: marked.Type, SchemaVersion: "1.0", HasContent: true, Content: []inventory.Entry{{{Name: "Name", Value: "Still"}}}}
		for _, st := range stores {
			w := storetest.NewWriter(st)
			if _, err := w.Report(t.Context(), key, time.Now(), item); err != nil {
				t.Fatal(err)
			}
		}
	}
	return ids
}

// TestReloadUnderQuestions gives the store another history again and again while questions are asked. Nodes that are the
// same in all of them are in every answer, once; what else there is is right as soon as the store stays what it is.
func TestReloadUnderQuestions(t *testing.T) {
	first := newMemory(t)
	histories := []store.Store{first, like(t, first), like(t, first)}
	want := still(t, histories...)
	for n, st := range histories {
		play(t, storetest.NewPlayer(st, uint64(30+n)), 60)
	}
	now := newSwitched(first)
	r := follow(t, now, time.Millisecond)
	var asking sync.WaitGroup
	var done atomic.Bool
	ask := func() error {
		if err := r.CatchUp(t.Context()); err != nil && !errors.Is(err, store.ErrUnavailable) {
			return err
		}
		res, err := r.Index().Query(t.Context(), storetest.Partitions[0], []inventory.Filter{marked})
		if err != nil {
			return err
		}
		got, _, err := res.Page(t.Context(), nil, "", 100)
		if err == nil && !slices.Equal(got, want) {
			err = fmt.Errorf("the answer is %v, and is on %v", got, want)
		}
		counts, failed := r.Index().Aggregate(t.Context(), storetest.Partitions[0], []inventory.Aggregator{{Type: marked.Type, Attribute: "Name"}}, nil, nil, index.Bounds{})
		if failed == nil {
			if rows := counts[0].Rows.Page(0, 2); len(rows) != 1 || rows[0].Count != len(want) {
				failed = fmt.Errorf("counted %v, want %d", rows, len(want))
			}
		}
		return errors.Join(err, failed)
	}
	for range 3 {
		asking.Go(func() {
			for !done.Load() {
				if err := ask(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for n := range 12 {
		st := histories[n%len(histories)]
		now.become(st)
		if n%3 == 2 {
			r.Sweep()
		}
		check(t, fmt.Sprint("history ", n), r, st)
	}
	done.Store(true)
	asking.Wait()
	closed(t, r)
}

// TestReloadWhileWritesGoOn has documents written, removed, pruned from the feed and swept while a shard is read again.
func TestReloadWhileWritesGoOn(t *testing.T) {
	for seed := range uint64(4) {
		old := newMemory(t)
		play(t, storetest.NewPlayer(old, seed+50), 80)
		now := newSwitched(old)
		r := follow(t, now, time.Hour)
		check(t, "before", r, old)
		st := like(t, old)
		p := storetest.NewPlayer(st, seed+60)
		play(t, p, 80)
		now.become(st)
		var mu sync.Mutex
		steps := 0
		meddle := func(int) {
			mu.Lock()
			defer mu.Unlock()
			if steps++; steps > 60 {
				return
			}
			play(t, p, 2)
			if steps%20 == 0 { // what was read before leads nowhere any more
				if _, err := st.Prune(t.Context(), time.Now().Add(time.Hour)); err != nil {
					t.Error(err)
				}
				if _, err := st.Sweep(t.Context()); err != nil {
					t.Error(err)
				}
			}
		}
		now.before.Store(&meddle)
		check(t, fmt.Sprint("seed ", seed), r, st)
		if steps == 0 {
			t.Error("no shard was read again")
		}
		closed(t, r)
	}
}

// TestShardThatIsReadAgainHoldsUpNothingElse stops the scan of one shard: who needs it waits no longer than its context,
// and commits, of that shard and others, are taken.
func TestShardThatIsReadAgainHoldsUpNothingElse(t *testing.T) {
	first := newMemory(t)
	second := like(t, first)
	play(t, storetest.NewPlayer(first, 70), 60)
	play(t, storetest.NewPlayer(second, 71), 60)
	now := newSwitched(first)
	r := follow(t, now, time.Hour)
	check(t, "before", r, first)
	release := make(chan struct{})
	stuck := func(shard int) {
		if shard == 1 {
			<-release
		}
	}
	now.before.Store(&stuck)
	now.become(second)
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := r.CatchUp(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a question that could not be answered gave %v", err)
	}
	w := storetest.NewWriter(second)
	for n := range 20 {
		done, err := w.Report(t.Context(), storetest.Node(n), time.Now(), storetest.NewSource(uint64(n)).Item(9))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Apply(t.Context(), done, nil); err != nil {
			t.Fatal(err)
		}
	}
	close(release)
	check(t, "after", r, second)
	closed(t, r)
}
