package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// batchBytes bounds what one transaction writes.
const batchBytes = 8 << 20

// commitAll commits, in as many transactions as their size asks for, commits of one shard.
func (s *Store) commitAll(shard int, all []*commit) {
	for len(all) > 0 {
		n, size := 1, all[0].size
		for n < len(all) && size+all[n].size <= batchBytes {
			size += all[n].size
			n++
		}
		err := s.commitBatch(shard, all[:n])
		if err != nil && n > 1 && !errors.Is(err, store.ErrUnavailable) {
			// One of them is more than the database takes: the others shall not suffer for it.
			for _, o := range all[:n] {
				o.end(o.outcome, errors.Join(s.commitBatch(shard, []*commit{o}), o.failure))
			}
		} else {
			for _, o := range all[:n] {
				o.end(o.outcome, errors.Join(err, o.failure))
			}
		}
		all = all[n:]
	}
}

func (s *Store) commitBatch(shard int, all []*commit) error {
	err := s.run(s.alive, "commit", func(ctx context.Context, conn *pgx.Conn) error { return s.commitOnce(ctx, conn, shard, all) })
	s.counts.batches.Add(1)
	if err != nil {
		for _, o := range all {
			o.outcome, o.failure = store.Committed{}, nil
		}
	}
	return err
}

// commitOnce is one transaction: a round trip to lock and read what the commits depend on, and one to write those that
// hold and commit. Its error is one of the database; what becomes of each commit is in its outcome and failure.
func (s *Store) commitOnce(ctx context.Context, conn *pgx.Conn, shard int, all []*commit) error {
	for _, o := range all {
		o.outcome, o.failure = store.Committed{}, nil
	}
	l, err := lockShard(ctx, conn, shard, all)
	if err != nil {
		return err
	}
	s.known.advance(l.epoch)
	l.generation = s.generation.Load()
	p := &pages{shard: int32(shard)}
	for _, o := range all {
		seq, id := l.seq, l.id
		if o.failure = l.judge(o, p); o.failure != nil {
			l.seq, l.id = seq, id
		}
	}
	if p.empty() && !p.recovered {
		rollback(ctx, conn)
		return nil
	}
	for _, o := range p.commits {
		o.tried = append(o.tried, o.outcome)
	}
	b := &pgx.Batch{}
	p.queue(b, l)
	b.Queue(`COMMIT`)
	return send(ctx, conn, b)
}

// locked is what a shard's lock tells: nobody else writes a change, a document or a new node of it until the end of the
// transaction. (Unchanged reports go on: they lock the row of their node alone, and so do commits.)
type locked struct {
	shard      int
	seq, epoch int64
	id         inventory.ChangeID // of the newest change
	generation uint64
	nodes      map[string]nodeRow
	fences     map[string]int64
	ids        map[int64][]byte // of changes that earlier tries may have written
	written    map[string]bool  // nodes that are written in this transaction
}

