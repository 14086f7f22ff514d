package pebble

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// textsAtOnce is how many texts EachText hands over at a time.
const textsAtOnce = 4096

// EachText implements store.Outliner.
func (s *Store) EachText(ctx context.Context, use func(store.Numbered) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	v := s.views.acquire()
	defer s.views.release(v)
	for key, space := range s.dictionary.keyed() {
		for first := uint32(0); ; {
			some, err := readTexts(v, space, first)
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return err
			}
			if len(some.Numbers) == 0 {
				break
			}
			first = some.Numbers[len(some.Numbers)-1] + 1
			some.Partition, some.Type = key.Partition, key.Type
			if err := use(some); err != nil {
				return err
			}
		}
	}
	return nil
}

// readTexts reads some texts of a space, from the given number on.
func readTexts(v *view, space *space, first uint32) (some store.Numbered, err error) {
	lower, upper := shapeRowKey(kindShape, space.number, first), shapeRowKey(kindShape, space.number+1, 0)
	ids := space.reverse()
	err = each(v.snapshot, lower, upper, func(key, value []byte) error {
		if len(some.Numbers) == textsAtOnce {
			return io.EOF
		}
		_, n, err := parseShapeRowKey(key)
		if err != nil {
			return err
		}
		id, ok := ids(n)
		if !ok {
			return errors.New("the row of a shape does not fit")
		}
		some.Numbers = append(some.Numbers, n)
		some.Shapes = append(some.Shapes, inventory.Shape{ID: id, Text: string(value)})
		return nil
	})
	return some, err
}

// Outline implements store.Outliner.
func (s *Store) Outline(ctx context.Context, shard int, after *inventory.NodeKey, limit int) (nodes []store.NodeOutline, more bool, err error) {
	if err := s.enter(ctx); err != nil {
		return nil, false, err
	}
	defer s.leave()
	if err := s.checkShard(shard); err != nil {
		return nil, false, err
	}
	v := s.views.acquire()
	defer s.views.release(v)
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
		node := store.NodeOutline{Node: r.node, Documents: make([]store.DocumentOutline, len(r.node.Items))}
		for i, item := range r.node.Items {
			if err := documents.outline(documentKey(key, item.ItemKey), &node.Documents[i]); err != nil {
				return err
			}
		}
		nodes = append(nodes, node)
		return ctx.Err()
	})
	return nodes, more, err
}

// outline reads the document at key as next does.
func (d *documentScan) outline(key []byte, to *store.DocumentOutline) error {
	value, err := d.value(key)
	if err != nil {
		return err
	}
	dec := newDecoder(value)
	to.Split = dec.split()
	to.Shapes, to.Volatile = dec.outline()
	if dec.err != nil {
		return damaged(key, dec.err)
	}
	return nil
}

// outline reads the numbers of refs and the names of their volatile attributes, and passes over the rest of the value.
func (d *decoder) outline() (numbers []uint32, names []string) {
	refs := *d
	numbers = refs.refNumbers()
	for range d.count(1) {
		d.uvarint()
	}
	for range d.count(1) {
		for range d.count(1) {
			if name := d.bytes(d.count(1)); !slices.ContainsFunc(names, func(n string) bool { return n == string(name) }) {
				names = append(names, string(name))
			}
		}
	}
	return numbers, names
}

// keyed gives every space there is, by what numbers are given within.
func (d *dictionary) keyed() map[spaceKey]*space {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return maps.Clone(d.spaces)
}
