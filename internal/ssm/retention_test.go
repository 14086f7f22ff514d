package ssm_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
	"stocktake/internal/store"
)

const (
	day  = 24 * time.Hour
	file = inventory.TypeName("AWS:File")
)

// retained runs a test in a time of its own, over a service that keeps documents for five days, with ten nodes that
// report whenever time passes, so that the few others are under the share a pass may drop.
func retained(t *testing.T, f func(t *testing.T, fl *lapsing)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		tr := newTrial(t)
		tr.stop()
		tr.config.Limits.Retention = 5 * day
		tr.start()
		fl := &lapsing{trial: tr}
		fl.reportAll()
		f(t, fl)
		tr.stop()
	})
}

// lapsing is a fleet of which some nodes stop reporting.
type lapsing struct {
	*trial
	stopped bool
}

func (fl *lapsing) reportAll() {
	fl.t.Helper()
	for n := range 10 {
		fl.mustReport(node(100+n), item(application, entry("Name", "kept")))
	}
}

// pass lets time go by, in which the ten nodes report every eight hours.
func (fl *lapsing) pass(d time.Duration) {
	fl.t.Helper()
	for d > 0 {
		step := min(d, 8*time.Hour)
		time.Sleep(step)
		d -= step
		if !fl.stopped {
			synctest.Wait()
			fl.reportAll()
		}
	}
}

// away stops the service for so long.
func (fl *lapsing) away(d time.Duration) {
	fl.t.Helper()
	fl.stop()
	fl.stopped = true
	fl.pass(d)
	fl.stopped = false
	fl.start()
	fl.reportAll()
}

// known reports whether a node is in the answer.
func (fl *lapsing) known(id inventory.NodeID) bool {
	fl.t.Helper()
	return len(fl.find(equal("AWS:InstanceInformation.InstanceId", string(id))...)) == 1
}

func (fl *lapsing) wantKnown(id inventory.NodeID, want bool, when string) {
	fl.t.Helper()
	if got := fl.known(id); got != want {
		fl.t.Errorf("%s: %s is known: %v", when, id, got)
	}
}

func TestRetentionGoesByArrival(t *testing.T) {
	retained(t, func(t *testing.T, fl *lapsing) {
		future, past := item(application, entry("Name", "a")), item(application, entry("Name", "b"))
		future.CaptureTime, past.CaptureTime = "2099-01-01T00:00:00Z", "2000-01-01T00:00:00Z"
		fl.mustReport(node(1), future)
		fl.mustReport(node(2), past)
		fl.pass(5*day - time.Hour)
		fl.wantKnown(node(1), true, "an hour before")
		fl.wantKnown(node(2), true, "an hour before")
		fl.pass(3 * time.Hour)
		fl.wantKnown(node(1), false, "two hours after")
		fl.wantKnown(node(2), false, "two hours after")
		if all := fl.find(); len(all) != 10 {
			t.Errorf("%d nodes are known of those that go on reporting", len(all))
		}
	})
}

// TestRetentionDropsContentAndHashTogether has a node that goes on reporting, by hash alone, all but one of its types.
func TestRetentionDropsContentAndHashTogether(t *testing.T) {
	retained(t, func(t *testing.T, fl *lapsing) {
		kept, lapsed := item(application, entry("Name", "a")), item(file, entry("Name", "f"))
		kept.ContentHash, lapsed.ContentHash = "kept", "lapsed"
		fl.mustReport(node(1), kept, lapsed)
		hash := kept
		hash.HasContent, hash.Content = false, nil
		for range 11 {
			fl.pass(day / 2)
			fl.mustReport(node(1), hash)
		}
		if got := fl.list(node(1), application); len(got) != 1 {
			t.Errorf("the type reported by its hash has %d entries", len(got))
		}
		if got := fl.list(node(1), file); len(got) != 0 {
			t.Errorf("the type not reported has %d entries", len(got))
		}
		hash = lapsed
		hash.HasContent, hash.Content = false, nil
		wantCode(t, fl.report(node(1), hash), inventory.ItemContentMismatch)
		if n := fl.causes()[inventory.CauseRetention]; n != 1 {
			t.Errorf("the feed has %d changes by retention", n)
		}
	})
}

// causes counts the changes in the feed by cause.
func (tr *trial) causes() map[inventory.Cause]int {
	tr.t.Helper()
	counts := map[inventory.Cause]int{}
	for shard := range tr.store.Identity().Shards {
		changes, err := tr.store.Changes(context.Background(), shard, inventory.Position{}, 1<<20)
		if err != nil {
			tr.t.Fatal(err)
		}
		for _, c := range changes {
			counts[c.Cause]++
		}
	}
	return counts
}

func TestRetentionLeavesOutDowntime(t *testing.T) {
	retained(t, func(_ *testing.T, fl *lapsing) {
		fl.mustReport(node(1), item(application, entry("Name", "a")))
		fl.pass(day)
		fl.away(3 * day)
		fl.pass(day)
		fl.away(time.Hour)
		fl.pass(3*day - 2*time.Hour)
		fl.wantKnown(node(1), true, "after five days less two hours of service")
		fl.pass(4 * time.Hour)
		fl.wantKnown(node(1), false, "after five days and two hours of service")
	})
}

func TestRetentionCountsShortStops(t *testing.T) {
	retained(t, func(_ *testing.T, fl *lapsing) {
		fl.mustReport(node(1), item(application, entry("Name", "a")))
		fl.pass(4 * day)
		for range 60 {
			fl.away(6 * time.Minute)
			fl.pass(2 * time.Minute)
		}
		fl.pass(18 * time.Hour)
		fl.wantKnown(node(1), false, "five days and two hours after its report")
	})
}

