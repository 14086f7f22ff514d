package ssm_test

import (
	"fmt"
	"testing"

	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
)

// TestQuestionsAboutNodesAreBounded asks for what the index cannot decide, of which there is nothing, or little at the end:
// pages come back short or empty, and go on.
func TestQuestionsAboutNodesAreBounded(t *testing.T) {
	const nodes, lost = 2500, 2400
	tr := newTrial(t)
	defer tr.stop()
	for n := range nodes {
		if n >= lost {
			tr.beat(ping(node(n)))
			continue
		}
		tr.mustReport(node(n), item(application, entry("Name", "a")))
	}
	ask := func(filter ssm.NodeFilter) (found []inventory.NodeID, pages int) {
		t.Helper()
		in := ssm.DescribeNodesInput{Filters: []ssm.NodeFilter{filter}, MaxResults: 50}
		for {
			page, next, err := tr.DescribeNodes(t.Context(), home, in)
			if err != nil {
				t.Fatal(err)
			}
			pages++
			for _, n := range page {
				found = append(found, n.Node)
			}
			if next == "" {
				return found, pages
			}
			in.NextToken = next
		}
	}
	if found, pages := ask(ssm.NodeFilter{Key: "IamRole", Values: []string{"nobody's"}}); len(found) != 0 || pages < 2 || pages > 4 {
		t.Errorf("%d nodes of a role nobody has, on %d pages", len(found), pages)
	}
	found, pages := ask(ssm.NodeFilter{Key: "PingStatus", Values: []string{ssm.PingOnline}})
	if len(found) != nodes-lost || pages > 6 {
		t.Errorf("%d of %d nodes are online, on %d pages", len(found), nodes-lost, pages)
	}
	for i, id := range found {
		if id != node(lost+i) {
			t.Fatalf("the node number %d is %s", i, id)
		}
	}
}

// BenchmarkDescribeNodes asks for a page of a fleet of which a node changes before every question.
func BenchmarkDescribeNodes(b *testing.B) {
	const nodes = 50_000
	tr := newTrial(b)
	defer tr.stop()
	said := func(n, round int) ssm.HeartbeatInput {
		in := whole(node(n))
		in.ComputerName = fmt.Sprintf("host-%d-%d", n, round)
		return in
	}
	for n := range nodes {
		tr.beat(said(n, 0))
	}
	b.ReportAllocs()
	round := 0
	for b.Loop() {
		round++
		tr.beat(said(round%nodes, round))
		if _, _, err := tr.DescribeNodes(b.Context(), home, ssm.DescribeNodesInput{MaxResults: 50}); err != nil {
			b.Fatal(err)
		}
	}
}
