package ssm_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
	"stocktake/internal/store"
)

// raced is one report and one deletion of its type that meet on two servers.
type raced struct {
	option string
	report string // of which kind
}

// input is the report. The node holds "old" with the hash h, in version 1.0.
func (r raced) input() ssm.PutInventoryInput {
	it := withHash(item(rack, entry("Location", "new")), "h2")
	switch r.report {
	case "unchanged":
		it = hashOnly(rack, "h")
	case "other version":
		it = hashOnly(rack, "h")
		it.SchemaVersion = "1.1"
	case "taught":
		it = withHash(item(rack, entry("Location", "new", "Depth", "1")), "h2")
	case "without hash":
		it = item(rack, entry("Location", "old"))
	}
	return ssm.PutInventoryInput{Node: node(1), Items: []inventory.Item{it}}
}

// meet stops one of the two before its nth call to the store until the other is through, and gives whether it made as
// many calls.
func (r raced) meet(t *testing.T, stopReport bool, nth int) (reached bool) {
	all := newServers(t, 2)
	defer stopAll(all)
	putting, deleting := all[0], all[1]
	for n := range 3 {
		putting.mustReport(node(n), withHash(item(rack, entry("Location", "old")), "h"))
	}
	var putErr, deleteErr error
	var message string
	put := func() { message, putErr = putting.PutInventory(context.Background(), home, r.input()) }
	remove := func() { _, deleteErr = deleting.remove(ssm.DeleteInventoryInput{Type: rack, SchemaOption: r.option}) }
	slow, first, second := putting, put, remove
	if !stopReport {
		slow, first, second = deleting, remove, put
	}
	calls := 0
	held, release := slow.calls.holdOne(func(name string) bool {
		if strings.Contains(name, "lease/") {
			return false
		}
		calls++
		return calls == nth
	})
	var wg sync.WaitGroup
	wg.Go(first)
	select {
	case <-held:
		reached = true
		second()
		release()
		wg.Wait()
	case <-time.After(500 * time.Millisecond):
		release()
		wg.Wait()
		second()
	}
	time.Sleep(5 * time.Second)
	synctest.Wait()
	putting.finished()
	if deleteErr != nil {
		t.Errorf("the deletion: %v", deleteErr)
	}
	r.check(t, all, message, putErr)
	return reached
}

// check holds what is left to one of the two orders.
func (r raced) check(t *testing.T, all []*server, message string, err error) {
	t.Helper()
	for i, s := range all {
		_, schema := s.GetInventorySchema(context.Background(), home, ssm.GetInventorySchemaInput{Type: string(rack)})
		known := schema == nil
		var holders []inventory.NodeID
		if known {
			holders = s.find(inventory.RawFilter{Key: "Custom:Rack.Location", Values: []string{"old", "new"}})
		}
		if n := s.holders(rack); n != len(holders) {
			t.Errorf("server %d answers with %d nodes of the %d that hold the type; it is known: %v", i, len(holders), n, known)
		}
		if n := len(holders); n > 1 || n == 1 && holders[0] != node(1) {
			t.Errorf("server %d: %v keep what was to go", i, holders)
		}
		stays := len(holders) == 1
		switch {
		case err != nil && (inventory.CodeOf(err) != inventory.ItemContentMismatch || !strings.Contains("unchanged, other version", r.report)):
			t.Errorf("the report: %v", err)
		case (err != nil || message != "") && stays:
			t.Errorf("a report that was answered with %q, %v is stored", message, err)
		case stays && r.option == ssm.DisableSchema && r.report != "other version":
			t.Errorf("what was reported in a disabled version is stored")
		case !known && r.option != ssm.DeleteSchema:
			t.Errorf("the type is not known any more")
		}
	}
	// What comes later is judged by what the deletion left.
	later := item(rack, entry("Location", "later"))
	message, err = all[0].PutInventory(context.Background(), home, ssm.PutInventoryInput{Node: node(2), Items: []inventory.Item{later}})
	if want := r.option == ssm.DisableSchema; err != nil || (message != "") != want {
		t.Errorf("a later report is answered with %q, %v", message, err)
	}
	if got := all[1].find(equal("Custom:Rack.Location", "later")...); r.option != ssm.DisableSchema && len(got) != 1 {
		t.Errorf("what was reported later is on %v", got)
	}
}

// TestAReportMeetsADeletion stops a report before each of its calls to the store until a deletion of its type was
// acknowledged, and a deletion before each of its own until a report was: whatever is left is as after one and then the
// other.
func TestAReportMeetsADeletion(t *testing.T) {
	for _, option := range []string{"", ssm.DisableSchema, ssm.DeleteSchema} {
		for _, report := range []string{"changed", "unchanged", "other version", "taught", "without hash"} {
			for _, stopReport := range []bool{true, false} {
				reached := true
				for nth := 1; reached && nth < 200; nth++ {
					name := fmt.Sprintf("%s report and %s, the report stopped: %v, before call %d", report, option, stopReport, nth)
					if !t.Run(name, func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) { reached = raced{option, report}.meet(t, stopReport, nth) })
					}) {
						return
					}
				}
			}
		}
	}
}

