package ssm_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
)

// TestActivationsOfAnAccountAreBounded fills an account over two regions, of which another account sees nothing.
func TestActivationsOfAnAccountAreBounded(t *testing.T) {
	tr := newTrial(t)
	tr.stop()
	tr.config.Limits.Activations = 4
	tr.start()
	defer tr.stop()
	create := func(account, region string) (string, error) {
		id, _, err := tr.CreateActivation(t.Context(), inventory.Partition{Account: account, Region: region}, ssm.CreateActivationInput{Role: "inventory"})
		return id, err
	}
	var last string
	for n := range 4 {
		var err error
		if last, err = create(home.Account, fmt.Sprint("r-", n%2)); err != nil {
			t.Fatal(err)
		}
	}
	_, err := create(home.Account, "r-2")
	wantCode(t, err, inventory.InvalidParameters)
	if _, err := create("111111111111", "r-0"); err != nil {
		t.Errorf("another account: %v", err)
	}
	if err := tr.DeleteActivation(t.Context(), inventory.Partition{Account: home.Account, Region: "r-1"}, last); err != nil {
		t.Fatal(err)
	}
	if _, err := create(home.Account, "r-2"); err != nil {
		t.Errorf("after one was deleted: %v", err)
	}
}

// TestExpiredActivationsGo has one activation used and two expire, of which one did so within a month.
func TestExpiredActivationsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrial(t)
		defer tr.stop()
		used := tr.activate(ssm.CreateActivationInput{})
		key := tr.mustRegister(used.machine(1))
		later := tr.activate(ssm.CreateActivationInput{Expires: time.Now().Add(3 * day)})
		left := func() (ids []string) {
			for _, a := range tr.activations() {
				ids = append(ids, a.ID)
			}
			return ids
		}
		// The clock goes on while nothing runs: what is looked at every minute would be looked at for a month.
		tr.stop()
		time.Sleep(30 * day)
		tr.start()
		wait(2 * time.Hour)
		if got := left(); len(got) != 2 {
			t.Errorf("after 30 days there are %v", got)
		}
		wait(day + 2*time.Hour)
		if got := left(); len(got) != 1 || got[0] != later.id {
			t.Errorf("after 31 days there are %v", got)
		}
		if _, err := tr.registers(used.machine(2)); inventory.CodeOf(err) != inventory.InvalidActivation {
			t.Errorf("error is %v", err)
		}
		records, err := tr.store.ListRecords(t.Context(), "activationid/", "", 10)
		if err != nil || len(records) != 1 {
			t.Errorf("%d records lead to activations: %v", len(records), err)
		}
		if e, err := tr.ExplainNode(t.Context(), home, key.Node); err != nil || e.Activation != used.id {
			t.Errorf("its node registered with %q: %v", e.Activation, err)
		}
	})
}

// TestSubTypesOfAPartitionAreBounded has nodes report compliance of four types where three may be, in one call and in several,
// also by a server that remembers fewer.
func TestSubTypesOfAPartitionAreBounded(t *testing.T) {
	all := newServers(t, 2)
	for _, s := range all {
		s.stop()
		s.config.Limits.SubTypes = 3
		s.start()
		defer s.stop()
	}
	a, b := all[0], all[1]
	custom := func(n int) inventory.Item { return compliance(fmt.Sprint("Custom:", n), entry("Id", "x")) }
	wantCode(t, a.report(node(1), custom(1), custom(2), custom(3), custom(4)), inventory.SubTypeCountLimitExceeded)
	a.mustReport(node(1), custom(1), custom(1))
	for n, sub := range []string{"Other", "Custom:2"} {
		b.mustReport(node(2+n), compliance(sub, entry("Id", "x")), compliance("Association", entry("Id", "x")))
	}
	wantCode(t, a.report(node(1), custom(1), custom(4)), inventory.SubTypeCountLimitExceeded)
	a.mustReport(node(1), custom(1), custom(2), compliance("Patch", entry("Id", "x")))
	for n := range 3 {
		if err := b.report(node(5), custom(4+n)); err == nil || !strings.Contains(err.Error(), "limit_sub_types") {
			t.Errorf("error is %v", err)
		}
	}
}

// TestContextsAreAsLongAsTheModelHasThem gives every value of a context its last length, and one more.
func TestContextsAreAsLongAsTheModelHasThem(t *testing.T) {
	tr := newTrial(t)
	defer tr.stop()
	for name, most := range map[string]int{"ComplianceType": 100, "ExecutionId": 100, "ExecutionType": 50, "ExecutionTime": 50} {
		it := compliance("Custom:A", entry("Id", "x"))
		it.Context = it.Context.Merge(entry(name, strings.Repeat("ä", most)))
		tr.mustReport(node(1), it)
		it.Context = it.Context.Merge(entry(name, strings.Repeat("ä", most+1)))
		wantCode(t, tr.report(node(1), it), inventory.InvalidInventoryItemContext)
	}
}
