package iam

import (
	"context"
	"errors"
	"sync"
	"time"

	"stocktake/internal/store"
)

const (
	usedEvery = time.Hour
	// mostUses is how many uses wait to be written at most. Those of more keys are noted when they are used next.
	mostUses = 4096
	// useTime is how long a store may take for one.
	useTime = 10 * time.Second
)

// A use is when and for what an access key was used last.
type use struct {
	Time            time.Time
	Service, Region string
}

// uses are the last uses of access keys that were noted, and those that are still to be written.
type uses struct {
	mu      sync.Mutex
	last    map[string]time.Time // by access key id: when it was last noted
	waiting map[string]use       // by access key id
	writing bool                 // a goroutine is at it
	closed  bool

	writers sync.WaitGroup // one at most
	base    context.Context
	stop    context.CancelFunc
}

func newUses() *uses {
	u := &uses{last: map[string]time.Time{}, waiting: map[string]use{}}
	u.base, u.stop = context.WithCancel(context.Background())
	return u
}

// Used notes that a request was signed with a user's key, once an hour at most. It is written after that: no request waits for
// it. What fails is logged alone.
func (d *Identities) Used(p *Principal, service, region string) {
	if p.user == "" {
		return
	}
	now := d.now().UTC().Truncate(time.Second)
	u := d.uses
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed || now.Sub(u.last[p.AccessKeyID]) < usedEvery || len(u.waiting) >= mostUses {
		return
	}
	if len(u.last) >= mostCached {
		clear(u.last)
	}
	u.last[p.AccessKeyID] = now
	u.waiting[p.AccessKeyID] = use{now, service, region}
	if !u.writing {
		u.writing = true
		u.writers.Go(d.writeUses)
	}
}

// Close waits until the uses of keys that were noted are written, or ctx is done: then the rest is given up. Nothing else may be
// asked after it.
func (d *Identities) Close(ctx context.Context) {
	u := d.uses
	u.mu.Lock()
	u.closed = true
	u.mu.Unlock()
	release := context.AfterFunc(ctx, u.stop)
	u.writers.Wait()
	release()
	u.stop()
}

// writeUses writes what waits to be written, until there is nothing left.
func (d *Identities) writeUses() {
	for id, next, ok := d.uses.next(); ok; id, next, ok = d.uses.next() {
		ctx, cancel := context.WithTimeout(d.uses.base, useTime)
		err := d.writeUse(ctx, id, next)
		cancel()
		d.uses.written(id, next)
		if err != nil && !errors.Is(err, store.ErrConflict) {
			d.log.Warn("when an access key was used could not be noted", "access_key", id, "error", err)
		}
	}
}

// next gives a use that is to be written; false: there is none, or they were given up.
func (u *uses) next() (string, use, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.base.Err() == nil {
		for id, next := range u.waiting {
			return id, next, true
		}
	}
	u.writing = false
	return "", use{}, false
}

// written takes a use from those that wait.
func (u *uses) written(id string, was use) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.waiting[id] == was {
		delete(u.waiting, id)
	}
}

// forget has nothing more written of a key.
func (u *uses) forget(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.waiting, id)
}

// writeUse writes a use, unless another server wrote one of the same hour.
func (d *Identities) writeUse(ctx context.Context, id string, now use) error {
	key := useKey(id)
	var last use
	revision, err := d.record(ctx, key, &last)
	if err != nil || now.Time.Sub(last.Time) < usedEvery {
		return err
	}
	return d.put(ctx, key, now, revision)
}

// lastUse gives when and for what a key was used last: the zero use where it never was.
func (d *Identities) lastUse(ctx context.Context, id string) (last use, err error) {
	d.uses.mu.Lock()
	noted, ok := d.uses.waiting[id]
	d.uses.mu.Unlock()
	_, err = d.record(ctx, useKey(id), &last)
	if ok && noted.Time.Sub(last.Time) >= usedEvery {
		last = noted
	}
	return last, err
}

func useKey(id string) string { return store.Key("accesskeyuse", id) }
