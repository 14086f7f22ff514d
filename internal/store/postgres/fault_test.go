package postgres_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"stocktake/internal/inventory"
	"stocktake/internal/pgcluster"
	"stocktake/internal/pgtest"
	"stocktake/internal/store"
	"stocktake/internal/store/postgres"
	"stocktake/internal/store/storetest"
)

// soon bounds waiting for what should be quick, on a machine that is as busy as it likes.
const soon = 60 * time.Second

// behindProxy makes a store whose connections go through a network that fails on demand, and gives its own URL too.
func behindProxy(t *testing.T, patience time.Duration) (*postgres.Store, *pgtest.Proxy, string) {
	t.Helper()
	url := pgtest.Database(t)
	migrate(t, url, postgres.MigrateOptions{Shards: 3})
	proxy, err := pgtest.StartProxy(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	return open(t, proxy.URL(), patience), proxy, url
}

// ledger is what one writer of one node knows of its reports, which are told apart by the time they arrived.
type ledger struct {
	acknowledged []time.Time
	last         time.Time // of all that was tried
}

// write reports from one node until stopped: twice with other content, then without any.
func (l *ledger) write(t *testing.T, s store.Store, node int, stop <-chan struct{}) {
	w := storetest.NewWriter(s)
	unknown := false // what the last report came to
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		at := storetest.Epoch.Add(time.Duration(i) * time.Second)
		item := packages("p", "of "+at.String())
		if i%3 == 2 {
			item.HasContent = false
		}
		_, err := w.Report(t.Context(), storetest.Node(node), at, item)
		l.last = at
		switch {
		case err == nil && item.HasContent:
			l.acknowledged = append(l.acknowledged, at)
		case err != nil && !errors.Is(err, store.ErrUnavailable) && !(unknown && errors.Is(err, store.ErrConflict)):
			// Nobody else writes the node, so a conflict is with an effect of its own that was not recognised.
			t.Errorf("node %d, report %d: %v", node, i, err)
			return
		}
		unknown = err != nil
	}
}

func TestCutCommitsTakeEffectOnce(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	s, proxy, url := behindProxy(t, 0)
	ledgers := make([]ledger, 4)
	stop := make(chan struct{})
	var group sync.WaitGroup
	for i := range ledgers {
		group.Go(func() { ledgers[i].write(t, s, i, stop) })
	}
	for range 40 {
		cut, most := proxy.CutAnswers, int64(3000)
		if chance.IntN(2) == 0 {
			cut, most = proxy.CutAfter, 12000
		}
		if err := cut(100 + chance.Int64N(most)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(10+chance.IntN(40)) * time.Millisecond)
		if err := proxy.Restore(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(chance.IntN(60)) * time.Millisecond)
	}
	close(stop)
	group.Wait()
	if s.Metrics().Retries == 0 {
		t.Error("nothing was ever cut")
	}
	judge(t, open(t, url, 0), ledgers)
}

// judge holds the feed against what writers know: what was acknowledged is in it, and nothing is in it twice.
func judge(t *testing.T, s store.Store, ledgers []ledger) {
	t.Helper()
	type entry struct {
		node inventory.NodeID
		at   int64
	}
	times := map[entry]int{}
	for shard := range s.Identity().Shards {
		changes, err := storetest.ChangesAll(t.Context(), s, shard, inventory.Position{}, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			times[entry{c.Document.Node, c.Arrival.UnixNano()}]++
		}
	}
	for e, n := range times {
		if n > 1 {
			t.Errorf("a report of %s took effect %d times", e.node, n)
		}
	}
	acknowledged := 0
	for i, l := range ledgers {
		acknowledged += len(l.acknowledged)
		for _, at := range l.acknowledged {
			if times[entry{storetest.Node(i).Node, at.UnixNano()}] == 0 {
				t.Errorf("an acknowledged report of node %d is lost", i)
			}
		}
	}
	t.Logf("%d acknowledged, %d in the feed", acknowledged, len(times))
	if _, err := storetest.Read(t.Context(), s, make([]inventory.Position, s.Identity().Shards)); err != nil {
		t.Error(err)
	}
}

func TestDatabaseAwayAndBack(t *testing.T) {
	s, proxy, _ := behindProxy(t, 400*time.Millisecond)
	report(t, s, 1, packages("a"))
	eventually := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(soon); !ok(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: not in %s", what, soon)
			}
		}
	}
	for what, fail := range map[string]func() error{
		"cut":     func() error { proxy.Cut(); return nil },
		"hanging": proxy.Hang,
	} {
		if err := s.Health(); err != nil {
			t.Errorf("before: %v", err)
		}
		if err := fail(); err != nil {
			t.Fatal(err)
		}
		_, node := s.Node(t.Context(), storetest.Node(1))
		_, heads := s.Heads(t.Context())
		_, commit := s.Commit(t.Context(), store.Commit{Node: inventory.Node{Key: storetest.Node(2)}})
		_, put := s.PutRecord(t.Context(), store.Record{Key: "k"})
		for name, err := range map[string]error{"Node": node, "Heads": heads, "Commit": commit, "PutRecord": put} {
			if !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%s, %s: %v, want ErrUnavailable", what, name, err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, err := s.Node(ctx, storetest.Node(1)); err == nil {
			t.Errorf("%s: a node was read", what)
		}
		cancel()
		eventually(what+": Health tells", func() bool { return s.Health() != nil })
		if err := proxy.Restore(); err != nil {
			t.Fatal(err)
		}
		eventually(what+": reads again", func() bool {
			_, err := s.Node(t.Context(), storetest.Node(1))
			return err == nil
		})
		eventually(what+": healthy again", func() bool { return s.Health() == nil })
	}
}

