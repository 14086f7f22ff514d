package replica

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"stocktake/internal/index"
	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// loaders is how many shards are read whole at a time.
func loaders() int { return runtime.GOMAXPROCS(0) }

// loadAll reads every shard, by the store's own numbers where it has any.
func (r *Replica) loadAll(ctx context.Context) error {
	load := r.loadShard
	if numbered, ok := r.store.(store.Outliner); ok {
		if err := numbered.EachText(ctx, r.defineNumbered); err != nil {
			return err
		}
		load = func(ctx context.Context, shard int, _ target, done *atomic.Int64) error {
			return r.loadNumbered(ctx, numbered, shard, done)
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	next := atomic.Int64{}
	var nodes atomic.Int64
	for range min(loaders(), len(r.shards)) {
		wg.Go(func() {
			for shard := int(next.Add(1)) - 1; shard < len(r.shards) && ctx.Err() == nil; shard = int(next.Add(1)) - 1 {
				if err := load(ctx, shard, r.index, &nodes); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// scanPage is how many nodes are read at a time.
const scanPage = 128

// loadShard reads a shard's nodes and sets its position to the head as it was before the scan: what changed during the
// scan comes again from the feed, and taking a change twice does no harm.
func (r *Replica) loadShard(ctx context.Context, at int, x target, done *atomic.Int64) error {
	heads, err := r.store.Heads(ctx)
	if err != nil {
		return err
	}
	var after *inventory.NodeKey
	tries := 0
	for more := true; more; {
		var nodes []store.NodeScan
		if nodes, more, err = r.store.Scan(ctx, at, after, scanPage); err != nil {
			return err
		}
		err := r.loadNodes(ctx, at, x, nodes)
		if errors.Is(err, store.ErrBehind) && tries < reloadTries {
			tries, more = tries+1, true // documents were written since they were read, and their shapes are gone
			continue
		}
		if err != nil {
			return err
		}
		if len(nodes) > 0 {
			after = &nodes[len(nodes)-1].Node.Key
		}
		if n := done.Add(int64(len(nodes))); r.opt.Progress != nil && x == target(r.index) {
			r.opt.Progress(int(n))
		}
	}
	x.SetPosition(at, heads[at])
	return nil
}

// loadNodes loads nodes into the index. At the first that has shapes it has not seen it gets the text of those of all
// the rest.
func (r *Replica) loadNodes(ctx context.Context, at int, x target, nodes []store.NodeScan) error {
	r.loading.RLock()
	defer r.loading.RUnlock()
	for i, n := range nodes {
		documents := loaded(n)
		err := x.Load(at, n.Node.Key, documents)
		if missing := (*index.MissingError)(nil); errors.As(err, &missing) {
			if err := r.defineShapes(ctx, at, x, nodes[i:]); err != nil {
				return err
			}
			err = x.Load(at, n.Node.Key, documents)
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

// defineShapes gives the index the text of every shape of these nodes it does not know.
func (r *Replica) defineShapes(ctx context.Context, at int, x target, nodes []store.NodeScan) error {
	wanted := map[dictionary][]inventory.ShapeID{}
	for _, n := range nodes {
		for i, state := range n.Node.Items {
			d := dictionary{n.Node.Key.Partition, state.Type}
			wanted[d] = append(wanted[d], x.Missing(d.partition, d.t, shapesOf(n.Documents[i]))...)
		}
	}
	return r.defineWanted(ctx, at, x, wanted)
}
