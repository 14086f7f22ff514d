package memory_test

import (
	"testing"

	"stocktake/internal/store"
	"stocktake/internal/store/memory"
	"stocktake/internal/store/storetest"
)

func TestLaws(t *testing.T) {
	storetest.Run(t, storetest.Maker{Open: func(tb testing.TB) store.Store {
		s, err := memory.New(4)
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = s.Close() })
		return s
	}})
}

func TestNewRefusesShards(t *testing.T) {
	for _, shards := range []int{-1, 1025} {
		if _, err := memory.New(shards); err == nil {
			t.Errorf("a store of %d shards was made", shards)
		}
	}
}
