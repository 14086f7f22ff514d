package pebble

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	engine "github.com/cockroachdb/pebble/v2"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

func (s *Store) checkShard(shard int) error {
	if shard < 0 || shard >= s.identity.Shards {
		return fmt.Errorf("there is no shard %d of %d", shard, s.identity.Shards)
	}
	return nil
}

// Node implements store.Store.
func (s *Store) Node(ctx context.Context, key inventory.NodeKey) (inventory.Node, error) {
	if err := s.enter(ctx); err != nil {
		return inventory.Node{}, err
	}
	defer s.leave()
	v := s.views.acquire()
	defer s.views.release(v)
	at := nodeKey(store.ShardOf(key, s.identity.Shards), key)
	row, err := s.row(v, at)
	if err != nil {
		return inventory.Node{}, err
	}
	if row == nil {
		s.records.put(v.number, record{node: inventory.Node{Key: key}})
		return inventory.Node{}, fmt.Errorf("node %s: %w", key.Node, store.ErrNotFound)
	}
	r, err := row.decode(key, at)
	if err != nil {
		return inventory.Node{}, err
	}
	node := r.node.Clone()
	s.records.put(v.number, r)
	return node, nil
}

// Read implements store.Store.
func (s *Store) Read(ctx context.Context, keys []inventory.NodeKey, types []inventory.TypeName) ([]store.NodeScan, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	v := s.views.acquire()
	defer s.views.release(v)
	nodes := make([]store.NodeScan, 0, len(keys))
	for _, key := range keys {
		scan, found, err := s.scanNode(v, key, types)
		if err != nil {
			return nil, err
		}
		if found {
			nodes = append(nodes, scan)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

// scanNode reads a node with its documents of some types.
func (s *Store) scanNode(v *view, key inventory.NodeKey, types []inventory.TypeName) (scan store.NodeScan, found bool, err error) {
	at := nodeKey(store.ShardOf(key, s.identity.Shards), key)
	row, err := s.row(v, at)
	if err != nil || row == nil {
		return scan, false, err
	}
	r, err := row.decode(key, at)
	if err != nil {
		return scan, true, err
	}
	scan = store.NodeScan{Node: r.node, Documents: make([]inventory.Document, len(r.node.Items))}
	for i, item := range r.node.Items {
		if !slices.Contains(types, item.Type) {
			continue
		}
		if scan.Documents[i], err = s.documentIn(v, &row, at, item.ItemKey, key.Partition, part{}); err != nil {
			return scan, true, err
		}
	}
	return scan, true, nil
}

// row gives what is stored of the node at a key, as the view shows it; nil where there is no such node.
func (s *Store) row(v *view, key []byte) (*row, error) {
	if known := s.rows.get(key, v.number); known != nil {
		return known, nil
	}
	var read *row
	_, err := v.get(key, func(value []byte) error {
		read = &row{since: v.number, record: slices.Clone(value)}
		return nil
	})
	if read != nil {
		s.rows.put(key, read)
	}
	return read, err
}

// documentIn reads a document that the node's record in the same view says is there. A small one it adds to the row.
func (s *Store) documentIn(v *view, node **row, at []byte, item inventory.ItemKey, p inventory.Partition, some part) (doc inventory.Document, err error) {
	key := documentKey(at, item)
	own := key[len(at):]
	if value := (*node).document(own); value != nil {
		if doc, err = decodeExcerpt(value, some, s.dictionary.idsOf(p, item.Type)); err != nil {
			err = damaged(key, err)
		}
		return doc, err
	}
	found, err := v.get(key, func(value []byte) (err error) {
		if len(value) <= smallDocument {
			*node = (*node).with(v.number, own, slices.Clone(value))
			s.rows.put(at, *node)
		}
		doc, err = decodeExcerpt(value, some, s.dictionary.idsOf(p, item.Type))
		return err
	})
	if err == nil && !found {
		err = damaged(key, errors.New("a stored document is missing"))
	}
	return doc, err
}

// Document implements store.Store.
func (s *Store) Document(ctx context.Context, key inventory.DocumentKey) (inventory.Document, error) {
	if err := s.enter(ctx); err != nil {
		return inventory.Document{}, err
	}
	defer s.leave()
	v := s.views.acquire()
	defer s.views.release(v)
	node := nodeKey(store.ShardOf(key.NodeKey, s.identity.Shards), key.NodeKey)
	var doc inventory.Document
	at := documentKey(node, inventory.ItemKey{Type: key.Type, SubType: key.SubType})
	found, err := v.get(at, func(value []byte) (err error) {
		doc, err = decodeDocument(value, s.dictionary.idsOf(key.Partition, key.Type))
		return err
	})
	if err == nil && !found {
		err = fmt.Errorf("document %q of node %s: %w", key.Type, key.Node, store.ErrNotFound)
	}
	return doc, err
}

// Shapes implements store.Store.
func (s *Store) Shapes(ctx context.Context, shard int, p inventory.Partition, t inventory.TypeName, ids []inventory.ShapeID) ([]inventory.Shape, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	v := s.views.acquire()
	defer s.views.release(v)
	return s.shapesIn(ctx, v, shard, p, t, ids)
}

func (s *Store) shapesIn(ctx context.Context, v *view, shard int, p inventory.Partition, t inventory.TypeName, ids []inventory.ShapeID) (_ []inventory.Shape, err error) {
	if err := s.checkShard(shard); err != nil {
		return nil, err
	}
	space := s.dictionary.find(spaceKey{p, t})
	shapes := make([]inventory.Shape, len(ids))
	if len(ids) == 0 {
		return shapes, nil
	}
	if space == nil {
		return nil, fmt.Errorf("shape %s of %q: %w", ids[0], t, store.ErrNotFound)
	}
	// Rows are read in the order they lie in: a start without a snapshot asks for nearly all of them.
	order := make([]shapeRow, len(ids))
	for i, id := range ids {
		shapes[i].ID = id
		order[i].at = i
		order[i].number, _ = space.lookup(id)
	}
	slices.SortFunc(order, func(a, b shapeRow) int { return cmp.Compare(a.number, b.number) })
	texts, err := newShapeScan(v, space.number, len(ids))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, texts.close()) }()
	for i, row := range order {
		if i%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		text, found, err := texts.text(row.number)
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, fmt.Errorf("shape %s of %q: %w", ids[row.at], t, store.ErrNotFound)
		}
		shapes[row.at].Text = text
	}
	return shapes, ctx.Err()
}

