package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"stocktake/internal/store"
)

// A snapshot is kept in parts under a number of its own, its generation; one row says which generation holds. Servers may
// save at the same time, so a generation that does not hold is dropped only by whom it was replaced by or was written by,
// or when it is so old that its writer must have died.

// staleAfter is how long a snapshot may take to be written, with room for clocks that differ.
const staleAfter = 24 * time.Hour

// newGeneration draws a generation: the time in microseconds, then ten random bits.
func newGeneration() int64 { return firstGeneration(time.Now()) | rand.Int64N(1<<10) }

// firstGeneration is the smallest generation of a time.
func firstGeneration(t time.Time) int64 { return t.UnixMicro() << 10 }

// partBytes is how much a row holds at most.
const partBytes = 1 << 20

// partWriter writes a snapshot into rows.
type partWriter struct {
	s          *Store
	ctx        context.Context
	generation int64
	parts      int
	buf        bytes.Buffer
}

// Write implements io.Writer.
func (w *partWriter) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		n := min(len(p), partBytes-w.buf.Len())
		w.buf.Write(p[:n])
		p = p[n:]
		if w.buf.Len() == partBytes {
			if err := w.flush(); err != nil {
				return written, err
			}
		}
		written += n
	}
	return written, nil
}

func (w *partWriter) flush() error {
	if w.buf.Len() == 0 {
		return nil
	}
	err := w.s.labour(w.ctx, long, "save a snapshot", func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `INSERT INTO stocktake.snapshot_part (shard, generation, part, data) VALUES (0, $1, $2, $3)
			ON CONFLICT (shard, generation, part) DO NOTHING`, w.generation, w.parts, w.buf.Bytes())
		return err
	})
	w.parts++
	w.buf.Reset()
	return err
}

// SaveSnapshot implements store.Snapshots. Of two that save at the same time the one that ends later holds.
func (s *Store) SaveSnapshot(ctx context.Context, write func(io.Writer) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	w := &partWriter{s: s, ctx: ctx, generation: newGeneration()}
	err := write(w)
	if err == nil {
		err = w.flush()
	}
	if err == nil {
		err = s.switchSnapshot(ctx, w)
	}
	if err == nil {
		return nil
	}
	// What was written is of no use. If this fails too the next snapshot clears it away.
	clean := s.labour(context.WithoutCancel(ctx), long, "drop a snapshot", func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `DELETE FROM stocktake.snapshot_part p WHERE shard = 0 AND generation = $1
			AND NOT EXISTS (SELECT 1 FROM stocktake.snapshot s WHERE s.shard = 0 AND s.generation = p.generation)`, w.generation)
		return err
	})
	if clean != nil {
		s.log.Warn("store: parts of an unfinished snapshot are left", "error", clean)
	}
	return err
}

// switchSnapshot lets a snapshot that was written hold, if it is whole, and drops the one before and what others left.
func (s *Store) switchSnapshot(ctx context.Context, w *partWriter) error {
	var before int64
	parts := 0
	return s.transact(ctx, "save a snapshot", func(b *pgx.Batch) {
		b.Queue(`SELECT generation FROM stocktake.snapshot WHERE shard = 0 FOR UPDATE`).
			QueryRow(func(row pgx.Row) error { return row.Scan(&before) })
		b.Queue(`SELECT count(*) FROM stocktake.snapshot_part WHERE shard = 0 AND generation = $1`, w.generation).
			QueryRow(func(row pgx.Row) error { return row.Scan(&parts) })
	}, func(b *pgx.Batch) error {
		if parts != w.parts {
			return errors.New("parts of the snapshot are gone")
		}
		if before == w.generation {
			return nil // by a try of before
		}
		b.Queue(`UPDATE stocktake.snapshot SET generation = $1, parts = $2 WHERE shard = 0`, w.generation, w.parts)
		b.Queue(`DELETE FROM stocktake.snapshot_part WHERE shard = 0 AND (generation = $1 OR generation <> $2 AND generation < $3)`,
			before, w.generation, firstGeneration(time.Now().Add(-staleAfter)))
		return nil
	})
}

// partReader reads the rows of a snapshot one after the other.
type partReader struct {
	ctx         context.Context
	conn        *pgx.Conn
	generation  int64
	next, parts int
	left        []byte
}

// Read implements io.Reader.
func (r *partReader) Read(p []byte) (int, error) {
	for len(r.left) == 0 {
		if r.next == r.parts {
			return 0, io.EOF
		}
		err := r.conn.QueryRow(r.ctx, `SELECT data FROM stocktake.snapshot_part WHERE shard = 0 AND generation = $1 AND part = $2`, r.generation, r.next).Scan(&r.left)
		if errors.Is(err, pgx.ErrNoRows) {
			return 0, damaged("the snapshot", fmt.Errorf("part %d of %d is missing", r.next, r.parts))
		} else if err != nil {
			return 0, err
		}
		r.next++
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

// LoadSnapshot implements store.Snapshots. It reads in one transaction, so that a snapshot saved meanwhile does not take
// the parts away. read is called once: a connection that breaks in the middle is an error.
func (s *Store) LoadSnapshot(ctx context.Context, read func(io.Reader) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	var outcome error
	called := false
	err := s.labour(ctx, long, "load a snapshot", func(ctx context.Context, conn *pgx.Conn) error {
		if called {
			return errors.New("the connection broke while the snapshot was read")
		}
		if _, err := conn.Exec(ctx, `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`); err != nil {
			return err
		}
		r := &partReader{ctx: ctx, conn: conn}
		err := conn.QueryRow(ctx, `SELECT generation, parts FROM stocktake.snapshot WHERE shard = 0`).Scan(&r.generation, &r.parts)
		switch {
		case err != nil:
			return err
		case r.generation == 0:
			outcome = fmt.Errorf("snapshot: %w", store.ErrNotFound)
		default:
			called = true
			outcome = read(r)
		}
		rollback(ctx, conn)
		return nil
	})
	return errors.Join(outcome, err)
}