// TestOneTokenIsOneDeletionEverywhere begins deletions with one token, and with several, on two servers at once.
func TestOneTokenIsOneDeletionEverywhere(t *testing.T) {
	const callers = 8
	all := newServers(t, 2)
	defer stopAll(all)
	for round := range 20 {
		all[0].mustReport(node(1), item(rack, entry("Location", "A")), item("Custom:Shelf", entry("Name", "A")))
		var release []func() // of the jobs, which must not be done before all have called
		for _, s := range all {
			_, free := s.calls.holdAll(isCommit(inventory.CauseDeletion))
			release = append(release, free)
		}
		var wg sync.WaitGroup
		var begun atomic.Int64
		var ids sync.Map
		for c := range callers {
			wg.Go(func() {
				own := fmt.Sprintf("%08d-0000-4000-8000-%012d", round, c)
				_, err := all[c%2].remove(ssm.DeleteInventoryInput{Type: rack, ClientToken: own, SchemaOption: ssm.DeleteSchema})
				switch {
				case err == nil:
					begun.Add(1)
				case inventory.CodeOf(err) != inventory.InvalidInventoryRequest && inventory.CodeOf(err) != inventory.InvalidTypeName:
					t.Errorf("one of several deletions: %v", err)
				}
			})
			wg.Go(func() {
				shared := fmt.Sprintf("%08d-ffff-4000-8000-000000000000", round)
				d, err := all[c%2].remove(ssm.DeleteInventoryInput{Type: "Custom:Shelf", ClientToken: shared, SchemaOption: ssm.DeleteSchema})
				if err != nil {
					t.Errorf("the same deletion again: %v", err)
				}
				ids.Store(d.ID, true)
			})
		}
		wg.Wait()
		for _, free := range release {
			free()
		}
		same := 0
		ids.Range(func(any, any) bool { same++; return true })
		if begun.Load() != 1 || same != 1 {
			t.Fatalf("round %d: %d deletions of one type began, and one token gave %d ids", round, begun.Load(), same)
		}
		all[1].finished()
		if n := all[0].holders(rack) + all[0].holders("Custom:Shelf"); n != 0 {
			t.Fatalf("round %d: %d nodes hold what was deleted", round, n)
		}
	}
}

// TestOneDeletionDropsTheType stops a deletion before each of its calls to the store until another, that drops the type,
// is done: one of the two finds the type, and the other is refused.
func TestOneDeletionDropsTheType(t *testing.T) {
	for _, option := range []string{"", ssm.DeleteSchema} {
		for nth, reached := 1, true; reached && nth < 100; nth++ {
			ok := t.Run(fmt.Sprintf("%s stopped before call %d", option, nth), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { reached = dropTwice(t, option, nth) })
			})
			if !ok {
				return
			}
		}
	}
}

// dropTwice gives whether the deletion that is to be stopped made as many calls.
func dropTwice(t *testing.T, option string, nth int) (reached bool) {
	all := newServers(t, 2)
	defer stopAll(all)
	all[0].mustReport(node(1), item(rack, entry("Location", "old")))
	calls := 0
	held, release := all[1].calls.holdOne(func(name string) bool {
		if strings.Contains(name, "lease/") {
			return false
		}
		calls++
		return calls == nth
	})
	defer release()
	ended := make(chan error)
	var d ssm.Deletion
	go func() {
		var err error
		d, err = all[1].remove(ssm.DeleteInventoryInput{Type: rack, SchemaOption: option})
		ended <- err
	}()
	var slow error
	select {
	case <-held:
		reached = true
	case slow = <-ended:
	}
	_, fast := all[0].remove(ssm.DeleteInventoryInput{Type: rack, SchemaOption: ssm.DeleteSchema})
	if reached {
		if fast == nil {
			all[0].finished()
		}
		release()
		slow = <-ended
	}
	all[0].finished()
	refused := slow
	if slow == nil {
		refused = fast
	}
	switch code := inventory.CodeOf(refused); {
	case slow == nil && fast == nil && len(d.Versions) > 0 && option == "": // it came first, and left the type
	case (slow == nil) == (fast == nil), fast == nil && code != inventory.InvalidTypeName,
		slow == nil && code != inventory.InvalidTypeName && code != inventory.InvalidInventoryRequest:
		t.Errorf("the deletion that was stopped ends with %v, the other with %v", slow, fast)
	}
	return reached
}

