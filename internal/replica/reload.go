package replica

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// reloading is a shard being loaded anew. It goes on when the question that found it necessary has gone.
type reloading struct {
	done chan struct{}
	err  error // once done
}

func (l *reloading) wait(ctx context.Context) error {
	select {
	case <-l.done:
		return l.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// startReload begins to load a shard anew. The shard's lock is held.
func (r *Replica) startReload(at int, reason error) *reloading {
	r.log.Warn("the feed no longer leads on from the index; reading the shard again", "shard", at, "reason", reason)
	s := &r.shards[at]
	l := &reloading{done: make(chan struct{})}
	s.reload = l
	for first, c := range s.early { // of the history left behind, or in what is read
		delete(s.early, first)
		c.done <- nil
	}
	r.work.Go(func() {
		if l.err = r.reload(r.base, at); l.err != nil {
			l.err = fmt.Errorf("read shard %d again: %w", at, l.err)
			if r.base.Err() == nil {
				r.log.Error("shard not read again; it is tried at the next question", "shard", at, "error", l.err)
			}
			_ = s.lock(context.Background()) // it does not end
			s.reload = nil
			s.unlock()
		}
		close(l.done)
	})
	return l
}

// reloadTries bounds how often a shard is read again because the feed was pruned or replaced meanwhile.
const reloadTries = 5

// reload loads a shard aside and puts it in place.
func (r *Replica) reload(ctx context.Context, at int) (err error) {
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-r.slots }()
	started := time.Now()
	for range reloadTries {
		err = r.loadAside(ctx, at)
		if !errors.Is(err, store.ErrBehind) && !errors.Is(err, errMoved) {
			break
		}
	}
	if err == nil {
		r.log.Info("shard is current again", "shard", at, "duration", time.Since(started))
	}
	return err
}

func (r *Replica) loadAside(ctx context.Context, at int) error {
	x := r.index.Reload(at)
	defer x.Close()
	var nodes atomic.Int64
	if err := r.loadShard(ctx, at, x, &nodes); err != nil {
		return err
	}
	heads, err := r.store.Heads(ctx)
	if err != nil {
		return err
	}
	// What changed during the scan may be in it half: only at a head from after it is all of one moment.
	var came trail
	came.add(x.Position(at))
	if err := r.followInto(ctx, at, heads[at].Seq, x, func(c inventory.Change) error {
		came.add(c.Position)
		return nil
	}); err != nil {
		return err
	}
	s := &r.shards[at]
	if err := s.lock(ctx); err != nil {
		return err
	}
	x.Finish()
	s.trail, s.reload = came, nil
	s.unlock()
	r.changes.Add(1)
	r.shared.Add(nodes.Load())
	return nil
}
