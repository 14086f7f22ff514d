// Package stores names every kind of store there is, so that what must hold for all is tried on all.
//
// Begin with All: a test takes the makers one after another, or all of them at once. Its own tests hold each kind to the
// laws of storetest, and all of them against each other in the model run. A new kind of store is added here, and is done
// when these tests and those of the API pass.
//
// It is for tests alone.
package stores

import (
	"log/slog"
	"path/filepath"
	"testing"

	"stocktake/internal/pgtest"
	"stocktake/internal/store"
	"stocktake/internal/store/memory"
	"stocktake/internal/store/pebble"
	"stocktake/internal/store/postgres"
	"stocktake/internal/store/storetest"
)

// All makes a maker of each kind, of stores with so many shards.
func All(shards int) []storetest.Maker {
	return []storetest.Maker{ofMemory(shards), ofPebble(shards), ofPostgres(shards)}
}

var discard = slog.New(slog.DiscardHandler)

// ofMemory makes stores that forget. Another handle is the same store, which it outlives.
func ofMemory(shards int) storetest.Maker {
	until := func(tb testing.TB, s *memory.Store, err error) store.Store {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = s.Close() }) // gives no error
		return s
	}
	return storetest.Maker{
		Name: "memory",
		Open: func(tb testing.TB) store.Store {
			tb.Helper()
			s, err := memory.New(shards)
			return until(tb, s, err)
		},
		Like: func(tb testing.TB, id store.Identity) store.Store {
			tb.Helper()
			s, err := memory.NewLike(id)
			return until(tb, s, err)
		},
		Handle: func(_ testing.TB, s store.Store) store.Store {
			if h, ok := s.(unclosed); ok {
				return h
			}
			return unclosed{s.(*memory.Store)}
		},
	}
}

// unclosed is a memory store that goes on when a handle is closed.
type unclosed struct{ *memory.Store }

func (unclosed) Close() error { return nil }

// placed is a Pebble store that knows where it is.
type placed struct {
	*pebble.Store
	dir string
}

// ofPebble makes stores in directories of the test, with little memory, so that they come to use their files.
func ofPebble(shards int) storetest.Maker {
	open := func(tb testing.TB, o pebble.Options) store.Store {
		tb.Helper()
		o.CacheBytes, o.MemTableBytes, o.Logger = 4<<20, 1<<20, discard
		s, err := pebble.Open(o)
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() {
			if err := s.Close(); err != nil {
				tb.Error(err)
			}
		})
		return placed{s, o.Dir}
	}
	dir := func(tb testing.TB) string { return filepath.Join(tb.TempDir(), "data", "store") }
	return storetest.Maker{
		Name: "pebble",
		Open: func(tb testing.TB) store.Store {
			tb.Helper()
			return open(tb, pebble.Options{Dir: dir(tb), Shards: shards})
		},
		Like: func(tb testing.TB, id store.Identity) store.Store {
			tb.Helper()
			return open(tb, pebble.Options{Dir: dir(tb), Identity: &id})
		},
		Reopen: func(tb testing.TB, s store.Store) store.Store {
			tb.Helper()
			if err := s.Close(); err != nil {
				tb.Fatal(err)
			}
			return open(tb, pebble.Options{Dir: s.(placed).dir})
		},
	}
}

// served is a PostgreSQL store that knows where it is.
type served struct {
	*postgres.Store
	url string
}

// ofPostgres makes stores each in a database of its own.
func ofPostgres(shards int) storetest.Maker {
	open := func(tb testing.TB, url string) store.Store {
		tb.Helper()
		s, err := postgres.Open(tb.Context(), postgres.Options{URL: url, Logger: discard})
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() {
			if err := s.Close(); err != nil {
				tb.Error(err)
			}
		})
		return served{s, url}
	}
	create := func(tb testing.TB, o postgres.MigrateOptions) store.Store {
		tb.Helper()
		url := pgtest.Database(tb)
		if err := postgres.Migrate(tb.Context(), url, o); err != nil {
			tb.Fatal(err)
		}
		return open(tb, url)
	}
	return storetest.Maker{
		Name: "postgres",
		Open: func(tb testing.TB) store.Store {
			tb.Helper()
			return create(tb, postgres.MigrateOptions{Shards: shards})
		},
		Like: func(tb testing.TB, id store.Identity) store.Store {
			tb.Helper()
			return create(tb, postgres.MigrateOptions{Identity: &id})
		},
		Reopen: func(tb testing.TB, s store.Store) store.Store {
			tb.Helper()
			if err := s.Close(); err != nil {
				tb.Fatal(err)
			}
			return open(tb, s.(served).url)
		},
		Handle: func(tb testing.TB, s store.Store) store.Store {
			tb.Helper()
			return open(tb, s.(served).url)
		},
	}
}
