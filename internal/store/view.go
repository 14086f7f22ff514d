package store

import (
	"context"

	"stocktake/internal/inventory"
)

// Viewer is the role of a store that can be read as it is at one moment, while it is written to.
type Viewer interface {
	// View gives the store as it is now: every commit acknowledged before the call is in it, none that begins after the
	// call's return, and of each either all or nothing. Of a store kept by several machines (Citus) the moment is each
	// shard's own. Views cost what the store must keep for them; whoever took one closes it, before the store.
	View(ctx context.Context) (View, error)
}

// View is a store at one moment: its methods answer as those of Store would have then, again and again, from any
// goroutine. Nothing that was committed, pruned or swept since is seen in it.
type View interface {
	Identity() Identity
	Shapes(ctx context.Context, shard int, p inventory.Partition, t inventory.TypeName, ids []inventory.ShapeID) ([]inventory.Shape, error)
	Scan(ctx context.Context, shard int, after *inventory.NodeKey, limit int) (nodes []NodeScan, more bool, err error)
	Heads(ctx context.Context) ([]inventory.Position, error)
	Changes(ctx context.Context, shard int, after inventory.Position, limit int) ([]inventory.Change, error)
	OldestChange(ctx context.Context, shard int) (inventory.Change, error)
	ListRecords(ctx context.Context, prefix, after string, limit int) ([]Record, error)
	JournalReader
	// Close lets the store go on without it. No other method may be called then.
	Close() error
}
