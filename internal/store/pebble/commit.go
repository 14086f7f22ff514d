package pebble

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// commit is a store.Commit encoded but for what only the committer knows: revision, sequences, change ids.
type commit struct {
	s     *Store
	c     store.Commit
	shard int
	key   []byte

	// What follows was prepared from the view of this number, after so many sweeps.
	view   uint64
	sweeps uint64
	anew   bool    // preparing failed for want of a text, and is to be tried again by the committer
	places []place // of c.Node.Items; those of documents written are filled in at the end
	body   []byte
	writes []write
	loans  []loan

	record []byte // as it was written; nil while it is not, and where it is removed
	done   store.Committed
}

// write is one document of a commit.
type write struct {
	item     int // in c.Node.Items, -1 when removed
	key      []byte
	document []byte // nil when removed
	change   inventory.Change
	draft    draft
	space    *space
	numbers  []uint32 // every shape number the document or its change names
	added    []added
}

// added is a shape whose text the commit carries.
type added struct {
	number uint32
	shape  inventory.Shape
}

// loan is a change that borrows a document this commit rewrites, and what it is stored as once it no longer does.
type loan struct {
	seq   uint64
	value []byte
}

// Commit implements store.Store.
func (s *Store) Commit(ctx context.Context, c store.Commit) (store.Committed, error) {
	if err := s.enter(ctx); err != nil {
		return store.Committed{}, err
	}
	defer s.leave()
	if err := c.Check(); err != nil {
		return store.Committed{}, err
	}
	if c.Arrival.IsZero() {
		c.Arrival = time.Now()
	}
	c.Arrival = c.Arrival.UTC().Round(0)
	shard := store.ShardOf(c.Node.Key, s.identity.Shards)
	o := &commit{s: s, c: c, shard: shard, key: nodeKey(shard, c.Node.Key)}
	err := o.prepare()
	// A sweep that ended meanwhile takes numbers away between two looks at the dictionary. The committer, which ends
	// sweeps, finds out whether it was that.
	if o.anew = errors.Is(err, errNoText); err != nil && !o.anew {
		return store.Committed{}, err
	}
	if err := s.submit(ctx, o, needOf(c)); err != nil {
		return store.Committed{}, err
	}
	s.commits.Add(1)
	return o.done, nil
}

// needOf tells a commit that makes room, as it only removes documents, from others.
func needOf(c store.Commit) need {
	kept := slices.ContainsFunc(c.Writes, func(w store.Write) bool { return w.Document != nil })
	if len(c.Writes) > 0 && !kept {
		return frees
	}
	return takes
}

// prepare checks the commit against what is stored and encodes it.
func (o *commit) prepare() error {
	v := o.s.views.acquire()
	defer o.s.views.release(v)
	o.view, o.sweeps = v.number, o.s.dictionary.sweeps.Load()
	old, err := o.readRecord(v)
	if err != nil {
		return err
	}
	if old.node.Revision != o.c.Node.Revision {
		return o.conflict()
	}
	if err := o.c.CheckFits(&old.node); err != nil {
		return err
	}
	o.body = appendNodeBody(make([]byte, 0, 64+64*len(o.c.Node.Items)), &o.c.Node)
	o.places = make([]place, len(o.c.Node.Items))
	for i := range o.places {
		if at := old.indexOf(o.c.Node.Items[i].ItemKey); at >= 0 {
			o.places[i] = old.places[at]
		}
	}
	o.writes, o.loans = make([]write, len(o.c.Writes)), nil
	for i, w := range o.c.Writes {
		if err := o.prepareWrite(&o.writes[i], w, &old, v); err != nil {
			return fmt.Errorf("document %q of node %s: %w", w.Key.Type, o.c.Node.Key.Node, err)
		}
	}
	return nil
}

// readRecord gives the record the commit replaces: as it was read for the commit, if it is at hand, else as it is in the
// view. Documents are never taken from another view than the record that names them.
func (o *commit) readRecord(v *view) (old record, err error) {
	recent := o.s.records.take(o.c.Node.Key, o.c.Node.Revision)
	if recent != nil && (recent.view == v.number || len(o.c.Writes) == 0) {
		o.view = recent.view
		return recent.record, nil
	}
	row, err := o.s.row(v, o.key)
	if err != nil || row == nil {
		return record{}, err
	}
	return row.decode(o.c.Node.Key, o.key)
}

