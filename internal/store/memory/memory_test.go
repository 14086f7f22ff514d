package memory_test

import (
	"testing"

	"stocktake/internal/store"
	"stocktake/internal/store/memory"
)

func TestNewRefusesShards(t *testing.T) {
	for _, shards := range []int{-1, 1025} {
		if _, err := memory.New(shards); err == nil {
			t.Errorf("a store of %d shards was made", shards)
		}
		if _, err := memory.NewLike(store.Identity{ID: [16]byte{1}, Shards: shards}); err == nil {
			t.Errorf("a store like one of %d shards was made", shards)
		}
	}
	if _, err := memory.NewLike(store.Identity{Shards: 4}); err == nil {
		t.Error("a store like one without an id was made")
	}
}
