package ssm_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
	"stocktake/internal/store"
)

// TestAPausedHolderIsFenced holds a server up in the middle of a deletion, as if its process were stopped: another takes
// the lease over and finishes the job, and what the first commits when it goes on is refused.
func TestAPausedHolderIsFenced(t *testing.T) {
	const nodes = 12
	synctest.Test(t, func(t *testing.T) {
		all := newServers(t, 2)
		defer stopAll(all)
		paused, other := all[0], all[1]
		for n := range nodes {
			other.mustReport(node(n), item(rack, entry("Location", "old")))
		}
		// Its commits wait, and so do its renewals.
		held, release := paused.calls.holdAll(func(name string) bool {
			return isCommit(inventory.CauseDeletion)(name) || strings.HasPrefix(name, "put lease/deletions")
		})
		defer release()
		if _, err := paused.remove(ssm.DeleteInventoryInput{Type: rack}); err != nil {
			t.Fatal(err)
		}
		<-held
		began := time.Now()
		time.Sleep(ssm.DefaultLeaseTTL + ssm.DefaultLeaseRenew)
		synctest.Wait()
		for _, d := range other.finished() {
			if d.Updated.Sub(began) < ssm.DefaultLeaseTTL-ssm.DefaultLeaseRenew {
				t.Errorf("another took over after %v, while the holder may have been at work", d.Updated.Sub(began))
			}
		}
		if n := other.holders(rack); n != 0 {
			t.Errorf("%d nodes hold the type once the deletion is done", n)
		}
		other.mustReport(node(1), item(rack, entry("Location", "new")))
		heads, _ := other.store.Heads(t.Context())
		release()
		synctest.Wait()
		for _, name := range paused.calls.names() {
			if !isCommit(inventory.CauseDeletion)(name) {
				continue
			}
			if err, ended := paused.calls.outcome(name); !ended || !errors.Is(err, store.ErrFenced) {
				t.Errorf("%s of a holder that was paused ended with %v", name, err)
			}
		}
		after, _ := other.store.Heads(t.Context())
		if !slices.Equal(heads, after) {
			t.Error("the feed moved by what a paused holder did")
		}
		if got := other.find(equal("Custom:Rack.Location", "new")...); len(got) != 1 {
			t.Errorf("what was reported after the deletion is on %v", got)
		}
	})
}

// TestWorkOfADeadServerIsDone has one server make a deletion and die with it: its calls never return.
func TestWorkOfADeadServerIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := newServers(t, 3)
		defer stopAll(all)
		dead := all[0]
		for n := range 5 {
			all[1].mustReport(node(n), item(rack, entry("Location", "old")))
		}
		_, release := dead.calls.holdAll(func(name string) bool {
			return strings.HasPrefix(name, "commit") || strings.HasPrefix(name, "put lease/")
		})
		defer release()
		d, err := dead.remove(ssm.DeleteInventoryInput{Type: rack, SchemaOption: ssm.DisableSchema})
		if err != nil {
			t.Fatal(err)
		}
		for n := range 5 {
			all[2].mustReport(node(10+n), item("Custom:Shelf", entry("Name", "a")))
		}
		time.Sleep(2 * ssm.DefaultLeaseTTL)
		synctest.Wait()
		got := all[2].finished()
		if len(got) != 1 || got[0].ID != d.ID || all[1].holders(rack) != 0 {
			t.Errorf("the deletions are %+v, and %d nodes hold the type", got, all[1].holders(rack))
		}
	})
}

// TestALeaseGivenUpIsTakenAtOnce stops the server that works, and finds the work done by another well within the ttl.
func TestALeaseGivenUpIsTakenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := newServers(t, 2)
		all[1].mustReport(node(1), item(rack, entry("Location", "old")))
		all[0].stop()
		defer all[1].stop()
		if _, err := all[1].remove(ssm.DeleteInventoryInput{Type: rack}); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for all[1].holders(rack) > 0 && time.Since(began) < time.Minute {
			time.Sleep(100 * time.Millisecond)
		}
		if waited := time.Since(began); waited > ssm.DefaultLeaseRenew {
			t.Errorf("the deletion was done after %v", waited)
		}
	})
}

// TestDeletionsOfOtherServersAreNoticed makes deletions where the lease is not: they are done within about a second.
func TestDeletionsOfOtherServersAreNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := newServers(t, 3)
		defer stopAll(all)
		for i, s := range all {
			s.mustReport(node(1), item(rack, entry("Location", "old")))
			if _, err := s.remove(ssm.DeleteInventoryInput{Type: rack}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(1200 * time.Millisecond)
			synctest.Wait()
			if n := all[0].holders(rack); n != 0 {
				t.Errorf("%d nodes hold what was deleted through server %d", n, i)
			}
		}
		workers := 0
		for _, s := range all {
			if slices.ContainsFunc(s.calls.names(), isCommit(inventory.CauseDeletion)) {
				workers++
			}
		}
		if workers != 1 {
			t.Errorf("%d servers worked at the deletions", workers)
		}
	})
}