func (r *record) indexOf(key inventory.ItemKey) int {
	return slices.IndexFunc(r.node.Items, func(s inventory.ItemState) bool { return s.ItemKey == key })
}

func (o *commit) conflict() error {
	return fmt.Errorf("node %s: %w", o.c.Node.Key.Node, store.ErrConflict)
}

func (o *commit) prepareWrite(p *write, w store.Write, old *record, v *view) error {
	p.key = documentKey(o.key, w.Key)
	p.item = -1
	p.space = o.s.dictionary.space(spaceKey{o.c.Node.Key.Partition, w.Key.Type})
	if w.Document != nil {
		p.space.internNew(w.Document.Refs)
	}
	p.added = internAdded(w, p.space)
	p.change = inventory.Change{
		Shard:    o.shard,
		Document: inventory.DocumentKey{NodeKey: o.c.Node.Key, Type: w.Key.Type, SubType: w.Key.SubType},
		Cause:    w.Cause, Arrival: o.c.Arrival, Gone: w.Document == nil,
		Delta: w.Delta, Added: w.Added, Removed: w.Removed,
	}
	at := old.indexOf(w.Key)
	var state *inventory.ItemState
	var refs []byte
	ok := true
	if w.Document == nil {
		state = &old.node.Items[at] // the commit fits, so there is one
	} else {
		p.item = slices.IndexFunc(o.c.Node.Items, func(s inventory.ItemState) bool { return s.ItemKey == w.Key })
		state = &o.c.Node.Items[p.item]
		p.change.Split = w.Document.Split
		p.space.mu.RLock()
		refs, p.numbers, ok = appendRefs(make([]byte, 0, 16+12*len(w.Document.Refs)), w.Document.Refs, p.space.known)
		p.space.mu.RUnlock()
		if !ok {
			return errNoText
		}
		p.document = appendDocument(make([]byte, 0, len(refs)+8), w.Document.Split, refs)
	}
	p.change.SchemaVersion, p.change.CaptureTime, p.change.Context = state.SchemaVersion, state.CaptureTime, state.Context
	if p.draft, ok = draftChange(&p.change, w.Document, p.space.lookup); !ok {
		return errNoText
	}
	p.numbers = append(p.numbers, p.draft.numbers...)
	if at >= 0 && old.places[at].borrowed {
		return o.prepareLoan(old.places[at].seq, p.key, v)
	}
	return nil
}

// internAdded numbers the shapes a write adds. Their texts mostly come in the same order.
func internAdded(w store.Write, s *space) []added {
	all := make([]added, len(w.Added))
	s.mu.RLock()
	for i, id := range w.Added {
		all[i].number, _ = s.known(id)
	}
	s.mu.RUnlock()
	var texts map[inventory.ShapeID]string
	for i, id := range w.Added {
		if all[i].number == 0 {
			all[i].number = s.intern(id)
		}
		if len(w.Shapes) == len(w.Added) && w.Shapes[i].ID == id {
			all[i].shape = w.Shapes[i]
			continue
		}
		if texts == nil {
			texts = make(map[inventory.ShapeID]string, len(w.Shapes))
			for _, sh := range w.Shapes {
				texts[sh.ID] = sh.Text
			}
		}
		all[i].shape = inventory.Shape{ID: id, Text: texts[id]}
	}
	return all
}

// prepareLoan gives the change that borrows a document its own copy.
func (o *commit) prepareLoan(seq uint64, document []byte, v *view) error {
	if seq < v.tails[o.shard] {
		return nil
	}
	key := changeKey(o.shard, seq)
	var change []byte
	_, err := v.get(key, func(value []byte) error {
		change = slices.Clone(value)
		return nil
	})
	if err != nil {
		return err
	}
	found, err := v.get(document, func(value []byte) (err error) {
		change, err = ownRefs(change, value)
		return err
	})
	if err == nil && !found {
		err = damaged(document, fmt.Errorf("a stored document is missing"))
	}
	o.loans = append(o.loans, loan{seq, change})
	return err
}

