package pebble

import (
	"context"
	"encoding/binary"
	"fmt"

	"stocktake/internal/store"
)

// The numbers of all leases are in the committer's memory: judging a commit reads nothing.

// fenced gives ErrFenced for a fence below the one raised.
func (c *committer) fenced(f store.Fence) error {
	if f.Lease == "" {
		return nil
	}
	if raised := c.fences[f.Lease]; f.Number < raised {
		return fmt.Errorf("lease %q at %d, taken over at %d: %w", f.Lease, f.Number, raised, store.ErrFenced)
	}
	return nil
}

// raiseFence raises a fence. Every commit the committer takes after it is judged by it.
type raiseFence store.Fence

func (o raiseFence) apply(b *batch) error {
	if err := b.fenced(store.Fence(o)); err != nil {
		return err
	}
	if b.fences[o.Lease] == o.Number {
		return nil
	}
	b.fences[o.Lease] = o.Number
	b.set(stringKey(kindFence, o.Lease), appendFence(nil, o.Number))
	return nil
}

func appendFence(dst []byte, number uint64) []byte {
	return binary.AppendUvarint(append(dst, valueVersion), number)
}

func decodeFence(value []byte) (uint64, error) {
	d := newDecoder(value)
	number := d.uvarint()
	return number, d.end()
}

// RaiseFence implements store.Fences.
func (s *Store) RaiseFence(ctx context.Context, f store.Fence) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if err := f.Check(); err != nil {
		return err
	}
	return s.submit(ctx, raiseFence(f), takes)
}
