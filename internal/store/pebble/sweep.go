package pebble

import (
	"context"
	"errors"
	"fmt"

	"stocktake/internal/inventory"
)

// sweep finds shapes that nothing names. What the view it works on names it reads; what is committed meanwhile the
// committer marks. Only then, on the committer, are the rest dropped: nothing can come to name them in between.
type sweep struct {
	marked map[*space]bitset
}

func (w *sweep) mark(s *space, numbers []uint32) {
	m := w.marked[s]
	for _, n := range numbers {
		m.set(n)
	}
	w.marked[s] = m
}

// sweepBegin makes the committer mark from now on.
type sweepBegin struct{ sweep *sweep }

func (o sweepBegin) apply(b *batch) error {
	b.sweep = o.sweep // one whose caller gave up may still stand there
	return nil
}

// sweepEnd drops what neither the sweep nor the committer marked.
type sweepEnd struct {
	sweep   *sweep // what the committer marked
	read    *sweep // what the view names; nil abandons the sweep
	dropped int
}

func (o *sweepEnd) apply(b *batch) error {
	if b.sweep != o.sweep {
		return errors.New("another sweep took over")
	}
	b.sweep = nil
	// A moment taken before may show what names a shape nothing names any more. One taken from here on shows the store as
	// this batch finds it, or later.
	if o.read == nil || b.s.moments.Load() > 0 {
		return nil
	}
	for _, s := range b.s.dictionary.all() {
		var gone bitset
		count := 0
		for n := uint32(1); int(n) < 64*len(s.texts); n++ {
			if !s.texts.has(n) || o.sweep.marked[s].has(n) || o.read.marked[s].has(n) {
				continue
			}
			gone.set(n)
			s.texts.clear(n)
			b.delete(shapeRowKey(kindShapeID, s.number, n))
			b.delete(shapeRowKey(kindShape, s.number, n))
			count++
		}
		if count > 0 {
			s.forget(gone)
			o.dropped += count
		}
	}
	if o.dropped > 0 {
		b.s.dictionary.sweeps.Add(1)
	}
	return nil
}

// Sweep implements store.Store.
func (s *Store) Sweep(ctx context.Context) (int, error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.leave()
	s.sweeping.Lock()
	defer s.sweeping.Unlock()
	w := &sweep{marked: map[*space]bitset{}}
	if err := s.submit(ctx, sweepBegin{w}, frees); err != nil {
		return 0, err
	}
	end := &sweepEnd{sweep: w}
	read, err := s.readNamed(ctx)
	if err == nil {
		end.read = read
	}
	// The committer must stop marking whatever became of the caller.
	err = errors.Join(err, s.submit(context.WithoutCancel(ctx), end, frees))
	return end.dropped, err
}

// readNamed marks every shape that a document or a change names.
func (s *Store) readNamed(ctx context.Context) (*sweep, error) {
	v := s.views.acquire()
	defer s.views.release(v)
	w := &sweep{marked: map[*space]bitset{}}
	err := each(v.snapshot, []byte{kindDocument}, []byte{kindDocument + 1}, func(key, value []byte) error {
		sp, err := s.spaceOfDocument(key)
		if err != nil {
			return err
		}
		d := documentDecoder(value)
		w.mark(sp, d.refNumbers())
		return errors.Join(d.err, ctx.Err())
	})
	if err != nil {
		return nil, err
	}
	err = each(v.snapshot, []byte{kindChange}, []byte{kindChange + 1}, func(_, value []byte) error {
		key, numbers, err := changeNumbers(value)
		if err != nil {
			return err
		}
		w.mark(s.dictionary.space(key), numbers)
		return ctx.Err()
	})
	return w, err
}

func (s *Store) spaceOfDocument(key []byte) (*space, error) {
	k, err := parseDocumentKey(key)
	if err != nil {
		return nil, err
	}
	return s.dictionary.space(spaceKey{k.Partition, k.Type}), nil
}

func parseDocumentKey(key []byte) (k inventory.DocumentKey, err error) {
	rest := key
	if len(rest) < 3 {
		return k, fmt.Errorf("key of %d bytes", len(key))
	}
	rest = rest[3:]
	var parts [5]string
	for i := range parts {
		if parts[i], rest, err = cutKeyString(rest); err != nil {
			return k, err
		}
	}
	if len(rest) > 0 {
		return k, fmt.Errorf("key has %d bytes too many", len(rest))
	}
	k.Account, k.Region, k.Node = parts[0], parts[1], inventory.NodeID(parts[2])
	k.Type, k.SubType = inventory.TypeName(parts[3]), parts[4]
	return k, nil
}
