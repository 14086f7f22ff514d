package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"stocktake/internal/store"
)

// What a connection is given unless the URL says otherwise.
const (
	defaultConnections = 16
	connectTimeout     = 2 * time.Second
)

// settings are of every session: a statement whose client is gone, or waits no more, does not hold locks for ever. A
// client that is idle in a transaction is a server that hangs; its locks are gone before a try of those that wait for them
// ends.
var settings = map[string]string{
	"application_name":                    "stocktake",
	"statement_timeout":                   "60000",
	"lock_timeout":                        "10000",
	"idle_in_transaction_session_timeout": "3000",
	"jit":                                 "off",
	// Every statement finds its rows by a key, so there is one good plan of each, whatever statistics say or do not say yet,
	// and it need not be made more than once: an unchanged report takes a third of the server's work with these.
	"plan_cache_mode":  "force_generic_plan",
	"enable_seqscan":   "off",
	"enable_hashjoin":  "off",
	"enable_mergejoin": "off",
}

// parseURL reads a database's URL. Its error does not hold the password.
func parseURL(url string) (*pgxpool.Config, error) {
	if strings.TrimSpace(url) == "" {
		return nil, errors.New("no database is named: give its URL, postgres://user:password@host:port/name")
	}
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("database URL: %w", err)
	}
	if !strings.Contains(url, "pool_max_conns") {
		config.MaxConns = defaultConnections
	}
	c := config.ConnConfig
	if !strings.Contains(url, "connect_timeout") {
		c.ConnectTimeout = connectTimeout
	}
	// A standby among several hosts takes no writes: without a word on it, look for the one that does.
	if len(c.Fallbacks) > 0 && !strings.Contains(url, "target_session_attrs") {
		c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	for name, value := range settings {
		if _, given := c.RuntimeParams[name]; !given {
			c.RuntimeParams[name] = value
		}
	}
	return config, nil
}

// born is where a connection's data holds the generation it is of, unsynced whether it was told that a commit of its was
// not replicated.
const (
	born     = "stocktake.born"
	unsynced = "stocktake.unsynced"
)

// distributed is for new connections: Citus has to see the values to know the shard, and refuses plans made without.
const distributed = `SELECT set_config('plan_cache_mode', 'auto', false) FROM pg_extension WHERE extname = 'citus'`

// connected is called for every new connection before its first use.
func (s *Store) connected(ctx context.Context, conn *pgx.Conn) error {
	conn.PgConn().CustomData()[born] = s.generation.Add(1)
	_, err := conn.PgConn().Exec(ctx, distributed).ReadAll()
	return err
}

// onNotice hears what the server says besides answers. When a wait for synchronous standbys was broken off the commit
// counts as done, but is on this server alone: it must not be acknowledged.
func onNotice(conn *pgconn.PgConn, n *pgconn.Notice) {
	if n.Routine == "SyncRepWaitForLSN" || strings.Contains(n.Message, "wait for synchronous replication") {
		conn.CustomData()[unsynced] = true
	}
}

var errUnsynced = fmt.Errorf("%w: a commit is on the primary, and no standby confirmed it", store.ErrUnavailable)

// resets empties the pool once for each failure of the server, not for each connection it cost: those that are left are
// most likely as broken as the one that was found, and each would cost a try of its own.
type resets struct {
	mu    sync.Mutex
	until uint64 // connections up to this generation were dropped
}

func (s *Store) lost(conn *pgx.Conn) {
	s.resets.mu.Lock()
	defer s.resets.mu.Unlock()
	if of, ok := conn.PgConn().CustomData()[born].(uint64); ok && of <= s.resets.until {
		return
	}
	s.resets.until = s.generation.Load()
	s.pool.Reset()
}

// health is whether the database answers.
type health struct {
	mu     sync.Mutex
	err    error     // of the last try; nil when it went well
	since  time.Time // of the last answer before err, or of the end of err
	looked time.Time // when it was last spoken to
	worker error     // of Citus, when all were last asked; nil when each answered
}

// heard takes note of a try that went well (nil) or failed for want of the database, and reports whether that is new.
func (h *health) heard(err error) (changed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.looked
	h.looked = time.Now()
	changed = (h.err == nil) != (err == nil)
	if changed {
		h.since = h.looked
	}
	if changed && err != nil && !before.IsZero() {
		h.since = before
	}
	h.err = err
	return changed
}

func (h *health) state() (since, looked time.Time, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.since, h.looked, h.err
}

// Health gives why the database cannot be used at present, or nil. It asks nobody: see watch.
func (s *Store) Health() error {
	since, _, err := s.health.state()
	if err == nil {
		s.health.mu.Lock()
		defer s.health.mu.Unlock()
		return s.health.worker
	}
	return fmt.Errorf("the database does not answer since %s: %w", since.UTC().Format(time.RFC3339), err)
}

// watch speaks to the database where nobody else does, so that Health is never older than a few seconds.
func (s *Store) watch() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-s.alive.Done():
			return
		case <-tick.C:
		}
		if s.citus {
			s.askWorkers()
		}
		_, looked, err := s.health.state()
		if err == nil && time.Since(looked) < 2*time.Second {
			continue
		}
		ctx, cancel := context.WithTimeout(s.alive, 2*time.Second)
		_ = s.try(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, `SELECT shard FROM stocktake.record_head WHERE shard = 0`)
			return err
		})
		cancel()
	}
}

// askWorkers asks every worker of Citus: the coordinator answers without them, and nothing can be served. What the
// coordinator's own death does is for others to find out.
func (s *Store) askWorkers() {
	ctx, cancel := context.WithTimeout(s.alive, 2*time.Second)
	defer cancel()
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return
	}
	defer conn.Release()
	_, err = conn.Exec(ctx, `SELECT count(*) FROM stocktake.head`)
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg) && passingCode(pg):
		err = fmt.Errorf("a worker of the database does not answer: %w", err)
	case err != nil:
		return
	}
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	switch before := s.health.worker; {
	case err != nil && before == nil:
		s.log.Warn("store: a worker of the database does not answer", "error", err)
	case err == nil && before != nil:
		s.log.Info("store: the workers of the database answer again")
	}
	s.health.worker = err
}
