package ssm

import (
	"fmt"
	"strings"
	"testing"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

func TestRememberedNodesAreBounded(t *testing.T) {
	known := newKnownNodes()
	var last inventory.NodeKey
	for n := range maxKnownNodes + 100 {
		last.Node = inventory.NodeID(fmt.Sprintf("i-%08d", n))
		known.remember(inventory.Node{Key: last}, store.Committed{Revision: uint64(n) + 1})
	}
	if got := len(known.nodes); got != maxKnownNodes {
		t.Errorf("%d nodes are remembered, want %d", got, maxKnownNodes)
	}
	if n, ok := known.recall(last); !ok || n.Revision != maxKnownNodes+100 {
		t.Errorf("the newest is remembered as %d, %v", n.Revision, ok)
	}
	known.forget(last)
	if _, ok := known.recall(last); ok {
		t.Error("what is forgotten is recalled")
	}
}

// TestRememberedNodesKeepNoBody remembers a record whose texts are small parts of a large one: each has to be copied, or the
// whole would stay.
func TestRememberedNodesKeepNoBody(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 64)
	n := inventory.Node{Items: []inventory.ItemState{{Hash: body[:64], CaptureTime: body[64:84], Context: inventory.Entry{{Name: body[:4], Value: body[4:9]}}}}}
	kept := apart(n)
	allocated := testing.AllocsPerRun(1, func() { kept = apart(n) })
	if allocated < 6 { // the items, the context, and each text that is not empty
		t.Errorf("a record is remembered with %v pieces of its own", allocated)
	}
	n.Items[0].Context[0].Value = "changed"
	if got := kept.Items[0]; got.Hash != body[:64] || got.Context[0].Value != body[4:9] {
		t.Errorf("the record is remembered as %v", got)
	}
}
