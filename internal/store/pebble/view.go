package pebble

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	engine "github.com/cockroachdb/pebble/v2"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// view is what is durable at one moment. Readers hold one for a call; the committer puts a new one in place after every
// fsync.
type view struct {
	number   uint64 // counts up
	snapshot *engine.Snapshot
	// heads and tails are of every shard: the newest change, and the sequence of the oldest one still in the feed (the
	// next sequence where the feed is empty). They are not changed, only replaced.
	heads []inventory.Position
	tails []uint64
	// recordsHead is the records' head.
	recordsHead inventory.Position

	users int // under views.mu; the store's own hold on the newest counts
}

// views hands out the newest view and closes those that nobody uses any more.
type views struct {
	mu     sync.Mutex
	newest *view
	// closing are the snapshots being closed. Whoever used a view last does not wait for it: Pebble may be in the middle of
	// writing its manifest then, on a disk that failed or does not answer, and holds the close up until it is through.
	closing sync.WaitGroup
}

func (v *views) acquire() *view {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.newest.users++
	return v.newest
}

func (v *views) release(old *view) {
	v.mu.Lock()
	old.users--
	unused := old.users == 0
	v.mu.Unlock()
	if unused {
		// Closing a snapshot does not fail in the Pebble this is built with.
		v.closing.Go(func() { _ = old.snapshot.Close() })
	}
}

// replace puts a new view in place; nil leaves none.
func (v *views) replace(next *view) {
	v.mu.Lock()
	old := v.newest
	v.newest = next
	if next != nil {
		next.users++
	}
	v.mu.Unlock()
	if old != nil {
		v.release(old)
	}
}

// end leaves no view, and waits until all are closed. Nobody may acquire one any more.
func (v *views) end() {
	v.replace(nil)
	v.closing.Wait()
}

// get reads one value and hands it to use, which must not keep it. found is false where there is none.
func (v *view) get(key []byte, use func(value []byte) error) (found bool, err error) {
	return get(v.snapshot, key, use)
}

func get(r engine.Reader, key []byte, use func(value []byte) error) (found bool, err error) {
	value, closer, err := r.Get(key)
	if errors.Is(err, engine.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, damaged(key, err)
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	if err := use(value); err != nil {
		return true, damaged(key, err)
	}
	return true, nil
}

// each calls use for every key of a range in order until it gives io.EOF; use must not keep what it is given.
func each(r engine.Reader, lower, upper []byte, use func(key, value []byte) error) (err error) {
	it, err := r.NewIter(&engine.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return damaged(lower, err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return damaged(it.Key(), err)
		}
		switch err := use(it.Key(), value); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return damaged(it.Key(), err)
		}
	}
	if err := it.Error(); err != nil {
		return damaged(lower, err)
	}
	return nil
}

// damaged makes ErrCorrupt of what went wrong while the value of a key was read or understood. Pebble names the file in
// what it reports; the key names the record.
func damaged(key []byte, err error) error {
	var other *formatError
	if errors.Is(err, store.ErrCorrupt) || errors.As(err, &other) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: at key %q: %w", store.ErrCorrupt, key, err)
}
