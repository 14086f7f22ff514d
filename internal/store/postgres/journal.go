package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// A chain's lines, its head and its intentions are of one shard, that of the chain's number, and so one transaction.
// Sequences are given under the lock of the head's row. Lines carry an id drawn before the first try to write them, so
// that a try after one of unknown outcome finds out whether that took effect.

// lockChain reads a chain's newest sequence and keeps others from adding to it.
const lockChain = `SELECT seq FROM stocktake.journal_head WHERE shard = $1 FOR UPDATE`

// JournalHead implements store.JournalReader.
func (s *Store) JournalHead(ctx context.Context, chain int) (store.JournalLine, error) {
	if err := s.enterChain(ctx, chain); err != nil {
		return store.JournalLine{}, err
	}
	defer s.leave()
	return s.journalHeadBy(ctx, s.labour, chain)
}

// enterChain is enter for a call about one chain of the journal.
func (s *Store) enterChain(ctx context.Context, chain int) error {
	if err := store.CheckChain(chain); err != nil {
		return err
	}
	return s.enter(ctx)
}

func (s *Store) journalHeadBy(ctx context.Context, by labour, chain int) (l store.JournalLine, err error) {
	err = by(ctx, s.usual(), "read the journal's newest line", func(ctx context.Context, conn *pgx.Conn) error {
		var seq int64
		err := conn.QueryRow(ctx, `SELECT seq, text FROM stocktake.journal_line WHERE shard = $1 ORDER BY seq DESC LIMIT 1`, chain).Scan(&seq, &l.Text)
		l.Seq = uint64(seq)
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		err = fmt.Errorf("newest line of the journal's chain %d: %w", chain, store.ErrNotFound)
	}
	if err != nil {
		return store.JournalLine{}, err
	}
	return l, nil
}

// ReadJournal implements store.JournalReader.
func (s *Store) ReadJournal(ctx context.Context, chain int, after uint64, limit int) ([]store.JournalLine, error) {
	if err := s.enterChain(ctx, chain); err != nil {
		return nil, err
	}
	defer s.leave()
	return s.readJournalBy(ctx, s.labour, chain, after, limit)
}

func (s *Store) readJournalBy(ctx context.Context, by labour, chain int, after uint64, limit int) (lines []store.JournalLine, err error) {
	err = by(ctx, s.usual(), "read the journal", func(ctx context.Context, conn *pgx.Conn) error {
		lines = nil
		rows, err := conn.Query(ctx, `SELECT seq, text FROM stocktake.journal_line WHERE shard = $1 AND seq > $2 ORDER BY seq LIMIT $3`, chain, bounded(after), limit)
		if err != nil {
			return err
		}
		var seq int64
		var text []byte
		_, err = pgx.ForEachRow(rows, []any{&seq, &text}, func() error {
			if n := len(lines); n > 0 && lines[n-1].Seq+1 != uint64(seq) {
				return damaged(fmt.Sprintf("chain %d of the journal", chain), fmt.Errorf("the lines from %d to %d are missing", lines[n-1].Seq+1, seq-1))
			}
			lines = append(lines, store.JournalLine{Seq: uint64(seq), Text: append([]byte{}, text...)})
			return nil
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return lines, nil
}

// bounded is a sequence as the database has them: none is as great as the greatest.
func bounded(seq uint64) int64 { return int64(min(seq, 1<<63-1)) }

// Intentions implements store.JournalReader.
func (s *Store) Intentions(ctx context.Context, chain int, limit int) ([]store.Intention, error) {
	if err := s.enterChain(ctx, chain); err != nil {
		return nil, err
	}
	defer s.leave()
	return s.intentionsBy(ctx, s.labour, chain, limit)
}

func (s *Store) intentionsBy(ctx context.Context, by labour, chain int, limit int) (all []store.Intention, err error) {
	err = by(ctx, s.usual(), "read the journal's intentions", func(ctx context.Context, conn *pgx.Conn) error {
		all = nil
		rows, err := conn.Query(ctx, `SELECT id, since, text FROM stocktake.intention WHERE shard = $1 ORDER BY since, id LIMIT $2`, chain, limit)
		if err != nil {
			return err
		}
		var id, text []byte
		var since int64
		_, err = pgx.ForEachRow(rows, []any{&id, &since, &text}, func() error {
			all = append(all, store.Intention{ID: string(id), Text: append([]byte{}, text...), Since: time.UnixMicro(since).UTC()})
			return nil
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Intend implements store.Journal.
func (s *Store) Intend(ctx context.Context, chain int, id string, text []byte) error {
	if err := store.CheckIntention(chain, id, text); err != nil {
		return err
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	since := time.Now().UnixMicro()
	text = append([]byte{}, text...)
	var same bool
	err := s.run(ctx, "write an intention", func(ctx context.Context, conn *pgx.Conn) error {
		b := &pgx.Batch{}
		b.Queue(`BEGIN`)
		b.Queue(`INSERT INTO stocktake.intention AS i (shard, id, since, text) VALUES ($1, $2, $3, $4)
			ON CONFLICT (shard, id) DO UPDATE SET since = i.since RETURNING i.text = $4`, chain, []byte(id), since, text).
			QueryRow(func(row pgx.Row) error { return row.Scan(&same) })
		b.Queue(`COMMIT`)
		return send(ctx, conn, b)
	})
	if err == nil && !same {
		err = fmt.Errorf("intention %q: %w", id, store.ErrConflict)
	}
	return err
}

// AppendJournal implements store.Journal.
func (s *Store) AppendJournal(ctx context.Context, chain int, after uint64, texts [][]byte, settled []string) error {
	if err := store.CheckAppend(chain, after, texts); err != nil {
		return err
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	w := &lineWrite{chain: chain, after: int64(after), texts: texts, ids: make([][]byte, len(settled))}
	_, _ = rand.Read(w.id[:]) // does not fail: it ends the process instead
	for i, id := range settled {
		w.ids[i] = []byte(id)
	}
	return s.run(ctx, "write to the journal", w.try)
}

// lineWrite is lines on their way to a chain.
type lineWrite struct {
	chain   int
	after   int64
	texts   [][]byte
	ids     [][]byte // of the intentions settled
	id      inventory.ChangeID
	unknown bool // whether an earlier try took effect
}

func (w *lineWrite) try(ctx context.Context, conn *pgx.Conn) error {
	var head int64
	var id []byte
	b := &pgx.Batch{}
	b.Queue(`BEGIN`)
	b.Queue(lockChain, w.chain).QueryRow(func(row pgx.Row) error { return row.Scan(&head) })
	b.Queue(`SELECT id FROM stocktake.journal_line WHERE shard = $1 AND seq = $2`, w.chain, w.after+1).QueryRow(func(row pgx.Row) error {
		if err := row.Scan(&id); !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		return nil
	})
	if err := send(ctx, conn, b); err != nil {
		return err
	}
	then := &pgx.Batch{}
	switch {
	case w.unknown && string(id) == string(w.id[:]):
		// They are there, but maybe not on a standby yet: a commit of something after them waits for both.
		then.Queue(`UPDATE stocktake.journal_head SET seq = seq WHERE shard = $1`, w.chain)
	case head != w.after:
		rollback(ctx, conn)
		return fmt.Errorf("chain %d of the journal ends at line %d, not %d: %w", w.chain, head, w.after, store.ErrConflict)
	default:
		queueLines(then, w.chain, w.after, w.id[:], w.texts)
		then.Queue(`DELETE FROM stocktake.intention WHERE shard = $1 AND id = ANY($2)`, w.chain, w.ids)
	}
	then.Queue(`COMMIT`)
	w.unknown = true
	return send(ctx, conn, then)
}

// queueLines puts lines after the newest of a chain and makes the last the newest.
func queueLines(b *pgx.Batch, chain int, after int64, id []byte, texts [][]byte) {
	b.Queue(`INSERT INTO stocktake.journal_line (shard, seq, id, text)
		SELECT $1::int4, $2::int8 + u.n, $3::bytea, u.text FROM unnest($4::bytea[]) WITH ORDINALITY u (text, n)`, chain, after, id, texts)
	b.Queue(`UPDATE stocktake.journal_head SET seq = $2 WHERE shard = $1`, chain, after+int64(len(texts)))
}

// prunePage is how many lines a statement drops at most.
const prunePage = 5000

// PruneJournal implements store.Journal.
func (s *Store) PruneJournal(ctx context.Context, chain int, through uint64) error {
	if err := s.enterChain(ctx, chain); err != nil {
		return err
	}
	defer s.leave()
	for more := true; more; {
		err := s.labour(ctx, long, "prune the journal", func(ctx context.Context, conn *pgx.Conn) error {
			var head, oldest int64
			b := &pgx.Batch{}
			b.Queue(`SELECT seq FROM stocktake.journal_head WHERE shard = $1`, chain).QueryRow(func(row pgx.Row) error { return row.Scan(&head) })
			b.Queue(`SELECT seq FROM stocktake.journal_line WHERE shard = $1 ORDER BY seq LIMIT 1`, chain).QueryRow(func(row pgx.Row) error {
				if err := row.Scan(&oldest); !errors.Is(err, pgx.ErrNoRows) {
					return err
				}
				return nil
			})
			if err := send(ctx, conn, b); err != nil {
				return err
			}
			last := min(bounded(through), head-1)
			page := min(last, oldest+prunePage-1)
			more = page < last
			if page < oldest {
				return nil
			}
			_, err := conn.Exec(ctx, `DELETE FROM stocktake.journal_line WHERE shard = $1 AND seq <= $2`, chain, page)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// LoadJournal implements store.Loader.
func (s *Store) LoadJournal(ctx context.Context, chain int, lines []store.JournalLine, intentions []store.Intention) error {
	if err := store.CheckJournal(chain, lines, intentions); err != nil {
		return err
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	l := newLoadedLines(chain, lines, intentions)
	return s.transact(ctx, "load the journal", l.lock, l.write)
}

// loadedLines is what LoadJournal is given, and what it finds.
type loadedLines struct {
	chain     int
	lines     []store.JournalLine
	ids, told [][]byte // of the intentions
	since     []int64
	want      map[string]string

	head     int64
	have     map[int64][]byte
	conflict error
}

func newLoadedLines(chain int, lines []store.JournalLine, intentions []store.Intention) *loadedLines {
	l := &loadedLines{chain: chain, lines: lines, want: make(map[string]string, len(intentions))}
	for _, in := range intentions {
		if _, twice := l.want[in.ID]; !twice {
			l.ids, l.told, l.since = append(l.ids, []byte(in.ID)), append(l.told, in.Text), append(l.since, in.Since.UnixMicro())
			l.want[in.ID] = string(in.Text)
		}
	}
	return l
}

func (l *loadedLines) lock(b *pgx.Batch) {
	l.have, l.conflict = map[int64][]byte{}, nil
	from, to := int64(1), int64(0)
	if len(l.lines) > 0 {
		from, to = int64(l.lines[0].Seq), int64(l.lines[len(l.lines)-1].Seq)
	}
	b.Queue(lockChain, l.chain).QueryRow(func(row pgx.Row) error { return row.Scan(&l.head) })
	b.Queue(`SELECT seq, text FROM stocktake.journal_line WHERE shard = $1 AND seq >= $2 AND seq <= $3`, l.chain, from, to).Query(func(rows pgx.Rows) error {
		var seq int64
		var text []byte
		_, err := pgx.ForEachRow(rows, []any{&seq, &text}, func() error {
			l.have[seq] = append([]byte{}, text...)
			return nil
		})
		return err
	})
	b.Queue(`SELECT id, text FROM stocktake.intention WHERE shard = $1 AND id = ANY($2)`, l.chain, l.ids).Query(func(rows pgx.Rows) error {
		var id, text []byte
		_, err := pgx.ForEachRow(rows, []any{&id, &text}, func() error {
			if l.want[string(id)] != string(text) {
				l.conflict = fmt.Errorf("intention %q: %w", id, store.ErrConflict)
			}
			return nil
		})
		return err
	})
}

func (l *loadedLines) write(b *pgx.Batch) error {
	fresh, err := store.PassOver(l.chain, uint64(l.head), l.lines, func(seq uint64) []byte { return l.have[int64(seq)] })
	if err = errors.Join(l.conflict, err); err != nil {
		return err
	}
	if len(fresh) > 0 {
		var id inventory.ChangeID
		_, _ = rand.Read(id[:])
		texts := make([][]byte, len(fresh))
		for i := range fresh {
			texts[i] = fresh[i].Text
		}
		queueLines(b, l.chain, int64(fresh[0].Seq)-1, id[:], texts)
	}
	b.Queue(`INSERT INTO stocktake.intention (shard, id, since, text) SELECT $1::int4, u.id, u.since, u.text
		FROM unnest($2::bytea[], $3::int8[], $4::bytea[]) u (id, since, text) ON CONFLICT (shard, id) DO NOTHING`, l.chain, l.ids, l.since, l.told)
	return nil
}
