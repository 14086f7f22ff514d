package ssm_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
)

const application inventory.TypeName = "AWS:Application"

// TestRacingReportsOfANodeReplaceWhole lets sixteen writers report one node: what is stored in the end is one of their
// reports, whole, and none that was acknowledged before another one began.
func TestRacingReportsOfANodeReplaceWhole(t *testing.T) {
	const writers, rounds = 16, 12
	tr := newTrial(t)
	defer tr.stop()
	type span struct{ begun, acknowledged int64 }
	var clock atomic.Int64
	var spans [writers * rounds]span
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for r := range rounds {
				n := w*rounds + r
				text := strconv.Itoa(n)
				spans[n].begun = clock.Add(1)
				err := tr.report(node(1),
					item(application, entry("Name", "a", "Version", text), entry("Name", "b", "Version", text)),
					item("Custom:Rack", entry("Location", text)))
				if err != nil {
					t.Errorf("writer %d: %v", w, err)
				}
				spans[n].acknowledged = clock.Add(1)
			}
		})
	}
	wg.Wait()
	last := tr.list(node(1), "Custom:Rack")[0][0].Value
	for _, e := range tr.list(node(1), application) {
		if v, _ := e.Get("Version"); v != last {
			t.Errorf("entries of report %s beside those of report %s", v, last)
		}
	}
	n, err := strconv.Atoi(last)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range spans {
		if s.begun > spans[n].acknowledged {
			t.Errorf("report %d stands, though report %d began after it was acknowledged", n, i)
		}
	}
	if got := tr.find(equal("AWS:Application.Version", last)...); len(got) != 1 {
		t.Errorf("the node is not found by what it reported last")
	}
}

// TestAcknowledgedReportsAreAnswered asks for each report right after it was acknowledged, while others come in.
func TestAcknowledgedReportsAreAnswered(t *testing.T) {
	const writers, rounds = 8, 25
	tr := newTrial(t)
	defer tr.stop()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for r := range rounds {
				name := fmt.Sprintf("package %d of %d", r, w)
				if err := tr.report(node(w), item(application, entry("Name", name))); err != nil {
					t.Errorf("report: %v", err)
					return
				}
				ids, err := tr.search(equal("AWS:Application.Name", name))
				if err != nil || len(ids) != 1 || ids[0] != node(w) {
					t.Errorf("%q was acknowledged for %s and is answered as of %v (%v)", name, node(w), ids, err)
				}
			}
		})
	}
	wg.Wait()
}

// TestRacingTypesStopAtTheQuota has more writers than there is room for types, each with a type of its own.
func TestRacingTypesStopAtTheQuota(t *testing.T) {
	const writers = 40
	tr := newTrial(t)
	defer tr.stop()
	var taken, refused atomic.Int64
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			err := tr.report(node(w), item(inventory.TypeName(fmt.Sprintf("Custom:T%d", w)), entry("Name", "x")))
			switch {
			case err == nil:
				taken.Add(1)
			case inventory.CodeOf(err) == inventory.CustomSchemaCountLimitExceeded:
				refused.Add(1)
			default:
				t.Errorf("writer %d: %v", w, err)
			}
		})
	}
	wg.Wait()
	if quota := int64(tr.config.Limits.CustomTypes); taken.Load() != quota || refused.Load() != writers-quota {
		t.Errorf("%d types were taken and %d refused, of a quota of %d", taken.Load(), refused.Load(), quota)
	}
	out, err := tr.GetInventorySchema(context.Background(), home, ssm.GetInventorySchemaInput{})
	if err != nil {
		t.Fatal(err)
	}
	if own := len(out.Schemas) - 15; own != tr.config.Limits.CustomTypes {
		t.Errorf("%d types of the account's own are listed", own)
	}
	if known := tr.find(); len(known) != tr.config.Limits.CustomTypes {
		t.Errorf("%d nodes are known: refused reports leave none", len(known))
	}
}

