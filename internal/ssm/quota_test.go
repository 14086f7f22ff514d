package ssm_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"

	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
)

// TestQuotasUnlessSet holds the service without settings to AWS's quotas and to the stock agent's sizes: the last that
// fits, and the first that does not.
func TestQuotasUnlessSet(t *testing.T) {
	attributes := func(n int) (e inventory.Entry) {
		for i := range n {
			e = append(e, inventory.Attribute{Name: fmt.Sprintf("A%02d", i), Value: "x"})
		}
		return e
	}
	kinds := func(n int) (items []inventory.Item) {
		for i := range n {
			items = append(items, compliance(fmt.Sprint("Custom:", i), entry("Id", "x")))
		}
		return items
	}
	types := func(n int) (items []inventory.Item) {
		for i := range n {
			items = append(items, item(inventory.TypeName(fmt.Sprint("Custom:T", i)), entry("Name", "x")))
		}
		return items
	}
	for code, quota := range map[inventory.Code]struct{ fits, over []inventory.Item }{
		inventory.CustomSchemaCountLimitExceeded: {types(20), types(21)},
		inventory.InvalidItemContent:             {[]inventory.Item{item("Custom:Wide", attributes(50))}, []inventory.Item{item("Custom:Wide", attributes(51))}},
		inventory.SubTypeCountLimitExceeded:      {kinds(10), kinds(11)},
		inventory.ItemSizeLimitExceeded:          {[]inventory.Item{sized(3<<20, file)}, []inventory.Item{sized(3<<20+1, file)}},
		inventory.TotalSizeLimitExceeded: {
			[]inventory.Item{sized(3<<20, file), sized(3<<20, application), sized(3<<20, "AWS:Network"), sized(1<<20, "AWS:Service")},
			[]inventory.Item{sized(3<<20, file), sized(3<<20, application), sized(3<<20, "AWS:Network"), sized(1<<20+1, "AWS:Service")},
		},
	} {
		tr := newTrial(t)
		wantCode(t, tr.report(node(1), quota.over...), code)
		if err := tr.report(node(1), quota.fits...); err != nil {
			t.Errorf("code %d for what fits: %v", code, err)
		}
		tr.stop()
	}
}

// TestPagesAreCutWhereNodesHoldMuch has nodes of 3 MiB each: pages hold what is less than pageBytes of them, or one node, and lead
// on to the next, with a filter too.
func TestPagesAreCutWhereNodesHoldMuch(t *testing.T) {
	tr := newTrial(t)
	const nodes, size = 5, 3 << 20
	for n := range nodes {
		tr.mustReport(node(n), item("Custom:Rack", entry("Name", "a"+strings.Repeat("x", size)), entry("Name", "even"+strconv.Itoa(n%2))))
	}
	tr.mustReport(node(nodes), item("Custom:Rack", entry("Name", strings.Repeat("x", 10<<20)), entry("Name", "even0")))
	for _, c := range []struct {
		name    string
		filters []inventory.RawFilter
		most    int
		pages   [][]int
	}{
		{"all", nil, 0, [][]int{{0, 1}, {2, 3}, {4}, {5}}},
		{"one at a time", nil, 1, [][]int{{0}, {1}, {2}, {3}, {4}, {5}}},
		{"filtered", equal("Custom:Rack.Name", "even0"), 50, [][]int{{0, 2}, {4}, {5}}},
	} {
		in := ssm.GetInventoryInput{ResultType: "Custom:Rack", Filters: c.filters, MaxResults: c.most}
		for i, want := range c.pages {
			out, err := tr.GetInventory(t.Context(), home, in)
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			var got, wanted []inventory.NodeID
			for _, e := range out.Entities {
				got = append(got, e.Node)
			}
			for _, n := range want {
				wanted = append(wanted, node(n))
			}
			if !slices.Equal(got, wanted) || (out.NextToken == "") != (i == len(c.pages)-1) {
				t.Fatalf("%s: page %d has %v, not %v; it leads on: %v", c.name, i, got, wanted, out.NextToken != "")
			}
			in.NextToken = out.NextToken
		}
	}
}

func TestPagesHoldFiftyUnlessAsked(t *testing.T) {
	tr := newTrial(t)
	defer tr.stop()
	var entries []inventory.Entry
	for n := range 51 {
		tr.mustReport(node(n), item(application, entry("Name", "a")))
		entries = append(entries, entry("Name", fmt.Sprint(n)))
	}
	tr.mustReport(node(0), item(application, entries...))
	nodes, err := tr.GetInventory(t.Context(), home, ssm.GetInventoryInput{})
	if err != nil || len(nodes.Entities) != 50 || nodes.NextToken == "" {
		t.Errorf("a page has %d nodes (%v), more %v", len(nodes.Entities), err, nodes.NextToken != "")
	}
	listed, err := tr.ListInventoryEntries(t.Context(), home, ssm.ListInventoryEntriesInput{Node: node(0), Type: application})
	if err != nil || len(listed.Entries) != 50 || listed.NextToken == "" {
		t.Errorf("a page has %d entries (%v), more %v", len(listed.Entries), err, listed.NextToken != "")
	}
}

// TestUnknownAttributesAreCountedAndLoggedOnce reports attributes that built-in types do not have, again and again.
func TestUnknownAttributesAreCountedAndLoggedOnce(t *testing.T) {
	var log bytes.Buffer
	tr := newTrial(t)
	tr.stop()
	tr.config.Logger = slog.New(slog.NewTextHandler(&log, nil))
	tr.start()
	for n := range 3 {
		tr.mustReport(node(n), item(application, entry("Flavour", "secret value"), entry("Colour", "x", "Name", "a")), item(file, entry("Taste", "y")))
	}
	if got := tr.Counters().UnknownAttributes(); got != 9 {
		t.Errorf("%d unknown attributes are counted", got)
	}
	tr.stop()
	for _, name := range []inventory.TypeName{application, file} {
		if got := strings.Count(log.String(), string(name)); got != 1 {
			t.Errorf("%s is logged %d times:\n%s", name, got, log.String())
		}
	}
	if strings.Contains(log.String(), "secret value") {
		t.Errorf("the log tells values:\n%s", log.String())
	}
}
