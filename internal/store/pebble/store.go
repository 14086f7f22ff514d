package pebble

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	engine "github.com/cockroachdb/pebble/v2"

	"stocktake/internal/store"
)

// Store is a store.Store in a directory. Make one with Open.
type Store struct {
	db         *engine.DB
	engine     opener
	lock       io.Closer
	guard      *guard
	stall      *stall
	dir        string
	log        *slog.Logger
	identity   store.Identity
	dictionary *dictionary
	committer  *committer
	views      views
	records    *records
	rows       *rows
	sweeping   sync.Mutex // one sweep at a time
	moments    atomic.Int64

	// calls is held for reading by every call under way, and for writing while the store closes.
	calls  sync.RWMutex
	closed bool

	// older tells that an earlier version wrote the store, and this one nothing yet; the committer's own once it runs.
	older bool

	commits atomic.Uint64
	batches atomic.Uint64
}

var _ store.Store = (*Store)(nil)

// Identity implements store.Store.
func (s *Store) Identity() store.Identity { return s.identity }

// enter begins a call, which ends with leave when it gave nil.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.calls.RLock()
	if s.closed {
		s.calls.RUnlock()
		return store.ErrClosed
	}
	return nil
}

func (s *Store) leave() { s.calls.RUnlock() }

// unwritable is the answer to every write after a failure of the disk.
func (s *Store) unwritable(err error) error {
	return fmt.Errorf("the store in %s is read-only after a failure to write (%w): restart the service once the disk is sound", s.dir, err)
}

// Health gives why writes are refused at present, or nil.
func (s *Store) Health() error {
	if err := s.guard.failure(); err != nil {
		return s.unwritable(err)
	}
	select {
	case <-s.guard.waiting():
		return errFull
	default:
		return s.stall.health()
	}
}

// Metrics are counts since the store was opened, and sizes of now.
type Metrics struct {
	// Commits is how many commits of nodes were acknowledged, Batches in how many batches they and all other writes were
	// made durable, Syncs how many files and directories were synced for that and by Pebble's own work.
	Commits, Batches, Syncs uint64
	// DiskBytes is what the store takes on disk.
	DiskBytes uint64
	// FeedBytes is what of that the feed's changes take, by an estimate that does not count those of the last few minutes:
	// they are not in tables yet.
	FeedBytes uint64
	// Shapes is how many shapes the dictionary holds, DictionaryBytes the memory it takes for them.
	Shapes, DictionaryBytes uint64
}

// Metrics gives the store's metrics. It may be called until Close.
func (s *Store) Metrics() Metrics {
	m := Metrics{Commits: s.commits.Load(), Batches: s.batches.Load(), Syncs: s.guard.syncCount()}
	if s.enter(context.Background()) != nil {
		return m
	}
	defer s.leave()
	m.DiskBytes = s.db.Metrics().DiskSpaceUsage()
	// Its only error is a range the wrong way round.
	m.FeedBytes, _ = s.db.EstimateDiskUsage([]byte{kindChange}, []byte{kindChange + 1})
	for _, sp := range s.dictionary.all() {
		sp.mu.RLock()
		m.Shapes += uint64(sp.used)
		m.DictionaryBytes += uint64(16*cap(sp.ids) + 4*cap(sp.slots) + 4*cap(sp.free))
		sp.mu.RUnlock()
	}
	return m
}

// Close implements store.Store. It flushes what is only in the log, so that the next start is quick, and gives back the
// room of logs kept to be written again. After a failure to
// write, and on a full disk, Pebble may stand in the middle of something: it is left as it is, as a crash would leave it,
// and the directory stays taken until the process ends.
func (s *Store) Close() error {
	s.calls.Lock()
	defer s.calls.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	close(s.committer.queue)
	if err := s.guard.failure(); err != nil {
		return s.unwritable(err)
	}
	err := s.guard.during(func() error {
		<-s.committer.ended
		err := s.db.Flush()
		s.views.end()
		err = errors.Join(err, s.db.Close())
		if err == nil {
			s.dropLogs()
		}
		return errors.Join(err, s.lock.Close())
	})
	if failure := s.guard.failure(); failure != nil {
		return s.unwritable(failure)
	}
	return err
}

// dropLogs removes logs whose content is in tables by now, and seals what is left. Pebble keeps some at hand to write over,
// at their full size, and looks through what is in the directory when it opens: so it is opened once more. What fails the
// next start does.
func (s *Store) dropLogs() {
	db, err := s.engine.open(true)
	if err == nil {
		err = db.Close()
	}
	if err == nil {
		err = writeSeal(s.guard, s.dir, s.engine.dir)
	}
	if err != nil {
		s.log.Warn("store: logs that are not needed any more were not removed", "error", err)
	}
}
