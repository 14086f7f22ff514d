package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// Options say where a store is and how it is spoken to.
type Options struct {
	// URL names the database as PostgreSQL's clients do: postgres://user:password@host:port/name?settings, or key=value
	// pairs. Several hosts may be given; pool_max_conns bounds the connections (16).
	URL string
	// Logger hears of what went wrong and was mended. None by default.
	Logger *slog.Logger
	// Patience is how long a call goes on trying while the database does not answer, 10 s unless given. A context that
	// ends sooner ends it.
	Patience time.Duration
}

const defaultPatience = 10 * time.Second

// Store is a store.Store and store.Snapshots in a database. Make one with Open.
type Store struct {
	pool     *pgxpool.Pool
	log      *slog.Logger
	patience time.Duration
	identity store.Identity
	citus    bool
	codec    *codec
	health   health
	known    known

	// generation counts the connections made; see known.
	generation atomic.Uint64
	resets     resets

	refreshes  gather[*refresh]
	nodes      gather[*nodeRead]
	heads      gather[*call[[]inventory.Position]]
	recordHead gather[*call[inventory.Position]]
	texts      gather[*assertion]
	commits    []gather[*commit] // by shard
	writing    chan struct{}     // bounds how many shards are written at once
	sweeping   sync.Mutex        // one sweep at a time

	// calls is held for reading by every call under way, and for writing while the store closes; work counts what goes on
	// without its callers.
	calls  sync.RWMutex
	closed bool
	work   sync.WaitGroup
	alive  context.Context
	stop   context.CancelFunc

	counts counts
}

var (
	_ store.Store     = (*Store)(nil)
	_ store.Snapshots = (*Store)(nil)
)

// Open opens the store in a database that Migrate prepared. A database that is away for longer than the patience is
// store.ErrUnavailable; one that refuses the role or is not there, and tables it does not know, are errors at once.
func Open(ctx context.Context, options Options) (*Store, error) {
	codec, err := newCodec()
	if err != nil {
		return nil, err
	}
	s := &Store{log: options.Logger, patience: options.Patience, codec: codec}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.patience <= 0 {
		s.patience = defaultPatience
	}
	config, err := parseURL(options.URL)
	if err != nil {
		return nil, err
	}
	config.ConnConfig.OnNotice = onNotice
	config.AfterConnect = s.connected
	// The pool's context does not bound the store: connections are made whenever they are needed.
	if s.pool, err = pgxpool.NewWithConfig(context.WithoutCancel(ctx), config); err != nil {
		return nil, unavailable(err)
	}
	s.alive, s.stop = context.WithCancel(context.Background())
	if err := s.load(ctx); err != nil {
		s.stop()
		s.pool.Close()
		return nil, err
	}
	s.start(int(config.MaxConns))
	return s, nil
}

// load reads what never changes.
func (s *Store) load(ctx context.Context) error {
	// What no waiting mends is told at once. Later calls go on trying even so: a password may be changed back.
	if err := s.pool.Ping(ctx); refused(err) {
		return err
	}
	return s.run(ctx, "open", func(ctx context.Context, conn *pgx.Conn) error {
		var err error
		if s.identity, err = readIdentity(ctx, conn); err != nil {
			return err
		}
		if s.citus, err = hasCitus(ctx, conn); err != nil {
			return err
		}
		var epoch int64
		var shards int
		if err = conn.QueryRow(ctx, `SELECT count(*), COALESCE(max(epoch), 0) FROM stocktake.head`).Scan(&shards, &epoch); err != nil {
			return err
		}
		if shards != s.identity.Shards {
			return fmt.Errorf("the store has %d of its %d shards: %s", shards, s.identity.Shards, migrateCommand)
		}
		s.known.advance(epoch)
		return nil
	})
}

// start readies what combines calls. Half the connections may write shards at once, so that reads find some.
func (s *Store) start(connections int) {
	s.writing = make(chan struct{}, max(1, connections/2))
	s.refreshes.init(s, 2, 512, s.refreshAll)
	s.nodes.init(s, 2, 256, s.readNodes)
	s.heads.init(s, 2, 1<<20, s.readHeads)
	s.recordHead.init(s, 1, 1<<20, s.readRecordHead)
	s.texts.init(s, 2, 64, s.assertAll)
	s.commits = make([]gather[*commit], s.identity.Shards)
	for shard := range s.commits {
		s.commits[shard].init(s, 1, 64, func(all []*commit) {
			s.writing <- struct{}{}
			defer func() { <-s.writing }()
			s.commitAll(shard, all)
		})
	}
	s.work.Go(s.watch)
}

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

// enterShard is enter for a call about one shard.
func (s *Store) enterShard(ctx context.Context, shard int) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	if err := s.checkShard(shard); err != nil {
		s.leave()
		return err
	}
	return nil
}

func (s *Store) checkShard(shard int) error {
	if shard < 0 || shard >= s.identity.Shards {
		return fmt.Errorf("there is no shard %d of %d", shard, s.identity.Shards)
	}
	return nil
}

func (s *Store) shardOf(key inventory.NodeKey) int32 {
	return int32(store.ShardOf(key, s.identity.Shards))
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.calls.Lock()
	defer s.calls.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.stop()
	s.work.Wait()
	s.pool.Close()
	return nil
}

// damaged is the error of something stored that does not decode.
func damaged(what string, err error) error {
	if errors.Is(err, store.ErrCorrupt) {
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%w: %s: %w", store.ErrCorrupt, what, err)
}
