package memory

import (
	"context"
	"fmt"
	"slices"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// LoadShapes implements store.Loader.
func (s *Store) LoadShapes(ctx context.Context, shard int, shapes []store.Typed) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if err := s.checkShard(shard); err != nil {
		return err
	}
	for _, sh := range shapes {
		s.shapes[shapeKey{sh.Partition, sh.Type, sh.ID}] = sh.Text
	}
	return nil
}

// LoadNodes implements store.Loader.
func (s *Store) LoadNodes(ctx context.Context, shard int, nodes []store.NodeScan) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if err := s.checkShard(shard); err != nil {
		return err
	}
	if err := store.CheckNodes(shard, s.identity.Shards, nodes); err != nil {
		return err
	}
	for _, n := range nodes {
		if stored, ok := s.nodes[n.Node.Key]; ok && stored.Revision != n.Node.Revision {
			return fmt.Errorf("node %s is loaded with another revision: %w", n.Node.Key.Node, store.ErrConflict)
		}
		for i, item := range n.Node.Items {
			if err := s.checkShapes(n.Node.Key.Partition, item.Type, n.Documents[i].ShapeSet(), nil); err != nil {
				return err
			}
		}
	}
	for _, n := range nodes {
		s.nodes[n.Node.Key] = n.Node.Clone()
		s.revision = max(s.revision, n.Node.Revision)
		for i, item := range n.Node.Items {
			s.docs[inventory.DocumentKey{NodeKey: n.Node.Key, Type: item.Type, SubType: item.SubType}] = n.Documents[i]
		}
	}
	return nil
}

// LoadChanges implements store.Loader.
func (s *Store) LoadChanges(ctx context.Context, shard int, changes []inventory.Change) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if err := s.checkShard(shard); err != nil {
		return err
	}
	if err := store.CheckChanges(shard, s.identity.Shards, changes); err != nil {
		return err
	}
	f := &s.feeds[shard]
	next := f.next
	if len(f.changes) == 0 && len(changes) > 0 {
		next = changes[0].Seq
	}
	for len(changes) > 0 && changes[0].Seq < next {
		if !slices.ContainsFunc(f.changes, func(c inventory.Change) bool { return c.Position == changes[0].Position }) {
			return fmt.Errorf("shard %d has another change %d: %w", shard, changes[0].Seq, store.ErrConflict)
		}
		changes = changes[1:]
	}
	if len(changes) > 0 && changes[0].Seq != next {
		return fmt.Errorf("shard %d goes on with change %d, not %d: %w", shard, next, changes[0].Seq, store.ErrConflict)
	}
	for _, c := range changes {
		if err := s.checkShapes(c.Document.Partition, c.Document.Type, shapesOf(c), nil); err != nil {
			return err
		}
	}
	f.changes = append(f.changes, changes...)
	f.next = next + uint64(len(changes))
	return nil
}

// LoadRecords implements store.Loader.
func (s *Store) LoadRecords(ctx context.Context, records []store.Record) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if err := store.CheckRecords(records); err != nil {
		return err
	}
	for _, r := range records {
		if stored, ok := s.records[r.Key]; ok && stored.Revision != r.Revision {
			return fmt.Errorf("record %q is loaded with another revision: %w", r.Key, store.ErrConflict)
		}
	}
	for _, r := range records {
		s.records[r.Key] = cloneRecord(r)
		s.revision = max(s.revision, r.Revision)
	}
	s.moveHead()
	return nil
}
