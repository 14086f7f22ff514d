package memory

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"stocktake/internal/store"
)

// RaiseFence implements store.Fences.
func (s *Store) RaiseFence(ctx context.Context, f store.Fence) error {
	if err := f.Check(); err != nil {
		return err
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if err := s.fenced(f); err != nil {
		return err
	}
	s.fences[f.Lease] = f.Number
	return nil
}

// fenced gives ErrFenced for a fence below the one raised.
func (s *Store) fenced(f store.Fence) error {
	if raised := s.fences[f.Lease]; f.Number < raised {
		return fmt.Errorf("lease %q at %d, taken over at %d: %w", f.Lease, f.Number, raised, store.ErrFenced)
	}
	return nil
}

// SaveSnapshot implements store.Snapshots.
func (s *Store) SaveSnapshot(ctx context.Context, write func(io.Writer) error) error {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	s.snapshot = append([]byte{}, b.Bytes()...)
	return nil
}

// LoadSnapshot implements store.Snapshots.
func (s *Store) LoadSnapshot(ctx context.Context, read func(io.Reader) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	snapshot := s.snapshot
	s.mu.Unlock()
	if snapshot == nil {
		return fmt.Errorf("snapshot: %w", store.ErrNotFound)
	}
	return read(bytes.NewReader(snapshot))
}
