package replica

import (
	"context"
	"errors"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// commit is the changes of one commit, in order, with the text of shapes they add. They are right for the index only
// where it is at the change they follow: a sequence alone may be that of another history, after a fail-over.
type commit struct {
	after   inventory.Position
	changes []inventory.Change
	shapes  []inventory.Shape
	done    chan error // the outcome, once
}

// patience is how long an early commit waits for those before it to be handed in before it reads them from the feed.
// Commits that shared an fsync return together and are handed in within moments; one whose caller died never is.
const patience = 20 * time.Millisecond

// applyCommit applies changes of one shard, or leaves them to who hands in the commit before.
func (r *Replica) applyCommit(ctx context.Context, c *commit) error {
	at := c.changes[0].Shard
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
	s.leaveEarly(c)
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

// applyOwn applies a commit of this server where others write too, or leaves it to who reads or hands in what goes before
// it. Who holds the shard may be waiting for the store: then its shapes are learnt, and the feed tells of the rest.
func (r *Replica) applyOwn(ctx context.Context, c *commit) error {
	s := &r.shards[c.changes[0].Shard]
	soon, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := s.lock(soon); err != nil {
		return r.learn(c.changes, c.shapes)
	}
	defer s.unlock()
	at := c.changes[0].Shard
	switch {
	case s.reload != nil: // it is read with the rest
		return nil
	case c.changes[0].Seq > r.index.Position(at).Seq+1:
		s.leaveEarly(c)
		return r.learn(c.changes, c.shapes)
	}
	err := r.applyChanges(ctx, at, c)
	r.applyEarly(ctx, at)
	return err
}

// leaveEarly leaves a commit to who applies the one before it. The shard's lock is held.
func (s *shard) leaveEarly(c *commit) {
	if s.early == nil {
		s.early = map[uint64]*commit{}
	}
	s.early[c.changes[0].Seq] = c
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
	before := c.after
	for _, change := range c.changes {
		switch position := r.index.Position(at); {
		case change.Seq <= position.Seq: // somebody read it from the feed
		case position == before:
			if err := r.applyNext(ctx, r.index, change, c.shapes); err != nil {
				return leave(err)
			}
			r.passed(at, change.Position)
		case r.opt.Follow > 0:
			return nil
		default:
			if err := r.follow(ctx, at, change.Seq); err != nil {
				return leave(err)
			}
		}
		before = change.Position
	}
	return nil
}