func lockShard(ctx context.Context, conn *pgx.Conn, shard int, all []*commit) (*locked, error) {
	l := &locked{shard: shard, nodes: map[string]nodeRow{}, fences: map[string]int64{}, ids: map[int64][]byte{}, written: map[string]bool{}}
	var nodes, leases [][]byte
	var tried []int64
	for _, o := range all {
		nodes = append(nodes, o.node)
		if o.c.Fence.Lease != "" {
			leases = append(leases, []byte(o.c.Fence.Lease))
		}
		for _, t := range o.tried {
			if len(t.Changes) > 0 {
				tried = append(tried, int64(t.Changes[0].Seq))
			}
		}
	}
	b := &pgx.Batch{}
	b.Queue(`BEGIN`)
	b.Queue(`SELECT seq, id, epoch FROM stocktake.head WHERE shard = $1 FOR UPDATE`, shard).QueryRow(l.readHead)
	// In an order, so that two statements that lock the same nodes do not wait for each other in a ring.
	b.Queue(`SELECT node, revision, record FROM stocktake.node WHERE shard = $1 AND node = ANY($2) ORDER BY node FOR UPDATE`, shard, nodes).Query(func(rows pgx.Rows) error {
		var node []byte
		var r nodeRow
		_, err := pgx.ForEachRow(rows, []any{&node, &r.revision, &r.record}, func() error {
			l.nodes[string(node)] = nodeRow{r.revision, slices.Clone(r.record)}
			return nil
		})
		return err
	})
	if len(leases) > 0 {
		b.Queue(`SELECT lease, number FROM stocktake.fence WHERE shard = $1 AND lease = ANY($2)`, shard, leases).Query(func(rows pgx.Rows) error {
			var lease []byte
			var number int64
			_, err := pgx.ForEachRow(rows, []any{&lease, &number}, func() error {
				l.fences[string(lease)] = number
				return nil
			})
			return err
		})
	}
	if len(tried) > 0 {
		b.Queue(`SELECT seq, id FROM stocktake.change WHERE shard = $1 AND seq = ANY($2)`, shard, tried).Query(func(rows pgx.Rows) error {
			var seq int64
			var id []byte
			_, err := pgx.ForEachRow(rows, []any{&seq, &id}, func() error {
				l.ids[seq] = slices.Clone(id)
				return nil
			})
			return err
		})
	}
	return l, send(ctx, conn, b)
}

func (l *locked) readHead(row pgx.Row) error {
	var id []byte
	if err := row.Scan(&l.seq, &id, &l.epoch); err != nil {
		return err
	}
	if len(id) != len(l.id) {
		return damaged(fmt.Sprintf("head of shard %d", l.shard), errors.New("its id is none"))
	}
	l.id = inventory.ChangeID(id)
	return nil
}

// judge adds a commit to what is written if its conditions hold, and gives why not.
func (l *locked) judge(o *commit, p *pages) error {
	row, stored := l.nodes[string(o.node)]
	if o.recover(l, row, stored) {
		p.recovered = true
		return nil
	}
	if err := o.fenced(l.fences[o.c.Fence.Lease]); err != nil {
		return err
	}
	if l.written[string(o.node)] {
		return o.conflict()
	}
	var old inventory.Node
	if stored {
		var err error
		if old, err = decodeNode(o.c.Node.Key, row.revision, row.record); err != nil {
			return err
		}
	}
	if err := o.fits(&old); err != nil {
		return err
	}
	if len(o.keys) > 0 && (o.at.epoch < l.epoch || o.at.generation != l.generation) {
		return errStale
	}
	l.written[string(o.node)] = true
	p.add(o, &old, l)
	return nil
}

// recover finds out whether an earlier try took effect, and takes its outcome if so. A change is known by its id, also
// when others wrote the node since; a commit without any by the revision, or by the node's being gone.
func (o *commit) recover(l *locked, row nodeRow, stored bool) bool {
	for _, t := range o.tried {
		took := stored && row.revision == o.revision || o.c.Remove && !stored
		if len(t.Changes) > 0 {
			took = string(l.ids[int64(t.Changes[0].Seq)]) == string(o.ids[0][:])
		}
		if took {
			o.outcome = t
			return true
		}
	}
	return false
}

// pages is what a transaction writes, by table.
type pages struct {
	shard     int32
	commits   []*commit
	recovered bool    // some commit took effect in an earlier try
	lent      []int64 // the sequences that documents written had: their changes may borrow from them

	nodes struct {
		node, items, record [][]byte
		revision            []int64
	}
	gone      [][]byte // nodes
	documents struct {
		node, item, content [][]byte
		seq                 []int64
	}
	removed struct{ node, item [][]byte } // documents
	changes struct {
		seq, arrival                  []int64
		id, node, item, meta, content [][]byte
	}
}

func (p *pages) empty() bool { return len(p.commits) == 0 }

