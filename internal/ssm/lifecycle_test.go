package ssm_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
	"stocktake/internal/store"
)

// lifetime runs a test in a time of its own, over a service that counts nodes as lost after half an hour.
func lifetime(t *testing.T, f func(t *testing.T, tr *trial)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		tr := newTrial(t)
		tr.stop()
		tr.config.ConnectionLostAfter = 30 * time.Minute
		tr.start()
		f(t, tr)
		tr.stop()
	})
}

// wantStatus holds the node to a status, as AWS:InstanceInformation shows it.
func (tr *trial) wantStatus(when string, id inventory.NodeID, want inventory.Status) {
	tr.t.Helper()
	if got := tr.information(id); !strings.Contains(got, "InstanceStatus="+string(want)+" ") {
		tr.t.Errorf("%s: %s: %s", when, id, got)
	}
}

// pass lets time go by in which some nodes send a heartbeat every five minutes.
func (tr *trial) pass(d time.Duration, beating ...inventory.NodeID) {
	tr.t.Helper()
	for ; d > 0; d -= 5 * time.Minute {
		for _, id := range beating {
			tr.beat(ping(id))
		}
		time.Sleep(min(d, 5*time.Minute))
		synctest.Wait()
	}
}

func TestSilentNodesAreLost(t *testing.T) {
	lifetime(t, func(t *testing.T, tr *trial) {
		tr.beat(whole(node(1)))
		tr.beat(whole(node(2)))
		tr.beat(whole(node(4)))
		tr.mustReport(node(3), item(application, entry("Name", "a")))
		tr.pass(29*time.Minute, node(2))
		tr.wantStatus("before the time", node(1), inventory.Active)
		tr.mustReport(node(4), item(application, entry("Name", "a")))
		tr.pass(2*time.Minute, node(2))
		tr.wantStatus("after the time", node(1), inventory.ConnectionLost)
		tr.wantStatus("it goes on", node(2), inventory.Active)
		tr.wantStatus("it never sent a heartbeat", node(3), inventory.Active)
		tr.wantStatus("it reported", node(4), inventory.Active)
		tr.pass(day, node(2))
		tr.wantStatus("it never sent a heartbeat", node(3), inventory.Active)
		tr.wantStatus("it stopped reporting too", node(4), inventory.ConnectionLost)
		tr.beat(ping(node(1)))
		tr.wantStatus("it is heard of again", node(1), inventory.Active)
		tr.mustReport(node(4), item(application, entry("Name", "a")))
		tr.wantStatus("it reports again", node(4), inventory.Active)
		tr.pass(31 * time.Minute)
		tr.wantStatus("it is silent again", node(1), inventory.ConnectionLost)
		tr.wantStatus("it is silent again", node(4), inventory.ConnectionLost)
	})
}

func TestNobodyIsLostWhereItIsSwitchedOff(t *testing.T) {
	lifetime(t, func(t *testing.T, tr *trial) {
		tr.stop()
		tr.config.ConnectionLostAfter = 0
		tr.start()
		tr.beat(whole(node(1)))
		tr.pass(day)
		tr.wantStatus("after a day", node(1), inventory.Active)
	})
}

// TestSilenceCountsFromTheReturn stops the service for an hour.
func TestSilenceCountsFromTheReturn(t *testing.T) {
	lifetime(t, func(t *testing.T, tr *trial) {
		tr.beat(whole(node(1)))
		tr.pass(25 * time.Minute)
		tr.stop()
		time.Sleep(time.Hour)
		tr.start()
		tr.wantStatus("at the return", node(1), inventory.Active)
		tr.pass(29 * time.Minute)
		tr.wantStatus("before the time since the return", node(1), inventory.Active)
		tr.pass(3 * time.Minute)
		tr.wantStatus("after the time since the return", node(1), inventory.ConnectionLost)
	})
}

// out is a store that does not answer while it is told not to.
type out struct {
	store.Store
	dark *atomic.Bool
}

func (o out) PutRecord(ctx context.Context, r store.Record) (uint64, error) {
	if o.dark.Load() {
		return 0, store.ErrUnavailable
	}
	return o.Store.PutRecord(ctx, r)
}

func (o out) RecordsHead(ctx context.Context) (inventory.Position, error) {
	if o.dark.Load() {
		return inventory.Position{}, store.ErrUnavailable
	}
	return o.Store.RecordsHead(ctx)
}

func (o out) Read(ctx context.Context, keys []inventory.NodeKey, types []inventory.TypeName) ([]store.NodeScan, error) {
	if o.dark.Load() {
		return nil, store.ErrUnavailable
	}
	return o.Store.Read(ctx, keys, types)
}

