package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// Heads implements store.Store.
func (s *Store) Heads(ctx context.Context) ([]inventory.Position, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	c := newCall[[]inventory.Position]()
	s.heads.add(c)
	heads, err := c.wait(ctx)
	return slices.Clone(heads), err
}

func (s *Store) readHeads(all []*call[[]inventory.Position]) {
	heads := make([]inventory.Position, s.identity.Shards)
	err := s.run(s.alive, "read heads", func(ctx context.Context, conn *pgx.Conn) error { return readHeadsTo(ctx, conn, heads) })
	for _, c := range all {
		c.end(heads, err)
	}
}

// readHeadsTo reads the heads of all shards.
func readHeadsTo(ctx context.Context, conn *pgx.Conn, heads []inventory.Position) error {
	clear(heads)
	rows, err := conn.Query(ctx, `SELECT shard, seq, id FROM stocktake.head`)
	if err != nil {
		return err
	}
	var shard int
	var seq int64
	var id []byte
	_, err = pgx.ForEachRow(rows, []any{&shard, &seq, &id}, func() error {
		if shard < 0 || shard >= len(heads) || len(id) != len(inventory.ChangeID{}) {
			return damaged(fmt.Sprintf("head of shard %d", shard), errors.New("there is no such shard, or its id is none"))
		}
		heads[shard] = inventory.Position{Seq: uint64(seq), ID: inventory.ChangeID(id)}
		return nil
	})
	return err
}

// The columns of a change, its content being that of the document it put while it has none of its own.
const changeColumns = `c.seq, c.id, c.arrival, c.node, c.item, c.meta, COALESCE(c.content, d.content)
	FROM stocktake.change c LEFT JOIN stocktake.document d
	ON d.shard = c.shard AND d.node = c.node AND d.item = c.item AND d.seq = c.seq AND c.content IS NULL AND d.shard = $1`

// Changes implements store.Store.
func (s *Store) Changes(ctx context.Context, shard int, after inventory.Position, limit int) ([]inventory.Change, error) {
	if err := s.enterShard(ctx, shard); err != nil {
		return nil, err
	}
	defer s.leave()
	return s.changesBy(ctx, s.labour, shard, after, limit)
}

