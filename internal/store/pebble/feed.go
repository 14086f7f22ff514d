package pebble

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// Heads implements store.Store.
func (s *Store) Heads(ctx context.Context) ([]inventory.Position, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	v := s.views.acquire()
	defer s.views.release(v)
	return slices.Clone(v.heads), nil
}

// Changes implements store.Store.
func (s *Store) Changes(ctx context.Context, shard int, after inventory.Position, limit int) ([]inventory.Change, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	v := s.views.acquire()
	defer s.views.release(v)
	return s.changesIn(ctx, v, shard, after, limit)
}

func (s *Store) changesIn(ctx context.Context, v *view, shard int, after inventory.Position, limit int) ([]inventory.Change, error) {
	if err := s.checkShard(shard); err != nil {
		return nil, err
	}
	if err := v.checkPosition(shard, after); err != nil {
		return nil, err
	}
	changes, err := s.changesFrom(ctx, v, shard, after.Seq+1, limit)
	if next := after.Seq + 1 + uint64(len(changes)); err == nil && len(changes) < limit && next != v.heads[shard].Seq+1 {
		err = damaged(changeKey(shard, next), errors.New("the change is missing"))
	}
	return changes, err
}

// OldestChange implements store.Store.
func (s *Store) OldestChange(ctx context.Context, shard int) (inventory.Change, error) {
	if err := s.enter(ctx); err != nil {
		return inventory.Change{}, err
	}
	defer s.leave()
	v := s.views.acquire()
	defer s.views.release(v)
	return s.oldestIn(ctx, v, shard)
}

func (s *Store) oldestIn(ctx context.Context, v *view, shard int) (inventory.Change, error) {
	if err := s.checkShard(shard); err != nil {
		return inventory.Change{}, err
	}
	if v.heads[shard] == (inventory.Position{}) {
		return inventory.Change{}, fmt.Errorf("change of shard %d: %w", shard, store.ErrNotFound)
	}
	changes, err := s.changesFrom(ctx, v, shard, v.tails[shard], 1)
	if err != nil {
		return inventory.Change{}, err
	}
	if len(changes) == 0 {
		return inventory.Change{}, damaged(changeKey(shard, v.tails[shard]), errors.New("the change is missing"))
	}
	return changes[0], nil
}

// changesFrom reads up to limit changes of a shard, the first of which has the sequence next.
func (s *Store) changesFrom(ctx context.Context, v *view, shard int, next uint64, limit int) ([]inventory.Change, error) {
	from := changeSource{ids: s.dictionary.idsOf, borrowed: func(key inventory.DocumentKey) ([]byte, error) {
		return v.borrowed(shard, key)
	}}
	var changes []inventory.Change
	err := each(v.snapshot, changeKey(shard, next), keyAfter(shardKey(kindChange, shard)), func(key, value []byte) error {
		if len(changes) >= limit {
			return io.EOF
		}
		seq := binary.BigEndian.Uint64(key[3:])
		if seq != next {
			return fmt.Errorf("change %d of shard %d is missing", next, shard)
		}
		c, err := decodeChange(value, from)
		if err != nil {
			return err
		}
		c.Shard, c.Seq = shard, seq
		changes = append(changes, c)
		next++
		return ctx.Err()
	})
	return changes, err
}

// checkPosition gives ErrBehind when a position is not in the feed.
func (v *view) checkPosition(shard int, at inventory.Position) error {
	behind := fmt.Errorf("shard %d at %d: %w", shard, at.Seq, store.ErrBehind)
	if at == v.heads[shard] {
		return nil
	}
	if at == (inventory.Position{}) {
		if v.tails[shard] > 1 {
			return behind
		}
		return nil
	}
	if at.Seq < v.tails[shard] || at.Seq > v.heads[shard].Seq {
		return behind
	}
	var id inventory.ChangeID
	found, err := v.get(changeKey(shard, at.Seq), func(value []byte) error {
		d := newDecoder(value)
		copy(id[:], d.bytes(len(id)))
		return d.err
	})
	if err != nil {
		return err
	}
	if !found || id != at.ID {
		return behind
	}
	return nil
}

// borrowed reads a document for the change that borrows its refs.
func (v *view) borrowed(shard int, k inventory.DocumentKey) (document []byte, err error) {
	key := documentKey(nodeKey(shard, k.NodeKey), inventory.ItemKey{Type: k.Type, SubType: k.SubType})
	found, err := v.get(key, func(value []byte) error {
		document = slices.Clone(value)
		return nil
	})
	if err == nil && !found {
		err = damaged(key, errors.New("a stored document is missing"))
	}
	return document, err
}

// prune drops the changes of each shard below limits.
type prune struct {
	limits  []uint64
	dropped int
}

func (o *prune) apply(b *batch) error {
	b.feed()
	for shard, limit := range o.limits {
		for _, read := range b.readers {
			limit = min(limit, read[shard])
		}
		limit = min(limit, b.heads[shard].Seq)
		tail := b.tails[shard]
		if limit <= tail {
			continue
		}
		b.deleteRange(changeKey(shard, tail), changeKey(shard, limit))
		b.tails[shard] = limit
		o.dropped += int(limit - tail)
	}
	return nil
}

// Prune implements store.Store.
func (s *Store) Prune(ctx context.Context, before time.Time) (int, error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.leave()
	o := &prune{limits: make([]uint64, s.identity.Shards)}
	v := s.views.acquire()
	for shard := range o.limits {
		limit, err := v.firstSince(ctx, shard, before)
		if err != nil {
			s.views.release(v)
			return 0, err
		}
		o.limits[shard] = limit
	}
	s.views.release(v)
	err := s.submit(ctx, o, frees)
	if err != nil {
		return 0, err
	}
	return o.dropped, nil
}

// firstSince gives the sequence of the first change that arrived at or after a time.
func (v *view) firstSince(ctx context.Context, shard int, since time.Time) (uint64, error) {
	first := uint64(math.MaxUint64)
	lower, upper := changeKey(shard, v.tails[shard]), keyAfter(shardKey(kindChange, shard))
	err := each(v.snapshot, lower, upper, func(key, value []byte) error {
		var c inventory.Change
		d := newDecoder(value)
		d.changeHead(&c)
		if d.err != nil {
			return d.err
		}
		if !c.Arrival.Before(since) {
			first = binary.BigEndian.Uint64(key[3:])
			return io.EOF
		}
		return ctx.Err()
	})
	if first == math.MaxUint64 {
		// What is committed from now on has not been looked at.
		first = v.heads[shard].Seq
	}
	return first, err
}
