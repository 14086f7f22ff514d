package ssm_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// refuse has a node of a region refused.
func (tr *trial) refuse(region string, id inventory.NodeID) {
	tr.NoteRefusal(inventory.NodeKey{Partition: inventory.Partition{Account: home.Account, Region: region}, Node: id}, "PutInventory", "InvalidInstanceId", "No.")
}

// refusalOf gives what is told of a node's last refusal; empty: nothing, or the node is not known at all.
func (tr *trial) refusalOf(region string, id inventory.NodeID) string {
	e, err := tr.ExplainNode(context.Background(), inventory.Partition{Account: home.Account, Region: region}, id)
	if err != nil || e.Refusal == nil {
		return ""
	}
	return e.Refusal.Text
}

// heartbeatRecords counts the records of heartbeats and refusals.
func (tr *trial) heartbeatRecords() int {
	tr.t.Helper()
	records, err := tr.store.ListRecords(context.Background(), "heartbeat/", "", 1000)
	if err != nil {
		tr.t.Fatal(err)
	}
	return len(records)
}

// wait lets time go by, and what happens in it end.
func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// TestRefusedStrangersAreNotStored has three thousand nodes refused that nobody knows, in a hundred regions.
func TestRefusedStrangersAreNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrial(t)
		defer tr.stop()
		told := 0
		for n := range 3000 {
			tr.refuse(fmt.Sprintf("r-%d", n%100), node(n))
		}
		for n := range 3000 {
			if tr.refusalOf(fmt.Sprintf("r-%d", n%100), node(n)) != "" {
				told++
			}
		}
		if told == 0 || told > 1024 {
			t.Errorf("%d refusals of nodes that nobody knows are kept", told)
		}
		wait(2 * time.Minute)
		if n := tr.heartbeatRecords(); n != 0 {
			t.Errorf("they were written as %d records", n)
		}
	})
}

// TestRefusalsOutliveTheServerAndNotTheNode has a node refused, the service restarted, and the node removed.
func TestRefusalsOutliveTheServerAndNotTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrial(t)
		defer tr.stop()
		refused := func(again string) {
			tr.mustReport(node(1), item(application, entry("Name", "a")))
			tr.refuse(home.Region, node(1))
			wait(time.Minute)
			tr.restart()
			if got, n := tr.refusalOf(home.Region, node(1)), tr.heartbeatRecords(); got != "No." || n != 1 {
				t.Errorf("refused %s, the last refusal after a restart is %q, from %d records", again, got, n)
			}
		}
		refused("once")
		if err := tr.RemoveNode(t.Context(), home, node(1)); err != nil {
			t.Fatal(err)
		}
		wait(time.Minute)
		if n := tr.heartbeatRecords(); n != 0 {
			t.Errorf("%d records are left of nothing", n)
		}
		refused("again")
	})
}

func TestRefusalTextIsCut(t *testing.T) {
	tr := newTrial(t)
	defer tr.stop()
	key := inventory.NodeKey{Partition: home, Node: node(1)}
	tr.NoteRefusal(key, "PutInventory", "ValidationException", strings.Repeat("ä", 1000))
	if text := tr.refusalOf(home.Region, key.Node); len(text) > 303 || !strings.HasSuffix(text, "ä...") {
		t.Errorf("kept is %q", text)
	}
	key.Node = "no node"
	tr.NoteRefusal(key, "PutInventory", "ValidationException", "No.")
	if tr.refusalOf(home.Region, key.Node) != "" {
		t.Error("what is no node is kept")
	}
}

// lame is a store that takes its time to write heartbeats.
type lame struct {
	store.Store
	takes time.Duration
}

func (l lame) PutRecord(ctx context.Context, r store.Record) (uint64, error) {
	if strings.HasPrefix(r.Key, "heartbeat/") {
		time.Sleep(l.takes)
	}
	return l.Store.PutRecord(ctx, r)
}

// TestSlowWritesDoNotHoldUpSilence has a hundred nodes heard of whose heartbeats the store never comes to write in time, and
// one that fell silent.
func TestSlowWritesDoNotHoldUpSilence(t *testing.T) {
	lifetime(t, func(t *testing.T, tr *trial) {
		tr.stop()
		tr.wrap = func(st store.Store) store.Store { return lame{st, 9 * time.Second} }
		tr.start()
		var beating []inventory.NodeID
		for n := range 100 {
			beating = append(beating, node(10+n))
		}
		tr.beat(whole(node(1)))
		tr.pass(40*time.Minute, beating...)
		tr.wantStatus("it fell silent", node(1), inventory.ConnectionLost)
		tr.wantStatus("it goes on", node(10), inventory.Active)
	})
}
