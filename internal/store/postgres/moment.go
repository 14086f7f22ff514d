package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// moment is the store at one moment: a transaction that reads by one snapshot, on a connection of its own. Until it is
// closed it counts as a call under way. A lost connection is the end of it.
type moment struct {
	s     *Store
	heads []inventory.Position

	mu   sync.Mutex // one statement at a time
	conn *pgxpool.Conn
}

// The snapshot is taken by the first statement. Who reads may pause for longer between two than a server has cause to.
const beginMoment = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL idle_in_transaction_session_timeout = '15min'`

// View implements store.Viewer.
func (s *Store) View(ctx context.Context) (store.View, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	m := &moment{s: s, heads: make([]inventory.Position, s.identity.Shards)}
	// Patience is for a database that does not answer; one that has just done so is asked once.
	err := s.run(ctx, "begin a view", func(ctx context.Context, conn *pgx.Conn) error { return conn.Ping(ctx) })
	if err == nil {
		err = m.begin(ctx)
	}
	if err != nil {
		s.leave()
		return nil, err
	}
	return m, nil
}

// begin takes a connection from the pool and the snapshot on it.
func (m *moment) begin(ctx context.Context) error {
	conn, err := m.s.pool.Acquire(ctx)
	if err != nil {
		return unavailable(err)
	}
	if _, err = conn.Exec(ctx, beginMoment); err == nil {
		err = readHeadsTo(ctx, conn.Conn(), m.heads)
	}
	if err != nil {
		rollback(ctx, conn.Conn())
		conn.Release()
		return unavailable(err)
	}
	m.conn = conn
	return nil
}

// labour does something on the moment's connection, once: a new one would see another moment.
func (m *moment) labour(ctx context.Context, _ effort, what string, do func(ctx context.Context, conn *pgx.Conn) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.conn == nil {
		return errors.New("the view of the store was closed")
	}
	bounded, cancel := context.WithTimeout(ctx, long.all)
	defer cancel()
	err := do(bounded, m.conn.Conn())
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", what, ctx.Err())
	case m.conn.Conn().IsClosed() || passes(err):
		return fmt.Errorf("%s: the view was lost: %w", what, unavailable(err))
	}
	return err
}

// Identity implements store.View.
func (m *moment) Identity() store.Identity { return m.s.identity }

// Heads implements store.View.
func (m *moment) Heads(ctx context.Context) ([]inventory.Position, error) {
	return slices.Clone(m.heads), ctx.Err()
}

// Shapes implements store.View.
func (m *moment) Shapes(ctx context.Context, shard int, p inventory.Partition, t inventory.TypeName, ids []inventory.ShapeID) ([]inventory.Shape, error) {
	if err := m.s.checkShard(shard); err != nil {
		return nil, err
	}
	return m.s.shapesBy(ctx, m.labour, p, t, ids)
}

// Scan implements store.View.
func (m *moment) Scan(ctx context.Context, shard int, after *inventory.NodeKey, limit int) ([]store.NodeScan, bool, error) {
	if err := m.s.checkShard(shard); err != nil {
		return nil, false, err
	}
	return m.s.scanBy(ctx, m.labour, shard, after, limit)
}

// Changes implements store.View.
func (m *moment) Changes(ctx context.Context, shard int, after inventory.Position, limit int) ([]inventory.Change, error) {
	if err := m.s.checkShard(shard); err != nil {
		return nil, err
	}
	return m.s.changesBy(ctx, m.labour, shard, after, limit)
}

// OldestChange implements store.View.
func (m *moment) OldestChange(ctx context.Context, shard int) (inventory.Change, error) {
	if err := m.s.checkShard(shard); err != nil {
		return inventory.Change{}, err
	}
	return m.s.oldestBy(ctx, m.labour, shard)
}

// ListRecords implements store.View.
func (m *moment) ListRecords(ctx context.Context, prefix, after string, limit int) ([]store.Record, error) {
	return m.s.listBy(ctx, m.labour, prefix, after, limit)
}

// JournalHead implements store.View.
func (m *moment) JournalHead(ctx context.Context, chain int) (store.JournalLine, error) {
	if err := store.CheckChain(chain); err != nil {
		return store.JournalLine{}, err
	}
	return m.s.journalHeadBy(ctx, m.labour, chain)
}

// ReadJournal implements store.View.
func (m *moment) ReadJournal(ctx context.Context, chain int, after uint64, limit int) ([]store.JournalLine, error) {
	if err := store.CheckChain(chain); err != nil {
		return nil, err
	}
	return m.s.readJournalBy(ctx, m.labour, chain, after, limit)
}

// Intentions implements store.View.
func (m *moment) Intentions(ctx context.Context, chain int, limit int) ([]store.Intention, error) {
	if err := store.CheckChain(chain); err != nil {
		return nil, err
	}
	return m.s.intentionsBy(ctx, m.labour, chain, limit)
}

// Close implements store.View.
func (m *moment) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conn == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	rollback(ctx, m.conn.Conn())
	m.conn.Release()
	m.conn = nil
	m.s.leave()
	return nil
}