func TestBrokenPartsOfABatchFailAlone(t *testing.T) {
	s, proxy, _ := behindProxy(t, 0)
	if err := proxy.Delay(20 * time.Millisecond); err != nil { // so that commits gather
		t.Fatal(err)
	}
	w := storetest.NewWriter(s)
	var group sync.WaitGroup
	for i := range 24 {
		c, err := w.Build(t.Context(), storetest.Node(i), storetest.Epoch, packages("a"))
		if err != nil {
			t.Fatal(err)
		}
		sound := i%3 != 0
		if !sound {
			c.Node.Revision = 7
		}
		group.Go(func() {
			if _, err := s.Commit(t.Context(), c); (err == nil) != sound {
				t.Errorf("commit %d: %v", i, err)
			}
		})
	}
	group.Wait()
}

// replicated starts a primary with standbys, and a store there.
func replicated(t *testing.T, quorum bool, patience time.Duration) (*pgcluster.Replicated, *postgres.Store) {
	t.Helper()
	pgtest.Own(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*soon)
	defer cancel()
	r, err := pgcluster.StartReplicated(ctx, pgcluster.Options{NoSync: true}, quorum)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	migrate(t, r.URL(), postgres.MigrateOptions{Shards: 2})
	return r, open(t, r.URL(), patience)
}

// cancelWaits has a primary break off every wait for a standby, as an administrator may: each commit then counts as done,
// with a warning.
func cancelWaits(t *testing.T, url string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() {
		for ctx.Err() == nil {
			_, _ = conn.Exec(ctx, `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`)
			time.Sleep(10 * time.Millisecond)
		}
	})
	t.Cleanup(func() {
		stop()
		group.Wait()
		_ = conn.Close(context.Background())
	})
}

func TestUnconfirmedCommitIsNotAcknowledged(t *testing.T) {
	for name, cancelled := range map[string]bool{"no answer": false, "wait cancelled": true} {
		t.Run(name, func(t *testing.T) {
			r, s := replicated(t, true, 2*time.Second)
			report(t, s, 1, packages("a"))
			w := storetest.NewWriter(s)
			changed, err := w.Build(t.Context(), storetest.Node(1), storetest.Epoch, packages("b"))
			if err != nil {
				t.Fatal(err)
			}
			fresh, err := w.Build(t.Context(), storetest.Node(2), storetest.Epoch, packages("a"))
			if err != nil {
				t.Fatal(err)
			}
			unchanged := store.Commit{Node: changed.Node.Clone()}
			if err := r.CutOff(t.Context()); err != nil {
				t.Fatal(err)
			}
			if cancelled {
				cancelWaits(t, r.URL())
			}
			_, err1 := s.Commit(t.Context(), unchanged)
			_, err2 := s.Commit(t.Context(), fresh)
			_, err3 := s.PutRecord(t.Context(), store.Record{Key: "k"})
			for what, err := range map[string]error{"unchanged report": err1, "new report": err2, "record": err3} {
				if !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("%s that is on the primary alone: %v, want ErrUnavailable", what, err)
				}
			}
		})
	}
}

func TestLostHistoryLosesNoText(t *testing.T) {
	r, s := replicated(t, false, 0)
	report(t, s, 1, packages("kept"))
	for deadline := time.Now().Add(soon); ; time.Sleep(20 * time.Millisecond) {
		at, err := r.Standbys()[0].Query(t.Context(), "SELECT count(*) FROM stocktake.node")
		other, err2 := r.Standbys()[1].Query(t.Context(), "SELECT count(*) FROM stocktake.node")
		if err == nil && err2 == nil && strings.TrimSpace(at)+strings.TrimSpace(other) == "11" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the standbys have %q and %q nodes: %v, %v", at, other, err, err2)
		}
	}
	if err := r.CutOff(t.Context()); err != nil {
		t.Fatal(err)
	}
	lost := report(t, s, 2, packages("kept", "lost", "and found"))
	shard := lost.Changes[0].Shard
	r.Primary().Kill()
	if err := r.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The same handle goes on: what it remembers of texts is of a history that is no more.
	report(t, s, 3, packages("kept", "lost"))
	report(t, s, 2, packages("lost", "and found"))
	if _, err := s.Changes(t.Context(), shard, lost.Changes[0].Position, 10); !errors.Is(err, store.ErrBehind) {
		t.Errorf("changes after one of the lost history: %v, want ErrBehind", err)
	}
	if _, err := storetest.Read(t.Context(), s, make([]inventory.Position, 2)); err != nil {
		t.Errorf("after the fail-over not all can be read: %v", err)
	}
	if n, err := s.Sweep(t.Context()); err != nil || n != 0 {
		t.Errorf("a sweep drops %d shapes, %v", n, err)
	}
}
