package pebble

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// What is loaded is checked and written by the committer as everything else is; a call is one op.

// load marks the ops that may wait for a later one to be durable.
type load interface{ loads() }

func (loadShapes) loads()   {}
func (*loadNodes) loads()   {}
func (*loadChanges) loads() {}
func (loadRecords) loads()  {}
func (*loadJournal) loads() {}

// loadShapes puts texts of shapes.
type loadShapes struct{ shapes []store.Typed }

func (o loadShapes) apply(b *batch) error {
	for _, sh := range o.shapes {
		key := spaceKey{sh.Partition, sh.Type}
		space := b.s.dictionary.space(key)
		b.storeText(key, space, added{space.intern(sh.ID), sh.Shape})
	}
	return nil
}

// LoadShapes implements store.Loader.
func (s *Store) LoadShapes(ctx context.Context, shard int, shapes []store.Typed) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if err := s.checkShard(shard); err != nil {
		return err
	}
	return s.submit(ctx, loadShapes{slices.Clone(shapes)}, takes)
}

// loadNode is a node encoded but for its head.
type loadNode struct {
	node      inventory.Node
	key, body []byte
	documents [][]byte
	numbers   [][]uint32 // of the shapes each document names
}

func (s *Store) encodeNode(shard int, n *store.NodeScan) (loadNode, error) {
	o := loadNode{node: n.Node, key: nodeKey(shard, n.Node.Key), body: appendNodeBody(nil, &n.Node)}
	for i, item := range n.Node.Items {
		space := s.dictionary.space(spaceKey{n.Node.Key.Partition, item.Type})
		refs, numbers, ok := appendRefs(nil, n.Documents[i].Refs, space.lookup)
		if !ok {
			return o, fmt.Errorf("document %q of node %s: %w", item.Type, n.Node.Key.Node, errNoText)
		}
		o.documents = append(o.documents, appendDocument(nil, n.Documents[i].Split, refs))
		o.numbers = append(o.numbers, numbers)
	}
	return o, nil
}

// loadNodes puts nodes and their documents.
type loadNodes struct{ nodes []loadNode }

func (o *loadNodes) apply(b *batch) error {
	var fresh []*loadNode
	for i := range o.nodes {
		n := &o.nodes[i]
		held, err := n.check(b)
		if err != nil {
			return err
		}
		if !held {
			fresh = append(fresh, n)
		}
	}
	for _, n := range fresh {
		b.nodes[string(n.key)] = nil
		b.counters.revision = max(b.counters.revision, n.node.Revision)
		places := make([]place, len(n.node.Items))
		for i, item := range n.node.Items {
			places[i].seq = item.Seq
			b.set(documentKey(n.key, item.ItemKey), n.documents[i])
		}
		b.set(n.key, append(appendNodeHead(nil, n.node.Revision, places), n.body...))
	}
	return nil
}

// check tells whether the store holds the node already, and refuses one it holds otherwise.
func (n *loadNode) check(b *batch) (held bool, err error) {
	revision := uint64(0)
	held, err = get(b.s.db, n.key, func(value []byte) (err error) {
		revision, err = decodeRevision(value)
		return err
	})
	if err != nil {
		return held, err
	}
	if _, written := b.nodes[string(n.key)]; written || held && revision != n.node.Revision {
		return held, fmt.Errorf("node %s is loaded with another revision: %w", n.node.Key.Node, store.ErrConflict)
	}
	for i, item := range n.node.Items {
		space := b.s.dictionary.space(spaceKey{n.node.Key.Partition, item.Type})
		if slices.ContainsFunc(n.numbers[i], func(number uint32) bool { return !space.texts.has(number) }) {
			return held, fmt.Errorf("document %q of node %s: %w", item.Type, n.node.Key.Node, errNoText)
		}
	}
	return held, nil
}

// LoadNodes implements store.Loader.
func (s *Store) LoadNodes(ctx context.Context, shard int, nodes []store.NodeScan) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if err := s.checkShard(shard); err != nil {
		return err
	}
	if err := store.CheckNodes(shard, s.identity.Shards, nodes); err != nil {
		return err
	}
	o := &loadNodes{nodes: make([]loadNode, len(nodes))}
	for i := range nodes {
		var err error
		if o.nodes[i], err = s.encodeNode(shard, &nodes[i]); err != nil {
			return err
		}
	}
	return s.submit(ctx, o, takes)
}

// loadChanges puts changes at the end of a shard's feed.
type loadChanges struct {
	shard   int
	changes []inventory.Change
}

