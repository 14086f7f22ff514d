package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// LoadShapes implements store.Loader.
func (s *Store) LoadShapes(ctx context.Context, shard int, shapes []store.Typed) error {
	if err := s.enterShard(ctx, shard); err != nil {
		return err
	}
	defer s.leave()
	texts := make(map[shapeKey]string, len(shapes))
	var keys []shapeKey
	for i := range shapes {
		key := spaceOf(shapes[i].Partition, shapes[i].Type).key(shapes[i].ID)
		texts[key] = shapes[i].Text
		keys = append(keys, key)
	}
	slices.SortFunc(keys, s.compareShapes)
	keys = slices.Compact(keys)
	_, at := s.known.missing(s.generation.Load(), nil)
	return s.labour(ctx, long, "load shapes", func(ctx context.Context, conn *pgx.Conn) error {
		b := &pgx.Batch{}
		for _, g := range s.split(len(keys), func(i int) int32 { return keys[i].shardOf(s.identity.Shards) }) {
			b.Queue(`BEGIN`)
			s.queuePut(b, at.epoch, keys, g, texts, putOrTouch, func(rows pgx.Rows) error { return rows.Err() })
			b.Queue(`COMMIT`)
		}
		return send(ctx, conn, b)
	})
}

// loadable is an error unless the store has the texts of all shapes named.
func (s *Store) loadable(ctx context.Context, keys []shapeKey) error {
	_, err := s.assert(ctx, keys, nil, func() error { return nil })
	return err
}

// transact does lock and write in a transaction, a round trip each.
func (s *Store) transact(ctx context.Context, what string, lock func(b *pgx.Batch), write func(b *pgx.Batch) error) error {
	return s.labour(ctx, long, what, func(ctx context.Context, conn *pgx.Conn) error {
		first, second := &pgx.Batch{}, &pgx.Batch{}
		first.Queue(`BEGIN`)
		lock(first)
		if err := send(ctx, conn, first); err != nil {
			return err
		}
		if err := write(second); err != nil {
			rollback(ctx, conn)
			return err
		}
		second.Queue(`COMMIT`)
		return send(ctx, conn, second)
	})
}

// LoadNodes implements store.Loader.
func (s *Store) LoadNodes(ctx context.Context, shard int, nodes []store.NodeScan) error {
	if err := s.enterShard(ctx, shard); err != nil {
		return err
	}
	defer s.leave()
	if err := store.CheckNodes(shard, s.identity.Shards, nodes); err != nil {
		return err
	}
	p := &pages{shard: int32(shard)}
	var keys []shapeKey
	revisions := make(map[string]int64, len(nodes))
	for i := range nodes {
		n := &nodes[i].Node
		if err := checkNodeKey(n.Key); err != nil {
			return err
		}
		node := nodeKey(n.Key)
		revisions[string(node)] = int64(n.Revision)
		p.nodes.node, p.nodes.revision = append(p.nodes.node, node), append(p.nodes.revision, int64(n.Revision))
		p.nodes.items, p.nodes.record = append(p.nodes.items, itemsDigest(n.Items)), append(p.nodes.record, appendNode(nil, n))
		for j := range n.Items {
			if err := checkType(n.Items[j].Type); err != nil {
				return err
			}
			doc := &nodes[i].Documents[j]
			keys = append(keys, naming(n.Key.Partition, &store.Write{Key: n.Items[j].ItemKey, Document: doc}, nil)...)
			p.documents.node, p.documents.item = append(p.documents.node, node), append(p.documents.item, itemKey(n.Items[j].ItemKey))
			p.documents.seq = append(p.documents.seq, int64(n.Items[j].Seq))
			p.documents.content = append(p.documents.content, s.codec.appendDocument(nil, doc))
		}
	}
	if err := s.loadable(ctx, keys); err != nil {
		return err
	}
	var conflict error
	return s.transact(ctx, "load nodes", func(b *pgx.Batch) {
		conflict = nil
		b.Queue(`SELECT seq FROM stocktake.head WHERE shard = $1 FOR UPDATE`, shard)
		b.Queue(`SELECT node, revision FROM stocktake.node WHERE shard = $1 AND node = ANY($2)`, shard, p.nodes.node).Query(func(rows pgx.Rows) error {
			var node []byte
			var revision int64
			_, err := pgx.ForEachRow(rows, []any{&node, &revision}, func() error {
				if revisions[string(node)] != revision {
					conflict = fmt.Errorf("node %q is loaded with another revision: %w", node, store.ErrConflict)
				}
				return nil
			})
			return err
		})
	}, func(b *pgx.Batch) error {
		if conflict == nil {
			p.queue(b, &locked{})
		}
		return conflict
	})
}