func TestRetentionWaitsADayAfterALongStop(t *testing.T) {
	retained(t, func(_ *testing.T, fl *lapsing) {
		fl.mustReport(node(1), item(application, entry("Name", "a")))
		fl.pass(5*day - 3*time.Hour)
		fl.away(25 * time.Hour)
		fl.pass(day - time.Hour)
		fl.wantKnown(node(1), true, "within a day of the return")
		fl.pass(2 * time.Hour)
		fl.wantKnown(node(1), false, "a day after the return")
	})
}

func TestRetentionHoldsALargeDrop(t *testing.T) {
	retained(t, func(t *testing.T, fl *lapsing) {
		for n := range 5 {
			fl.mustReport(node(n), item(application, entry("Name", "a")))
		}
		fl.pass(7 * day)
		if all := fl.find(); len(all) != 15 {
			t.Errorf("%d nodes are known: a pass dropped a third of the fleet", len(all))
		}
		r, err := fl.RunRetention(t.Context(), home)
		if err != nil || r.Documents != 30 || r.Expired != 10 || r.Held {
			t.Errorf("the command answered %+v, %v", r, err)
		}
		if all := fl.find(); len(all) != 10 {
			t.Errorf("%d nodes are known after the command", len(all))
		}
	})
}

func TestRetentionKeepsActivatedNodes(t *testing.T) {
	retained(t, func(t *testing.T, fl *lapsing) {
		const silent, dead inventory.NodeID = "mi-00000000000000001", "mi-00000000000000002"
		for _, id := range []inventory.NodeID{silent, dead} {
			if err := fl.RegisterNode(t.Context(), home, id); err != nil {
				t.Fatal(err)
			}
			fl.mustReport(id, item(application, entry("Name", "a")))
		}
		if err := fl.TerminateNode(t.Context(), home, dead); err != nil {
			t.Fatal(err)
		}
		fl.pass(5*day + 2*time.Hour)
		fl.wantKnown(silent, true, "silent")
		fl.wantKnown(dead, false, "terminated")
		if got := fl.list(silent, application); len(got) != 0 {
			t.Errorf("a silent node keeps %v", got)
		}
		fl.mustReport(silent, item(application, entry("Name", "back")))
		wantCode(t, fl.report(dead, item(application, entry("Name", "back"))), inventory.InvalidInstanceID)
	})
}

func TestRetentionOfZeroKeepsForEver(t *testing.T) {
	retained(t, func(t *testing.T, fl *lapsing) {
		fl.mustReport(node(1), item(application, entry("Name", "a")))
		fl.stop()
		fl.config.Limits.Retention = 0
		fl.start()
		fl.pass(10 * day)
		fl.wantKnown(node(1), true, "after ten days")
		if r, err := fl.RunRetention(t.Context(), home); err != nil || r.Expired != 0 {
			t.Errorf("the command dropped %d documents (%v)", r.Expired, err)
		}
	})
}

// ignored counts the nodes that it is told of that items of theirs were ignored, and the events of the release before.
func (tr *trial) ignored() (n int) {
	tr.t.Helper()
	for _, kind := range []string{"ignored", "event"} {
		records, err := tr.store.ListRecords(context.Background(), kind+"/", "", 10)
		if err != nil {
			tr.t.Fatal(err)
		}
		n += len(records)
	}
	return n
}

// TestOldRecordsGo lets a month pass over a deletion and an ignored item, and over what the release before kept of a
// deletion; the feed keeps a week.
func TestOldRecordsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrial(t)
		defer tr.stop()
		tr.mustReport(node(1), item("Custom:Rack", entry("Location", "A")))
		const token = "00000000-0000-4000-8000-000000000001"
		d, err := tr.DeleteInventory(t.Context(), home, ssm.DeleteInventoryInput{Type: "Custom:Rack", SchemaOption: ssm.DisableSchema, ClientToken: token})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		tr.mustReport(node(1), item("Custom:Rack", entry("Location", "A")))
		former := store.Record{Key: store.Key("event", home.Account, home.Region, fmt.Sprintf("%020d", time.Now().UnixNano()), "summary"), Value: []byte("{}")}
		if _, err := tr.store.PutRecord(t.Context(), former); err != nil {
			t.Fatal(err)
		}
		kept := func() (deletions, ignored int) {
			out, err := tr.DescribeInventoryDeletions(t.Context(), home, ssm.DescribeInventoryDeletionsInput{})
			if err != nil {
				t.Fatal(err)
			}
			return len(out.Deletions), tr.ignored()
		}
		time.Sleep(30*day - time.Hour)
		synctest.Wait()
		if deletions, ignored := kept(); deletions != 1 || ignored != 2 {
			t.Errorf("within a month %d deletions and %d of ignored items and events are kept", deletions, ignored)
		}
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if deletions, ignored := kept(); deletions != 0 || ignored != 0 {
			t.Errorf("after a month %d deletions and %d of ignored items and events are kept", deletions, ignored)
		}
		_, err = tr.DescribeInventoryDeletions(t.Context(), home, ssm.DescribeInventoryDeletionsInput{ID: d.ID})
		wantCode(t, err, inventory.InvalidDeletionID)
		records, err := tr.store.ListRecords(t.Context(), "deletion", "", 10)
		if err != nil || len(records) != 0 {
			t.Errorf("records of deletions are left: %v, %v", records, err)
		}
	})
}