// add adds a commit whose conditions hold, and gives its changes their sequences.
func (p *pages) add(o *commit, old *inventory.Node, l *locked) {
	p.commits = append(p.commits, o)
	node := o.c.Node.Clone()
	for i := range node.Items {
		if s := old.Item(node.Items[i].ItemKey); s != nil {
			node.Items[i].Seq = s.Seq
		}
	}
	done := store.Committed{Revision: uint64(o.revision)}
	if len(o.c.Writes) > 0 {
		done.After = inventory.Position{Seq: uint64(l.seq), ID: l.id}
	}
	for i := range o.c.Writes {
		l.seq, l.id = l.seq+1, o.ids[i]
		done.Changes = append(done.Changes, p.addWrite(o, i, &node, old, l))
	}
	o.outcome = done
	if o.c.Remove {
		p.gone = append(p.gone, o.node)
		return
	}
	p.nodes.node = append(p.nodes.node, o.node)
	p.nodes.revision = append(p.nodes.revision, o.revision)
	p.nodes.items = append(p.nodes.items, itemsDigest(node.Items))
	p.nodes.record = append(p.nodes.record, appendNode(make([]byte, 0, 64+64*len(node.Items)), &node))
}

func (p *pages) addWrite(o *commit, i int, node, old *inventory.Node, l *locked) inventory.Change {
	w, e := &o.c.Writes[i], &o.writes[i]
	change := inventory.Change{
		Shard: l.shard, Position: inventory.Position{Seq: uint64(l.seq), ID: o.ids[i]},
		Document: inventory.DocumentKey{NodeKey: node.Key, Type: w.Key.Type, SubType: w.Key.SubType},
		Cause:    w.Cause, Arrival: o.c.Arrival, Gone: w.Document == nil, Delta: w.Delta, Added: w.Added, Removed: w.Removed,
	}
	before, state := old.Item(w.Key), node.Item(w.Key)
	if before != nil {
		p.lent = append(p.lent, int64(before.Seq))
	}
	content, borrowed := e.content, e.whole
	if w.Document == nil {
		state = before
		p.removed.node, p.removed.item = append(p.removed.node, o.node), append(p.removed.item, e.item)
	} else {
		change.Split = w.Document.Split
		state.Seq = uint64(l.seq)
		p.documents.node, p.documents.item = append(p.documents.node, o.node), append(p.documents.item, e.item)
		p.documents.seq, p.documents.content = append(p.documents.seq, l.seq), append(p.documents.content, e.document)
	}
	change.SchemaVersion, change.CaptureTime, change.Context = state.SchemaVersion, state.CaptureTime, state.Context
	p.changes.seq, p.changes.arrival = append(p.changes.seq, l.seq), append(p.changes.arrival, o.c.Arrival.UnixMicro())
	p.changes.id = append(p.changes.id, o.ids[i][:])
	p.changes.node, p.changes.item = append(p.changes.node, o.node), append(p.changes.item, e.item)
	p.changes.meta, p.changes.content = append(p.changes.meta, appendMeta(nil, &change, borrowed)), append(p.changes.content, content)
	return change
}

