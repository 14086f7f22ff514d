// Package replica keeps an index current: it loads a snapshot, builds what the snapshot lacks from the store, follows
// the feed, and brings the index up to the store's heads when asked. It is the only room that changes an index.
//
// Begin with Open. Who commits to the store hands the changes to Apply before it answers; who is about to ask calls
// CatchUp first, and then finds in Index everything that was acknowledged before, by whichever server.
//
// Promises: changes are applied in feed order, each once in effect; a snapshot of another store or history, damaged or
// missing costs time, never answers. It refuses to serve a shard it could not load.
package replica

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"stocktake/internal/index"
	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// Options says how to keep the index.
type Options struct {
	// Dir is the folder of the snapshot; "" keeps none, and every start reads the whole store.
	Dir string
	// Every is how often a snapshot is written while changes come in; 0 means DefaultEvery, less: only on Close.
	Every  time.Duration
	Limits inventory.Limits
	Logger *slog.Logger
	// Progress, if set, is told while a store is read at start: nodes done so far.
	Progress func(nodes int)
}

// DefaultEvery is how often a snapshot is written.
const DefaultEvery = 5 * time.Minute

// Replica owns an index. Its methods may be called from any goroutine.
type Replica struct {
	store store.Store
	index *index.Index
	opt   Options
	log   *slog.Logger

	shards []shard

	loading    sync.RWMutex // held for reading while a shard is read again, for writing by Sweep
	snapshots  sync.Mutex   // one at a time
	snapshotAt atomic.Int64
	changes    atomic.Int64 // applied since the last snapshot

	stop context.CancelFunc
	done chan struct{}
}

// Open makes the index current and keeps it so until Close.
func Open(ctx context.Context, st store.Store, opt Options) (*Replica, error) {
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.Every == 0 {
		opt.Every = DefaultEvery
	}
	r := &Replica{store: st, opt: opt, log: opt.Logger, shards: make([]shard, st.Identity().Shards), done: make(chan struct{})}
	started := time.Now()
	from := "snapshot"
	if err := r.loadSnapshot(); err != nil {
		r.log.Info("no snapshot to start from; reading the whole store", "reason", err)
		r.index = index.New(r.indexConfig())
		from = "store"
		if err := r.index.Bulk(func() error { return r.loadAll(ctx) }); err != nil {
			return nil, fmt.Errorf("build the index: %w", err)
		}
	}
	if err := r.CatchUp(ctx); err != nil {
		return nil, fmt.Errorf("bring the index up to the store: %w", err)
	}
	r.log.Info("index is current", "from", from, "duration", time.Since(started))
	run, stop := context.WithCancel(context.Background())
	r.stop = stop
	go r.snapshotNowAndThen(run, from == "store")
	return r, nil
}

func (r *Replica) indexConfig() index.Config {
	id := r.store.Identity()
	return index.Config{Store: id.ID, Shards: id.Shards, Nodes: r.opt.Limits.Nodes, Shapes: r.opt.Limits.Shapes, Regions: r.opt.Limits.Regions}
}

// Index gives the index. Callers only read it.
func (r *Replica) Index() *index.Index { return r.index }

// Close writes a last snapshot and stops. The store must still be open.
func (r *Replica) Close() error {
	r.stop()
	<-r.done
	if r.opt.Dir == "" {
		return nil
	}
	return r.Snapshot()
}

