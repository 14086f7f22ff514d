package memory

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

func compareNodeKeys(a, b inventory.NodeKey) int {
	return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Region, b.Region), cmp.Compare(a.Node, b.Node))
}

// Heads implements store.Store.
func (s *Store) Heads(ctx context.Context) ([]inventory.Position, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	heads := make([]inventory.Position, len(s.feeds))
	for i := range s.feeds {
		heads[i] = s.feeds[i].head()
	}
	return heads, nil
}

// Changes implements store.Store.
func (s *Store) Changes(ctx context.Context, shard int, after inventory.Position, limit int) ([]inventory.Change, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	if err := s.checkShard(shard); err != nil {
		return nil, err
	}
	changes := s.feeds[shard].changes
	if after == (inventory.Position{}) {
		if len(changes) > 0 && changes[0].Seq != 1 {
			return nil, fmt.Errorf("shard %d before its first change: %w", shard, store.ErrBehind)
		}
	} else {
		at := slices.IndexFunc(changes, func(c inventory.Change) bool { return c.Position == after })
		if at < 0 {
			return nil, fmt.Errorf("shard %d at %d: %w", shard, after.Seq, store.ErrBehind)
		}
		changes = changes[at+1:]
	}
	return slices.Clone(changes[:min(limit, len(changes))]), nil
}

// OldestChange implements store.Store.
func (s *Store) OldestChange(ctx context.Context, shard int) (inventory.Change, error) {
	if err := s.enter(ctx); err != nil {
		return inventory.Change{}, err
	}
	defer s.mu.Unlock()
	if err := s.checkShard(shard); err != nil {
		return inventory.Change{}, err
	}
	changes := s.feeds[shard].changes
	if len(changes) == 0 {
		return inventory.Change{}, fmt.Errorf("change of shard %d: %w", shard, store.ErrNotFound)
	}
	return changes[0], nil
}

// Prune implements store.Store.
func (s *Store) Prune(ctx context.Context, before time.Time) (int, error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	dropped := 0
	for i := range s.feeds {
		f := &s.feeds[i]
		keep := uint64(math.MaxUint64) // the first sequence a reader needs
		for _, read := range s.readers {
			keep = min(keep, read[i])
		}
		for len(f.changes) > 1 && f.changes[0].Arrival.Before(before) && f.changes[0].Seq < keep {
			f.changes = f.changes[1:]
			dropped++
		}
	}
	return dropped, nil
}

// Sweep implements store.Store.
func (s *Store) Sweep(ctx context.Context) (int, error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	named := map[shapeKey]bool{}
	for key, d := range s.docs {
		for _, r := range d.Refs {
			named[shapeKey{key.Partition, key.Type, r.Shape}] = true
		}
	}
	for _, f := range s.feeds {
		for _, c := range f.changes {
			for _, id := range shapesOf(c) {
				named[shapeKey{c.Document.Partition, c.Document.Type, id}] = true
			}
		}
	}
	dropped := 0
	for k := range s.shapes {
		if !named[k] {
			delete(s.shapes, k)
			dropped++
		}
	}
	return dropped, nil
}

// shapesOf lists every shape a change names.
func shapesOf(c inventory.Change) []inventory.ShapeID {
	ids := slices.Concat(c.Added, c.Removed)
	for _, e := range c.Delta {
		for _, r := range e.Insert {
			ids = append(ids, r.Shape)
		}
	}
	return ids
}

// SetReader implements store.Readers.
func (s *Store) SetReader(ctx context.Context, name string, read []uint64) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if len(read) != s.identity.Shards {
		return fmt.Errorf("reader %q has %d sequences for %d shards", name, len(read), s.identity.Shards)
	}
	s.readers[name] = slices.Clone(read)
	return nil
}

// DropReader implements store.Readers.
func (s *Store) DropReader(ctx context.Context, name string) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	delete(s.readers, name)
	return nil
}
