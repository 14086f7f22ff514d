package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// Records live in shard 0, so that any of them and their head are one transaction.

func noRecord(key string) error { return fmt.Errorf("record %q: %w", key, store.ErrNotFound) }

// Record implements store.Records.
func (s *Store) Record(ctx context.Context, key string) (store.Record, error) {
	if err := s.enter(ctx); err != nil {
		return store.Record{}, err
	}
	defer s.leave()
	r := store.Record{Key: key}
	err := s.run(ctx, "read a record", func(ctx context.Context, conn *pgx.Conn) error {
		var revision int64
		err := conn.QueryRow(ctx, `SELECT value, revision FROM stocktake.record WHERE shard = 0 AND key = $1`, []byte(key)).Scan(&r.Value, &revision)
		r.Revision = uint64(revision)
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return store.Record{}, noRecord(key)
	} else if err != nil {
		return store.Record{}, err
	}
	return r, nil
}

// ListRecords implements store.Records.
func (s *Store) ListRecords(ctx context.Context, prefix, after string, limit int) ([]store.Record, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	return s.listBy(ctx, s.labour, prefix, after, limit)
}

func (s *Store) listBy(ctx context.Context, by labour, prefix, after string, limit int) ([]store.Record, error) {
	query := `SELECT key, value, revision FROM stocktake.record WHERE shard = 0 AND key >= $1 AND key > $2`
	args := []any{[]byte(prefix), []byte(after), limit}
	if below := successor(prefix); below != nil {
		query += ` AND key < $4`
		args = append(args, below)
	}
	var records []store.Record
	err := by(ctx, s.usual(), "list records", func(ctx context.Context, conn *pgx.Conn) error {
		records = nil
		rows, err := conn.Query(ctx, query+` ORDER BY key LIMIT $3`, args...)
		if err != nil {
			return err
		}
		var key, value []byte
		var revision int64
		_, err = pgx.ForEachRow(rows, []any{&key, &value, &revision}, func() error {
			records = append(records, store.Record{Key: string(key), Value: append([]byte{}, value...), Revision: uint64(revision)})
			return nil
		})
		return err
	})
	return records, err
}

// successor gives the least key greater than all with the prefix, nil where there is none.
func successor(prefix string) []byte {
	key := []byte(prefix)
	for i := len(key) - 1; i >= 0; i-- {
		if key[i] < 0xff {
			key[i]++
			return key[:i+1]
		}
	}
	return nil
}

// PutRecord implements store.Records.
func (s *Store) PutRecord(ctx context.Context, r store.Record) (uint64, error) {
	switch {
	case r.Key == "":
		return 0, errors.New("a record needs a key")
	case len(r.Key) > maxRecordKey:
		return 0, fmt.Errorf("the key of record %.40q... takes %d bytes, more than %d", r.Key, len(r.Key), maxRecordKey)
	}
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.leave()
	w := newRecordWrite(r.Key, r.Revision)
	value := append([]byte{}, r.Value...)
	err := s.writeRecord(ctx, w, func(b *pgx.Batch) {
		b.Queue(`INSERT INTO stocktake.record (shard, key, revision, id, value) VALUES (0, $1, $2, $3, $4)
			ON CONFLICT (shard, key) DO UPDATE SET revision = excluded.revision, id = excluded.id, value = excluded.value`,
			[]byte(r.Key), w.revision, w.id[:], value)
	})
	return uint64(w.revision), err
}

// DeleteRecord implements store.Records.
func (s *Store) DeleteRecord(ctx context.Context, key string, revision uint64) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	w := newRecordWrite(key, revision)
	w.removes = true
	return s.writeRecord(ctx, w, func(b *pgx.Batch) {
		b.Queue(`DELETE FROM stocktake.record WHERE shard = 0 AND key = $1`, []byte(key))
	})
}

// recordWrite is one write of a record.
type recordWrite struct {
	key     string
	from    uint64 // the revision it was computed from
	removes bool
	// id is drawn once, so that a try after one of unknown outcome finds out whether that took effect.
	id       inventory.ChangeID
	unknown  bool
	revision int64 // given in the end
}

func newRecordWrite(key string, from uint64) *recordWrite {
	w := &recordWrite{key: key, from: from}
	_, _ = rand.Read(w.id[:]) // does not fail: it ends the process instead
	return w
}

// writeRecord does what queue says in a transaction under the records' head, if the condition holds.
func (s *Store) writeRecord(ctx context.Context, w *recordWrite, queue func(b *pgx.Batch)) error {
	return s.run(ctx, "write a record", func(ctx context.Context, conn *pgx.Conn) error {
		var seq, stored int64
		var id []byte
		b := &pgx.Batch{}
		b.Queue(`BEGIN`)
		b.Queue(`SELECT seq FROM stocktake.record_head WHERE shard = 0 FOR UPDATE`).QueryRow(func(row pgx.Row) error { return row.Scan(&seq) })
		b.Queue(`SELECT revision, id FROM stocktake.record WHERE shard = 0 AND key = $1`, []byte(w.key)).QueryRow(func(row pgx.Row) error {
			if err := row.Scan(&stored, &id); !errors.Is(err, pgx.ErrNoRows) {
				return err
			}
			return nil
		})
		if err := send(ctx, conn, b); err != nil {
			return err
		}
		after := &pgx.Batch{}
		switch done, err := w.judge(stored, id); {
		case err != nil:
			rollback(ctx, conn)
			return err
		case done:
			// It is there, but maybe not on a standby yet: a commit of something after it waits for both.
			after.Queue(`UPDATE stocktake.record_head SET seq = seq WHERE shard = 0`)
		default:
			w.revision = seq + 1
			queue(after)
			after.Queue(`UPDATE stocktake.record_head SET seq = $1, id = $2 WHERE shard = 0`, w.revision, w.id[:])
		}
		after.Queue(`COMMIT`)
		w.unknown = true
		return send(ctx, conn, after)
	})
}

// judge holds the write against what is stored (revision 0 for nothing); done when an earlier try took effect.
func (w *recordWrite) judge(stored int64, id []byte) (done bool, err error) {
	switch {
	case w.unknown && string(id) == string(w.id[:]):
		w.revision = stored
		return true, nil
	case w.unknown && w.removes && stored == 0:
		return true, nil
	case w.removes && stored == 0:
		return false, noRecord(w.key)
	case w.from != uint64(stored):
		return false, fmt.Errorf("record %q: %w", w.key, store.ErrConflict)
	}
	return false, nil
}

// RecordsHead implements store.Records.
func (s *Store) RecordsHead(ctx context.Context) (inventory.Position, error) {
	if err := s.enter(ctx); err != nil {
		return inventory.Position{}, err
	}
	defer s.leave()
	c := newCall[inventory.Position]()
	s.recordHead.add(c)
	return c.wait(ctx)
}

func (s *Store) readRecordHead(all []*call[inventory.Position]) {
	var seq int64
	var id []byte
	err := s.run(s.alive, "read the records' head", func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT seq, id FROM stocktake.record_head WHERE shard = 0`).Scan(&seq, &id)
	})
	head := inventory.Position{Seq: uint64(seq)}
	if err == nil && copy(head.ID[:], id) != len(head.ID) {
		err = damaged("the records' head", errors.New("its id is none"))
	}
	for _, c := range all {
		c.end(head, err)
	}
}