// TestTypesOfAllServersStopAtTheQuota teaches types through three servers at once.
func TestTypesOfAllServersStopAtTheQuota(t *testing.T) {
	const writers = 45
	all := newServers(t, 3)
	defer stopAll(all)
	var taken atomic.Int64
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			err := all[w%3].report(node(w), item(inventory.TypeName(fmt.Sprintf("Custom:T%d", w)), entry("Name", "x")))
			switch {
			case err == nil:
				taken.Add(1)
			case inventory.CodeOf(err) != inventory.CustomSchemaCountLimitExceeded:
				t.Errorf("writer %d: %v", w, err)
			}
		})
	}
	wg.Wait()
	quota := all[0].config.Limits.CustomTypes
	for i, s := range all {
		out, err := s.GetInventorySchema(t.Context(), home, ssm.GetInventorySchemaInput{})
		if err != nil {
			t.Fatal(err)
		}
		if own := len(out.Schemas) - 15; own != quota || int(taken.Load()) != quota {
			t.Errorf("server %d lists %d types, and %d were taken of a quota of %d", i, own, taken.Load(), quota)
		}
	}
	left, err := all[0].store.ListRecords(t.Context(), "schema/", "", 100)
	if err != nil || len(left) != quota {
		t.Errorf("%d records of schemas are kept (%v)", len(left), err)
	}
}

// TestATypeTaughtTwiceAtOnceHasWhatBothTaught stops two servers in the midst of teaching the same new type.
func TestATypeTaughtTwiceAtOnceHasWhatBothTaught(t *testing.T) {
	for _, at := range []string{"put schema-room/", "put schema/"} {
		for first := range 2 {
			t.Run(fmt.Sprintf("%s first %d", at, first), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { teachTwice(t, at, first) })
			})
		}
	}
}

// teachTwice holds both up at a call, and lets one of them go on first.
func teachTwice(t *testing.T, at string, first int) {
	all := newServers(t, 2)
	defer stopAll(all)
	attributes := []string{"One", "Two"}
	var release [2]func()
	var wg sync.WaitGroup
	for i, s := range all {
		var held <-chan struct{}
		held, release[i] = s.calls.holdOne(func(name string) bool { return strings.HasPrefix(name, at) })
		defer release[i]()
		wg.Go(func() { s.mustReport(node(i), item("Custom:Both", entry(attributes[i], "x"))) })
		<-held
	}
	for _, i := range []int{first, 1 - first} {
		release[i]()
		synctest.Wait()
		for _, s := range all {
			if got := s.find(equal("Custom:Both."+attributes[i], "x")...); len(got) != 1 || got[0] != node(i) {
				t.Errorf("what server %d taught is found on %v", i, got)
			}
		}
	}
	wg.Wait()
	for i := range all {
		for _, s := range all {
			if got := s.find(equal("Custom:Both."+attributes[i], "x")...); len(got) != 1 {
				t.Errorf("once both have taught, what server %d taught is found on %v", i, got)
			}
		}
	}
}

// TestTypesKnownBeforeTheyWereListed opens a store whose record of types is of before it held them.
func TestTypesKnownBeforeTheyWereListed(t *testing.T) {
	tr := newTrial(t)
	defer func() { tr.stop() }()
	tr.config.Limits.CustomTypes = 3
	tr.restart()
	tr.mustReport(node(1), item("Custom:A", entry("Name", "x")), item("Custom:B", entry("Name", "x")))
	key := store.Key("schema-room", home.Account, home.Region)
	rec, err := tr.store.Record(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tr.store.PutRecord(t.Context(), store.Record{Key: key, Revision: rec.Revision}); err != nil {
		t.Fatal(err)
	}
	tr.restart()
	if got := tr.find(equal("Custom:B.Name", "x")...); len(got) != 1 {
		t.Errorf("a type known before is found on %v", got)
	}
	tr.mustReport(node(2), item("Custom:C", entry("Name", "x")))
	wantCode(t, tr.report(node(2), item("Custom:D", entry("Name", "x"))), inventory.CustomSchemaCountLimitExceeded)
	if _, err := tr.remove(ssm.DeleteInventoryInput{Type: "Custom:A", SchemaOption: ssm.DeleteSchema}); err != nil {
		t.Fatal(err)
	}
	tr.mustReport(node(2), item("Custom:D", entry("Name", "x")))
}

// TestADocumentCutAnewDoesNotOutliveItsDeletion holds the rewriting of a document up until its type is deleted.
func TestADocumentCutAnewDoesNotOutliveItsDeletion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := newServers(t, 2)
		defer stopAll(all)
		cutting, deleting := all[0], all[1]
		held, release := cutting.calls.holdOne(isCommit(inventory.CauseSplit))
		defer release()
		for id := range splitNodes {
			deleting.reportEvents(id, 1)
		}
		<-held
		if _, err := deleting.remove(ssm.DeleteInventoryInput{Type: events}); err != nil {
			t.Fatal(err)
		}
		release()
		time.Sleep(time.Minute)
		synctest.Wait()
		deleting.finished()
		refused := slices.ContainsFunc(cutting.calls.names(), func(name string) bool {
			err, ended := cutting.calls.outcome(name)
			return ended && errors.Is(err, store.ErrFenced)
		})
		if n := deleting.holders(events); n != 0 || !refused {
			t.Errorf("%d nodes hold the type; the commit was refused: %v", n, refused)
		}
	})
}