// LoadChanges implements store.Loader.
func (s *Store) LoadChanges(ctx context.Context, shard int, changes []inventory.Change) error {
	if err := s.enterShard(ctx, shard); err != nil {
		return err
	}
	defer s.leave()
	if err := store.CheckChanges(shard, s.identity.Shards, changes); err != nil || len(changes) == 0 {
		return err
	}
	l, err := s.encodeChanges(changes)
	if err != nil {
		return err
	}
	if err := s.loadable(ctx, l.keys); err != nil {
		return err
	}
	var head int64
	var have map[int64]string
	last := &changes[len(changes)-1]
	return s.transact(ctx, "load changes", func(b *pgx.Batch) {
		have = map[int64]string{}
		b.Queue(`SELECT seq FROM stocktake.head WHERE shard = $1 FOR UPDATE`, shard).QueryRow(func(row pgx.Row) error { return row.Scan(&head) })
		b.Queue(`SELECT seq, id FROM stocktake.change WHERE shard = $1 AND seq >= $2 AND seq <= $3`, shard, int64(changes[0].Seq), int64(last.Seq)).
			Query(func(rows pgx.Rows) error {
				var seq int64
				var id []byte
				_, err := pgx.ForEachRow(rows, []any{&seq, &id}, func() error {
					have[seq] = string(id)
					return nil
				})
				return err
			})
	}, func(b *pgx.Batch) error {
		skip, err := passOver(shard, head, have, changes)
		if err != nil || skip == len(changes) {
			return err
		}
		l.queue(b, shard, skip)
		b.Queue(`UPDATE stocktake.head SET seq = $2, id = $3 WHERE shard = $1`, shard, int64(last.Seq), last.ID[:])
		return nil
	})
}

// passOver gives how many of the changes a feed holds already, whose newest has the sequence head.
func passOver(shard int, head int64, have map[int64]string, changes []inventory.Change) (int, error) {
	next := uint64(head) + 1
	if head == 0 {
		next = changes[0].Seq
	}
	for i := range changes {
		if changes[i].Seq >= next {
			if changes[i].Seq != next {
				return 0, fmt.Errorf("shard %d goes on with change %d, not %d: %w", shard, next, changes[i].Seq, store.ErrConflict)
			}
			return i, nil
		}
		if have[int64(changes[i].Seq)] != string(changes[i].ID[:]) {
			return 0, fmt.Errorf("shard %d has another change %d: %w", shard, changes[i].Seq, store.ErrConflict)
		}
	}
	return len(changes), nil
}

// loaded is changes as they are stored.
type loaded struct {
	keys                          []shapeKey
	seq, arrival                  []int64
	id, node, item, meta, content [][]byte
	whole                         []bool
}

func (s *Store) encodeChanges(changes []inventory.Change) (*loaded, error) {
	l := &loaded{}
	for i := range changes {
		c := &changes[i]
		if err := errors.Join(checkNodeKey(c.Document.NodeKey), checkType(c.Document.Type)); err != nil {
			return nil, err
		}
		w := store.Write{Key: inventory.ItemKey{Type: c.Document.Type, SubType: c.Document.SubType}, Delta: c.Delta, Added: c.Added, Removed: c.Removed}
		if !c.Gone {
			w.Document = &inventory.Document{Split: c.Split}
			if len(c.Delta) == 1 {
				w.Document.Refs = c.Delta[0].Insert
			}
		}
		whole := whole(&w)
		content := s.codec.encodeDelta(&w)
		if whole {
			content = s.codec.appendDocument(nil, w.Document)
		}
		l.keys = append(l.keys, naming(c.Document.Partition, &w, nil)...)
		l.seq, l.arrival = append(l.seq, int64(c.Seq)), append(l.arrival, c.Arrival.UnixMicro())
		l.id, l.node, l.item = append(l.id, c.ID[:]), append(l.node, nodeKey(c.Document.NodeKey)), append(l.item, itemKey(w.Key))
		l.meta, l.content = append(l.meta, appendMeta(nil, c, whole)), append(l.content, content)
		l.whole = append(l.whole, whole)
	}
	return l, nil
}

