package replica

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"stocktake/internal/index"
	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// ErrNoSnapshot says that there is no snapshot of the index, or none that leads to where the store is. A start builds the
// index anew.
var ErrNoSnapshot = errors.New("no snapshot of the index")

// Recover gives the index as a start would make it of the snapshot alone, at the moment a view shows: read from Options.Dir,
// or else Options.Shared, and brought up by the feed. Nothing is written. ErrNoSnapshot: there is none to use;
// index.ErrSnapshot: it is damaged.
func Recover(ctx context.Context, v store.View, opt Options) (*index.Index, error) {
	opt.Logger = slog.New(slog.DiscardHandler)
	r := &Replica{store: v, opt: opt, log: opt.Logger, shards: newShards(v.Identity().Shards)}
	load := r.loadSnapshot
	if opt.Dir == "" && opt.Shared != nil {
		load = r.loadShared
	}
	switch err := load(ctx); {
	case opt.Dir == "" && opt.Shared == nil, errors.Is(err, fs.ErrNotExist), errors.Is(err, store.ErrNotFound):
		return nil, ErrNoSnapshot
	case err != nil:
		return nil, err
	}
	heads, err := v.Heads(ctx)
	if err != nil {
		return nil, err
	}
	for shard, head := range heads {
		if at := r.index.Position(shard); at.Seq > head.Seq || at.Seq == head.Seq && at != head {
			return nil, fmt.Errorf("%w: what there is is of another history, or later", ErrNoSnapshot)
		}
		err := r.followInto(ctx, shard, head.Seq, r.index, func(inventory.Change) error { return nil })
		if errors.Is(err, store.ErrBehind) {
			return nil, fmt.Errorf("%w: what there is is older than the feed: %w", ErrNoSnapshot, err)
		}
		if err != nil {
			return nil, err
		}
	}
	return r.index, nil
}