func (s *Store) changesBy(ctx context.Context, by labour, shard int, after inventory.Position, limit int) ([]inventory.Change, error) {
	behind := fmt.Errorf("shard %d at %d: %w", shard, after.Seq, store.ErrBehind)
	if after.Seq > math.MaxInt64 || after.Seq == 0 && after != (inventory.Position{}) {
		return nil, behind
	}
	var rows []changeRow
	err := by(ctx, s.usual(), "read changes", func(ctx context.Context, conn *pgx.Conn) (err error) {
		rows, err = readChanges(ctx, conn, shard, int64(after.Seq), limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	// The row at the position, which changes are only given after, comes first and tells that the history is the same.
	if after.Seq > 0 {
		if len(rows) == 0 || rows[0].seq != int64(after.Seq) || string(rows[0].id) != string(after.ID[:]) {
			return nil, behind
		}
		rows = rows[1:]
	}
	changes := make([]inventory.Change, len(rows))
	for i := range rows {
		if want := int64(after.Seq) + int64(i) + 1; rows[i].seq != want {
			return nil, behind // pruned meanwhile, or before the first
		}
		if changes[i], err = s.codec.decodeChange(shard, &rows[i]); err != nil {
			return nil, err
		}
	}
	return changes, nil
}

// readChanges reads the row at a position, without its content, and so many after it, or so many from the first on.
func readChanges(ctx context.Context, conn *pgx.Conn, shard int, at int64, limit int) ([]changeRow, error) {
	if at > 0 {
		limit++
	}
	rows, err := conn.Query(ctx, `SELECT `+changeColumns+` AND c.seq > $2 WHERE c.shard = $1 AND c.seq >= $2 ORDER BY c.seq LIMIT $3`, shard, at, limit)
	if err != nil {
		return nil, err
	}
	return collectChanges(rows)
}

func collectChanges(rows pgx.Rows) ([]changeRow, error) {
	var all []changeRow
	var r changeRow
	_, err := pgx.ForEachRow(rows, []any{&r.seq, &r.id, &r.arrival, &r.node, &r.item, &r.meta, &r.all}, func() error {
		all = append(all, changeRow{
			seq: r.seq, arrival: r.arrival, id: slices.Clone(r.id), node: slices.Clone(r.node), item: slices.Clone(r.item),
			meta: slices.Clone(r.meta), all: slices.Clone(r.all),
		})
		return nil
	})
	return all, err
}

// OldestChange implements store.Store.
func (s *Store) OldestChange(ctx context.Context, shard int) (inventory.Change, error) {
	if err := s.enterShard(ctx, shard); err != nil {
		return inventory.Change{}, err
	}
	defer s.leave()
	return s.oldestBy(ctx, s.labour, shard)
}

func (s *Store) oldestBy(ctx context.Context, by labour, shard int) (inventory.Change, error) {
	var rows []changeRow
	err := by(ctx, s.usual(), "read the oldest change", func(ctx context.Context, conn *pgx.Conn) error {
		found, err := conn.Query(ctx, `SELECT `+changeColumns+` WHERE c.shard = $1 ORDER BY c.seq LIMIT 1`, shard)
		if err != nil {
			return err
		}
		rows, err = collectChanges(found)
		return err
	})
	if err != nil {
		return inventory.Change{}, err
	}
	if len(rows) == 0 {
		return inventory.Change{}, fmt.Errorf("oldest change of shard %d: %w", shard, store.ErrNotFound)
	}
	return s.codec.decodeChange(shard, &rows[0])
}

// pruneChunk is how many changes one statement drops at most, so that none holds its locks long.
const pruneChunk = 1000

// Prune implements store.Store.
func (s *Store) Prune(ctx context.Context, before time.Time) (int, error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.leave()
	dropped := 0
	for shard := range s.identity.Shards {
		for {
			var n int64
			err := s.labour(ctx, long, "prune", func(ctx context.Context, conn *pgx.Conn) (err error) {
				n, err = pruneShard(ctx, conn, shard, before.UnixMicro())
				return err
			})
			dropped += int(n)
			if err != nil {
				return dropped, err
			}
			if n < pruneChunk {
				break
			}
		}
	}
	return dropped, nil
}

// pruneShard drops what it can of the oldest changes: all before the first that is young, or that a reader stands on, or
// that is the newest. Nothing is ever added before that one, so what was found can be dropped later.
func pruneShard(ctx context.Context, conn *pgx.Conn, shard int, before int64) (int64, error) {
	var keep *int64
	err := conn.QueryRow(ctx, `SELECT LEAST(
		(SELECT min(seq) FROM stocktake.reader WHERE shard = $1),
		(SELECT max(seq) FROM stocktake.change WHERE shard = $1),
		(SELECT min(c.seq) FROM (SELECT seq, arrival FROM stocktake.change WHERE shard = $1 ORDER BY seq LIMIT $3) c WHERE c.arrival >= $2),
		(SELECT max(c.seq) + 1 FROM (SELECT seq FROM stocktake.change WHERE shard = $1 ORDER BY seq LIMIT $3) c))`,
		shard, before, pruneChunk).Scan(&keep)
	if err != nil || keep == nil {
		return 0, err
	}
	tag, err := conn.Exec(ctx, `DELETE FROM stocktake.change WHERE shard = $1 AND seq < $2`, shard, *keep)
	return tag.RowsAffected(), err
}

// SetReader implements store.Readers.
func (s *Store) SetReader(ctx context.Context, name string, read []uint64) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if len(read) != s.identity.Shards {
		return fmt.Errorf("reader %q has %d sequences for %d shards", name, len(read), s.identity.Shards)
	}
	if len(name) > maxName {
		return fmt.Errorf("the name of reader %.40q... takes %d bytes, more than %d", name, len(name), maxName)
	}
	shards, seqs := make([]int32, len(read)), make([]int64, len(read))
	for i, seq := range read {
		shards[i], seqs[i] = int32(i), int64(min(seq, math.MaxInt64))
	}
	return s.run(ctx, "register a reader", func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `INSERT INTO stocktake.reader (shard, name, seq) SELECT u.shard, $1::bytea, u.seq
			FROM unnest($2::int4[], $3::int8[]) u (shard, seq) ON CONFLICT (shard, name) DO UPDATE SET seq = excluded.seq`, []byte(name), shards, seqs)
		return err
	})
}

// DropReader implements store.Readers.
func (s *Store) DropReader(ctx context.Context, name string) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	return s.run(ctx, "drop a reader", func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `DELETE FROM stocktake.reader WHERE name = $1`, []byte(name))
		return err
	})
}