// queue inserts changes. One that put the document that is stored borrows its content, as one that was committed does.
func (l *loaded) queue(b *pgx.Batch, shard, from int) {
	b.Queue(`INSERT INTO stocktake.change (shard, seq, id, arrival, node, item, meta, content)
		SELECT $1::int4, u.seq, u.id, u.arrival, u.node, u.item, u.meta, CASE WHEN d.seq IS NULL THEN u.content END
		FROM unnest($2::int8[], $3::bytea[], $4::int8[], $5::bytea[], $6::bytea[], $7::bytea[], $8::bytea[], $9::bool[])
		u (seq, id, arrival, node, item, meta, content, whole)
		LEFT JOIN stocktake.document d ON d.shard = $1 AND d.node = u.node AND d.item = u.item AND d.seq = u.seq AND u.whole`,
		shard, l.seq[from:], l.id[from:], l.arrival[from:], l.node[from:], l.item[from:], l.meta[from:], l.content[from:], l.whole[from:])
}

// LoadRecords implements store.Loader.
func (s *Store) LoadRecords(ctx context.Context, records []store.Record) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if err := store.CheckRecords(records); err != nil {
		return err
	}
	var keys, ids, values [][]byte
	var revisions []int64
	want := make(map[string]int64, len(records))
	greatest := int64(0)
	for _, r := range records {
		if len(r.Key) > maxRecordKey {
			return fmt.Errorf("the key of record %.40q... takes %d bytes, more than %d", r.Key, len(r.Key), maxRecordKey)
		}
		var id inventory.ChangeID
		_, _ = rand.Read(id[:])
		keys, ids, values = append(keys, []byte(r.Key)), append(ids, id[:]), append(values, append([]byte{}, r.Value...))
		revisions = append(revisions, int64(r.Revision))
		want[r.Key] = int64(r.Revision)
		greatest = max(greatest, int64(r.Revision))
	}
	var id inventory.ChangeID
	_, _ = rand.Read(id[:])
	var conflict error
	return s.transact(ctx, "load records", func(b *pgx.Batch) {
		conflict = nil
		b.Queue(`SELECT seq FROM stocktake.record_head WHERE shard = 0 FOR UPDATE`)
		b.Queue(`SELECT key, revision FROM stocktake.record WHERE shard = 0 AND key = ANY($1)`, keys).Query(func(rows pgx.Rows) error {
			var key []byte
			var revision int64
			_, err := pgx.ForEachRow(rows, []any{&key, &revision}, func() error {
				if want[string(key)] != revision {
					conflict = fmt.Errorf("record %q is loaded with another revision: %w", key, store.ErrConflict)
				}
				return nil
			})
			return err
		})
	}, func(b *pgx.Batch) error {
		b.Queue(`INSERT INTO stocktake.record (shard, key, revision, id, value) SELECT 0, u.key, u.revision, u.id, u.value
			FROM unnest($1::bytea[], $2::int8[], $3::bytea[], $4::bytea[]) u (key, revision, id, value)
			ON CONFLICT (shard, key) DO UPDATE SET revision = excluded.revision, id = excluded.id, value = excluded.value`, keys, revisions, ids, values)
		b.Queue(`UPDATE stocktake.record_head SET seq = GREATEST(seq, $1) + 1, id = $2 WHERE shard = 0`, greatest, id[:])
		return conflict
	})
}
