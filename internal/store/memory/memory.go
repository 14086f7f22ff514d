// Package memory is the store in plain maps under one mutex: the oracle other stores are held against, and the store for
// tests and trials that may forget everything.
//
// Begin with New, or NewLike to take over the content of another store. It keeps every promise of package store but one: what it holds ends with the process. It trades all
// speed for being obviously right, and should not be made faster at the cost of that.
package memory

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// Store is a store.Store. Make one with New.
type Store struct {
	identity store.Identity

	mu       sync.Mutex
	closed   bool
	revision uint64
	nodes    map[inventory.NodeKey]inventory.Node
	docs     map[inventory.DocumentKey]inventory.Document
	shapes   map[shapeKey]string
	feeds    []feed
	records  map[string]store.Record
	head     inventory.Position // of the records
	readers  map[string][]uint64
	fences   map[string]uint64
	journal  [store.JournalChains]chain
	snapshot []byte // nil before the first
}

// shapeKey names a shape's text: shapes belong to a partition and a type.
type shapeKey struct {
	inventory.Partition
	Type inventory.TypeName
	ID   inventory.ShapeID
}

// feed is one shard's changes. next is the sequence the next one gets; changes holds those not pruned, in order.
type feed struct {
	next    uint64
	changes []inventory.Change
}

// head is the position of the newest change, which is always kept; zero before the first.
func (f *feed) head() inventory.Position {
	if len(f.changes) == 0 {
		return inventory.Position{}
	}
	return f.changes[len(f.changes)-1].Position
}

var (
	_ store.Store     = (*Store)(nil)
	_ store.Snapshots = (*Store)(nil)
)

// New makes an empty store with so many shards (1 to 1024; 0 is store.DefaultShards) and a random identity.
func New(shards int) (*Store, error) {
	if shards == 0 {
		shards = store.DefaultShards
	}
	id := store.Identity{Shards: shards}
	for _, b := range [][]byte{id.ID[:], id.HashKey[:], id.TokenKey[:], id.RootKey[:]} {
		_, _ = rand.Read(b) // does not fail: it ends the process instead
	}
	return NewLike(id)
}

// NewLike makes an empty store with an identity, that of a store whose content it is to take over.
func NewLike(id store.Identity) (*Store, error) {
	if err := id.Check(); err != nil {
		return nil, err
	}
	s := &Store{
		identity: id,
		nodes:    map[inventory.NodeKey]inventory.Node{},
		docs:     map[inventory.DocumentKey]inventory.Document{},
		shapes:   map[shapeKey]string{},
		feeds:    make([]feed, id.Shards),
		records:  map[string]store.Record{},
		readers:  map[string][]uint64{},
		fences:   map[string]uint64{},
	}
	for i := range s.feeds {
		s.feeds[i].next = 1
	}
	return s, nil
}

// Identity implements store.Store.
func (s *Store) Identity() store.Identity { return s.identity }

// Close implements store.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// enter locks the store for one call; the caller unlocks s.mu where it gives nil.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return store.ErrClosed
	}
	return nil
}

// Commit implements store.Store.
func (s *Store) Commit(ctx context.Context, c store.Commit) (store.Committed, error) {
	if err := c.Check(); err != nil {
		return store.Committed{}, err
	}
	if err := s.enter(ctx); err != nil {
		return store.Committed{}, err
	}
	defer s.mu.Unlock()
	if err := s.fenced(c.Fence); err != nil {
		return store.Committed{}, err
	}
	old := s.nodes[c.Node.Key]
	if old.Revision != c.Node.Revision {
		return store.Committed{}, fmt.Errorf("node %s: %w", c.Node.Key.Node, store.ErrConflict)
	}
	if err := c.CheckFits(&old); err != nil {
		return store.Committed{}, err
	}
	for _, w := range c.Writes {
		ids := shapesOf(inventory.Change{Delta: w.Delta, Removed: w.Removed})
		if w.Document != nil {
			ids = append(ids, w.Document.ShapeSet()...)
		}
		if err := s.checkShapes(c.Node.Key.Partition, w.Key.Type, ids, w.Added); err != nil {
			return store.Committed{}, err
		}
	}
	if c.Arrival.IsZero() {
		c.Arrival = time.Now()
	}
	return s.apply(c, old), nil
}

// checkShapes finds a shape named whose text the store does not have, nor what is being written adds.
func (s *Store) checkShapes(p inventory.Partition, t inventory.TypeName, named, added []inventory.ShapeID) error {
	for _, id := range named {
		if _, ok := s.shapes[shapeKey{p, t, id}]; !ok && !slices.Contains(added, id) {
			return fmt.Errorf("a document of type %q names shape %s, which has no text", t, id)
		}
	}
	return nil
}

