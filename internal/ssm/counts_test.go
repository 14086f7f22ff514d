package ssm_test

import (
	"fmt"
	"maps"
	"testing"

	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
)

// names gives the names a page of counts has.
func names(out ssm.GetInventoryOutput) map[string]string {
	all := map[string]string{}
	for _, e := range out.Entities {
		for _, r := range e.Data {
			for _, row := range r.Content {
				name, _ := row.Get("Name")
				all[name], _ = row.Get("Count")
			}
		}
	}
	return all
}

// TestCountsGoOnWhileTheFleetChanges reads counts page by page, with a change of the own fleet and of another account's
// before each page, and others who ask the same: it is told the counts there were at first.
func TestCountsGoOnWhileTheFleetChanges(t *testing.T) {
	tr := newTrial(t)
	tr.stop()
	tr.config.Limits.AggregateRows = 3
	tr.start()
	report := func(p inventory.Partition, n int, programs ...string) {
		t.Helper()
		var content []inventory.Entry
		for _, name := range programs {
			content = append(content, inventory.Entry{{Name: "Name", Value: name}})
		}
		if _, err := tr.PutInventory(t.Context(), p, ssm.PutInventoryInput{Node: node(n), Items: []inventory.Item{item("AWS:Application", content...)}}); err != nil {
			t.Fatal(err)
		}
	}
	all := make([]string, 11)
	want := map[string]string{}
	for i := range all {
		all[i] = fmt.Sprintf("p%02d", i)
		want[all[i]] = "1"
	}
	report(home, 1, all...)
	ask := func(token string) (ssm.GetInventoryOutput, error) {
		return tr.GetInventory(t.Context(), home, ssm.GetInventoryInput{Aggregators: []inventory.RawAggregator{{Expression: "AWS:Application.Name"}}, NextToken: token})
	}
	got, token := map[string]string{}, ""
	for page := range 4 {
		out, err := ask(token)
		if err != nil {
			t.Fatalf("page %d: %v", page, err)
		}
		maps.Copy(got, names(out))
		token = out.NextToken
		report(home, 2, all[page:]...)
		report(inventory.Partition{Account: "111122223333", Region: home.Region}, 3, all[page])
		for range 2 { // at the same state, which is kept once
			if _, err := ask(""); err != nil {
				t.Fatal(err)
			}
		}
	}
	if token != "" || !maps.Equal(got, want) {
		t.Errorf("the pages had %v and the token %q, want %v", got, token, want)
	}
	first, err := ask("")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 { // more states of the question than are kept
		report(home, 2, all[i])
		if _, err := ask(""); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ask(first.NextToken); inventory.CodeOf(err) != inventory.InvalidNextToken {
		t.Errorf("counts that are not kept went on: %v", err)
	}
}
