package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"

	"github.com/jackc/pgx/v5"

	"stocktake/internal/inventory"
)

// The pages a sweep reads and writes in.
const (
	sweepRows   = 256
	sweepShapes = 4096
)

// Sweep implements store.Store. See shape.go for why it is safe beside commits. It holds the names of all shapes in use in
// memory, some 40 bytes each.
func (s *Store) Sweep(ctx context.Context) (int, error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.leave()
	s.sweeping.Lock()
	defer s.sweeping.Unlock()
	epoch, err := s.raiseEpoch(ctx)
	if err != nil {
		return 0, err
	}
	live := &live{spaces: map[spaceName]space{}, keys: map[shapeKey]struct{}{}}
	for shard := range s.identity.Shards {
		// Documents first: a change borrows from its document, and has a content of its own before that goes.
		if err := s.liveDocuments(ctx, shard, live); err != nil {
			return 0, err
		}
		if err := s.liveChanges(ctx, shard, live); err != nil {
			return 0, err
		}
	}
	dropped := 0
	for shard := range s.identity.Shards {
		n, err := s.sweepShard(ctx, shard, epoch, live)
		dropped += n
		if err != nil {
			return dropped, err
		}
	}
	return dropped, nil
}

// raiseEpoch raises the epoch of every shard and gives the new one.
func (s *Store) raiseEpoch(ctx context.Context) (int64, error) {
	var epoch int64
	err := s.run(ctx, "raise the epoch", func(ctx context.Context, conn *pgx.Conn) error {
		if err := conn.QueryRow(ctx, `SELECT max(epoch) FROM stocktake.head`).Scan(&epoch); err != nil {
			return err
		}
		epoch += 1 + rand.Int64N(1<<31) // a number no other sweep will have, in this history or another
		b := &pgx.Batch{}
		for shard := range s.identity.Shards {
			s.begin(b)
			b.Queue(`UPDATE stocktake.head SET epoch = GREATEST(epoch, $2) WHERE shard = $1`, shard, epoch)
			b.Queue(`COMMIT`)
		}
		return send(ctx, conn, b)
	})
	if err == nil {
		s.known.advance(epoch)
	}
	return epoch, err
}

// live collects the shapes that something names.
type live struct {
	spaces map[spaceName]space
	keys   map[shapeKey]struct{}
}

type spaceName struct {
	inventory.Partition
	inventory.TypeName
}

// in gives what the ids of a document are mixed with.
func (l *live) in(node, item []byte) (space, error) {
	key, err := parseNodeKey(node)
	if err != nil {
		return space{}, err
	}
	k, _, err := parseItemKey(item)
	if err != nil {
		return space{}, err
	}
	name := spaceName{key.Partition, k.Type}
	in, ok := l.spaces[name]
	if !ok {
		in = spaceOf(key.Partition, k.Type)
		l.spaces[name] = in
	}
	return in, nil
}

func (s *Store) liveDocuments(ctx context.Context, shard int, l *live) error {
	node, item := []byte{}, []byte{}
	for {
		n := 0
		err := s.labour(ctx, long, "sweep", func(ctx context.Context, conn *pgx.Conn) error {
			n = 0
			rows, err := conn.Query(ctx, `SELECT node, item, content FROM stocktake.document
				WHERE shard = $1 AND (node, item) > ($2, $3) ORDER BY node, item LIMIT $4`, shard, node, item, sweepRows)
			if err != nil {
				return err
			}
			var at, of, content []byte
			_, err = pgx.ForEachRow(rows, []any{&at, &of, &content}, func() error {
				n++
				in, err := l.in(at, of)
				if err != nil {
					return err
				}
				ids, err := documentShapes(content)
				for ; len(ids) > 0; ids = ids[16:] {
					l.keys[in.key(inventory.ShapeID(ids[:16]))] = struct{}{}
				}
				if err != nil {
					return damaged("a document", err)
				}
				node, item = slices.Clone(at), slices.Clone(of)
				return nil
			})
			return err
		})
		if err != nil || n < sweepRows {
			return err
		}
	}
}

func (s *Store) liveChanges(ctx context.Context, shard int, l *live) error {
	seq := int64(0)
	for {
		n := 0
		err := s.labour(ctx, long, "sweep", func(ctx context.Context, conn *pgx.Conn) error {
			n = 0
			rows, err := conn.Query(ctx, `SELECT seq, node, item, meta, content FROM stocktake.change
				WHERE shard = $1 AND seq > $2 AND content IS NOT NULL ORDER BY seq LIMIT $3`, shard, seq, sweepRows)
			if err != nil {
				return err
			}
			var at int64
			var node, item, meta, content []byte
			_, err = pgx.ForEachRow(rows, []any{&at, &node, &item, &meta, &content}, func() error {
				n++
				in, err := l.in(node, item)
				if err != nil {
					return err
				}
				err = s.codec.changeShapes(meta, content, func(id []byte) { l.keys[in.key(inventory.ShapeID(id))] = struct{}{} })
				if err != nil {
					return damaged("a change", err)
				}
				seq = at
				return nil
			})
			return err
		})
		if err != nil || n < sweepRows {
			return err
		}
	}
}

// sweepShard drops the shapes kept in a shard that are of an older epoch and that nothing names.
func (s *Store) sweepShard(ctx context.Context, shard int, epoch int64, l *live) (int, error) {
	from, dropped := []byte{}, 0
	for {
		var dead [][]byte
		var last []byte
		n := 0
		err := s.labour(ctx, long, "sweep", func(ctx context.Context, conn *pgx.Conn) error {
			dead, n = nil, 0
			if err := sameHistory(ctx, conn, epoch); err != nil {
				return err
			}
			rows, err := conn.Query(ctx, `SELECT id FROM stocktake.shape WHERE shard = $1 AND id > $2 AND epoch < $3 ORDER BY id LIMIT $4`,
				shard, from, epoch, sweepShapes)
			if err != nil {
				return err
			}
			var id []byte
			_, err = pgx.ForEachRow(rows, []any{&id}, func() error {
				n++
				last = slices.Clone(id)
				if len(id) != len(shapeKey{}) {
					return nil
				}
				if _, ok := l.keys[shapeKey(id)]; !ok {
					dead = append(dead, last)
				}
				return nil
			})
			if err != nil || len(dead) == 0 {
				return err
			}
			tag, err := conn.Exec(ctx, `DELETE FROM stocktake.shape WHERE shard = $1 AND id = ANY($2) AND epoch < $3`, shard, dead, epoch)
			dropped += int(tag.RowsAffected())
			return err
		})
		if err != nil || n < sweepShapes {
			return dropped, err
		}
		from = last
	}
}

// sameHistory is an error unless every shard has just the epoch this sweep raised it to. A standby that was promoted
// since may not have that, and what was asserted there meanwhile is of an epoch this sweep would take for old.
func sameHistory(ctx context.Context, conn *pgx.Conn, epoch int64) error {
	var others int64
	if err := conn.QueryRow(ctx, `SELECT count(*) FROM stocktake.head WHERE epoch <> $1`, epoch).Scan(&others); err != nil {
		return err
	}
	if others > 0 {
		return errors.New("the database went back in history during a sweep, or another sweep began: sweep again")
	}
	return nil
}
