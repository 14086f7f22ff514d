package pebble

import (
	"encoding/binary"
	"fmt"
	"time"

	"stocktake/internal/inventory"
)

// A node's record is a head, which only the committer can fill in, and a body, which the caller encodes.
//
//	head: version, revision, number of items, for each item its sequence and whether its change borrows its document
//	body: status, enrolled, for each item its state

// place is where in the feed an item's document was last written.
type place struct {
	seq uint64
	// borrowed is true while the change at seq holds no refs of its own because the document has just the same ones.
	borrowed bool
}

func appendNodeHead(dst []byte, revision uint64, places []place) []byte {
	dst = append(dst, valueVersion)
	dst = binary.AppendUvarint(dst, revision)
	dst = binary.AppendUvarint(dst, uint64(len(places)))
	for _, p := range places {
		v := p.seq << 1
		if p.borrowed {
			v |= 1
		}
		dst = binary.AppendUvarint(dst, v)
	}
	return dst
}

func appendNodeBody(dst []byte, n *inventory.Node) []byte {
	dst = appendString(dst, string(n.Status))
	epoch := time.Unix(0, 0)
	dst = appendTime(dst, n.Enrolled, epoch)
	before := n.Enrolled
	for i := range n.Items {
		s := &n.Items[i]
		dst = appendString(dst, string(s.Type))
		dst = appendString(dst, s.SubType)
		dst = appendString(dst, s.SchemaVersion)
		dst = appendPacked(dst, s.CaptureTime)
		dst = appendTime(dst, s.Arrival, before)
		before = s.Arrival
		dst = appendPacked(dst, s.Hash)
		dst = appendEntry(dst, s.Context)
		dst = binary.AppendUvarint(dst, uint64(max(0, s.Entries)))
	}
	return dst
}

// record is a node as stored.
type record struct {
	node   inventory.Node
	places []place // parallel to node.Items
}

func decodeNode(key inventory.NodeKey, value []byte) (record, error) {
	d := newDecoder(value)
	r := record{node: inventory.Node{Key: key, Revision: d.uvarint()}}
	n := d.count(9) // an item takes at least a byte in the head and eight in the body
	r.places = make([]place, n)
	for i := range r.places {
		v := d.uvarint()
		r.places[i] = place{seq: v >> 1, borrowed: v&1 == 1}
	}
	r.node.Status = inventory.Status(d.name())
	r.node.Enrolled = d.time(time.Unix(0, 0))
	if n > 0 {
		r.node.Items = make([]inventory.ItemState, n)
	}
	before := r.node.Enrolled
	// The texts of all items lie in one piece of memory: for each its capture time and its hash.
	texts := make([]byte, 0, 64*n)
	ends := make([][2]int, n)
	for i := range r.node.Items {
		s := &r.node.Items[i]
		s.Type = inventory.TypeName(d.name())
		s.SubType = d.name()
		s.SchemaVersion = d.name()
		texts = d.appendPacked(texts)
		ends[i][0] = len(texts)
		s.Arrival = d.time(before)
		before = s.Arrival
		texts = d.appendPacked(texts)
		ends[i][1] = len(texts)
		s.Context = d.entry()
		s.Entries = int(d.uvarint())
		s.Seq = r.places[i].seq
		if i > 0 && inventory.CompareItemKeys(r.node.Items[i-1].ItemKey, s.ItemKey) >= 0 {
			d.fail("has items out of order")
		}
	}
	if err := d.end(); err != nil {
		return record{}, fmt.Errorf("record of node %s: %w", key.Node, err)
	}
	all, at := string(texts), 0
	for i := range r.node.Items {
		s := &r.node.Items[i]
		s.CaptureTime, s.Hash = all[at:ends[i][0]], all[ends[i][0]:ends[i][1]]
		at = ends[i][1]
	}
	return r, nil
}

// decodeRevision reads no further than the revision.
func decodeRevision(value []byte) (uint64, error) {
	d := newDecoder(value)
	return d.uvarint(), d.err
}

func appendDocument(dst []byte, split uint32, refs []byte) []byte {
	dst = append(dst, valueVersion)
	dst = binary.AppendUvarint(dst, uint64(split))
	return append(dst, refs...)
}

func decodeDocument(value []byte, id idOf) (inventory.Document, error) {
	return decodeExcerpt(value, part{}, id)
}

// decodeExcerpt gives a document of whose refs those outside of a part are left zero, but for the number of their volatile
// attributes.
func decodeExcerpt(value []byte, some part, id idOf) (inventory.Document, error) {
	d := newDecoder(value)
	d.part = some
	doc := inventory.Document{Split: d.split(), Refs: d.refs(id)}
	return doc, d.end()
}

// documentDecoder reads a document up to its refs.
func documentDecoder(value []byte) *decoder {
	d := newDecoder(value)
	d.split()
	return d
}

func (d *decoder) split() uint32 {
	v := d.uvarint()
	if v > uint64(^uint32(0)) {
		d.fail("has split %d", v)
	}
	return uint32(v)
}
