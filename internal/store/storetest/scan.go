package storetest

import (
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

func scanPages(t *testing.T, m Maker) {
	r := newTrial(t, m)
	r.spread(21, 60)
	want := map[inventory.NodeKey]bool{}
	src := NewSource(21)
	for range 60 { // the same draws
		want[src.NodeKey(12)] = true
		src.Item(12)
	}
	for _, page := range []int{1, 2, 3, 1000} {
		got := map[inventory.NodeKey]bool{}
		for shard := range r.s.Identity().Shards {
			nodes, err := ScanAll(t.Context(), r.s, shard, page)
			r.check(err)
			for _, n := range nodes {
				if got[n.Node.Key] || r.shardOf(n.Node.Key) != shard {
					t.Fatalf("node %s in shard %d, twice or not its own", n.Node.Key.Node, shard)
				}
				got[n.Node.Key] = true
			}
			r.scanGoesOn(shard, nodes)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("nodes in pages of %d (-reported +scanned):\n%s", page, d)
		}
	}
}

// scanGoesOn removes nothing and asks for what follows each node, itself no longer needed to be there.
func (r *trial) scanGoesOn(shard int, nodes []store.NodeScan) {
	r.Helper()
	for i := range nodes {
		rest, more, err := r.s.Scan(r.Context(), shard, &nodes[i].Node.Key, 1000)
		r.check(err)
		if more || len(rest) != len(nodes)-i-1 {
			r.Fatalf("after node %d of %d a scan gives %d more", i, len(nodes), len(rest))
		}
	}
}

func scanIsConsistent(t *testing.T, m Maker) {
	r := newTrial(t, m)
	key := Node(1)
	sizes := [][]string{{"a"}, {"a", "b"}, {"c", "d", "e"}, {}}
	r.report(key, Epoch, packages(sizes[0]...), rack("r"))
	stop := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				r.report(key, Epoch, packages(sizes[i%len(sizes)]...))
			}
		}
	})
	for range 200 {
		nodes, _, err := r.s.Scan(t.Context(), r.shardOf(key), nil, 10)
		if err != nil || len(nodes) != 1 {
			t.Errorf("scan gives %d nodes, %v", len(nodes), err)
			break
		}
		for i, item := range nodes[0].Node.Items {
			if got := len(nodes[0].Documents[i].Refs); got != item.Entries {
				t.Errorf("the record says %d entries of %q and the document has %d", item.Entries, item.Type, got)
			}
		}
	}
	close(stop)
	group.Wait()
}
