package ssm

import (
	"context"
	"errors"
	"fmt"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// entries gives the entries that refs of a document stand for: the shape's attributes, the entry's own volatile ones and
// the context's. Shapes come from the index's memory, and from the store where it has moved on already.
func (s *Service) entries(ctx context.Context, key inventory.DocumentKey, refs []inventory.Ref, itemContext inventory.Entry) ([]inventory.Entry, error) {
	out := make([]inventory.Entry, len(refs))
	idx := s.replica.Index()
	var missing []inventory.ShapeID
	var at []int
	for i, r := range refs {
		shape, ok := idx.Entry(key.Partition, key.Type, r.Shape)
		if !ok {
			missing, at = append(missing, r.Shape), append(at, i)
			continue
		}
		out[i] = shape.Merge(r.Volatile).Merge(itemContext)
	}
	if len(missing) == 0 {
		return out, nil
	}
	shard := store.ShardOf(key.NodeKey, s.store.Identity().Shards)
	shapes, err := s.store.Shapes(ctx, shard, key.Partition, key.Type, missing)
	if err != nil {
		return nil, err
	}
	for i, shape := range shapes {
		e, err := inventory.ParseShapeText(shape.Text)
		if err != nil {
			return nil, fmt.Errorf("%w: shape %s of %s: %w", store.ErrCorrupt, shape.ID, key.Type, err)
		}
		out[at[i]] = e.Merge(refs[at[i]].Volatile).Merge(itemContext)
	}
	return out, nil
}

// readTries bounds how often a document is read again because it changed while its shapes were looked up.
const readTries = 10

// typeContent is what a node holds of one type, sub-types merged.
type typeContent struct {
	// Reports tells whether the node has a document of the type at all.
	Reports       bool
	SchemaVersion string
	CaptureTime   string
	Entries       []inventory.Entry
}

// content reads all entries a node holds of a type. Sub-types follow each other in byte order; the capture time is the
// newest of them. A node that is not known has none. Of entries all attributes are given, or at least those named.
func (s *Service) content(ctx context.Context, node inventory.NodeKey, t inventory.TypeName, attributes []string) (c typeContent, err error) {
	for range readTries {
		c, err = s.readContent(ctx, node, t, attributes)
		if !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrConflict) {
			return c, err
		}
	}
	return c, err
}

func (s *Service) readContent(ctx context.Context, node inventory.NodeKey, t inventory.TypeName, attributes []string) (typeContent, error) {
	var c typeContent
	record, err := s.store.Node(ctx, node)
	if errors.Is(err, store.ErrNotFound) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	for _, state := range record.ItemsOf(t) {
		key := documentKey(node, state.ItemKey)
		d, err := s.store.Document(ctx, key)
		if err != nil {
			return c, err
		}
		entries, own := volatileEntries(d.Refs, attributes)
		if !own || len(state.Context) > 0 {
			if entries, err = s.entries(ctx, key, d.Refs, state.Context); err != nil {
				return c, err
			}
		}
		c.add(state, entries)
	}
	if !c.Reports {
		return c, nil
	}
	_, same, err := s.still(ctx, record, t)
	if err == nil && !same { // the entries may be newer than the context and the times beside them
		err = fmt.Errorf("%s of %s: %w", t, node.Node, store.ErrConflict)
	}
	return c, err
}

// volatileEntries gives the volatile attributes of each ref, where they hold all that is asked for: then no shape need be
// looked up.
func volatileEntries(refs []inventory.Ref, attributes []string) (entries []inventory.Entry, all bool) {
	if len(attributes) == 0 {
		return nil, false
	}
	entries = make([]inventory.Entry, len(refs))
	for i, r := range refs {
		for _, name := range attributes {
			if _, has := r.Volatile.Get(name); !has {
				return nil, false
			}
		}
		entries[i] = r.Volatile
	}
	return entries, true
}

func (c *typeContent) add(state inventory.ItemState, entries []inventory.Entry) {
	c.Reports = true
	if state.CaptureTime >= c.CaptureTime { // the form of capture times sorts as time does
		c.CaptureTime, c.SchemaVersion = state.CaptureTime, state.SchemaVersion
	}
	c.Entries = append(c.Entries, entries...)
}

// documents lets the index read what its shapes leave out.
type documents struct {
	service   *Service
	partition inventory.Partition
}

// Entries makes documents an index.Documents.
func (d documents) Entries(ctx context.Context, node inventory.NodeID, t inventory.TypeName, attributes []string) (entries []inventory.Entry, reports bool, err error) {
	c, err := d.service.content(ctx, inventory.NodeKey{Partition: d.partition, Node: node}, t, attributes)
	return c.Entries, c.Reports, err
}
