package replica

import (
	"context"
	"sync/atomic"

	"stocktake/internal/index"
	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

func (r *Replica) defineNumbered(n store.Numbered) error {
	return r.index.DefineNumbered(n.Partition, n.Type, n.Numbers, n.Shapes)
}

// loadNumbered is loadShard by the store's own numbers. Where a document names a shape that came after the others were
// read, the shard is read once more without them; what was loaded before does no harm.
func (r *Replica) loadNumbered(ctx context.Context, st store.Outliner, at int, done *atomic.Int64) error {
	heads, err := r.store.Heads(ctx)
	if err != nil {
		return err
	}
	var after *inventory.NodeKey
	for more := true; more; {
		var nodes []store.NodeOutline
		if nodes, more, err = st.Outline(ctx, at, after, scanPage); err != nil {
			return err
		}
		for _, n := range nodes {
			if !r.index.LoadNumbered(at, n.Node.Key, numbered(n)) {
				return r.loadShard(ctx, at, r.index, done)
			}
		}
		if len(nodes) > 0 {
			after = &nodes[len(nodes)-1].Node.Key
		}
		if n := done.Add(int64(len(nodes))); r.opt.Progress != nil {
			r.opt.Progress(int(n))
		}
	}
	r.index.SetPosition(at, heads[at])
	return nil
}

// numbered tells the index of a node's documents what it needs to know.
func numbered(n store.NodeOutline) []index.Numbered {
	out := make([]index.Numbered, len(n.Documents))
	for i, d := range n.Documents {
		state := n.Node.Items[i]
		out[i] = index.Numbered{
			Key: state.ItemKey, Split: d.Split, Shapes: d.Shapes,
			Volatile: append(d.Volatile, index.VolatileContext(state.Type, state.Context)...),
		}
	}
	return out
}
