package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"stocktake/internal/index"
	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

const (
	// catchUpTries bounds how often the heads are read again because a shard was reloaded, or history changed, meanwhile.
	catchUpTries = 8
	// followers is how many shards are brought up at a time.
	followers = 8
)

// errMoved says that the feed is not that of the heads read before: read them again.
var errMoved = errors.New("the feed ends before its head")

// CatchUp brings the index up to the store's heads of now.
func (r *Replica) CatchUp(ctx context.Context) error {
	for range catchUpTries {
		again, err := r.catchUp(ctx)
		if err != nil || !again {
			return err
		}
	}
	return fmt.Errorf("%w: its feed is replaced faster than it can be read", store.ErrUnavailable)
}

// catchUp does so unless it finds another history, which is reloaded: then it is to be called again.
func (r *Replica) catchUp(ctx context.Context) (again bool, err error) {
	again, _, err = r.catchUpBut(ctx, nil)
	return again, err
}

// catchUpBut is catchUp but for the shards that have moved since heads that were read earlier, if the index has reached
// those. It gives the heads of now too.
func (r *Replica) catchUpBut(ctx context.Context, earlier []inventory.Position) (again bool, heads []inventory.Position, err error) {
	// What the index holds before the heads are read was committed before: heads that lack it are of another history.
	before := r.index.Positions()
	heads, err = r.readHeads(ctx)
	if err != nil {
		return false, nil, err
	}
	if len(heads) != len(before) {
		return false, nil, fmt.Errorf("%w: heads of %d shards, not %d", store.ErrCorrupt, len(heads), len(before))
	}
	var behind []int
	for shard, head := range heads {
		reached := earlier != nil && head.Seq > earlier[shard].Seq && before[shard].Seq >= earlier[shard].Seq
		if before[shard] != head && !reached {
			behind = append(behind, shard)
		}
	}
	again, err = r.eachShard(ctx, behind, func(ctx context.Context, shard int) (bool, error) {
		return r.bring(ctx, shard, before[shard], heads[shard])
	})
	return again, heads, err
}

