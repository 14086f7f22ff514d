package index

import (
	"slices"
	"testing"

	"stocktake/internal/inventory"
)

func TestDroppedShardHasNoPositionInSnapshot(t *testing.T) {
	x := New(Config{Shards: 3})
	at := inventory.Position{Seq: 5}
	for shard := range 3 {
		x.SetPosition(shard, at)
	}
	positions, before := x.positionsAndDrops()
	// Meanwhile a shard is dropped and loaded again, to a later position even.
	x.DropShard(1)
	x.SetPosition(1, inventory.Position{Seq: 9})
	_, after := x.positionsAndDrops()
	unsettle(positions, before, after)
	if want := []inventory.Position{at, {}, at}; !slices.Equal(positions, want) {
		t.Errorf("positions %v, want %v", positions, want)
	}
}