// TestSilenceCountsFromTheStoresReturn has the store away for an hour, in which no heartbeat can be taken.
func TestSilenceCountsFromTheStoresReturn(t *testing.T) {
	lifetime(t, func(t *testing.T, tr *trial) {
		tr.stop()
		var dark atomic.Bool
		tr.wrap = func(st store.Store) store.Store { return out{st, &dark} }
		tr.start()
		tr.beat(whole(node(1)))
		tr.pass(25 * time.Minute)
		dark.Store(true)
		if err := tr.Heartbeat(t.Context(), home, ping(node(1))); inventory.CodeOf(err) != inventory.Internal || err == nil {
			t.Errorf("a heartbeat while the store is away gives %v", err)
		}
		tr.pass(time.Hour)
		dark.Store(false)
		tr.pass(29 * time.Minute)
		tr.wantStatus("before the time since the return", node(1), inventory.Active)
		tr.pass(3 * time.Minute)
		tr.wantStatus("after the time since the return", node(1), inventory.ConnectionLost)
	})
}

// TestNodesOfBeforeAreNotSilent removes a node that sent heartbeats; one that reports by its id never did.
func TestNodesOfBeforeAreNotSilent(t *testing.T) {
	lifetime(t, func(t *testing.T, tr *trial) {
		tr.beat(whole(node(1)))
		tr.pass(5 * time.Minute)
		if err := tr.RemoveNode(t.Context(), home, node(1)); err != nil {
			t.Fatal(err)
		}
		tr.mustReport(node(1), item(application, entry("Name", "a")))
		tr.pass(time.Hour)
		tr.wantStatus("an hour after its report", node(1), inventory.Active)
	})
}

// TestServersHearTogether has two servers over one store: what one hears keeps the other from marking nodes as lost, whichever
// of them looks; a node silent to both is lost once.
func TestServersHearTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := newServers(t, 2)
		for _, s := range all {
			s.stop()
			s.config.ConnectionLostAfter = 30 * time.Minute
			s.start()
		}
		for n := range 3 {
			all[n%2].beat(whole(node(n)))
		}
		for range 20 {
			all[0].beat(ping(node(0)))
			all[1].beat(ping(node(1)))
			time.Sleep(5 * time.Minute)
			synctest.Wait()
		}
		for _, s := range all {
			s.wantStatus("heard by the first", node(0), inventory.Active)
			s.wantStatus("heard by the second", node(1), inventory.Active)
			s.wantStatus("heard by nobody", node(2), inventory.ConnectionLost)
			s.stop()
		}
	})
}

// TestHeartbeatsAreSeenByAllServers asks one server of two for what the other heard, and heard again.
func TestHeartbeatsAreSeenByAllServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := newServers(t, 2)
		for hour := range 3 {
			all[hour%2].beat(ping(node(1)))
			heard := time.Now()
			time.Sleep(time.Minute)
			synctest.Wait()
			for n, s := range all {
				nodes, _, err := s.DescribeNodes(t.Context(), home, ssm.DescribeNodesInput{})
				if err != nil || len(nodes) != 1 || nodes[0].LastPing.Unix() != heard.Unix() {
					t.Errorf("hour %d: server %d tells of %+v, %v", hour, n, nodes, err)
				}
			}
			time.Sleep(time.Hour)
		}
		for _, s := range all {
			s.stop()
		}
	})
}

// TestHeartbeatsOutliveTheServer restarts between a heartbeat and the next batch.
func TestHeartbeatsOutliveTheServer(t *testing.T) {
	lifetime(t, func(t *testing.T, tr *trial) {
		tr.beat(whole(node(1)))
		tr.restart()
		// Only a node known to send heartbeats is lost by silence.
		tr.pass(35 * time.Minute)
		tr.wantStatus("after the restart", node(1), inventory.ConnectionLost)
	})
}

// TestHeartbeatsKeepNodesKnown has a node that sends heartbeats and never reports outlast retention.
func TestHeartbeatsKeepNodesKnown(t *testing.T) {
	retained(t, func(t *testing.T, fl *lapsing) {
		fl.beat(whole(node(1)))
		fl.beat(whole(node(2)))
		for range 20 {
			fl.beat(ping(node(1)))
			fl.pass(8 * time.Hour)
		}
		fl.wantKnown(node(1), true, "it sends heartbeats")
		fl.wantKnown(node(2), false, "it sends none any more")
	})
}