// queue queues the statements that write all of it. What is lent is given back before its document is overwritten.
func (p *pages) queue(b *pgx.Batch, l *locked) {
	switch {
	case len(p.changes.seq) > 0:
		b.Queue(`UPDATE stocktake.head SET seq = $2, id = $3 WHERE shard = $1`, p.shard, l.seq, l.id[:])
	case p.empty():
		// What took effect earlier may not be on a standby yet: a commit of something after it waits for both.
		b.Queue(`UPDATE stocktake.head SET seq = seq WHERE shard = $1`, p.shard)
	}
	if len(p.nodes.node) > 0 {
		b.Queue(`INSERT INTO stocktake.node (shard, node, revision, items, record) SELECT $1::int4, u.node, u.revision, u.items, u.record
			FROM unnest($2::bytea[], $3::int8[], $4::bytea[], $5::bytea[]) u (node, revision, items, record) ON CONFLICT (shard, node)
			DO UPDATE SET revision = excluded.revision, items = excluded.items, record = excluded.record`,
			p.shard, p.nodes.node, p.nodes.revision, p.nodes.items, p.nodes.record)
	}
	if len(p.gone) > 0 {
		b.Queue(`DELETE FROM stocktake.node WHERE shard = $1 AND node = ANY($2)`, p.shard, p.gone)
	}
	if len(p.lent) > 0 {
		b.Queue(`UPDATE stocktake.change c SET content = d.content FROM stocktake.document d
			WHERE c.shard = $1 AND c.seq = ANY($2) AND c.content IS NULL
			AND d.shard = $1 AND d.shard = c.shard AND d.node = c.node AND d.item = c.item AND d.seq = c.seq`, p.shard, p.lent)
	}
	if len(p.removed.node) > 0 {
		b.Queue(`DELETE FROM stocktake.document d USING unnest($2::bytea[], $3::bytea[]) u (node, item)
			WHERE d.shard = $1 AND d.node = u.node AND d.item = u.item`, p.shard, p.removed.node, p.removed.item)
	}
	if d := &p.documents; len(d.node) > 0 {
		b.Queue(`INSERT INTO stocktake.document (shard, node, item, seq, content) SELECT $1::int4, u.node, u.item, u.seq, u.content
			FROM unnest($2::bytea[], $3::bytea[], $4::int8[], $5::bytea[]) u (node, item, seq, content)
			ON CONFLICT (shard, node, item) DO UPDATE SET seq = excluded.seq, content = excluded.content`,
			p.shard, d.node, d.item, d.seq, d.content)
	}
	if c := &p.changes; len(c.seq) > 0 {
		b.Queue(`INSERT INTO stocktake.change (shard, seq, id, arrival, node, item, meta, content)
			SELECT $1::int4, u.seq, u.id, u.arrival, u.node, u.item, u.meta, u.content
			FROM unnest($2::int8[], $3::bytea[], $4::int8[], $5::bytea[], $6::bytea[], $7::bytea[], $8::bytea[])
			u (seq, id, arrival, node, item, meta, content)`,
			p.shard, c.seq, c.id, c.arrival, c.node, c.item, c.meta, c.content)
	}
}

// RaiseFence implements store.Fences. Each shard's fence is raised under its head lock: a commit under a smaller number
// has either ended before or finds the fence.
func (s *Store) RaiseFence(ctx context.Context, f store.Fence) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if err := f.Check(); err != nil {
		return err
	}
	if len(f.Lease) > maxName {
		return fmt.Errorf("the name of lease %.40q... takes %d bytes, more than %d", f.Lease, len(f.Lease), maxName)
	}
	var raised int64
	err := s.run(ctx, "raise a fence", func(ctx context.Context, conn *pgx.Conn) error {
		raised = 0
		b := &pgx.Batch{}
		for shard := range s.identity.Shards {
			if shard < s.identity.Shards-1 {
				s.begin(b) // the last one's commit flushes all
			} else {
				b.Queue(`BEGIN`)
			}
			b.Queue(`SELECT seq FROM stocktake.head WHERE shard = $1 FOR UPDATE`, shard)
			b.Queue(`INSERT INTO stocktake.fence AS f (shard, lease, number) VALUES ($1, $2, $3)
				ON CONFLICT (shard, lease) DO UPDATE SET number = GREATEST(f.number, excluded.number) RETURNING f.number`,
				shard, []byte(f.Lease), int64(f.Number)).QueryRow(func(row pgx.Row) error {
				var number int64
				err := row.Scan(&number)
				raised = max(raised, number)
				return err
			})
			b.Queue(`COMMIT`)
		}
		return send(ctx, conn, b)
	})
	if err == nil && uint64(raised) > f.Number {
		err = fmt.Errorf("lease %q has number %d, and this is %d: %w", f.Lease, raised, f.Number, store.ErrFenced)
	}
	return err
}
