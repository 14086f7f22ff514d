package memory_test

import (
	"testing"

	"stocktake/internal/store"
	"stocktake/internal/store/memory"
	"stocktake/internal/store/storetest"
)

func TestLaws(t *testing.T) {
	closing := func(tb testing.TB, s *memory.Store, err error) store.Store {
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = s.Close() })
		return s
	}
	storetest.Run(t, storetest.Maker{
		Open: func(tb testing.TB) store.Store {
			s, err := memory.New(4)
			return closing(tb, s, err)
		},
		Like: func(tb testing.TB, id store.Identity) store.Store {
			s, err := memory.NewLike(id)
			return closing(tb, s, err)
		},
		Handle: func(_ testing.TB, s store.Store) store.Store { return unclosed{s.(*memory.Store)} },
	})
}

// unclosed is a second handle on a store, which outlives it.
type unclosed struct{ *memory.Store }

func (unclosed) Close() error { return nil }

func TestNewRefusesShards(t *testing.T) {
	for _, shards := range []int{-1, 1025} {
		if _, err := memory.New(shards); err == nil {
			t.Errorf("a store of %d shards was made", shards)
		}
	}
}