// TestUpkeepIsOneServers lets a day pass over three servers, the first of which ends in the middle of it.
func TestUpkeepIsOneServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := newServers(t, 3)
		mark := func(s *server) (n int) {
			for _, name := range s.calls.names() {
				if name == "put service/alive" {
					n++
				}
			}
			return n
		}
		time.Sleep(30*time.Minute + time.Second)
		synctest.Wait()
		if a, b, c := mark(all[0]), mark(all[1]), mark(all[2]); a+b+c != 31 || max(a, b, c) != 31 {
			t.Errorf("the mark was moved %d, %d and %d times in half an hour", a, b, c)
		}
		all[0].stop()
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		if b, c := mark(all[1]), mark(all[2]); b+c != max(b, c) || b+c < 29 {
			t.Errorf("once another has it, the mark was moved %d and %d times", b, c)
		}
		if _, err := all[1].store.Record(t.Context(), "service/outages"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("an outage was recorded though some server was always there (%v)", err)
		}
		stopAll(all[1:])
	})
}

// retaining starts servers that keep documents for two hours, and gives what has ten nodes report.
func retaining(t *testing.T, n int) (all []*server, report func()) {
	all = newServers(t, n)
	for _, s := range all {
		s.stop()
	}
	for _, s := range all {
		s.config.Limits.Retention = 2 * time.Hour
		s.start()
	}
	return all, func() {
		for id := range 10 {
			all[n-1].mustReport(node(id), item(application, entry("Name", "a")))
		}
	}
}

// TestRetentionIsOneServers has a document expire over three servers: one of them drops it.
func TestRetentionIsOneServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, report := retaining(t, 3)
		defer stopAll(all)
		all[1].mustReport(node(50), item(application, entry("Name", "old")))
		for range 4 {
			report()
			time.Sleep(time.Hour)
			synctest.Wait()
		}
		workers := 0
		for _, s := range all {
			if got := s.find(); len(got) != 10 {
				t.Errorf("%v are known", got)
			}
			if slices.ContainsFunc(s.calls.names(), isCommit(inventory.CauseRetention)) {
				workers++
			}
		}
		if workers != 1 {
			t.Errorf("%d servers dropped what was too old", workers)
		}
	})
}

// TestRetentionOfAPausedHolderIsFenced holds the holder of the upkeep up with a commit on its way, until another has taken
// over: the commit is refused, and the document goes with the other's pass.
func TestRetentionOfAPausedHolderIsFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, report := retaining(t, 2)
		defer stopAll(all)
		paused, other := all[0], all[1]
		other.mustReport(node(50), item(application, entry("Name", "old")))
		report()
		committing := false // the holder is stopped from its first commit on
		held, release := paused.calls.holdAll(func(name string) bool {
			committing = committing || isCommit(inventory.CauseRetention)(name)
			return committing
		})
		defer release()
		for done := false; !done; {
			select {
			case <-held:
				done = true
			case <-time.After(30 * time.Minute):
				report()
			}
		}
		time.Sleep(2 * ssm.DefaultLeaseTTL)
		synctest.Wait()
		if !slices.Contains(other.calls.names(), "raise upkeep") {
			t.Fatal("the other server did not take over")
		}
		release()
		synctest.Wait()
		tried := 0
		for _, name := range paused.calls.names() {
			if isCommit(inventory.CauseRetention)(name) {
				tried++
				if err, ended := paused.calls.outcome(name); !ended || !errors.Is(err, store.ErrFenced) {
					t.Errorf("%s of a holder that was paused ended with %v", name, err)
				}
			}
		}
		if got := other.find(); len(got) != 11 || tried != 1 {
			t.Errorf("after %d commits of the server that lost the upkeep %v are known", tried, got)
		}
		report()
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := other.find(); len(got) != 10 {
			t.Errorf("after the other's pass %v are known", got)
		}
	})
}

// TestFencesOfALostHistoryAreCaughtUpWith has a store whose fences are ahead of its records, as after a fail-over that lost
// the newest of them: reports are taken, and the service's own work goes on.
func TestFencesOfALostHistoryAreCaughtUpWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers(t, 1)[0]
		defer func() { s.stop() }()
		s.mustReport(node(1), item(rack, entry("Location", "old")))
		s.stop()
		for _, name := range []string{"types", "deletions", "upkeep"} {
			if err := s.store.RaiseFence(t.Context(), store.Fence{Lease: name, Number: 7}); err != nil {
				t.Fatal(err)
			}
		}
		s.start()
		s.mustReport(node(2), item(rack, entry("Location", "new")))
		if _, err := s.remove(ssm.DeleteInventoryInput{Type: rack}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * ssm.DefaultLeaseTTL)
		synctest.Wait()
		if n := s.holders(rack); n != 0 {
			t.Errorf("%d nodes hold what was deleted", n)
		}
		s.mustReport(node(3), item(rack, entry("Location", "later")))
	})
}