// shapeRow is where the shape asked for at a place is stored.
type shapeRow struct {
	number uint32
	at     int
}

// Scan implements store.Store. Its order is by account, region and node.
func (s *Store) Scan(ctx context.Context, shard int, after *inventory.NodeKey, limit int) ([]store.NodeScan, bool, error) {
	if err := s.enter(ctx); err != nil {
		return nil, false, err
	}
	defer s.leave()
	v := s.views.acquire()
	defer s.views.release(v)
	return s.scanIn(ctx, v, shard, after, limit)
}

func (s *Store) scanIn(ctx context.Context, v *view, shard int, after *inventory.NodeKey, limit int) (nodes []store.NodeScan, more bool, err error) {
	if err := s.checkShard(shard); err != nil {
		return nil, false, err
	}
	prefix := shardKey(kindNode, shard)
	lower := prefix
	if after != nil {
		lower = keyAfter(nodeKey(shard, *after))
	}
	documents, err := newDocumentScan(v, shard)
	if err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, documents.it.Close()) }()
	err = each(v.snapshot, lower, keyAfter(prefix), func(key, value []byte) error {
		if len(nodes) >= limit {
			more = true
			return io.EOF
		}
		k, err := parseNodeKey(key)
		if err != nil {
			return err
		}
		r, err := decodeNode(k, value)
		if err != nil {
			return err
		}
		scan := store.NodeScan{Node: r.node, Documents: slices.Grow([]inventory.Document(nil), len(r.node.Items))}
		for _, item := range r.node.Items {
			doc, err := documents.next(documentKey(key, item.ItemKey), s.dictionary.idsOf(k.Partition, item.Type))
			if err != nil {
				return err
			}
			scan.Documents = append(scan.Documents, doc)
		}
		nodes = append(nodes, scan)
		return ctx.Err()
	})
	return nodes, more, err
}

// documentScan reads documents in the order of their keys beside a scan of nodes.
type documentScan struct {
	it      *engine.Iterator
	started bool
}

func newDocumentScan(v *view, shard int) (*documentScan, error) {
	prefix := shardKey(kindDocument, shard)
	it, err := v.snapshot.NewIter(&engine.IterOptions{LowerBound: prefix, UpperBound: keyAfter(prefix)})
	if err != nil {
		return nil, damaged(prefix, err)
	}
	return &documentScan{it: it}, nil
}

// next reads the document at key, which is the next one in order or the store is damaged.
func (d *documentScan) next(key []byte, id idOf) (inventory.Document, error) {
	value, err := d.value(key)
	if err != nil {
		return inventory.Document{}, err
	}
	doc, err := decodeDocument(value, id)
	if err != nil {
		return inventory.Document{}, damaged(key, err)
	}
	return doc, nil
}

// value reads what is stored of it.
func (d *documentScan) value(key []byte) ([]byte, error) {
	if d.started {
		d.it.Next()
	} else {
		d.it.SeekGE(key)
		d.started = true
	}
	if err := d.it.Error(); err != nil {
		return nil, damaged(key, err)
	}
	if !d.it.Valid() || !slices.Equal(d.it.Key(), key) {
		return nil, damaged(key, errors.New("a stored document is missing"))
	}
	value, err := d.it.ValueAndErr()
	if err != nil {
		return nil, damaged(key, err)
	}
	return value, nil
}