// apply implements op.
func (o *commit) apply(b *batch) error {
	if err := b.fenced(o.c.Fence); err != nil {
		return err
	}
	if _, written := b.nodes[string(o.key)]; written {
		return o.conflict()
	}
	if err := o.check(b); err != nil {
		return err
	}
	for i := range o.writes {
		o.writes[i].storeTexts(b)
	}
	b.nodes[string(o.key)] = o
	for _, l := range o.loans {
		if l.seq >= b.tails[o.shard] {
			b.set(changeKey(o.shard, l.seq), l.value)
		}
	}
	if len(o.writes) > 0 {
		b.feed()
	}
	o.done = store.Committed{Revision: b.nextRevision()}
	if len(o.writes) > 0 {
		o.done.After = b.heads[o.shard]
	}
	for i := range o.writes {
		o.applyWrite(b, &o.writes[i])
	}
	if o.c.Remove {
		b.delete(o.key)
		return nil
	}
	head := appendNodeHead(make([]byte, 0, 16+8*len(o.places)+len(o.body)), o.done.Revision, o.places)
	o.record = append(head, o.body...)
	b.set(o.key, o.record)
	return nil
}

// check holds what was prepared against what is stored now, and prepares it again if a sweep took numbers away since.
func (o *commit) check(b *batch) error {
	if err := o.checkRevision(b); err != nil {
		return err
	}
	if o.anew || o.sweeps != b.s.dictionary.sweeps.Load() {
		if err := o.prepare(); err != nil {
			return err
		}
	}
	for i := range o.writes {
		if err := o.writes[i].check(); err != nil {
			return err
		}
	}
	return nil
}

// checkRevision finds out whether the node was written since the view the commit was prepared from.
func (o *commit) checkRevision(b *batch) error {
	if o.view == b.views {
		return nil
	}
	written, known := b.lately.written(o.key, o.view)
	if !known {
		revision := uint64(0)
		_, err := get(b.s.db, o.key, func(value []byte) (err error) {
			revision, err = decodeRevision(value)
			return err
		})
		if err != nil {
			return err
		}
		// A revision is given once, so an equal one means that all the commit was prepared from is as it was.
		written = revision != o.c.Node.Revision
	}
	if written {
		return o.conflict()
	}
	return nil
}

// check finds a number for which neither the store nor the commit has a text.
func (w *write) check() error {
	fresh := map[uint32]struct{}{}
	for _, a := range w.added {
		if !w.space.texts.has(a.number) {
			fresh[a.number] = struct{}{}
		}
	}
	for _, n := range w.numbers {
		if w.space.texts.has(n) {
			continue
		}
		if _, ok := fresh[n]; !ok {
			return errNoText
		}
	}
	return nil
}

// storeTexts stores the texts of shapes that are not stored yet, and tells a sweep what the write names.
func (w *write) storeTexts(b *batch) {
	for _, a := range w.added {
		b.storeText(spaceKey{w.change.Document.Partition, w.change.Document.Type}, w.space, a)
	}
	if b.sweep != nil {
		b.sweep.mark(w.space, w.numbers)
	}
}

// storeText stores the text of a number that has none yet.
func (b *batch) storeText(key spaceKey, s *space, a added) {
	if s.texts.has(a.number) {
		return
	}
	if !s.stored {
		b.set(spaceRowKey(s.number), appendSpace(nil, key))
		s.stored = true
	}
	b.set(shapeRowKey(kindShapeID, s.number, a.number), a.shape.ID[:])
	b.set(shapeRowKey(kindShape, s.number, a.number), []byte(a.shape.Text))
	s.texts.set(a.number)
}

func (o *commit) applyWrite(b *batch, w *write) {
	head := &b.heads[o.shard]
	head.Seq++
	_, _ = rand.Read(head.ID[:]) // does not fail: it ends the process instead
	w.change.Position = *head
	copy(w.draft.value[changeIDAt:], head.ID[:])
	b.set(changeKey(o.shard, head.Seq), w.draft.value)
	o.done.Changes = append(o.done.Changes, w.change)
	if w.document == nil {
		b.delete(w.key)
		return
	}
	b.set(w.key, w.document)
	o.places[w.item] = place{seq: head.Seq, borrowed: w.draft.borrowed}
}