// TestRacingAttributesStopAtTheQuota has every writer teach one type attributes of its own.
func TestRacingAttributesStopAtTheQuota(t *testing.T) {
	const writers, each = 30, 3
	tr := newTrial(t)
	defer tr.stop()
	var taken atomic.Int64
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			var e inventory.Entry
			for i := range each {
				e = append(e, inventory.Attribute{Name: fmt.Sprintf("A%02d%d", w, i), Value: "x"})
			}
			err := tr.report(node(w), item("Custom:Wide", e))
			switch {
			case err == nil:
				taken.Add(1)
			case inventory.CodeOf(err) != inventory.InvalidItemContent:
				t.Errorf("writer %d: %v", w, err)
			}
		})
	}
	wg.Wait()
	out, err := tr.GetInventorySchema(context.Background(), home, ssm.GetInventorySchemaInput{Type: "Custom:Wide"})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(out.Schemas[0].Attributes); got != int(taken.Load())*each || got > 50 || got < 50-each {
		t.Errorf("%d reports were taken, and the schema has %d attributes", taken.Load(), got)
	}
}

// TestUpkeepBesideReports prunes the feed and sweeps shapes while nodes report, and then answers as one who reads the
// whole store anew.
func TestUpkeepBesideReports(t *testing.T) {
	const writers, rounds = 6, 40
	tr := newTrial(t)
	ctx, cancel := context.WithCancel(context.Background())
	var upkeep, wg sync.WaitGroup
	upkeep.Go(func() {
		for ctx.Err() == nil {
			_, err := tr.store.Prune(ctx, time.Now())
			_, swept := tr.store.Sweep(ctx)
			if err := errors.Join(err, swept); err != nil && ctx.Err() == nil {
				t.Errorf("upkeep: %v", err)
			}
		}
	})
	for w := range writers {
		wg.Go(func() {
			for r := range rounds {
				err := tr.report(node(w), item(application, entry("Name", strconv.Itoa(r%5)), entry("Name", strconv.Itoa((r+w)%7))))
				if err != nil {
					t.Errorf("report: %v", err)
				}
			}
		})
	}
	wg.Wait()
	cancel()
	upkeep.Wait()
	answer := func() (all [][]inventory.NodeID) {
		for v := range 7 {
			all = append(all, tr.find(equal("AWS:Application.Name", strconv.Itoa(v))...))
		}
		return all
	}
	before := fmt.Sprint(answer())
	tr.restart()
	defer tr.stop()
	if after := fmt.Sprint(answer()); after != before {
		t.Errorf("answers before %v, and after a restart %v", before, after)
	}
	last := strconv.Itoa((rounds - 1) % 5)
	if got := tr.find(equal("AWS:Application.Name", last)...); len(got) < writers {
		t.Errorf("every node reported %s last, and %v are answered", last, got)
	}
}

// TestLargestItem stores as many entries as the model lets an item have, and changes one of them.
func TestLargestItem(t *testing.T) {
	const most = 10_000
	tr := newPebbleTrial(t)
	entries := make([]inventory.Entry, most)
	for i := range entries {
		entries[i] = entry("InstalledTime", fmt.Sprintf("2026-01-01T%05d", i), "Name", fmt.Sprintf("package %d", i%3000), "Version", strconv.Itoa(i))
	}
	tr.mustReport(node(1), item(application, entries...))
	entries[most/2] = entry("Name", "the changed one")
	tr.mustReport(node(1), item(application, entries...))
	tr.restart()
	defer tr.stop()
	out, err := tr.ListInventoryEntries(context.Background(), home, ssm.ListInventoryEntriesInput{
		Node: node(1), Type: application, Filters: []inventory.RawFilter{{Key: "Version", Values: []string{"9997"}, Operator: "GreaterThan"}},
	})
	if err != nil || len(out.Entries) != 2 {
		t.Errorf("the last entries are %v (%v)", out.Entries, err)
	}
	for name, want := range map[string]int{"the changed one": 1, "package 2999": 1, "package 3000": 0} {
		if got := tr.find(equal("AWS:Application.Name", name)...); len(got) != want {
			t.Errorf("%q is found on %v", name, got)
		}
	}
	if got := tr.find(equal("AWS:Application.Version", strconv.Itoa(most/2))...); len(got) != 0 {
		t.Errorf("the entry that was replaced is found on %v", got)
	}
}