// eachShard calls f for some shards, several at a time. It gives whether any was true, and the first error.
func (r *Replica) eachShard(ctx context.Context, shards []int, f func(ctx context.Context, shard int) (bool, error)) (any bool, err error) {
	if len(shards) == 1 {
		return f(ctx, shards[0])
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	each := make(chan int, len(shards))
	for _, shard := range shards {
		each <- shard
	}
	close(each)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for range min(followers, len(shards)) {
		wg.Go(func() {
			for shard := range each {
				one, failed := f(ctx, shard)
				mu.Lock()
				any = any || one
				if failed != nil && err == nil {
					err = failed
					cancel()
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return any && err == nil, err
}

// bring brings a shard up to a head that was read after the index was at before.
func (r *Replica) bring(ctx context.Context, at int, before, head inventory.Position) (again bool, err error) {
	s := &r.shards[at]
	if err := s.lock(ctx); err != nil {
		return false, err
	}
	reload := s.reload
	if reload == nil {
		position := r.index.Position(at)
		switch {
		case head.Seq > position.Seq:
			err = r.follow(ctx, at, head.Seq)
			r.applyEarly(ctx, at)
			if again = errors.Is(err, errMoved); again {
				err = nil
			}
			if errors.Is(err, store.ErrBehind) {
				reload, err = r.startReload(at, err), nil
			}
		case head.Seq > before.Seq, position != before:
			// Somebody else has moved it meanwhile: past the head, or into another history.
			again = head != position && !s.trail.has(head)
		default:
			reload = r.startReload(at, fmt.Errorf("the store's newest change is %d, the index is at %d of another history", head.Seq, before.Seq))
		}
	}
	s.unlock()
	if reload != nil {
		return true, reload.wait(ctx)
	}
	return again, err
}

// followPage is how many changes are read at a time.
const followPage = 256

// follow applies the feed's changes up to a sequence. ErrBehind says that the feed does not lead on from the index. The
// shard's lock is held.
func (r *Replica) follow(ctx context.Context, at int, upTo uint64) error {
	return r.followInto(ctx, at, upTo, r.index, func(c inventory.Change) error {
		r.passed(at, c.Position)
		return nil
	})
}

// target is an index, or a shard of it being loaded aside.
type target interface {
	Missing(p inventory.Partition, t inventory.TypeName, ids []inventory.ShapeID) []inventory.ShapeID
	Define(p inventory.Partition, t inventory.TypeName, shapes []inventory.Shape) error
	Load(shard int, node inventory.NodeKey, documents []index.Loaded) error
	Apply(c inventory.Change, shapes []inventory.Shape) error
	Position(shard int) inventory.Position
	SetPosition(shard int, at inventory.Position)
}

func (r *Replica) followInto(ctx context.Context, at int, upTo uint64, x target, passed func(inventory.Change) error) error {
	for x.Position(at).Seq < upTo {
		changes, err := r.store.Changes(ctx, at, x.Position(at), followPage)
		if err != nil {
			return err
		}
		if len(changes) == 0 {
			return fmt.Errorf("shard %d before change %d: %w", at, upTo, errMoved)
		}
		if err := r.defineAdded(ctx, at, x, changes); err != nil {
			return err
		}
		for _, c := range changes {
			if err := r.applyNext(ctx, x, c, nil); err != nil {
				return err
			}
			if err := passed(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// passed notes a change the index has come by. The shard's lock is held.
func (r *Replica) passed(at int, p inventory.Position) {
	r.shards[at].trail.add(p)
	r.changes.Add(1)
	r.shared.Add(1)
}

// dictionary names one dictionary of shapes.
type dictionary struct {
	partition inventory.Partition
	t         inventory.TypeName
}

// defineAdded gives the index the text of every shape these changes add that it does not know, in one read for each type.
func (r *Replica) defineAdded(ctx context.Context, at int, x target, changes []inventory.Change) error {
	r.loading.RLock()
	defer r.loading.RUnlock()
	wanted := map[dictionary][]inventory.ShapeID{}
	for _, c := range changes {
		if missing := x.Missing(c.Document.Partition, c.Document.Type, c.Added); len(missing) > 0 {
			d := dictionary{c.Document.Partition, c.Document.Type}
			wanted[d] = append(wanted[d], missing...)
		}
	}
	return r.defineWanted(ctx, at, x, wanted)
}

// defineWanted gives the index the text of shapes. Shapes that are gone were of changes that are gone from the feed: then
// the error is ErrBehind too.
func (r *Replica) defineWanted(ctx context.Context, at int, x target, wanted map[dictionary][]inventory.ShapeID) error {
	for d, ids := range wanted {
		slices.SortFunc(ids, inventory.CompareShapeIDs)
		shapes, err := r.store.Shapes(ctx, at, d.partition, d.t, slices.Compact(ids))
		if errors.Is(err, store.ErrNotFound) {
			err = fmt.Errorf("%w: %w", store.ErrBehind, err)
		}
		if err != nil {
			return fmt.Errorf("shapes of %s: %w", d.t, err)
		}
		if err := x.Define(d.partition, d.t, shapes); err != nil {
			return err
		}
	}
	return nil
}

// applyNext applies the next change of a shard. Shapes the index turns out not to know are read from the store.
func (r *Replica) applyNext(ctx context.Context, x target, c inventory.Change, shapes []inventory.Shape) error {
	for {
		err := x.Apply(c, shapes)
		var missing *index.MissingError
		if !errors.As(err, &missing) {
			return err
		}
		if shapes, err = r.store.Shapes(ctx, c.Shard, missing.Partition, missing.Type, missing.IDs); err != nil {
			if errors.Is(err, store.ErrNotFound) {
				err = fmt.Errorf("%w: %w", store.ErrBehind, err)
			}
			return fmt.Errorf("shapes of change %d of shard %d: %w", c.Seq, c.Shard, err)
		}
	}
}

// keepUp follows the feed while nobody asks. What moved since it last looked is left for the next time: most of it is
// what was committed here, which comes to the index without being read.
func (r *Replica) keepUp(ctx context.Context) {
	tick := time.NewTicker(r.opt.Follow)
	defer tick.Stop()
	failing := false
	var heads []inventory.Position
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		_, now, err := r.catchUpBut(ctx, heads)
		if now != nil {
			heads = now
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			r.log.Error("the store can't be followed; questions fail until it can", "error", err)
		case err == nil && failing:
			r.log.Info("the store is followed again")
		}
		failing = err != nil
	}
}

// leadsOn tells by an error that the feed leads on from the index in too few shards for the index to be worth keeping.
func (r *Replica) leadsOn(ctx context.Context) error {
	heads, err := r.store.Heads(ctx)
	if err != nil {
		return err
	}
	var moved []int
	for shard, head := range heads {
		if r.index.Position(shard) != head {
			moved = append(moved, shard)
		}
	}
	var lost atomic.Int64
	_, err = r.eachShard(ctx, moved, func(ctx context.Context, shard int) (bool, error) {
		_, err := r.store.Changes(ctx, shard, r.index.Position(shard), 1)
		if errors.Is(err, store.ErrBehind) {
			lost.Add(1)
			err = nil
		}
		return false, err
	})
	if n := int(lost.Load()); err == nil && n > len(heads)/4 {
		err = fmt.Errorf("the feed no longer leads on from it in %d of %d shards", n, len(heads))
	}
	return err
}
