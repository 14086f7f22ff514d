package ssm_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
	"stocktake/internal/store"
)

// dying is a store that takes so many writes of records and then no more, as if the process had ended there.
type dying struct {
	store.Store
	left *atomic.Int64
}

var errDead = errors.New("the process is dead")

func (d dying) PutRecord(ctx context.Context, r store.Record) (uint64, error) {
	if d.left.Add(-1) < 0 {
		return 0, errDead
	}
	return d.Store.PutRecord(ctx, r)
}

func (d dying) DeleteRecord(ctx context.Context, key string, revision uint64) error {
	if d.left.Add(-1) < 0 {
		return errDead
	}
	return d.Store.DeleteRecord(ctx, key, revision)
}

// TestSchemaOptionsTakeEffectOnce ends the process after each write of a deletion. Whatever the next one finds, it leaves
// what is reported to it alone: a type dropped and taught anew, a version higher than the one disabled.
func TestSchemaOptionsTakeEffectOnce(t *testing.T) {
	for _, option := range []string{ssm.DeleteSchema, ssm.DisableSchema} {
		for writes := range int64(10) {
			when := fmt.Sprintf("%s, ended after %d writes", option, writes)
			tr := newTrial(t)
			tr.mustReport(node(1), item(rack, entry("Location", "old")))
			tr.stop()
			var left atomic.Int64
			left.Store(1 << 40)
			tr.wrap = func(st store.Store) store.Store {
				return dying{held{st, inventory.CauseDeletion, new(atomic.Int64)}, &left}
			}
			tr.start()
			left.Store(writes)
			_, err := tr.remove(ssm.DeleteInventoryInput{Type: rack, SchemaOption: option})
			if err != nil && !errors.Is(err, errDead) {
				t.Fatalf("%s: %v", when, err)
			}
			tr.stop()
			tr.wrap = nil
			tr.start()
			later := item(rack, entry("Location", "new"))
			later.SchemaVersion = "2.0"
			tr.mustReport(node(2), later)
			deletions := tr.finished()
			if got := tr.find(equal("Custom:Rack.Location", "new")...); len(got) != 1 {
				t.Errorf("%s: what was put later is on %v", when, got)
			}
			want := 1 - len(deletions)
			if got := tr.find(equal("Custom:Rack.Location", "old")...); len(got) != want {
				t.Errorf("%s: %d deletions, and what was put before is on %v", when, len(deletions), got)
			}
			message, err := tr.PutInventory(t.Context(), home, ssm.PutInventoryInput{Node: node(2), Items: []inventory.Item{later}})
			if err != nil || message != "" {
				t.Errorf("%s: the higher version is answered with %q, %v", when, message, err)
			}
			tr.stop()
		}
	}
}
