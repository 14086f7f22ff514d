package replica

import (
	"context"
	"errors"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// commit is the changes of one commit, in order, with the text of shapes they add.
type commit struct {
	changes []inventory.Change
	shapes  []inventory.Shape
	done    chan error // the outcome, once
}

// patience is how long an early commit waits for those before it to be handed in before it reads them from the feed.
// Commits that shared an fsync return together and are handed in within moments; one whose caller died never is.
const patience = 20 * time.Millisecond

// applyCommit applies changes of one shard, or leaves them to who hands in the commit before.
func (r *Replica) applyCommit(ctx context.Context, at int, c *commit) error {
	s := &r.shards[at]
	if err := s.lock(ctx); err != nil {
		return err
	}
	if s.reload != nil { // it is read with the rest
		s.unlock()
		return nil
	}
	first := c.changes[0].Seq
	if first <= r.index.Position(at).Seq+1 {
		defer s.unlock()
		err := r.applyChanges(ctx, at, c)
		r.applyEarly(ctx, at)
		return err
	}
	c.done = make(chan error, 1)
	if s.early == nil {
		s.early = map[uint64]*commit{}
	}
	s.early[first] = c
	s.unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-c.done:
		return err
	case <-timer.C:
	}
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.unlock()
	select {
	case err := <-c.done: // it came at the last moment
		return err
	default:
	}
	delete(s.early, first)
	err := leave(r.follow(ctx, at, first-1))
	if err == nil {
		err = r.applyChanges(ctx, at, c)
	}
	r.applyEarly(ctx, at)
	return err
}

// leave passes over that the feed does not lead on: the next question finds out, and has the shard read again.
func leave(err error) error {
	if errors.Is(err, store.ErrBehind) || errors.Is(err, errMoved) {
		return nil
	}
	return err
}

// applyEarly applies the commits that have become the next. The shard's lock is held.
func (r *Replica) applyEarly(ctx context.Context, at int) {
	early := r.shards[at].early
	for len(early) > 0 {
		position := r.index.Position(at).Seq
		next := early[position+1]
		if next == nil {
			for first, c := range early { // the feed may have been read past some
				if first <= position {
					next = c
				}
			}
		}
		if next == nil {
			return
		}
		delete(early, next.changes[0].Seq)
		next.done <- r.applyChanges(ctx, at, next)
	}
}

// applyChanges applies what of a commit's changes is not in the index yet. The shard's lock is held.
func (r *Replica) applyChanges(ctx context.Context, at int, c *commit) error {
	for _, change := range c.changes {
		switch position := r.index.Position(at).Seq; {
		case change.Seq <= position: // somebody read it from the feed
		case change.Seq == position+1:
			if err := r.applyNext(ctx, r.index, change, c.shapes); err != nil {
				return leave(err)
			}
			r.passed(at, change.Position)
		default:
			if err := r.follow(ctx, at, change.Seq); err != nil {
				return leave(err)
			}
		}
	}
	return nil
}
