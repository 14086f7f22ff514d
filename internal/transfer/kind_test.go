package transfer_test

import (
	"log/slog"
	"testing"

	"stocktake/internal/store"
	"stocktake/internal/store/memory"
	"stocktake/internal/store/pebble"
)

// kind is a kind of store. open makes one without anything in it, of a random identity or the given one.
type kind struct {
	name string
	open func(t *testing.T, id *store.Identity) store.Store
}

var kinds = []kind{
	{"memory", func(t *testing.T, id *store.Identity) store.Store {
		s, err := memory.New(4)
		if id != nil {
			s, err = memory.NewLike(*id)
		}
		return opened(t, s, err)
	}},
	{"pebble", func(t *testing.T, id *store.Identity) store.Store {
		o := pebble.Options{Dir: t.TempDir(), Identity: id, CacheBytes: 4 << 20, MemTableBytes: 1 << 20, Logger: slog.New(slog.DiscardHandler)}
		if id == nil {
			o.Shards = 4
		}
		s, err := pebble.Open(o)
		return opened(t, s, err)
	}},
}

func opened(t *testing.T, s store.Store, err error) store.Store {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
