package ssm_test

import (
	"context"
	"fmt"
	"testing"

	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
)

func TestRegionsOfAnAccountAreBounded(t *testing.T) {
	tr := newTrial(t)
	tr.stop()
	tr.config.Limits.Regions = 2
	tr.start()
	defer tr.stop()
	put := func(account, region string) inventory.Code {
		_, err := tr.PutInventory(context.Background(), inventory.Partition{Account: account, Region: region},
			ssm.PutInventoryInput{Node: node(1), Items: []inventory.Item{item("AWS:Network", entry("Name", "eth0"))}})
		if err == nil {
			return 0
		}
		return inventory.CodeOf(err)
	}
	for _, region := range []string{"one", "two"} {
		if code := put("111122223333", region); code != 0 {
			t.Fatalf("region %s: refused with %v", region, code)
		}
	}
	if code := put("111122223333", "three"); code != inventory.TotalSizeLimitExceeded {
		t.Errorf("a third region: got %v, want TotalSizeLimitExceeded", code)
	}
	if code := put("111122223333", "two"); code != 0 {
		t.Errorf("a region in use: refused with %v", code)
	}
	if code := put("444455556666", "three"); code != 0 {
		t.Errorf("another account: refused with %v", code)
	}
}

func TestUnknownAttributesAreBounded(t *testing.T) {
	tr := newTrial(t)
	defer tr.stop()
	limit := tr.config.Limits.Attributes
	invented := func(from, n int) inventory.Item {
		var all []inventory.Entry
		for i := range n {
			all = append(all, entry("Name", "a", fmt.Sprintf("Invented%04d", from+i), "x"))
		}
		return item("AWS:Application", all...)
	}
	if err := tr.report(node(1), invented(0, limit+1)); inventory.CodeOf(err) != inventory.InvalidItemContent {
		t.Errorf("more names than the bound in one item: got %v", err)
	}
	tr.mustReport(node(1), invented(0, limit/2))
	if err := tr.report(node(2), invented(limit/2, limit)); inventory.CodeOf(err) != inventory.InvalidItemContent {
		t.Errorf("more names than the bound in two items: got %v", err)
	}
	tr.mustReport(node(2), invented(0, limit/2)) // names known already cost nothing more
	tr.mustReport(node(3), item("AWS:Application", entry("Name", "a", "Summary", "s")))
}

func TestStrictEnrolmentForgetsNoNodeThatIsNotTerminated(t *testing.T) {
	tr := newTrial(t)
	tr.stop()
	tr.config.StrictEnrollment = true
	tr.config.Limits.Retention = 1 // every document is too old at once
	tr.start()
	defer tr.stop()
	ctx := context.Background()
	for n := range 2 {
		if err := tr.RegisterNode(ctx, home, node(n)); err != nil {
			t.Fatal(err)
		}
	}
	tr.mustReport(node(0), item("AWS:Network", entry("Name", "eth0")))
	if err := tr.TerminateNode(ctx, home, node(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.RunRetention(ctx, home); err != nil {
		t.Fatal(err)
	}
	if got := tr.find(); len(got) != 1 || got[0] != node(0) {
		t.Errorf("nodes after retention: %v, want %s alone", got, node(0))
	}
	tr.mustReport(node(0), item("AWS:Network", entry("Name", "eth0")))
}
