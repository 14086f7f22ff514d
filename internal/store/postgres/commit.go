package postgres

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// commit is a store.Commit on its way: encoded but for what only the shard's lock tells, which is sequences and what the
// documents it removes were.
type commit struct {
	*call[store.Committed]
	c     store.Commit
	shard int32
	node  []byte
	// revision and ids are drawn once, so that a try after one of unknown outcome finds out whether that took effect, and
	// a history that was lost is never taken for one that was kept.
	revision int64
	ids      []inventory.ChangeID
	writes   []write
	size     int

	keys  []shapeKey
	texts map[shapeKey]string
	at    asserted

	// tried are the outcomes of tries that may have taken effect.
	tried []store.Committed
	// What the last try came to.
	outcome store.Committed
	failure error
}

// write is one document of a commit.
type write struct {
	item     []byte
	document []byte // nil when removed
	content  []byte // of the change; nil when it borrows the document's
	whole    bool
}

// errStale is the outcome of a commit whose shapes may not be in the store any more.
var errStale = errors.New("shapes were asserted at another epoch")

// staleTries bounds how often a commit asserts its shapes anew; only a sweep or a new connection in between asks for it.
const staleTries = 64

// Commit implements store.Store.
func (s *Store) Commit(ctx context.Context, c store.Commit) (store.Committed, error) {
	if err := s.enter(ctx); err != nil {
		return store.Committed{}, err
	}
	defer s.leave()
	if err := checkCommit(&c); err != nil {
		return store.Committed{}, err
	}
	if c.Arrival.IsZero() {
		c.Arrival = time.Now()
	}
	c.Arrival = c.Arrival.UTC().Round(0)
	o := &commit{c: c, shard: s.shardOf(c.Node.Key), node: nodeKey(c.Node.Key), revision: newRevision()}
	if len(c.Writes) == 0 && !c.Remove && c.Node.Revision != 0 {
		if done, err := s.refresh(ctx, o); done || err != nil {
			return s.acknowledge(store.Committed{Revision: uint64(o.revision)}, err)
		}
	}
	s.encode(o)
	for try := 0; ; try++ {
		var err error
		if o.at, err = s.assert(ctx, o.keys, o.texts, func() error { return s.precheck(ctx, o) }); err != nil {
			return store.Committed{}, err
		}
		o.call = newCall[store.Committed]()
		s.commits[o.shard].add(o)
		done, err := o.wait(ctx)
		if !errors.Is(err, errStale) || try == staleTries {
			return s.acknowledge(done, err)
		}
	}
}

func (s *Store) acknowledge(done store.Committed, err error) (store.Committed, error) {
	if err != nil {
		return store.Committed{}, err
	}
	s.counts.commits.Add(1)
	return done, nil
}

func checkCommit(c *store.Commit) error {
	if err := c.Check(); err != nil {
		return err
	}
	if err := checkNodeKey(c.Node.Key); err != nil {
		return err
	}
	if len(c.Fence.Lease) > maxName {
		return fmt.Errorf("the name of lease %.40q... takes %d bytes, more than %d", c.Fence.Lease, len(c.Fence.Lease), maxName)
	}
	for i := range c.Writes {
		if err := checkType(c.Writes[i].Key.Type); err != nil {
			return err
		}
	}
	return nil
}

// newRevision draws a revision. It is random as a whole: a number that counts would begin anew with a node that was
// removed, and be given twice by a database that went back in history. It leaves a bit, so that stores that count on from
// a revision they were loaded with have room.
func newRevision() int64 {
	var b [8]byte
	for {
		_, _ = rand.Read(b[:]) // does not fail: it ends the process instead
		if r := int64(binary.BigEndian.Uint64(b[:]) >> 2); r != 0 {
			return r
		}
	}
}

func (s *Store) encode(o *commit) {
	o.texts = map[shapeKey]string{}
	o.writes = make([]write, len(o.c.Writes))
	o.ids = make([]inventory.ChangeID, len(o.c.Writes))
	for i := range o.c.Writes {
		w, e := &o.c.Writes[i], &o.writes[i]
		_, _ = rand.Read(o.ids[i][:])
		e.item = itemKey(w.Key)
		if w.Document != nil {
			e.document = s.codec.appendDocument(make([]byte, 0, 64+24*len(w.Document.Refs)), w.Document)
		}
		if e.whole = whole(w); !e.whole {
			e.content = s.codec.encodeDelta(w)
		}
		o.keys = append(o.keys, naming(o.c.Node.Key.Partition, w, o.texts)...)
		o.size += len(e.document) + len(e.content)
	}
}

// precheck finds most of what a commit will be refused for without locking anything.
func (s *Store) precheck(ctx context.Context, o *commit) error {
	var raised int64
	var row nodeRow
	err := s.run(ctx, "look before a commit", func(ctx context.Context, conn *pgx.Conn) error {
		raised, row = 0, nodeRow{}
		b := &pgx.Batch{}
		b.Queue(`SELECT revision, record FROM stocktake.node WHERE shard = $1 AND node = $2`, o.shard, o.node).Query(func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{&row.revision, &row.record}, func() error { return nil })
			row.record = slices.Clone(row.record)
			return err
		})
		if o.c.Fence.Number > 0 {
			b.Queue(`SELECT number FROM stocktake.fence WHERE shard = $1 AND lease = $2`, o.shard, []byte(o.c.Fence.Lease)).Query(func(rows pgx.Rows) error {
				_, err := pgx.ForEachRow(rows, []any{&raised}, func() error { return nil })
				return err
			})
		}
		return send(ctx, conn, b)
	})
	if err == nil {
		err = o.fenced(raised)
	}
	var old inventory.Node
	if err == nil && row.revision != 0 {
		old, err = decodeNode(o.c.Node.Key, row.revision, row.record)
	}
	if err != nil {
		return err
	}
	return o.fits(&old)
}

