package ssm

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// deletionWorkers share the fsyncs of their commits.
const deletionWorkers = 8

// progressEvery is how often a running job writes down how far it is.
const progressEvery = time.Second

// wakeDeletions tells this server's worker of a job made here.
func (s *Service) wakeDeletions() {
	select {
	case s.newDeletion <- struct{}{}:
	default: // it is told already
	}
}

// workDeletions works all jobs of all partitions for one tenure of the lease. Those other servers make are noticed by the
// records' head having moved.
func (s *Service) workDeletions(ctx context.Context, t *tenure) {
	var jobs sync.WaitGroup
	defer jobs.Wait()
	var mu sync.Mutex
	working := map[string]bool{}
	var looked inventory.Position
	for woken := true; ctx.Err() == nil; woken = s.awaitDeletion(ctx) {
		head, err := s.store.RecordsHead(ctx)
		if err == nil && (woken || head != looked) {
			err = s.eachClaimed(ctx, func(j *deletionJob) error {
				mu.Lock()
				defer mu.Unlock()
				id := j.state.ID
				if working[id] {
					return nil
				}
				working[id] = true
				w := &deletionWork{job: j, service: s, tenure: t}
				jobs.Go(func() {
					w.run(ctx)
					mu.Lock()
					defer mu.Unlock()
					delete(working, id)
				})
				return nil
			})
		}
		if err == nil {
			looked = head
		} else if ctx.Err() == nil {
			s.log.Error("looking for deletions failed; it is tried again", "error", err)
			sleep(ctx, time.Second)
		}
	}
}

// awaitDeletion waits until there may be something new, and gives whether this server made a job.
func (s *Service) awaitDeletion(ctx context.Context) bool {
	var poll <-chan time.Time // where nobody else can make one there is nothing to look for
	if !s.cfg.Exclusive {
		timer := time.NewTimer(s.leases[leaseDeletions].poll())
		defer timer.Stop()
		poll = timer.C
	}
	select {
	case <-s.newDeletion:
		return true
	case <-poll:
	case <-ctx.Done():
	}
	return false
}

// deletionWork is step 7 of a deletionJob. It can be stopped after any commit and begun anew by another server: what
// remains is counted anew from the store.
type deletionWork struct {
	job     *deletionJob
	service *Service
	tenure  *tenure

	what Deletion // the job as it began; only what does not change is read
	mu   sync.Mutex
	left []DeletedVersion // guarded by mu
}

// run works until the job is complete or the lease is lost. A fault of the store is logged and tried again.
func (w *deletionWork) run(ctx context.Context) {
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		err := w.work(ctx)
		switch {
		case errors.Is(err, store.ErrFenced):
			w.tenure.lost()
			return
		case err == nil || ctx.Err() != nil || errors.Is(err, store.ErrNotFound): // not found: it was refused in the end
			return
		}
		w.service.log.Error("deletion goes on later", "deletion", w.job.state.ID, "error", err, "in", wait)
		if !sleep(ctx, wait) {
			return
		}
	}
}

func (w *deletionWork) work(ctx context.Context) error {
	if err := w.job.begin(ctx); err != nil {
		return err
	}
	w.what = w.job.state
	nodes, err := w.covered(ctx)
	if err != nil {
		return err
	}
	if err := w.deleteAll(ctx, nodes); err != nil {
		return err
	}
	return w.finish(ctx)
}

// covered gives the nodes that hold what is to go, and corrects what remains by that: documents went with the worker
// that died, or were replaced by later reports. A job that was just made has no news by it.
func (w *deletionWork) covered(ctx context.Context) (nodes []inventory.NodeID, err error) {
	counts := map[string]int{}
	err = w.service.eachReporting(ctx, w.job.partition, w.what.Type, func(n inventory.Node) error {
		found := false
		for _, state := range n.ItemsOf(w.what.Type) {
			if w.what.covers(n.Key, state) {
				counts[state.SchemaVersion]++
				found = true
			}
		}
		if found {
			nodes = append(nodes, n.Key.Node)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	w.left = slices.Clone(w.what.Versions)
	for i := range w.left {
		v := &w.left[i]
		v.Remaining = min(v.Count, counts[v.Version])
	}
	return nodes, w.save(ctx, !slices.Equal(w.left, w.what.Versions), false)
}

// save writes down how far the job is; news moves the time of the last news. ErrFenced: the job is another server's.
func (w *deletionWork) save(ctx context.Context, news, done bool) error {
	w.mu.Lock()
	left := slices.Clone(w.left)
	w.mu.Unlock()
	return w.job.update(ctx, func(d *Deletion) (bool, error) {
		if d.Lease > w.tenure.fence.Number {
			return false, store.ErrFenced
		}
		if d.Done {
			return false, nil
		}
		d.Lease, d.Versions, d.Done = w.tenure.fence.Number, left, done
		if news {
			d.Updated = time.Now().UTC().Truncate(time.Millisecond)
		}
		return true, nil
	})
}

func (w *deletionWork) deleteAll(ctx context.Context, nodes []inventory.NodeID) error {
	ids := make(chan inventory.NodeID)
	errs := make(chan error, deletionWorkers)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for range deletionWorkers {
		go func() {
			var err error
			for id := range ids {
				if err == nil {
					if err = w.deleteFrom(ctx, inventory.NodeKey{Partition: w.job.partition, Node: id}); err != nil {
						cancel()
					}
				}
			}
			errs <- err
		}()
	}
	saved := time.Now()
	var err error
	for _, id := range nodes {
		if ctx.Err() != nil {
			break
		}
		ids <- id
		if time.Since(saved) > progressEvery {
			err = errors.Join(err, w.save(ctx, true, false))
			saved = time.Now()
		}
	}
	close(ids)
	for range deletionWorkers {
		err = errors.Join(err, <-errs)
	}
	return errors.Join(err, ctx.Err())
}

// deleteFrom removes the type's documents of one node, unless a later report replaced them.
func (w *deletionWork) deleteFrom(ctx context.Context, key inventory.NodeKey) error {
	s := w.service
	lock := s.nodes.of(key)
	lock.Lock()
	defer lock.Unlock()
	covered := func(state inventory.ItemState) bool { return w.what.covers(key, state) }
	return retry(ctx, func() error {
		scan, err := s.readNode(ctx, key, w.what.Type)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		gone := slices.DeleteFunc(slices.Clone(scan.Node.Items), func(state inventory.ItemState) bool { return !covered(state) })
		if len(gone) == 0 {
			return nil
		}
		if err := s.dropItems(ctx, w.tenure.fence, scan, inventory.CauseDeletion, covered, false); err != nil {
			return err
		}
		w.count(gone)
		return nil
	})
}

func (w *deletionWork) count(gone []inventory.ItemState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, state := range gone {
		at := slices.IndexFunc(w.left, func(v DeletedVersion) bool { return v.Version == state.SchemaVersion })
		if at >= 0 && w.left[at].Remaining > 0 {
			w.left[at].Remaining--
		}
	}
}

// finish marks the job done.
func (w *deletionWork) finish(ctx context.Context) error {
	w.mu.Lock()
	for i := range w.left {
		w.left[i].Remaining = 0 // replaced by later reports, if not removed
	}
	w.mu.Unlock()
	if err := w.save(ctx, true, true); err != nil {
		return err
	}
	return w.job.unclaim(ctx)
}
