package memory

import (
	"context"
	"maps"
	"slices"

	"stocktake/internal/store"
)

// View implements store.Viewer: a store of its own that holds the same.
func (s *Store) View(ctx context.Context) (store.View, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	v := &Store{
		identity: s.identity, revision: s.revision, head: s.head, feeds: slices.Clone(s.feeds),
		nodes: maps.Clone(s.nodes), docs: maps.Clone(s.docs), shapes: maps.Clone(s.shapes), records: maps.Clone(s.records),
	}
	for i := range v.feeds {
		v.feeds[i].changes = slices.Clone(v.feeds[i].changes)
	}
	for i := range v.journal {
		v.journal[i] = s.journal[i].clone()
	}
	return v, nil
}
