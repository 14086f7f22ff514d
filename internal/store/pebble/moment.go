package pebble

import (
	"context"
	"errors"
	"slices"
	"sync"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// moment is the store at one moment. Until it is closed it counts as a call under way, so its methods do not enter, and
// no shape is swept.
type moment struct {
	s *Store
	v *view
	// open is held for reading by every call under way, and for writing by Close.
	open   sync.RWMutex
	closed bool
}

// View implements store.Viewer.
func (s *Store) View(ctx context.Context) (store.View, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	s.moments.Add(1) // before the view is taken: see sweepEnd
	return &moment{s: s, v: s.views.acquire()}, nil
}

// errMomentClosed is a caller's mistake.
var errMomentClosed = errors.New("the view of the store was closed")

// begin begins a call, which ends with open.RUnlock when it gave nil.
func (m *moment) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.open.RLock()
	if m.closed {
		m.open.RUnlock()
		return errMomentClosed
	}
	return nil
}

// Identity implements store.View.
func (m *moment) Identity() store.Identity { return m.s.identity }

// Shapes implements store.View.
func (m *moment) Shapes(ctx context.Context, shard int, p inventory.Partition, t inventory.TypeName, ids []inventory.ShapeID) ([]inventory.Shape, error) {
	if err := m.begin(ctx); err != nil {
		return nil, err
	}
	defer m.open.RUnlock()
	return m.s.shapesIn(ctx, m.v, shard, p, t, ids)
}

// Scan implements store.View.
func (m *moment) Scan(ctx context.Context, shard int, after *inventory.NodeKey, limit int) ([]store.NodeScan, bool, error) {
	if err := m.begin(ctx); err != nil {
		return nil, false, err
	}
	defer m.open.RUnlock()
	return m.s.scanIn(ctx, m.v, shard, after, limit)
}

// Heads implements store.View.
func (m *moment) Heads(ctx context.Context) ([]inventory.Position, error) {
	if err := m.begin(ctx); err != nil {
		return nil, err
	}
	defer m.open.RUnlock()
	return slices.Clone(m.v.heads), nil
}

// Changes implements store.View.
func (m *moment) Changes(ctx context.Context, shard int, after inventory.Position, limit int) ([]inventory.Change, error) {
	if err := m.begin(ctx); err != nil {
		return nil, err
	}
	defer m.open.RUnlock()
	return m.s.changesIn(ctx, m.v, shard, after, limit)
}

// OldestChange implements store.View.
func (m *moment) OldestChange(ctx context.Context, shard int) (inventory.Change, error) {
	if err := m.begin(ctx); err != nil {
		return inventory.Change{}, err
	}
	defer m.open.RUnlock()
	return m.s.oldestIn(ctx, m.v, shard)
}

// ListRecords implements store.View.
func (m *moment) ListRecords(ctx context.Context, prefix, after string, limit int) ([]store.Record, error) {
	if err := m.begin(ctx); err != nil {
		return nil, err
	}
	defer m.open.RUnlock()
	return listIn(ctx, m.v, prefix, after, limit)
}

// JournalHead implements store.View.
func (m *moment) JournalHead(ctx context.Context, chain int) (store.JournalLine, error) {
	if err := m.begin(ctx); err != nil {
		return store.JournalLine{}, err
	}
	defer m.open.RUnlock()
	return m.v.journalHead(chain)
}

// ReadJournal implements store.View.
func (m *moment) ReadJournal(ctx context.Context, chain int, after uint64, limit int) ([]store.JournalLine, error) {
	if err := m.begin(ctx); err != nil {
		return nil, err
	}
	defer m.open.RUnlock()
	return m.v.readJournal(ctx, chain, after, limit)
}

// Intentions implements store.View.
func (m *moment) Intentions(ctx context.Context, chain int, limit int) ([]store.Intention, error) {
	if err := m.begin(ctx); err != nil {
		return nil, err
	}
	defer m.open.RUnlock()
	return m.v.intentions(ctx, chain, limit)
}

// Close implements store.View.
func (m *moment) Close() error {
	m.open.Lock()
	defer m.open.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	m.s.views.release(m.v)
	m.s.moments.Add(-1)
	m.s.leave()
	return nil
}