// Apply takes the changes of a commit that just returned, with the text of the shapes they add, so that the usual case
// reads nothing back. Changes that come early wait a moment for those before them, which are then read from the feed.
func (r *Replica) Apply(ctx context.Context, changes []inventory.Change, shapes []inventory.Shape) error {
	for len(changes) > 0 {
		n := 1
		for n < len(changes) && changes[n].Shard == changes[0].Shard {
			n++
		}
		if err := r.applyCommit(ctx, changes[0].Shard, &commit{changes: changes[:n], shapes: shapes}); err != nil {
			return err
		}
		changes = changes[n:]
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

// CatchUp brings the index up to the store's heads of now.
func (r *Replica) CatchUp(ctx context.Context) error {
	heads, err := r.store.Heads(ctx)
	if err != nil {
		return err
	}
	for shard, head := range heads {
		if r.index.Position(shard) == head {
			continue
		}
		if err := r.catchUpShard(ctx, shard, head); err != nil {
			return err
		}
	}
	return nil
}

func (r *Replica) catchUpShard(ctx context.Context, shard int, head inventory.Position) error {
	r.shards[shard].Lock()
	defer r.shards[shard].Unlock()
	at := r.index.Position(shard)
	if at.Seq < head.Seq {
		err := r.follow(ctx, shard, head.Seq)
		r.applyEarly(ctx, shard)
		return err
	}
	// Whatever the index holds was committed before, so a head read now is at or after it, or of another history: a
	// restored store, or a fail-over that lost changes.
	heads, err := r.store.Heads(ctx)
	if err != nil {
		return err
	}
	if now := heads[shard]; at.Seq > now.Seq || at.Seq == now.Seq && at.ID != now.ID {
		return r.reload(ctx, shard)
	}
	return nil
}

// followPage is how many changes are read at a time.
const followPage = 256

// follow applies the feed's changes up to a sequence. The shard's lock is held.
func (r *Replica) follow(ctx context.Context, shard int, upTo uint64) error {
	for r.index.Position(shard).Seq < upTo {
		changes, err := r.store.Changes(ctx, shard, r.index.Position(shard), followPage)
		if errors.Is(err, store.ErrBehind) {
			return r.reload(ctx, shard)
		}
		if err != nil {
			return err
		}
		if len(changes) == 0 {
			return fmt.Errorf("%w: shard %d ends before change %d", store.ErrCorrupt, shard, upTo)
		}
		for _, c := range changes {
			if err := r.applyNext(ctx, c, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// applyNext applies the next change of a shard. Shapes the index turns out not to know are read from the store.
func (r *Replica) applyNext(ctx context.Context, c inventory.Change, shapes []inventory.Shape) error {
	r.changes.Add(1)
	for {
		err := r.index.Apply(c, shapes)
		var missing *index.MissingError
		if !errors.As(err, &missing) {
			return err
		}
		if shapes, err = r.store.Shapes(ctx, c.Shard, missing.Partition, missing.Type, missing.IDs); err != nil {
			return fmt.Errorf("shapes of change %d of shard %d: %w", c.Seq, c.Shard, err)
		}
	}
}

// loadAll reads every shard, as many at a time as there are cores.
func (r *Replica) loadAll(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	next := atomic.Int64{}
	var nodes atomic.Int64
	for range min(runtime.GOMAXPROCS(0), len(r.shards)) {
		wg.Go(func() {
			for shard := int(next.Add(1)) - 1; shard < len(r.shards) && ctx.Err() == nil; shard = int(next.Add(1)) - 1 {
				if err := r.loadShard(ctx, shard, &nodes); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// reload replaces what the index holds of a shard. The shard's lock is held.
func (r *Replica) reload(ctx context.Context, shard int) error {
	r.log.Warn("the feed no longer leads on from the index; reading the shard again", "shard", shard)
	if err := r.replaceShard(ctx, shard); err != nil {
		return err
	}
	heads, err := r.store.Heads(ctx)
	if err != nil {
		return err
	}
	return r.follow(ctx, shard, heads[shard].Seq)
}

func (r *Replica) replaceShard(ctx context.Context, shard int) error {
	r.loading.RLock()
	defer r.loading.RUnlock()
	r.index.DropShard(shard)
	var nodes atomic.Int64
	return r.loadShard(ctx, shard, &nodes)
}

// scanPage is how many nodes are read at a time.
const scanPage = 128

// loadShard reads a shard's nodes into the index and sets its position to the head as it was before the scan: what
// changed during the scan comes again from the feed, and taking a change twice does no harm.
func (r *Replica) loadShard(ctx context.Context, shard int, done *atomic.Int64) error {
	heads, err := r.store.Heads(ctx)
	if err != nil {
		return err
	}
	var after *inventory.NodeKey
	for more := true; more; {
		var nodes []store.NodeScan
		if nodes, more, err = r.store.Scan(ctx, shard, after, scanPage); err != nil {
			return err
		}
		if err := r.loadNodes(ctx, shard, nodes); err != nil {
			return err
		}
		if len(nodes) > 0 {
			after = &nodes[len(nodes)-1].Node.Key
		}
		if n := done.Add(int64(len(nodes))); r.opt.Progress != nil {
			r.opt.Progress(int(n))
		}
	}
	r.index.SetPosition(shard, heads[shard])
	return nil
}

// loadNodes loads nodes into the index. At the first that has shapes it has not seen it gets the text of those of all
// the rest.
func (r *Replica) loadNodes(ctx context.Context, shard int, nodes []store.NodeScan) error {
	for i, n := range nodes {
		documents := loaded(n)
		err := r.index.Load(shard, n.Node.Key, documents)
		if missing := (*index.MissingError)(nil); errors.As(err, &missing) {
			if err := r.defineShapes(ctx, shard, nodes[i:]); err != nil {
				return err
			}
			err = r.index.Load(shard, n.Node.Key, documents)
		}
		if err != nil {
			return fmt.Errorf("node %s: %w", n.Node.Key.Node, err)
		}
	}
	return nil
}

// loaded tells the index of a node's documents what it needs to know.
func loaded(n store.NodeScan) []index.Loaded {
	out := make([]index.Loaded, len(n.Documents))
	for i, d := range n.Documents {
		state := n.Node.Items[i]
		out[i] = index.Loaded{Key: state.ItemKey, Split: d.Split, Shapes: shapesOf(d), Volatile: index.VolatileContext(state.Type, state.Context)}
		for _, ref := range d.Refs {
			for _, a := range ref.Volatile {
				if !slices.Contains(out[i].Volatile, a.Name) {
					out[i].Volatile = append(out[i].Volatile, a.Name)
				}
			}
		}
	}
	return out
}

// shapesOf gives the shape of each ref: the index asks for no set, and making one means sorting.
func shapesOf(d inventory.Document) []inventory.ShapeID {
	ids := make([]inventory.ShapeID, len(d.Refs))
	for i, r := range d.Refs {
		ids[i] = r.Shape
	}
	return ids
}

// dictionary names one dictionary of shapes.
type dictionary struct {
	partition inventory.Partition
	t         inventory.TypeName
}

// defineShapes gives the index the text of every shape of these nodes it does not know.
func (r *Replica) defineShapes(ctx context.Context, shard int, nodes []store.NodeScan) error {
	wanted := map[dictionary][]inventory.ShapeID{}
	for _, n := range nodes {
		for i, state := range n.Node.Items {
			d := dictionary{n.Node.Key.Partition, state.Type}
			wanted[d] = append(wanted[d], r.index.Missing(d.partition, d.t, shapesOf(n.Documents[i]))...)
		}
	}
	for d, ids := range wanted {
		slices.SortFunc(ids, inventory.CompareShapeIDs)
		shapes, err := r.store.Shapes(ctx, shard, d.partition, d.t, slices.Compact(ids))
		if err != nil {
			return fmt.Errorf("shapes of %s: %w", d.t, err)
		}
		if err := r.index.Define(d.partition, d.t, shapes); err != nil {
			return err
		}
	}
	return nil
}
