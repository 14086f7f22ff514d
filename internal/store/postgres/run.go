package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"stocktake/internal/store"
)

// maxPause bounds the time between two tries, so that the store is back soon after the database is.
const maxPause = 400 * time.Millisecond

// hasty is how long a call has at least.
const hasty = 500 * time.Millisecond

// effort is how long a call may take: a try, and all tries together.
type effort struct{ try, all time.Duration }

// long is the effort of work that reads or writes much at a time.
var long = effort{try: 30 * time.Second, all: time.Minute}

// run does something on a connection, and again while it fails in ways that pass: a deadlock, a lost connection, a
// fail-over. It must therefore be able to find its own effects, since a try that failed may have had them. When patience
// or ctx ends first the error is store.ErrUnavailable with the last reason.
func (s *Store) run(ctx context.Context, what string, do func(ctx context.Context, conn *pgx.Conn) error) error {
	return s.labour(ctx, s.usual(), what, do)
}

// usual is the effort of an ordinary call.
func (s *Store) usual() effort { return effort{try: s.patience * 2 / 5, all: s.patience} }

// labour does something on a connection: Store.labour, or that of a moment.
type labour func(ctx context.Context, e effort, what string, do func(ctx context.Context, conn *pgx.Conn) error) error

func (s *Store) labour(ctx context.Context, e effort, what string, do func(ctx context.Context, conn *pgx.Conn) error) error {
	bounded, cancel := context.WithTimeout(ctx, s.left(e.all))
	defer cancel()
	pause := 5 * time.Millisecond
	for {
		once, ended := context.WithTimeout(bounded, e.try)
		err := s.try(once, do)
		ended()
		switch {
		case err == nil:
			return nil
		case errors.Is(ctx.Err(), context.Canceled):
			return fmt.Errorf("%s: %w", what, ctx.Err())
		case errors.Is(err, errUnsynced):
			return fmt.Errorf("%s: %w", what, err)
		case !passes(err):
			return err
		}
		s.counts.retries.Add(1)
		select {
		case <-bounded.Done():
			return fmt.Errorf("%s: %w", what, unavailable(err))
		case <-time.After(pause/2 + rand.N(pause)):
		}
		pause = min(2*pause, maxPause*2/3)
	}
}

// left is how long a call may go on. The time that the database has been away counts, whichever call found it so: else
// calls that gather behind one that fails would each wait as long again, and there would be ever more of them.
func (s *Store) left(all time.Duration) time.Duration {
	since, _, err := s.health.state()
	if err == nil {
		return all
	}
	return max(all-time.Since(since), min(all, hasty))
}

// try does something once, and takes note of how the database is.
func (s *Store) try(ctx context.Context, do func(ctx context.Context, conn *pgx.Conn) error) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		if !errors.Is(ctx.Err(), context.Canceled) {
			s.heard(err)
		}
		return &passing{err}
	}
	defer conn.Release()
	err = do(ctx, conn.Conn())
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return err
	case conn.Conn().PgConn().CustomData()[unsynced] != nil:
		s.drop(conn)
		err = errUnsynced
	case err != nil && conn.Conn().IsClosed():
		s.lost(conn.Conn())
		err = &passing{err}
	case readOnly(err): // a standby, or a primary that was: another host has to be found
		s.drop(conn)
	default:
		s.heard(nil)
		if conn.Conn().PgConn().TxStatus() != 'I' {
			rollback(ctx, conn.Conn())
		}
		return err
	}
	s.heard(err)
	return err
}

func (s *Store) heard(err error) {
	switch changed := s.health.heard(err); {
	case changed && err != nil:
		s.log.Warn("store: the database does not answer", "error", err)
	case changed:
		s.log.Info("store: the database answers again")
	}
}

// drop closes a connection before it goes back to the pool.
func (s *Store) drop(conn *pgxpool.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Conn().Close(ctx) // it is of no use, whatever becomes of it
	s.lost(conn.Conn())
}

// passing marks an error after which trying again is sensible.
type passing struct{ err error }

func (p *passing) Error() string { return p.err.Error() }
func (p *passing) Unwrap() error { return p.err }

// passes reports whether an error is one that a new try may not meet.
func passes(err error) bool {
	var p *passing
	if errors.As(err, &p) {
		return true
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return passingCode(pg)
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.DeadlineExceeded) || pgconn.SafeToRetry(err)
}

func passingCode(e *pgconn.PgError) bool {
	switch e.Code {
	case "40001", "40P01", "55P03", "57014": // serialisation, deadlock, a lock or a statement that took too long
		return true
	case "57P01", "57P02", "57P03", "25P03": // shut down, crashed, starting up, idle too long in a transaction
		return true
	case "XX000": // Citus says so of a worker
		return strings.Contains(e.Message, "server closed the connection") || strings.Contains(e.Message, "connection to the remote node")
	}
	if len(e.Code) < 2 {
		return false
	}
	switch e.Code[:2] {
	case "08", "53": // the connection; no disk, memory or connection left
		return true
	}
	return readOnlyCode(e)
}

func readOnly(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && readOnlyCode(pg)
}

// refused reports whether the server answered that it will not have this role in this database.
func refused(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	return strings.HasPrefix(pg.Code, "28") || pg.Code == "3D000" || pg.Code == "42501" // role or password; no database; no right
}

func readOnlyCode(e *pgconn.PgError) bool { return e.Code == "25006" }

// unavailable is the error of a database that does not answer.
func unavailable(err error) error {
	if errors.Is(err, store.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}

// send runs statements in one round trip and reads their answers with the functions given to Queue.
func send(ctx context.Context, conn *pgx.Conn, b *pgx.Batch) error {
	return conn.SendBatch(ctx, b).Close()
}

// rollback ends a transaction that is given up. A connection that fails at that is closed, and with it the transaction.
func rollback(ctx context.Context, conn *pgx.Conn) {
	if conn.IsClosed() {
		return
	}
	if _, err := conn.Exec(ctx, `ROLLBACK`); err != nil {
		_ = conn.Close(ctx) // what is left is for the server to find out
	}
}