func (o *loadChanges) apply(b *batch) error {
	head := b.heads[o.shard]
	if head == (inventory.Position{}) && len(o.changes) > 0 {
		head.Seq = o.changes[0].Seq - 1
	}
	for len(o.changes) > 0 && o.changes[0].Seq <= head.Seq {
		if err := o.checkHeld(b, o.changes[0].Position); err != nil {
			return err
		}
		o.changes = o.changes[1:]
	}
	if len(o.changes) == 0 {
		return nil
	}
	if next := o.changes[0].Seq; next != head.Seq+1 {
		return fmt.Errorf("shard %d goes on with change %d, not %d: %w", o.shard, head.Seq+1, next, store.ErrConflict)
	}
	lenders := lenders{b: b, shard: o.shard, nodes: map[inventory.NodeKey]*lender{}}
	values := make([][]byte, len(o.changes))
	for i := range o.changes {
		var err error
		if values[i], err = lenders.encode(&o.changes[i]); err != nil {
			return fmt.Errorf("change %d of shard %d: %w", o.changes[i].Seq, o.shard, err)
		}
	}
	b.feed()
	if b.heads[o.shard] == (inventory.Position{}) {
		b.tails[o.shard] = o.changes[0].Seq
	}
	for i, c := range o.changes {
		b.set(changeKey(o.shard, c.Seq), values[i])
		b.heads[o.shard] = c.Position
	}
	lenders.write()
	return nil
}

// checkHeld refuses a change where the feed has another of its sequence, or none any more.
func (o *loadChanges) checkHeld(b *batch, at inventory.Position) error {
	if at == b.heads[o.shard] {
		return nil
	}
	var id inventory.ChangeID
	_, err := get(b.s.db, changeKey(o.shard, at.Seq), func(value []byte) error {
		d := newDecoder(value)
		copy(id[:], d.bytes(len(id)))
		return d.err
	})
	if err == nil && id != at.ID {
		err = fmt.Errorf("shard %d has another change %d: %w", o.shard, at.Seq, store.ErrConflict)
	}
	return err
}

// lenders are the nodes whose documents loaded changes borrow, as a change does that was committed here.
type lenders struct {
	b     *batch
	shard int
	nodes map[inventory.NodeKey]*lender
}

type lender struct {
	record
	key   []byte
	lends bool // its record is to be written anew
}

// encode gives what a change is stored as, borrowed from its document if that still is what the change wrote.
func (l *lenders) encode(c *inventory.Change) ([]byte, error) {
	space := l.b.s.dictionary.space(spaceKey{c.Document.Partition, c.Document.Type})
	item := inventory.ItemKey{Type: c.Document.Type, SubType: c.Document.SubType}
	node, err := l.node(c.Document.NodeKey)
	if err != nil {
		return nil, err
	}
	var document *inventory.Document
	if !c.Gone {
		document = &inventory.Document{}
	}
	at := node.indexOf(item)
	if at >= 0 && node.places[at].seq == c.Seq {
		key := documentKey(node.key, item)
		found, err := get(l.b.s.db, key, func(value []byte) (err error) {
			*document, err = decodeDocument(value, space.reverse())
			return err
		})
		if err == nil && !found {
			err = damaged(key, errors.New("a stored document is missing"))
		}
		if err != nil {
			return nil, err
		}
	}
	d, ok := draftChange(c, document, space.lookup)
	if !ok || slices.ContainsFunc(d.numbers, func(n uint32) bool { return !space.texts.has(n) }) {
		return nil, errNoText
	}
	if d.borrowed {
		node.places[at].borrowed, node.lends = true, true
	}
	return d.value, nil
}

// node gives a node as stored, without items where it is not, or was written in this batch.
func (l *lenders) node(k inventory.NodeKey) (*lender, error) {
	if n := l.nodes[k]; n != nil {
		return n, nil
	}
	n := &lender{key: nodeKey(l.shard, k)}
	l.nodes[k] = n
	if _, written := l.b.nodes[string(n.key)]; written {
		return n, nil
	}
	_, err := get(l.b.s.db, n.key, func(value []byte) (err error) {
		n.record, err = decodeNode(k, value)
		return err
	})
	return n, err
}

func (l *lenders) write() {
	for _, n := range l.nodes {
		if n.lends {
			l.b.nodes[string(n.key)] = nil
			l.b.set(n.key, appendNodeBody(appendNodeHead(nil, n.record.node.Revision, n.places), &n.record.node))
		}
	}
}

// LoadChanges implements store.Loader.
func (s *Store) LoadChanges(ctx context.Context, shard int, changes []inventory.Change) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if err := s.checkShard(shard); err != nil {
		return err
	}
	if err := store.CheckChanges(shard, s.identity.Shards, changes); err != nil {
		return err
	}
	return s.submit(ctx, &loadChanges{shard, slices.Clone(changes)}, takes)
}

// loadRecords puts records.
type loadRecords struct{ records []store.Record }

func (o loadRecords) apply(b *batch) error {
	for _, r := range o.records {
		stored, err := b.recordRevision(r.Key)
		if err != nil {
			return err
		}
		if stored != 0 && stored != r.Revision {
			return fmt.Errorf("record %q is loaded with another revision: %w", r.Key, store.ErrConflict)
		}
	}
	for _, r := range o.records {
		b.counters.revision = max(b.counters.revision, r.Revision)
	}
	b.nextRevision() // the head's
	for _, r := range o.records {
		b.setRecordRevision(r.Key, r.Revision)
		b.set(stringKey(kindRecord, r.Key), appendRecord(nil, r.Revision, r.Value))
	}
	return nil
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
	own := slices.Clone(records)
	for i := range own {
		own[i].Value = slices.Clone(own[i].Value) // the caller may give up while the committer still works
	}
	return s.submit(ctx, loadRecords{own}, takes)
}