func (o *commit) fenced(raised int64) error {
	if o.c.Fence.Number < uint64(raised) {
		return fmt.Errorf("lease %q has number %d, and this is %d: %w", o.c.Fence.Lease, raised, o.c.Fence.Number, store.ErrFenced)
	}
	return nil
}

// fits holds a commit against the node as stored, the zero Node where it is not.
func (o *commit) fits(old *inventory.Node) error {
	if old.Revision != o.c.Node.Revision {
		return o.conflict()
	}
	return o.c.CheckFits(old)
}

func (o *commit) conflict() error {
	return fmt.Errorf("node %s: %w", o.c.Node.Key.Node, store.ErrConflict)
}

// itemsDigest is of the names and sequences of a node's documents: what an unchanged report must leave as it is. It is in
// a column of its own, so that a statement can compare it.
func itemsDigest(items []inventory.ItemState) []byte {
	text := make([]byte, 0, 32*len(items))
	for i := range items {
		text = appendString(appendString(text, string(items[i].Type)), items[i].SubType)
		text = binary.AppendUvarint(text, items[i].Seq)
	}
	sum := sha256.Sum256(text)
	return sum[:16]
}

// refresh is an unchanged report: nothing but a node's record.
type refresh struct {
	*call[bool]
	shard                int32
	node, items, record  []byte
	revision, computedOf int64
	lease                []byte
	number               int64
}

// refresh tries to write an unchanged report with the others that wait; false when it has to be looked at more closely.
func (s *Store) refresh(ctx context.Context, o *commit) (bool, error) {
	r := &refresh{
		call: newCall[bool](), shard: o.shard, node: o.node, items: itemsDigest(o.c.Node.Items),
		record:   appendNode(make([]byte, 0, 64+64*len(o.c.Node.Items)), &o.c.Node),
		revision: o.revision, computedOf: int64(o.c.Node.Revision),
		lease: []byte(o.c.Fence.Lease), number: int64(o.c.Fence.Number),
	}
	s.refreshes.add(r)
	return r.wait(ctx)
}

// refreshAll writes all unchanged reports that wait with one statement (on Citus one a shard), each under its own
// condition: the revision is still the one it was computed from, or already its own, which is that of an earlier try; and
// no fence above its own was raised before the statement began. (One raised meanwhile came after it: it writes nothing that
// a later holder of the lease could find changed but the times of what is there.)
func (s *Store) refreshAll(all []*refresh) {
	written := make(map[int64]struct{}, len(all))
	err := s.run(s.alive, "write unchanged reports", func(ctx context.Context, conn *pgx.Conn) error {
		clear(written) // rows that a try was told of before it failed need not have been committed
		b := &pgx.Batch{}
		for _, g := range s.split(len(all), func(i int) int32 { return all[i].shard }) {
			if g.alone {
				b.Queue(`BEGIN`)
			}
			queueRefresh(b, g, all, func(revision int64) { written[revision] = struct{}{} })
			if g.alone {
				b.Queue(`COMMIT`)
			}
		}
		return send(ctx, conn, b)
	})
	s.counts.batches.Add(1)
	for _, r := range all {
		_, ok := written[r.revision]
		r.end(ok, err)
	}
}

func queueRefresh(b *pgx.Batch, g share, all []*refresh, written func(revision int64)) {
	n := len(g.members)
	shards, nodes, items, records := make([]int32, n), make([][]byte, n), make([][]byte, n), make([][]byte, n)
	from, to, leases, numbers := make([]int64, n), make([]int64, n), make([][]byte, n), make([]int64, n)
	for i, at := range g.members {
		r := all[at]
		shards[i], nodes[i], items[i], records[i], from[i], to[i] = r.shard, r.node, r.items, r.record, r.computedOf, r.revision
		leases[i], numbers[i] = r.lease, r.number
	}
	b.Queue(`UPDATE stocktake.node n SET revision = u.revision, record = u.record
		FROM unnest($1::int4[], $2::bytea[], $3::int8[], $4::int8[], $5::bytea[], $6::bytea[], $7::bytea[], $8::int8[])
			u (shard, node, computed_of, revision, items, record, lease, number)
		WHERE n.shard = u.shard AND n.node = u.node AND (n.revision = u.computed_of OR n.revision = u.revision) AND n.items = u.items`+
		g.and("n")+` AND NOT EXISTS (SELECT 1 FROM stocktake.fence f WHERE f.shard = n.shard`+g.and("f")+` AND f.lease = u.lease AND f.number > u.number)
		RETURNING n.revision`, shards, nodes, from, to, items, records, leases, numbers).Query(func(rows pgx.Rows) error {
		var revision int64
		_, err := pgx.ForEachRow(rows, []any{&revision}, func() error {
			written(revision)
			return nil
		})
		return err
	})
}
