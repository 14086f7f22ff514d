package inventory

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"
)

// Ref is one entry of a document: the shape it has and the volatile attributes that are its own.
type Ref struct {
	Shape    ShapeID
	Volatile Entry
}

// Equal reports whether two refs stand for the same entry.
func (r Ref) Equal(o Ref) bool { return r.Shape == o.Shape && slices.Equal(r.Volatile, o.Volatile) }

// Document is the content a node last reported of one type: its entries in report order, duplicates kept. What changes
// with every report (hash, capture time) is not in it but in the node's record, so that an unchanged report does not
// rewrite it.
type Document struct {
	// Split is the number of the split its refs were cut with.
	Split uint32
	Refs  []Ref
}

// ShapeSet gives the document's shapes, each once, sorted.
func (d Document) ShapeSet() []ShapeID {
	set := make([]ShapeID, len(d.Refs))
	for i, r := range d.Refs {
		set[i] = r.Shape
	}
	slices.SortFunc(set, CompareShapeIDs)
	return slices.Compact(set)
}

// CompareShapeIDs orders shape ids bytewise.
func CompareShapeIDs(a, b ShapeID) int {
	if c := cmp.Compare(binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(b[:8])); c != 0 {
		return c
	}
	return cmp.Compare(binary.BigEndian.Uint64(a[8:]), binary.BigEndian.Uint64(b[8:]))
}

// ItemState is what a node's record says of one document: all that is written when an unchanged report arrives.
type ItemState struct {
	ItemKey
	SchemaVersion string
	CaptureTime   string
	// Arrival is when the service took the last report of it, by the service's clock; retention counts from it.
	Arrival time.Time
	// Hash is the ContentHash of what is stored; empty when the content came without one.
	Hash string
	// Context holds the item's context attributes; every entry of the document has them.
	Context Entry
	// Entries is how many entries the document has.
	Entries int
	// Seq is the sequence, in the node's shard, of the change that last wrote the document. The store sets it.
	Seq uint64
}

// Node is the record of one node: its life and, for each document, its state. Revision changes with every write to it.
type Node struct {
	Key NodeKey
	// Revision is set by the store, below 1<<63, and never given twice. In a commit it is the revision the commit was
	// computed from; 0 means not stored. Otherwise it is opaque: a greater one need not be newer.
	Revision uint64
	Status   Status
	// Enrolled is when the node first became known.
	Enrolled time.Time
	// Items is sorted by type, then sub-type, bytewise.
	Items []ItemState
}

// Item gives the state of one document, nil where the node has none. The pointer is into n.Items.
func (n *Node) Item(key ItemKey) *ItemState {
	i, ok := slices.BinarySearchFunc(n.Items, key, compareItemState)
	if !ok {
		return nil
	}
	return &n.Items[i]
}

// ItemsOf gives the states of all documents of a type (several only for AWS:ComplianceItem), in sub-type order.
func (n *Node) ItemsOf(t TypeName) []ItemState {
	i, _ := slices.BinarySearchFunc(n.Items, ItemKey{Type: t}, compareItemState)
	j := i
	for j < len(n.Items) && n.Items[j].Type == t {
		j++
	}
	return n.Items[i:j]
}

// SetItem puts or replaces the state of one document.
func (n *Node) SetItem(s ItemState) {
	i, ok := slices.BinarySearchFunc(n.Items, s.ItemKey, compareItemState)
	if ok {
		n.Items[i] = s
		return
	}
	n.Items = slices.Insert(n.Items, i, s)
}

// RemoveItem drops the state of one document.
func (n *Node) RemoveItem(key ItemKey) {
	if i, ok := slices.BinarySearchFunc(n.Items, key, compareItemState); ok {
		n.Items = slices.Delete(n.Items, i, i+1)
	}
}

// Clone gives a copy whose Items can be changed without touching n's.
func (n Node) Clone() Node {
	n.Items = slices.Clone(n.Items)
	return n
}

func compareItemState(s ItemState, key ItemKey) int { return CompareItemKeys(s.ItemKey, key) }

// CompareItemKeys orders documents of a node by type, then sub-type, bytewise.
func CompareItemKeys(a, b ItemKey) int {
	if a.Type != b.Type {
		if a.Type < b.Type {
			return -1
		}
		return 1
	}
	switch {
	case a.SubType < b.SubType:
		return -1
	case a.SubType > b.SubType:
		return 1
	}
	return 0
}
