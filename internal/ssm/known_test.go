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

// TestRememberedNodesAreBoundedByBytes remembers few nodes of large records, each again and again, and then forgets them.
func TestRememberedNodesAreBoundedByBytes(t *testing.T) {
	known := newKnownNodes()
	long := strings.Repeat("x", 8<<20)
	key := func(n int) inventory.NodeKey {
		return inventory.NodeKey{Node: inventory.NodeID(fmt.Sprintf("i-%08d", n))}
	}
	for range 2 {
		for n := range 18 {
			known.remember(inventory.Node{Key: key(n), Items: []inventory.ItemState{{Context: inventory.Entry{{Name: "ExecutionId", Value: long}}}}}, store.Committed{})
		}
	}
	if got, most := len(known.nodes), maxKnownBytes>>20; 8*got >= most || 8*got < most-8 {
		t.Errorf("%d nodes of 8 MiB each are remembered, of at most %d MiB", got, most)
	}
	if _, ok := known.recall(key(17)); !ok {
		t.Error("the newest is not remembered")
	}
	for n := range 18 {
		known.forget(key(n))
	}
	if len(known.nodes) != 0 || known.bytes != 0 {
		t.Errorf("%d nodes are left, and %d bytes", len(known.nodes), known.bytes)
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
