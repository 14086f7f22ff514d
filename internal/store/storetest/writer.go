package storetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// Writer makes commits of reports the way the service does: reads what is stored, cuts entries into shapes, and takes the
// differences. It may be used from many goroutines.
type Writer struct {
	Store store.Store
	// HashKey names shapes; NewWriter takes the store's own.
	HashKey inventory.HashKey
	// Split cuts the entries of every type.
	Split inventory.Split
}

// NewWriter makes a writer that leaves InstalledTime out of shapes.
func NewWriter(s store.Store) *Writer {
	return &Writer{
		Store: s, HashKey: s.Identity().HashKey,
		Split: inventory.Split{Number: 1, Volatile: []string{"InstalledTime"}},
	}
}

// Report commits what a node reports at a time: items with content replace documents, items without only refresh the
// state of a document that is stored. A node that is not stored is enrolled. ErrConflict is left to the caller.
func (w *Writer) Report(ctx context.Context, key inventory.NodeKey, at time.Time, items ...inventory.Item) (store.Committed, error) {
	c, err := w.Build(ctx, key, at, items...)
	if err != nil {
		return store.Committed{}, err
	}
	return w.Store.Commit(ctx, c)
}

// Build makes the commit of a report and leaves it to the caller.
func (w *Writer) Build(ctx context.Context, key inventory.NodeKey, at time.Time, items ...inventory.Item) (store.Commit, error) {
	node, err := w.Store.Node(ctx, key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		node = inventory.Node{Key: key, Status: inventory.Active, Enrolled: at}
	case err != nil:
		return store.Commit{}, err
	}
	c := store.Commit{Node: node.Clone(), Arrival: at}
	for _, item := range items {
		k := KeyOf(item)
		state := inventory.ItemState{
			ItemKey: k, SchemaVersion: item.SchemaVersion, CaptureTime: item.CaptureTime, Arrival: at,
			Hash: item.ContentHash, Context: item.Context, Entries: len(item.Content),
		}
		if !item.HasContent {
			old := node.Item(k)
			if old == nil {
				return store.Commit{}, fmt.Errorf("node %s has no %q to refresh", key.Node, item.Type)
			}
			state.Entries, state.Seq = old.Entries, old.Seq
			c.Node.SetItem(state)
			continue
		}
		c.Node.SetItem(state)
		write, err := w.write(ctx, node, k, item.Content)
		if err != nil {
			return store.Commit{}, err
		}
		c.Writes = append(c.Writes, write)
	}
	return c, nil
}

// Drop makes the commit that removes documents of a node, all of them and the node itself when no key is given.
func (w *Writer) Drop(ctx context.Context, key inventory.NodeKey, at time.Time, cause inventory.Cause, keys ...inventory.ItemKey) (store.Commit, error) {
	node, err := w.Store.Node(ctx, key)
	if err != nil {
		return store.Commit{}, err
	}
	c := store.Commit{Node: node.Clone(), Arrival: at, Remove: len(keys) == 0}
	if c.Remove {
		for _, s := range node.Items {
			keys = append(keys, s.ItemKey)
		}
	}
	for _, k := range keys {
		before, err := w.Store.Document(ctx, DocumentKey(key, k))
		if err != nil {
			return store.Commit{}, err
		}
		c.Node.RemoveItem(k)
		c.Writes = append(c.Writes, store.Write{Key: k, Cause: cause, Removed: before.ShapeSet()})
	}
	return c, nil
}

// KeyOf names the document an item is: its sub-type is the ComplianceType of its context.
func KeyOf(item inventory.Item) inventory.ItemKey {
	k := inventory.ItemKey{Type: item.Type}
	if item.Type == inventory.TypeComplianceItem {
		k.SubType, _ = item.Context.Get("ComplianceType")
	}
	return k
}

// DocumentKey puts the two halves of a document's name together.
func DocumentKey(node inventory.NodeKey, k inventory.ItemKey) inventory.DocumentKey {
	return inventory.DocumentKey{NodeKey: node, Type: k.Type, SubType: k.SubType}
}

// write makes the write of one document over what the node has.
func (w *Writer) write(ctx context.Context, node inventory.Node, k inventory.ItemKey, entries []inventory.Entry) (store.Write, error) {
	var before inventory.Document
	if node.Item(k) != nil {
		var err error
		if before, err = w.Store.Document(ctx, DocumentKey(node.Key, k)); err != nil {
			return store.Write{}, err
		}
	}
	after, shapes := w.Document(k.Type, entries)
	out := store.Write{
		Key: k, Cause: inventory.CausePut, Document: &after, Delta: inventory.Diff(before.Refs, after.Refs),
	}
	out.Added, out.Removed = inventory.SetDiff(before.ShapeSet(), after.ShapeSet())
	for _, id := range out.Added {
		out.Shapes = append(out.Shapes, inventory.Shape{ID: id, Text: shapes[id]})
	}
	return out, nil
}

// Document cuts entries into a document and the texts of its shapes.
func (w *Writer) Document(t inventory.TypeName, entries []inventory.Entry) (inventory.Document, map[inventory.ShapeID]string) {
	doc := inventory.Document{Split: w.Split.Number}
	texts := map[inventory.ShapeID]string{}
	for _, e := range entries {
		shape, volatile := w.Split.Cut(e)
		text := inventory.AppendShapeText(nil, shape)
		id := w.HashKey.ShapeIDOf(t, text)
		texts[id] = string(text)
		doc.Refs = append(doc.Refs, inventory.Ref{Shape: id, Volatile: volatile})
	}
	return doc, texts
}

// Entries puts a document's entries together again, from its refs and the texts the store has for them.
func Entries(ctx context.Context, s store.Store, key inventory.DocumentKey, doc inventory.Document) ([]inventory.Entry, error) {
	set := doc.ShapeSet()
	shapes, err := s.Shapes(ctx, store.ShardOf(key.NodeKey, s.Identity().Shards), key.Partition, key.Type, set)
	if err != nil {
		return nil, err
	}
	texts := map[inventory.ShapeID]inventory.Entry{}
	for _, sh := range shapes {
		if texts[sh.ID], err = inventory.ParseShapeText(sh.Text); err != nil {
			return nil, err
		}
	}
	var entries []inventory.Entry
	for _, r := range doc.Refs {
		entries = append(entries, texts[r.Shape].Merge(r.Volatile))
	}
	return entries, nil
}
