package ssm_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
	"stocktake/internal/store"
)

// newLapsed gives two servers whose fleet was not heard of for longer than they keep documents: periodic passes hold.
func newLapsed(t *testing.T, nodes int) []*server {
	t.Helper()
	all := newServers(t, 2)
	for _, s := range all {
		s.stop()
		s.config.Limits.Retention = 2 * time.Hour
	}
	for _, s := range all {
		s.start()
	}
	for n := range nodes {
		all[0].mustReport(node(n), withHash(item(application, entry("Name", "old")), "h"))
	}
	time.Sleep(150 * time.Minute)
	synctest.Wait()
	return all
}

// TestPassesOfRetentionMeet stops one pass before its first commit until another, on another server, is through, and the
// node it is at has reported again: every document goes once, and what was reported meanwhile stays.
func TestPassesOfRetentionMeet(t *testing.T) {
	const nodes = 8
	for _, again := range []string{"before the other pass", "after it", "by its hash alone, before it"} {
		t.Run(again, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				all := newLapsed(t, nodes)
				defer stopAll(all)
				held, release := all[1].calls.holdOne(isCommit(inventory.CauseRetention))
				defer release()
				ended := make(chan error)
				go func() {
					_, err := all[1].RunRetention(t.Context(), home)
					ended <- err
				}()
				<-held
				fresh := withHash(item(application, entry("Name", "new")), "h2")
				switch again {
				case "before the other pass":
					all[0].mustReport(node(0), fresh)
				case "by its hash alone, before it":
					all[0].mustReport(node(0), hashOnly(application, "h"))
				}
				if _, err := all[0].RunRetention(t.Context(), home); err != nil {
					t.Fatal(err)
				}
				if again == "after it" {
					all[0].mustReport(node(0), fresh)
				}
				release()
				if err := <-ended; err != nil {
					t.Fatal(err)
				}
				if got := fmt.Sprint(all[1].find()); got != fmt.Sprint([]inventory.NodeID{node(0)}) || len(all[1].list(node(0), application)) != 1 {
					t.Errorf("%s are known after both, not the one that reported", got)
				}
				want := 2 * (nodes - 1)
				if again == "after it" {
					want += 2
				}
				if n := all[0].causes()[inventory.CauseRetention]; n != want {
					t.Errorf("the feed has %d changes by retention, not the %d of documents that were dropped", n, want)
				}
			})
		})
	}
}

// TestACommandRightAfterAnOutage asks for a pass before any server has the upkeep: the one that had it died.
func TestACommandRightAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers(t, 1)[0]
		defer func() { s.stop() }()
		s.mustReport(node(1), item(application, entry("Name", "a")))
		synctest.Wait() // it has noted that it is up
		s.stop()
		lease, err := s.store.Record(t.Context(), store.Key("lease", "upkeep"))
		if err != nil {
			t.Fatal(err)
		}
		lease.Value = []byte(`{"Holder":"dead","Number":9}`)
		if _, err := s.store.PutRecord(t.Context(), lease); err != nil {
			t.Fatal(err)
		}
		time.Sleep(40 * day)
		s.start()
		if r, err := s.RunRetention(t.Context(), home); err != nil || r != (ssm.RetentionReport{Documents: 2}) {
			t.Errorf("after an outage the command answers %+v, %v", r, err)
		}
	})
}
