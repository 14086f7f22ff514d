package memory

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// Record implements store.Records.
func (s *Store) Record(ctx context.Context, key string) (store.Record, error) {
	if err := s.enter(ctx); err != nil {
		return store.Record{}, err
	}
	defer s.mu.Unlock()
	r, ok := s.records[key]
	if !ok {
		return store.Record{}, fmt.Errorf("record %q: %w", key, store.ErrNotFound)
	}
	return cloneRecord(r), nil
}

// ListRecords implements store.Records.
func (s *Store) ListRecords(ctx context.Context, prefix, after string, limit int) ([]store.Record, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var keys []string
	for k := range s.records {
		if strings.HasPrefix(k, prefix) && k > after {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	var records []store.Record
	for _, k := range keys[:min(limit, len(keys))] {
		records = append(records, cloneRecord(s.records[k]))
	}
	return records, nil
}

// PutRecord implements store.Records.
func (s *Store) PutRecord(ctx context.Context, r store.Record) (uint64, error) {
	if r.Key == "" {
		return 0, errors.New("a record needs a key")
	}
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	if s.records[r.Key].Revision != r.Revision {
		return 0, fmt.Errorf("record %q: %w", r.Key, store.ErrConflict)
	}
	s.moveHead()
	r = cloneRecord(r)
	r.Revision = s.revision
	s.records[r.Key] = r
	return r.Revision, nil
}

// DeleteRecord implements store.Records.
func (s *Store) DeleteRecord(ctx context.Context, key string, revision uint64) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	r, ok := s.records[key]
	if !ok {
		return fmt.Errorf("record %q: %w", key, store.ErrNotFound)
	}
	if r.Revision != revision {
		return fmt.Errorf("record %q: %w", key, store.ErrConflict)
	}
	s.moveHead()
	delete(s.records, key)
	return nil
}

// RecordsHead implements store.Records.
func (s *Store) RecordsHead(ctx context.Context) (inventory.Position, error) {
	if err := s.enter(ctx); err != nil {
		return inventory.Position{}, err
	}
	defer s.mu.Unlock()
	return s.head, nil
}

// moveHead gives out a revision, which is the records' head from now on.
func (s *Store) moveHead() {
	s.revision++
	s.head.Seq = s.revision
	_, _ = rand.Read(s.head.ID[:])
}

// cloneRecord keeps the caller's bytes and the store's apart.
func cloneRecord(r store.Record) store.Record {
	r.Value = slices.Clone(r.Value)
	return r
}
