package inventory

import (
	"cmp"
	"encoding/binary"
	"math/bits"
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
	set, _ := d.Shapes()
	return set
}

// Shapes gives the document's shapes, each once, sorted, and for each the number of a ref that has it.
func (d Document) Shapes() (set []ShapeID, refs []int32) {
	order := d.byShape()
	set, refs = make([]ShapeID, 0, len(order)), order[:0]
	for _, at := range order {
		if id := d.Refs[at].Shape; len(set) == 0 || set[len(set)-1] != id {
			set, refs = append(set, id), append(refs, at)
		}
	}
	return set, refs
}

// byShape gives the numbers of the refs in the order of their shapes. Ids are hashes, and what one begins with says about
// where it belongs: what is left is to put neighbours in order.
func (d Document) byShape() []int32 {
	n := len(d.Refs)
	order, ends := make([]int32, n), make([]int32, n+1)
	about := func(i int) uint64 {
		part, _ := bits.Mul64(binary.BigEndian.Uint64(d.Refs[i].Shape[:8]), uint64(n))
		return part
	}
	for i := range n {
		ends[about(i)+1]++
	}
	for i := range n {
		ends[i+1] += ends[i]
	}
	for i := range n {
		end := &ends[about(i)]
		order[*end] = int32(i)
		*end++
	}
	moves := 0
	for i := 1; i < n; i++ {
		at := order[i]
		j := i
		for ; j > 0 && CompareShapeIDs(d.Refs[order[j-1]].Shape, d.Refs[at].Shape) > 0; j-- {
			order[j] = order[j-1]
		}
		order[j] = at
		if moves += i - j; moves > 16*n { // these are no hashes
			slices.SortStableFunc(order, func(a, b int32) int { return CompareShapeIDs(d.Refs[a].Shape, d.Refs[b].Shape) })
			break
		}
	}
	return order
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
