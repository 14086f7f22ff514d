package pebble

import (
	"context"
	"fmt"
	"math"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// Excerpt implements store.Excerpter.
func (s *Store) Excerpt(ctx context.Context, key inventory.NodeKey, t inventory.TypeName, first, most int) (scan store.NodeScan, err error) {
	if err := s.enter(ctx); err != nil {
		return scan, err
	}
	defer s.leave()
	v := s.views.acquire()
	defer s.views.release(v)
	at := nodeKey(store.ShardOf(key, s.identity.Shards), key)
	row, err := s.row(v, at)
	if err != nil {
		return scan, err
	}
	if row == nil {
		return scan, fmt.Errorf("node %s: %w", key.Node, store.ErrNotFound)
	}
	r, err := row.decode(key, at)
	if err != nil {
		return scan, err
	}
	scan = store.NodeScan{Node: r.node, Documents: make([]inventory.Document, len(r.node.Items))}
	for i, item := range r.node.Items {
		if item.Type != t {
			continue
		}
		some := part{first, most}
		if most == 0 {
			some.from = math.MaxInt // the zero part is all
		}
		if scan.Documents[i], err = s.documentIn(v, &row, at, item.ItemKey, key.Partition, some); err != nil {
			return scan, err
		}
		refs := len(scan.Documents[i].Refs)
		most -= min(most, max(0, refs-first))
		first = max(0, first-refs)
	}
	return scan, nil
}
