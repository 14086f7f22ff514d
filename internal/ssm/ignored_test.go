package ssm_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
	"stocktake/internal/store"
)

// ignores starts a service that ignores Custom:Rack up to version 99.9, with a node.
func ignores(t *testing.T) *trial {
	tr := newTrial(t)
	rackAt := item("Custom:Rack", entry("Location", "A"))
	rackAt.SchemaVersion = "99.9"
	tr.mustReport(node(1), rackAt)
	if _, err := tr.DeleteInventory(t.Context(), home, ssm.DeleteInventoryInput{Type: "Custom:Rack", SchemaOption: ssm.DisableSchema}); err != nil {
		t.Fatal(err)
	}
	return tr
}

// send reports items of Custom:Rack of these versions.
func (tr *trial) send(versions ...string) {
	tr.t.Helper()
	var items []inventory.Item
	for _, v := range versions {
		it := item("Custom:Rack", entry("Location", "A"))
		it.SchemaVersion = v
		items = append(items, it)
	}
	tr.mustReport(node(1), items...)
}

// told gives the versions that the node's explanation says were ignored.
func (tr *trial) told() string {
	tr.t.Helper()
	e, err := tr.ExplainNode(context.Background(), home, node(1))
	if err != nil {
		tr.t.Fatal(err)
	}
	var versions []string
	for _, i := range e.Ignored {
		versions = append(versions, i.Version)
	}
	return strings.Join(versions, " ")
}

// TestIgnoredItemsAreTold has items ignored by several reports of a day.
func TestIgnoredItemsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // within one day
		tr := ignores(t)
		defer tr.stop()
		synctest.Wait()
		for _, c := range []struct {
			send []string
			told string
		}{
			{nil, ""},
			{[]string{"1.0", "2.0"}, "1.0 2.0"},
			{[]string{"2.0"}, "1.0 2.0"},
			{[]string{"2.0", "1.5"}, "1.0 2.0 1.5"},
		} {
			if len(c.send) > 0 {
				tr.send(c.send...)
			}
			if got := tr.told(); got != c.told {
				t.Errorf("%q are told after %q, want %q", got, c.send, c.told)
			}
		}
	})
}

// unnoted is a store that takes no record of ignored items.
type unnoted struct{ store.Store }

func (u unnoted) PutRecord(ctx context.Context, rec store.Record) (uint64, error) {
	if strings.HasPrefix(rec.Key, "ignored/") {
		return 0, errors.New("no room")
	}
	return u.Store.PutRecord(ctx, rec)
}

// TestIgnoredItemsFailNoReport has what is told of ignored items fail to be written: the report is stored and taken.
func TestIgnoredItemsFailNoReport(t *testing.T) {
	tr := ignores(t)
	tr.finished()
	tr.stop()
	var log bytes.Buffer
	tr.wrap = func(st store.Store) store.Store { return unnoted{st} }
	tr.config.Logger = slog.New(slog.NewTextHandler(&log, nil))
	tr.start()
	ignored, stored := item("Custom:Rack", entry("Location", "A")), item("AWS:Application", entry("Name", "a"))
	tr.mustReport(node(1), ignored, stored)
	if got := tr.list(node(1), "AWS:Application"); len(got) != 1 {
		t.Errorf("the rest of the report is %v", got)
	}
	tr.stop()
	if !strings.Contains(log.String(), "no room") {
		t.Errorf("the log has\n%s", log.String())
	}
}
