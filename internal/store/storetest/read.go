package storetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

func (r *trial) read(keys []inventory.NodeKey, types ...inventory.TypeName) []store.NodeScan {
	r.Helper()
	nodes, err := r.s.Read(r.Context(), keys, types)
	r.check(err)
	return nodes
}

func readGivesNodesWithDocuments(t *testing.T, m Maker) {
	r := newTrial(t, m)
	r.spread(23, 80)
	stored := r.all().Nodes
	src := NewSource(24)
	types := []inventory.TypeName{"AWS:Application", "AWS:Network", "Custom:RackInfo", inventory.TypeComplianceItem, "AWS:Service"}
	for range 40 {
		var keys []inventory.NodeKey
		for _, at := range src.Perm(20)[:src.IntN(21)] { // some of them are not stored
			keys = append(keys, inventory.NodeKey{Partition: Partitions[src.IntN(len(Partitions))], Node: Node(at).Node})
		}
		chosen := slices.DeleteFunc(slices.Clone(types), func(inventory.TypeName) bool { return src.IntN(2) == 0 })
		var want []store.NodeScan
		for _, key := range keys {
			if n, ok := stored[key]; ok {
				want = append(want, only(n, chosen))
			}
		}
		got := r.read(keys, chosen...)
		for i := range got {
			if got[i].Node.Revision != r.node(got[i].Node.Key).Revision {
				t.Errorf("node %s has another revision than when read alone", got[i].Node.Key.Node)
			}
			got[i].Node.Revision = 0
		}
		if d := differ(want, got); d != "" {
			t.Fatalf("nodes %v with documents of %q (-scanned +read):\n%s", keys, chosen, d)
		}
	}
	if nodes := r.read(nil, types...); len(nodes) != 0 {
		t.Errorf("a read of no nodes gives %d", len(nodes))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.s.Read(ctx, []inventory.NodeKey{Node(1)}, types); !errors.Is(err, context.Canceled) {
		t.Errorf("read under a cancelled context: %v", err)
	}
}

// only leaves out a node's documents of other types.
func only(n store.NodeScan, types []inventory.TypeName) store.NodeScan {
	n.Documents = slices.Clone(n.Documents)
	for i, item := range n.Node.Items {
		if !slices.Contains(types, item.Type) {
			n.Documents[i] = inventory.Document{}
		}
	}
	return n
}

// written is what the feed says a document is after each of its changes, by sequence.
type written map[uint64][]inventory.Ref

// readIsConsistent reads nodes while they are committed. What was read is then held against the feed: every document must
// be just what the change with its record's sequence left.
func readIsConsistent(t *testing.T, m Maker) {
	r := newTrial(t, m)
	keys := []inventory.NodeKey{Node(1), Node(2), Node(3)}
	types := []inventory.TypeName{"AWS:Application", "Custom:RackInfo"}
	sizes := [][]string{{"a"}, {"a", "b"}, {"c", "d", "e"}, {}, {"f"}}
	for _, key := range keys {
		r.report(key, Epoch, packages(sizes[0]...), rack("r"))
	}
	stop := make(chan struct{})
	var group sync.WaitGroup
	for _, key := range keys {
		group.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					r.report(key, Epoch, packages(sizes[i%len(sizes)]...), rack(string(rune('a'+i%26))))
				}
			}
		})
	}
	var seen []store.NodeScan
	for range 100 {
		nodes, err := r.s.Read(t.Context(), keys, types)
		if err != nil || len(nodes) != len(keys) {
			t.Errorf("read gives %d nodes, %v", len(nodes), err)
			break
		}
		seen = append(seen, nodes...)
	}
	close(stop)
	group.Wait()
	fed := map[int]written{}
	for _, key := range keys {
		fed[r.shardOf(key)] = r.replayed(key)
	}
	for _, n := range seen {
		for i, item := range n.Node.Items {
			refs := n.Documents[i].Refs
			if d := differ(fed[r.shardOf(n.Node.Key)][item.Seq], refs); d != "" || len(refs) != item.Entries {
				t.Fatalf("the record says %q is of change %d with %d entries (-as fed +as read):\n%s", item.Type, item.Seq, item.Entries, d)
			}
		}
	}
}

// replayed gives what each change of a node's shard left.
func (r *trial) replayed(key inventory.NodeKey) written {
	r.Helper()
	now := map[inventory.DocumentKey][]inventory.Ref{}
	after := written{}
	for _, c := range r.changes(key) {
		refs, err := c.Delta.Apply(now[c.Document])
		r.check(err)
		now[c.Document], after[c.Seq] = refs, refs
	}
	return after
}
