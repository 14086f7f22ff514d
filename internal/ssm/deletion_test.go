package ssm_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
	"stocktake/internal/store"
)

const rack inventory.TypeName = "Custom:Rack"

func (tr *trial) remove(in ssm.DeleteInventoryInput) (ssm.Deletion, error) {
	return tr.DeleteInventory(context.Background(), home, in)
}

// finished waits until no deletion is under way, and gives them all.
func (tr *trial) finished() []ssm.Deletion {
	tr.t.Helper()
	for range 4000 {
		out, err := tr.DescribeInventoryDeletions(context.Background(), home, ssm.DescribeInventoryDeletionsInput{})
		if err != nil {
			tr.t.Fatal(err)
		}
		running := false
		for _, d := range out.Deletions {
			running = running || !d.Done
		}
		if !running {
			return out.Deletions
		}
		time.Sleep(2 * time.Millisecond)
	}
	tr.t.Fatal("deletions are still under way")
	return nil
}

// TestDeletionIsResumedWhereverItStopped stops the service after each commit of a job, and lets nodes report in between.
func TestDeletionIsResumedWhereverItStopped(t *testing.T) {
	const nodes = 6
	for _, open := range []func(testing.TB) *trial{newTrial, newPebbleTrial} {
		for commits := range int64(nodes) {
			tr := open(t)
			tr.stop()
			tr.hold(inventory.CauseDeletion, commits)
			tr.start()
			for n := range nodes {
				tr.mustReport(node(n), item(rack, entry("Location", "old")), item(application, entry("Name", "a")))
			}
			d, err := tr.remove(ssm.DeleteInventoryInput{Type: rack})
			if err != nil {
				t.Fatal(err)
			}
			tr.mustReport(node(nodes), item(rack, entry("Location", "new")))
			tr.mustReport(node(0), item(rack, entry("Location", "new")))
			tr.stop()
			tr.wrap = nil
			tr.start()
			tr.mustReport(node(1), item(rack, entry("Location", "new")))
			all := tr.finished()
			if len(all) != 1 || all[0].ID != d.ID {
				t.Fatalf("the deletions are %+v", all)
			}
			if total, remaining := all[0].Total(); total != nodes || remaining != 0 {
				t.Errorf("%d of %d are said to remain", remaining, total)
			}
			if got, want := fmt.Sprint(tr.find(equal("Custom:Rack.Location", "new")...)), fmt.Sprint([]inventory.NodeID{node(0), node(1), node(nodes)}); got != want {
				t.Errorf("stopped after %d commits: %s have what was put later, not %s", commits, got, want)
			}
			if got := tr.find(equal("Custom:Rack.Location", "old")...); got != nil {
				t.Errorf("stopped after %d commits: %v keep what was to go", commits, got)
			}
			if got := tr.find(equal("AWS:Application.Name", "a")...); len(got) != nodes {
				t.Errorf("stopped after %d commits: %v keep another type", commits, got)
			}
			tr.stop()
		}
	}
}

// TestRacingDeletionsAreOne begins many deletions of one type at the same time.
func TestRacingDeletionsAreOne(t *testing.T) {
	const callers = 16
	tr := newTrial(t)
	tr.stop()
	tr.hold(inventory.CauseDeletion, 0)
	tr.start()
	defer tr.stop()
	tr.mustReport(node(1), item(rack, entry("Location", "A")))
	tr.mustReport(node(1), item("Custom:Shelf", entry("Name", "A")))
	var wg sync.WaitGroup
	var ids sync.Map
	var begun atomic.Int64
	for c := range callers {
		wg.Go(func() {
			own := fmt.Sprintf("00000000-0000-4000-8000-0000000000%02d", c)
			_, err := tr.remove(ssm.DeleteInventoryInput{Type: rack, ClientToken: own})
			switch {
			case err == nil:
				begun.Add(1)
			case inventory.CodeOf(err) != inventory.InvalidInventoryRequest:
				t.Errorf("one of several deletions: %v", err)
			}
			d, err := tr.remove(ssm.DeleteInventoryInput{Type: "Custom:Shelf", ClientToken: "ffffffff-0000-4000-8000-000000000000"})
			if err != nil {
				t.Errorf("the same deletion again: %v", err)
			}
			ids.Store(d.ID, true)
		})
	}
	wg.Wait()
	same := 0
	ids.Range(func(any, any) bool { same++; return true })
	if begun.Load() != 1 || same != 1 {
		t.Errorf("%d deletions of one type began, and one token gave %d ids", begun.Load(), same)
	}
}

// TestReportsBesideADroppedSchema drops a type's schema again and again while nodes report the type: a report that was
// acknowledged is either gone with the deletion or answered.
func TestReportsBesideADroppedSchema(t *testing.T) {
	const rounds, reporters = 60, 4
	tr := newTrial(t)
	defer tr.stop()
	for r := range rounds {
		tr.mustReport(node(100), item(rack, entry("Location", "A")))
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := tr.remove(ssm.DeleteInventoryInput{Type: rack, SchemaOption: ssm.DeleteSchema}); err != nil {
				t.Errorf("deletion: %v", err)
			}
		})
		for n := range reporters {
			wg.Go(func() {
				if err := tr.report(node(n), item(rack, entry("Location", fmt.Sprint(r)))); err != nil {
					t.Errorf("report: %v", err)
				}
			})
		}
		wg.Wait()
		tr.finished()
		_, err := tr.GetInventorySchema(t.Context(), home, ssm.GetInventorySchemaInput{Type: string(rack)})
		if inventory.CodeOf(err) == inventory.InvalidTypeName && tr.holders(rack) > 0 {
			t.Fatalf("round %d: %d nodes hold a type nobody knows", r, tr.holders(rack))
		}
	}
}

// holders counts the nodes that have a document of a type in the store.
func (tr *trial) holders(t inventory.TypeName) int {
	tr.t.Helper()
	n := 0
	for shard := range tr.store.Identity().Shards {
		nodes, more, err := tr.store.Scan(context.Background(), shard, nil, 1<<20)
		if err != nil || more {
			tr.t.Fatalf("scan: %v, more %v", err, more)
		}
		for _, s := range nodes {
			if len(s.Node.ItemsOf(t)) > 0 {
				n++
			}
		}
	}
	return n
}

// leaving is a store whose caller goes away while a job's record is written.
type leaving struct {
	store.Store
	leave func()
}

func (l leaving) PutRecord(ctx context.Context, r store.Record) (uint64, error) {
	revision, err := l.Store.PutRecord(context.WithoutCancel(ctx), r)
	if strings.HasPrefix(r.Key, "deletion/") {
		l.leave()
	}
	if err == nil && ctx.Err() != nil {
		return 0, ctx.Err()
	}
	return revision, err
}

func TestDeletionIsDoneThoughItsCallerLeft(t *testing.T) {
	tr := newTrial(t)
	ctx, leave := context.WithCancel(t.Context())
	tr.wrap = func(st store.Store) store.Store { return leaving{st, leave} }
	tr.restart()
	defer tr.stop()
	tr.mustReport(node(1), item(rack, entry("Location", "A")))
	if _, err := tr.DeleteInventory(ctx, home, ssm.DeleteInventoryInput{Type: rack}); err != nil {
		t.Errorf("the caller is told %v", err)
	}
	tr.finished()
	if n := tr.holders(rack); n != 0 {
		t.Errorf("%d nodes still hold the type", n)
	}
}
