package ssm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"stocktake/internal/store"
)

// The families of work that one server does at a time, as their leases are named.
const (
	leaseDeletions = "deletions" // all deletion jobs
	leaseUpkeep    = "upkeep"    // retention, splits, pruning, the mark that the service is up
)

const recordLease = "lease"

// The rhythm of leases unless Config says otherwise.
const (
	DefaultLeaseTTL   = 10 * time.Second
	DefaultLeaseRenew = 3 * time.Second
)

// leaseRecord is who may do a family of work. Each server that takes the lease has a number of its own, greater than all
// before; the revision moves with every renewal.
type leaseRecord struct {
	Holder string // empty: given up
	Number uint64
}

// lease keeps one family of work on one server at a time. Clocks are not compared: a server that does not hold the lease
// takes it over when its record did not change for the ttl by the watcher's own monotonic time, and raises the store's
// fence to its number before it begins. What the former holder commits after that is refused, so the work is safe from a
// holder that was only paused; the lease itself merely keeps two from doing it twice.
type lease struct {
	store     store.Store
	name      string
	holder    string // this server, made at its start
	ttl       time.Duration
	renew     time.Duration
	exclusive bool // nobody else can have the store: what the record says of a holder is of a dead process
	log       *slog.Logger

	seen  uint64    // revision of the record when it was last looked at
	since time.Time // when that revision was first seen
}

// tenure is one server's time with the lease.
type tenure struct {
	fence    store.Fence
	revision uint64    // of the record
	renewed  time.Time // when the renewal that took was sent
	end      context.CancelFunc
}

// lost ends the tenure at once: somebody else has the lease.
func (t *tenure) lost() { t.end() }

// poll is how often a record is looked at by who waits for it to change.
func (l *lease) poll() time.Duration { return l.renew/3 + rand.N(l.renew/30+1) }

func (l *lease) key() string { return store.Key(recordLease, l.name) }

func (l *lease) read(ctx context.Context) (r leaseRecord, revision uint64, err error) {
	rec, err := l.store.Record(ctx, l.key())
	if errors.Is(err, store.ErrNotFound) {
		return r, 0, nil
	}
	if err != nil {
		return r, 0, err
	}
	if err := json.Unmarshal(rec.Value, &r); err != nil {
		return r, 0, fmt.Errorf("%w: record %s: %w", store.ErrCorrupt, rec.Key, err)
	}
	return r, rec.Revision, nil
}

func (l *lease) write(ctx context.Context, r leaseRecord, revision uint64) (uint64, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return 0, err
	}
	return l.store.PutRecord(ctx, store.Record{Key: l.key(), Value: text, Revision: revision})
}

// try takes the lease if it is free; nil when it is not.
func (l *lease) try(ctx context.Context) (*tenure, error) {
	r, revision, err := l.read(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if revision != l.seen {
		l.seen, l.since = revision, now
	}
	// A record that names this very server is left from a try whose outcome it did not learn.
	free := l.exclusive || revision == 0 || r.Holder == "" || r.Holder == l.holder || now.Sub(l.since) >= l.ttl
	if !free {
		return nil, nil
	}
	t := &tenure{fence: store.Fence{Lease: l.name, Number: r.Number + 1}, renewed: now}
	t.revision, err = l.write(ctx, leaseRecord{Holder: l.holder, Number: t.fence.Number}, revision)
	if errors.Is(err, store.ErrConflict) {
		return nil, nil // another was faster, or the holder is back
	}
	if err != nil {
		return nil, err
	}
	// Before any of the work. A number already raised above is of a history that was lost: the next try has a greater one.
	if err := l.store.RaiseFence(ctx, t.fence); err != nil {
		if errors.Is(err, store.ErrFenced) {
			return nil, nil
		}
		return nil, err
	}
	return t, nil
}

// keep does the work whenever this server has the lease, from the tenure given (nil: none yet) until ctx is done. The
// context of the work ends with the tenure; the work returns soon after.
func (l *lease) keep(ctx context.Context, t *tenure, work func(ctx context.Context, t *tenure)) {
	for failed := false; ; {
		if t != nil {
			l.hold(ctx, t, work)
			t = nil
		}
		if !sleep(ctx, l.poll()) {
			return
		}
		var err error
		if t, err = l.try(ctx); err != nil && ctx.Err() == nil {
			if !failed {
				l.log.Warn("work of the service's own waits for the store", "work", l.name, "error", err)
			}
			failed = true
			continue
		}
		failed = false
	}
}

// hold does the work for one tenure.
func (l *lease) hold(ctx context.Context, t *tenure, work func(ctx context.Context, t *tenure)) {
	working, end := context.WithCancel(ctx)
	t.end = end
	var wg sync.WaitGroup
	wg.Go(func() {
		defer end()
		work(working, t)
	})
	if !l.exclusive {
		for sleep(working, l.renew) {
			if !l.renewed(working, t) {
				break
			}
		}
		end()
	}
	wg.Wait()
	if ctx.Err() != nil && !l.exclusive {
		l.giveUp(context.WithoutCancel(ctx), t)
	}
}

// renewed moves the record. It gives false once the lease is another's, or may be because it was not renewed for the ttl.
func (l *lease) renewed(ctx context.Context, t *tenure) bool {
	within, cancel := context.WithDeadline(ctx, t.renewed.Add(l.ttl))
	defer cancel()
	for wait := l.renew / 10; ; wait = min(2*wait, l.renew) {
		sent := time.Now()
		err := l.renewOnce(within, t)
		switch {
		case err == nil:
			t.renewed = sent
			return true
		case errors.Is(err, store.ErrFenced):
			return false
		}
		if !sleep(within, wait) {
			if ctx.Err() == nil {
				l.log.Warn("work stops here until the store answers again", "work", l.name, "error", err)
			}
			return false
		}
	}
}

// renewOnce is ErrFenced when the lease is another's.
func (l *lease) renewOnce(ctx context.Context, t *tenure) error {
	own := leaseRecord{Holder: l.holder, Number: t.fence.Number}
	revision, err := l.write(ctx, own, t.revision)
	if errors.Is(err, store.ErrConflict) {
		// A renewal whose outcome was not learnt moved the record too.
		var now leaseRecord
		if now, revision, err = l.read(ctx); err == nil && now != own {
			err = store.ErrFenced
		}
	}
	if err == nil {
		t.revision = revision
	}
	return err
}

// giveUp lets another server take the lease without waiting for the ttl.
func (l *lease) giveUp(ctx context.Context, t *tenure) {
	ctx, cancel := context.WithTimeout(ctx, l.renew)
	defer cancel()
	// Failing costs the others the wait for the ttl. A renewal that was cut short may have moved the record.
	if l.renewOnce(ctx, t) == nil {
		_, _ = l.write(ctx, leaseRecord{Number: t.fence.Number}, t.revision)
	}
}

// sleep waits, and gives false when ctx is done before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