// apply writes a commit that passed every check.
func (s *Store) apply(c store.Commit, old inventory.Node) store.Committed {
	s.revision++
	node := c.Node.Clone()
	node.Revision = s.revision
	for i := range node.Items {
		if o := old.Item(node.Items[i].ItemKey); o != nil {
			node.Items[i].Seq = o.Seq
		}
	}
	shard := store.ShardOf(node.Key, s.identity.Shards)
	done := store.Committed{Revision: s.revision}
	if len(c.Writes) > 0 {
		done.After = s.feeds[shard].head()
	}
	for _, w := range c.Writes {
		change := s.applyWrite(&node, &old, w)
		change.Shard = shard
		change.Arrival = c.Arrival.UTC().Round(0)
		f := &s.feeds[shard]
		change.Seq = f.next
		f.next++
		_, _ = rand.Read(change.ID[:])
		if state := node.Item(w.Key); state != nil {
			state.Seq = change.Seq
		}
		f.changes = append(f.changes, change)
		done.Changes = append(done.Changes, change)
	}
	if c.Remove {
		delete(s.nodes, node.Key)
	} else {
		s.nodes[node.Key] = node
	}
	return done
}

func (s *Store) applyWrite(node, old *inventory.Node, w store.Write) inventory.Change {
	key := inventory.DocumentKey{NodeKey: node.Key, Type: w.Key.Type, SubType: w.Key.SubType}
	change := inventory.Change{
		Document: key, Cause: w.Cause, Delta: w.Delta, Added: w.Added, Removed: w.Removed,
	}
	for _, sh := range w.Shapes {
		if slices.Contains(w.Added, sh.ID) {
			s.shapes[shapeKey{key.Partition, key.Type, sh.ID}] = sh.Text
		}
	}
	state := node.Item(w.Key)
	if w.Document == nil {
		delete(s.docs, key)
		change.Gone = true
		state = old.Item(w.Key)
	} else {
		s.docs[key] = *w.Document
		change.Split = w.Document.Split
	}
	change.SchemaVersion, change.CaptureTime, change.Context = state.SchemaVersion, state.CaptureTime, state.Context
	return change
}

// Node implements store.Store.
func (s *Store) Node(ctx context.Context, key inventory.NodeKey) (inventory.Node, error) {
	if err := s.enter(ctx); err != nil {
		return inventory.Node{}, err
	}
	defer s.mu.Unlock()
	n, ok := s.nodes[key]
	if !ok {
		return inventory.Node{}, fmt.Errorf("node %s: %w", key.Node, store.ErrNotFound)
	}
	return n.Clone(), nil
}

// Document implements store.Store.
func (s *Store) Document(ctx context.Context, key inventory.DocumentKey) (inventory.Document, error) {
	if err := s.enter(ctx); err != nil {
		return inventory.Document{}, err
	}
	defer s.mu.Unlock()
	d, ok := s.docs[key]
	if !ok {
		return inventory.Document{}, fmt.Errorf("document %q of node %s: %w", key.Type, key.Node, store.ErrNotFound)
	}
	return d, nil
}

// Read implements store.Store.
func (s *Store) Read(ctx context.Context, keys []inventory.NodeKey, types []inventory.TypeName) ([]store.NodeScan, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var nodes []store.NodeScan
	for _, k := range keys {
		if _, ok := s.nodes[k]; ok {
			nodes = append(nodes, s.scan(k, func(t inventory.TypeName) bool { return slices.Contains(types, t) }))
		}
	}
	return nodes, nil
}

// scan gives a node that is stored, with its documents of the types wanted.
func (s *Store) scan(key inventory.NodeKey, wanted func(inventory.TypeName) bool) store.NodeScan {
	scan := store.NodeScan{Node: s.nodes[key].Clone()}
	scan.Documents = make([]inventory.Document, len(scan.Node.Items))
	for i, item := range scan.Node.Items {
		if wanted(item.Type) {
			scan.Documents[i] = s.docs[inventory.DocumentKey{NodeKey: key, Type: item.Type, SubType: item.SubType}]
		}
	}
	return scan
}

// Shapes implements store.Store.
func (s *Store) Shapes(ctx context.Context, shard int, p inventory.Partition, t inventory.TypeName, ids []inventory.ShapeID) ([]inventory.Shape, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	if err := s.checkShard(shard); err != nil {
		return nil, err
	}
	shapes := make([]inventory.Shape, len(ids))
	for i, id := range ids {
		text, ok := s.shapes[shapeKey{p, t, id}]
		if !ok {
			return nil, fmt.Errorf("shape %s of %q: %w", id, t, store.ErrNotFound)
		}
		shapes[i] = inventory.Shape{ID: id, Text: text}
	}
	return shapes, nil
}

func (s *Store) checkShard(shard int) error {
	if shard < 0 || shard >= s.identity.Shards {
		return fmt.Errorf("there is no shard %d of %d", shard, s.identity.Shards)
	}
	return nil
}

// Scan implements store.Store. Its order is by account, region and node.
func (s *Store) Scan(ctx context.Context, shard int, after *inventory.NodeKey, limit int) ([]store.NodeScan, bool, error) {
	if err := s.enter(ctx); err != nil {
		return nil, false, err
	}
	defer s.mu.Unlock()
	if err := s.checkShard(shard); err != nil {
		return nil, false, err
	}
	var keys []inventory.NodeKey
	for k := range s.nodes {
		if store.ShardOf(k, s.identity.Shards) == shard && (after == nil || compareNodeKeys(k, *after) > 0) {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, compareNodeKeys)
	more := len(keys) > limit
	var nodes []store.NodeScan
	for _, k := range keys[:min(limit, len(keys))] {
		nodes = append(nodes, s.scan(k, func(inventory.TypeName) bool { return true }))
	}
	return nodes, more, nil
}
