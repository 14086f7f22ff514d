// Package replica keeps an index current: it loads a snapshot, builds what the snapshot lacks from the store, follows
// the feed, and brings the index up to the store's heads when asked. It is the only room that changes an index.
//
// Begin with Open. Who commits to the store hands the changes to Apply before it answers; who is about to ask calls
// CatchUp first, and then finds in Index everything that was acknowledged before, by whichever server.
//
// Promises:
//   - Changes are applied in feed order, each once in effect; a snapshot of another store or history, damaged or missing
//     costs time, never answers.
//   - A shard whose feed no longer leads on from the index (pruned, restored, failed over to a server that lagged) is
//     loaded aside and put in place when it is whole. A question that needs it waits, no longer than its context; other
//     shards, their commits and their questions go on. No question sees half a shard, nor two histories in one node.
//   - Where the store can't say what is newest, CatchUp fails: an answer is never older than what was acknowledged.
//
// A replica registers no reader: it does not hold the feed up, and reloads the shard when it was left behind.
package replica

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"stocktake/internal/index"
	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// Options says how to keep the index.
type Options struct {
	// Dir is the folder of the snapshot; "" keeps none.
	Dir string
	// Every is how often a snapshot is written while changes come in; 0 means DefaultEvery, less: only on Close.
	Every time.Duration
	// Follow is how often the store's heads are read while nobody asks, for a store that other servers write to as well:
	// a question then waits only for the rest. 0 is for a store of one server, which hands in every change.
	Follow time.Duration
	// Shared keeps a snapshot for servers that have none of their own; nil for none. It is written every SharedEvery (0
	// means DefaultSharedEvery) unless another server has done so since, and on Close after many changes.
	Shared      store.Snapshots
	SharedEvery time.Duration
	Limits      inventory.Limits
	Logger      *slog.Logger
	// Progress, if set, is told while a store is read at start: nodes done so far.
	Progress func(nodes int)
}

// How often snapshots are written unless chosen otherwise.
const (
	DefaultEvery       = 5 * time.Minute
	DefaultSharedEvery = 10 * time.Minute
)

// Replica owns an index. Its methods may be called from any goroutine.
type Replica struct {
	store store.View // of it the replica only reads
	index *index.Index
	opt   Options
	log   *slog.Logger

	shards []shard
	heads  headReads
	slots  chan struct{} // held by who reads a shard again

	loading    sync.RWMutex // held for reading between asking what the index lacks and giving it, for writing by Sweep
	snapshots  sync.Mutex   // one at a time
	snapshotAt atomic.Int64
	changes    atomic.Int64 // applied since the last snapshot
	shared     atomic.Int64 // applied since the last shared snapshot

	base context.Context // ends on Close; work that outlives a question runs under it
	stop context.CancelFunc
	work sync.WaitGroup
}

// Open makes the index current and keeps it so until Close.
func Open(ctx context.Context, st store.Store, opt Options) (*Replica, error) {
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.Every == 0 {
		opt.Every = DefaultEvery
	}
	if opt.SharedEvery == 0 {
		opt.SharedEvery = DefaultSharedEvery
	}
	r := &Replica{store: st, opt: opt, log: opt.Logger, shards: newShards(st.Identity().Shards), slots: make(chan struct{}, loaders())}
	r.base, r.stop = context.WithCancel(context.Background())
	r.heads.read = func() ([]inventory.Position, error) { return st.Heads(r.base) }
	started := time.Now()
	from, err := r.fill(ctx)
	if err != nil {
		r.halt()
		return nil, err
	}
	if err := r.CatchUp(ctx); err != nil {
		r.halt()
		return nil, fmt.Errorf("bring the index up to the store: %w", err)
	}
	r.log.Info("index is current", "from", from, "duration", time.Since(started))
	r.work.Go(func() { r.keepSnapshot(r.base, from != fromSnapshot) })
	if opt.Shared != nil && opt.SharedEvery > 0 {
		r.work.Go(func() { r.keepShared(r.base, from == fromStore) })
	}
	if opt.Follow > 0 {
		r.work.Go(func() { r.keepUp(r.base) })
	}
	return r, nil
}

// Where an index came from.
const (
	fromSnapshot = "snapshot"
	fromShared   = "shared snapshot"
	fromStore    = "store"
)

// fill makes the index of the newest snapshot at hand, or else of the whole store.
func (r *Replica) fill(ctx context.Context) (from string, err error) {
	for _, source := range []struct {
		name string
		load func(context.Context) error
	}{{fromSnapshot, r.loadSnapshot}, {fromShared, r.loadShared}} {
		err := source.load(ctx)
		if err == nil {
			err = r.leadsOn(ctx)
		}
		if err == nil {
			return source.name, nil
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		r.log.Info("a start from this snapshot is not possible", "from", source.name, "reason", err)
	}
	r.log.Info("reading the whole store")
	r.index = index.New(r.indexConfig())
	if err := r.index.Bulk(func() error { return r.loadAll(ctx) }); err != nil {
		return "", fmt.Errorf("build the index: %w", err)
	}
	return fromStore, nil
}

func (r *Replica) indexConfig() index.Config {
	id := r.store.Identity()
	return index.Config{Store: id.ID, Shards: id.Shards, Nodes: r.opt.Limits.Nodes, Shapes: r.opt.Limits.Shapes, Regions: r.opt.Limits.Regions}
}

// Index gives the index. Callers only read it.
func (r *Replica) Index() *index.Index { return r.index }

// Close writes the last snapshots and stops. The store must still be open.
func (r *Replica) Close() error {
	r.halt()
	if r.opt.Shared != nil && r.shared.Load() >= sharedMuch {
		if err := r.saveShared(context.Background(), sharedPause); err != nil {
			r.log.Warn("shared snapshot not written", "error", err)
		}
	}
	if r.opt.Dir == "" {
		return nil
	}
	return r.Snapshot()
}

// halt ends what runs in the background.
func (r *Replica) halt() {
	r.stop()
	r.work.Wait()
}

// Apply takes a commit that just returned, with the text of the shapes it adds, so that the usual case reads nothing back.
// One that comes early waits a moment for those before it, which are then read from the feed.
//
// Where others write too nobody waits: those before it may be another server's, and the feed tells of all in its turn.
func (r *Replica) Apply(ctx context.Context, done store.Committed, shapes []inventory.Shape) error {
	if len(done.Changes) == 0 {
		return nil
	}
	c := &commit{after: done.After, changes: done.Changes, shapes: shapes, done: make(chan error, 1)}
	if r.opt.Follow > 0 {
		return r.applyOwn(ctx, c)
	}
	return r.applyCommit(ctx, c)
}

// learn gives the index the shapes that changes add.
func (r *Replica) learn(changes []inventory.Change, shapes []inventory.Shape) error {
	texts := make(map[inventory.ShapeID]inventory.Shape, len(shapes))
	for _, s := range shapes {
		texts[s.ID] = s
	}
	for _, c := range changes {
		var added []inventory.Shape
		for _, id := range c.Added {
			if s, ok := texts[id]; ok {
				added = append(added, s)
			}
		}
		if err := r.index.Define(c.Document.Partition, c.Document.Type, added); err != nil {
			return err
		}
	}
	return nil
}

// Sweep gives back the memory of what no node has any more, once it is a good part of the whole. It gives how many shapes
// and nodes it dropped from the index.
func (r *Replica) Sweep() (shapes, nodes int) {
	r.loading.Lock()
	defer r.loading.Unlock()
	return r.index.Sweep()
}
