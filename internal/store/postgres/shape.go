package postgres

import (
	"bytes"
	"context"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// How shapes outlive the commits that name them
//
// A shape's text is kept once for the whole store, in a shard of its own, so the commit that names it is not the
// transaction that writes it. Before a commit every shape it names is asserted: its row is there, with the present epoch.
//
//   - A sweep first raises the epoch in the head of every shard, under that row's lock, then collects what documents and
//     changes name, then deletes the rows of older epochs that nothing names.
//   - A commit reads the epoch under its shard's head lock and goes through only if its shapes were asserted at that epoch
//     or a later one; otherwise it asserts them again and comes back.
//
// So a commit of before the raise holds the lock before the sweep does, and its documents are there when the sweep reads
// them; a commit of after it has asserted at the new epoch, and rows of that are not deleted. An assertion and a delete of
// the same row meet at the row's lock: the delete looks at the epoch again once it has it, and where it came first the
// assertion inserts the text anew.
//
// What was asserted stays so until the epoch rises, and servers remember it (known), so that most reports assert nothing.
// One thing can take it back: a database that goes back in history, because a standby that lagged was promoted, or because
// the server crashed before an assertion was flushed (it is not waited for: the commit after it flushes it too). Every
// connection ends then, so what was remembered holds only for the connections of before: each new one makes all of it
// forgotten, and a commit goes through only if no connection was made since its shapes were asserted. That asks for
// connections that are the server's own: a pooler that changes servers behind a connection would hide it.

// maxKnown bounds the memory for it, some 40 bytes a shape.
const maxKnown = 1 << 20

// known is the shapes that are asserted.
type known struct {
	mu         sync.RWMutex
	epoch      int64
	generation uint64
	keys       map[shapeKey]struct{}
}

// asserted is what a commit's shapes were asserted at.
type asserted struct {
	epoch      int64
	generation uint64
}

// advance takes note of an epoch found in the store.
func (k *known) advance(epoch int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if epoch > k.epoch {
		k.epoch, k.keys = epoch, nil
	}
}

// missing gives those of the keys that are not known, and what the others were asserted at.
func (k *known) missing(generation uint64, keys []shapeKey) ([]shapeKey, asserted) {
	k.mu.Lock()
	if k.generation != generation {
		k.generation, k.keys = generation, nil
	}
	k.mu.Unlock()
	k.mu.RLock()
	defer k.mu.RUnlock()
	var missing []shapeKey
	for _, key := range keys {
		if _, ok := k.keys[key]; !ok {
			missing = append(missing, key)
		}
	}
	return missing, asserted{k.epoch, k.generation}
}

// add remembers keys, unless they were asserted at something that is over.
func (k *known) add(at asserted, keys []shapeKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if at != (asserted{k.epoch, k.generation}) {
		return
	}
	if k.keys == nil || len(k.keys)+len(keys) > maxKnown {
		k.keys = map[shapeKey]struct{}{}
	}
	for _, key := range keys {
		k.keys[key] = struct{}{}
	}
}

// size counts what is remembered.
func (k *known) size() int {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return len(k.keys)
}

// naming gives the keys of every shape a write names, and the texts of those it carries.
func naming(p inventory.Partition, w *store.Write, texts map[shapeKey]string) []shapeKey {
	in := spaceOf(p, w.Key.Type)
	var keys []shapeKey
	if w.Document != nil {
		keys = make([]shapeKey, 0, len(w.Document.Refs)+len(w.Added)+len(w.Removed))
		for i := range w.Document.Refs {
			keys = append(keys, in.key(w.Document.Refs[i].Shape))
		}
	}
	for _, e := range w.Delta {
		for i := range e.Insert {
			keys = append(keys, in.key(e.Insert[i].Shape))
		}
	}
	for _, id := range slices.Concat(w.Added, w.Removed) {
		keys = append(keys, in.key(id))
	}
	for i := range w.Shapes {
		texts[in.key(w.Shapes[i].ID)] = w.Shapes[i].Text
	}
	return keys
}

// assertion is shapes on their way to be asserted.
type assertion struct {
	*call[struct{}]
	keys  []shapeKey
	texts map[shapeKey]string
}

// assert has every shape asserted that the keys name, with the texts where the store may not have them, and gives what
// it holds at. The error is errNoText where neither has one.
func (s *Store) assert(ctx context.Context, keys []shapeKey, texts map[shapeKey]string, first func() error) (asserted, error) {
	missing, at := s.known.missing(s.generation.Load(), keys)
	if len(missing) == 0 {
		return at, nil
	}
	// What will be refused should leave no shapes behind: look before writing any.
	if err := first(); err != nil {
		return at, err
	}
	slices.SortFunc(missing, func(a, b shapeKey) int { return bytes.Compare(a[:], b[:]) })
	missing = slices.Compact(missing)
	a := &assertion{call: newCall[struct{}](), keys: missing, texts: texts}
	s.texts.add(a)
	if _, err := a.wait(ctx); err != nil {
		return at, err
	}
	s.known.add(at, missing)
	return at, nil
}

// assertAll asserts the shapes of all who wait.
func (s *Store) assertAll(all []*assertion) {
	// No older than that of any who wait: an epoch only rises.
	_, at := s.known.missing(s.generation.Load(), nil)
	texts := map[shapeKey]string{}
	var keys []shapeKey
	for _, a := range all {
		for _, key := range a.keys {
			if text, ok := a.texts[key]; ok {
				texts[key] = text
			}
		}
		keys = append(keys, a.keys...)
	}
	slices.SortFunc(keys, s.compareShapes)
	keys = slices.Compact(keys)
	var have map[shapeKey]struct{}
	err := s.run(s.alive, "store shapes", func(ctx context.Context, conn *pgx.Conn) (err error) {
		have, err = s.assertKeys(ctx, conn, at.epoch, keys, texts)
		return err
	})
	for _, a := range all {
		failure := err
		for _, key := range a.keys {
			if _, ok := have[key]; !ok && failure == nil {
				failure = errNoText
			}
		}
		a.end(struct{}{}, failure)
	}
}

// compareShapes orders shapes as they are locked, so that servers that assert the same ones do not wait for each other in
// a ring.
func (s *Store) compareShapes(a, b shapeKey) int {
	if c := a.shardOf(s.identity.Shards) - b.shardOf(s.identity.Shards); c != 0 {
		return int(c)
	}
	return bytes.Compare(a[:], b[:])
}

// assertKeys gives those of the shapes that are in the store now with the epoch or a later one.
func (s *Store) assertKeys(ctx context.Context, conn *pgx.Conn, epoch int64, keys []shapeKey, texts map[shapeKey]string) (map[shapeKey]struct{}, error) {
	have := make(map[shapeKey]struct{}, len(keys))
	note := func(rows pgx.Rows) error {
		var id []byte
		_, err := pgx.ForEachRow(rows, []any{&id}, func() error {
			if len(id) == len(shapeKey{}) {
				have[shapeKey(id)] = struct{}{}
			}
			return nil
		})
		return err
	}
	of := func(keys []shapeKey) []share {
		return s.split(len(keys), func(i int) int32 { return keys[i].shardOf(s.identity.Shards) })
	}
	// Most are new to the store when they are new to a server that has run for a while.
	first := &pgx.Batch{}
	put, touch := sortOut(keys, have, texts)
	for _, g := range of(put) {
		s.begin(first)
		s.queuePut(first, epoch, put, g, texts, putNew, note)
		first.Queue(`COMMIT`)
	}
	s.queueLook(first, epoch, touch, of(touch), note)
	if err := send(ctx, conn, first); err != nil {
		return nil, err
	}
	if put, _ = sortOut(put, have, texts); len(put) > 0 { // they were there
		look := &pgx.Batch{}
		s.queueLook(look, epoch, put, of(put), note)
		if err := send(ctx, conn, look); err != nil {
			return nil, err
		}
	}
	if put, touch = sortOut(keys, have, texts); len(put)+len(touch) == 0 {
		return have, nil
	}
	write := &pgx.Batch{}
	for _, g := range of(put) {
		s.begin(write)
		s.queuePut(write, epoch, put, g, texts, putOrTouch, note)
		write.Queue(`COMMIT`)
	}
	for _, g := range of(touch) {
		s.begin(write)
		shards, ids := s.shapeArgs(touch, g.members)
		write.Queue(`UPDATE stocktake.shape t SET epoch = GREATEST(t.epoch, $3) FROM unnest($1::int4[], $2::bytea[]) u (shard, id)
			WHERE t.shard = u.shard AND t.id = u.id`+g.and("t")+` RETURNING t.id`, shards, ids, epoch).Query(note)
		write.Queue(`COMMIT`)
	}
	return have, send(ctx, conn, write)
}

// sortOut gives the keys that are not had yet: those with a text to put, and those without.
func sortOut(keys []shapeKey, have map[shapeKey]struct{}, texts map[shapeKey]string) (put, touch []shapeKey) {
	for _, key := range keys {
		if _, ok := have[key]; ok {
			continue
		}
		if _, ok := texts[key]; ok {
			put = append(put, key)
		} else {
			touch = append(touch, key)
		}
	}
	return put, touch
}

func (s *Store) queueLook(b *pgx.Batch, epoch int64, keys []shapeKey, shares []share, note func(pgx.Rows) error) {
	for _, g := range shares {
		shards, ids := s.shapeArgs(keys, g.members)
		b.Queue(`SELECT t.id FROM unnest($1::int4[], $2::bytea[]) u (shard, id)
			JOIN stocktake.shape t ON t.shard = u.shard AND t.id = u.id AND t.epoch >= $3`+g.only("t"), shards, ids, epoch).Query(note)
	}
}

// begin begins a transaction whose commit need not wait for the disk: what depends on it commits later and does wait. On
// Citus that later one may be another worker's, so there it waits.
func (s *Store) begin(b *pgx.Batch) {
	b.Queue(`BEGIN`)
	if !s.citus {
		b.Queue(`SET LOCAL synchronous_commit = off`)
	}
}

// What to do with texts that are there.
const (
	putNew     = `DO NOTHING`
	putOrTouch = `DO UPDATE SET epoch = GREATEST(t.epoch, excluded.epoch)`
)

// queuePut puts texts, and does with those that are there what onConflict says; note is told what was written.
func (s *Store) queuePut(b *pgx.Batch, epoch int64, put []shapeKey, g share, texts map[shapeKey]string, onConflict string, note func(pgx.Rows) error) {
	shards, ids := s.shapeArgs(put, g.members)
	bodies := make([][]byte, len(g.members))
	for i, at := range g.members {
		bodies[i] = []byte(texts[put[at]])
	}
	b.Queue(`INSERT INTO stocktake.shape AS t (shard, id, epoch, text) SELECT u.shard, u.id, $3::int8, u.text
		FROM unnest($1::int4[], $2::bytea[], $4::bytea[]) u (shard, id, text)
		ON CONFLICT (shard, id) `+onConflict+` RETURNING t.id`, shards, ids, epoch, bodies).Query(note)
}
