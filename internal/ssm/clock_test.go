package ssm_test

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
	"stocktake/internal/store"
)

// TestAJumpOfTheClockDropsNothingAtOnce has a year go by between two looks at the clock, as when somebody sets it wrong:
// for a day nothing is dropped, whatever it is kept for.
func TestAJumpOfTheClockDropsNothingAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrial(t)
		tr.stop()
		var upkeep atomic.Int32
		tr.config.Limits.Retention, tr.config.Upkeep = 5*day, func(context.Context) error { upkeep.Add(1); return nil }
		tr.start()
		defer tr.stop()
		tr.mustReport(node(1), item(application, entry("Name", "a")), item("Custom:Rack", entry("Location", "A")))
		if _, err := tr.DeleteInventory(t.Context(), home, ssm.DeleteInventoryInput{
			Type: "Custom:Rack", SchemaOption: ssm.DisableSchema, ClientToken: "00000000-0000-4000-8000-000000000001",
		}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		tr.mustReport(node(1), item("Custom:Rack", entry("Location", "A"))) // which is ignored
		kept := func() (k [4]int) {
			deletions, err := tr.store.ListRecords(t.Context(), "deletion", "", 10)
			if err != nil {
				t.Fatal(err)
			}
			k[0] = len(deletions)
			k[1] = tr.ignored()
			for shard := range tr.store.Identity().Shards {
				if changes, err := tr.store.Changes(t.Context(), shard, inventory.Position{}, 100); err == nil { // else they were pruned
					k[2] += len(changes)
				}
			}
			k[3] = len(tr.find())
			return k
		}
		want := kept()
		tr.stop()
		time.Sleep(365 * day)
		tr.start()
		upkeep.Store(0)
		time.Sleep(day - time.Minute)
		synctest.Wait()
		if got := kept(); got != want || upkeep.Load() > 0 {
			t.Errorf("within a day %v of the deletions, ignored items, changes and nodes %v are left, and %d passes of what else drops things ran", got, want, upkeep.Load())
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if got := kept(); got != [4]int{3: 1} || upkeep.Load() == 0 {
			t.Errorf("after a day %v of them are left, and %d passes of what else drops things ran", got, upkeep.Load())
		}
	})
}

// TestAClockThatWasAheadIsForgotten leaves the marks of a clock that was a year ahead: once it is right again, nothing waits
// for that year.
func TestAClockThatWasAheadIsForgotten(t *testing.T) {
	retained(t, func(t *testing.T, fl *lapsing) {
		fl.mustReport(node(1), item(application, entry("Name", "a")))
		synctest.Wait()
		fl.stop()
		now, ahead := time.Now().UTC(), time.Now().UTC().AddDate(1, 0, 0)
		for key, value := range map[string]any{
			"service/alive":   map[string]time.Time{"At": ahead, "NotTill": ahead.Add(day)},
			"service/outages": []map[string]time.Time{{"From": now.Add(-time.Hour), "To": ahead}, {"From": ahead.Add(time.Hour), "To": ahead.Add(day)}},
		} {
			text, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			record := store.Record{Key: key, Value: text}
			if before, err := fl.store.Record(t.Context(), key); err == nil {
				record.Revision = before.Revision
			}
			if _, err := fl.store.PutRecord(t.Context(), record); err != nil {
				t.Fatal(err)
			}
		}
		fl.start()
		fl.pass(4*day + 22*time.Hour)
		fl.wantKnown(node(1), true, "before its time")
		fl.pass(4 * time.Hour)
		fl.wantKnown(node(1), false, "after its time")
	})
}
