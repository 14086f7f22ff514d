package pebble

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"time"

	"stocktake/internal/inventory"
)

// A change is stored as its id, which the committer fills in, and the rest, which the caller encodes:
//
//	version, id, flags, cause, arrival, account, region, node, type, sub-type, schema version, capture time, context,
//	split, edits, added, removed, refs
//
// A change that writes a document whole has no edits: its refs are the document's. As long as the document stands, the
// change does not hold even those but borrows them; the commit that rewrites or removes the document gives the change
// its own copy, which is the document's bytes put behind it. So a fleet that reported once is on disk once.
const (
	flagGone     = 1 << iota // the document was removed
	flagWhole                // the delta is one edit that inserts the refs of the document
	flagSet                  // added is the set of the refs' shapes
	flagBorrowed             // the refs are to be read from the document

	changeIDAt    = 1
	changeFlagsAt = changeIDAt + len(inventory.ChangeID{})
)

// draft is a change still without its position, ready to be stored.
type draft struct {
	value    []byte
	numbers  []uint32 // every shape number in it, but for the document's own
	borrowed bool
}

// appendChange encodes all of a change but its refs; whole and set say which of the delta and added the refs stand for.
func appendChange(dst []byte, c *inventory.Change, flags byte, number numberOf) (out []byte, numbers []uint32, ok bool) {
	dst = append(dst, valueVersion)
	dst = append(dst, c.ID[:]...)
	dst = append(dst, flags, byte(c.Cause))
	dst = appendTime(dst, c.Arrival, time.Unix(0, 0))
	for _, s := range [...]string{c.Document.Account, c.Document.Region, string(c.Document.Node), string(c.Document.Type), c.Document.SubType, c.SchemaVersion} {
		dst = appendString(dst, s)
	}
	dst = appendPacked(dst, c.CaptureTime)
	dst = appendEntry(dst, c.Context)
	dst = binary.AppendUvarint(dst, uint64(c.Split))
	if flags&flagWhole == 0 {
		dst = binary.AppendUvarint(dst, uint64(len(c.Delta)))
		for _, e := range c.Delta {
			dst = binary.AppendUvarint(dst, uint64(e.From))
			dst = binary.AppendUvarint(dst, uint64(e.Copy))
			dst = binary.AppendUvarint(dst, uint64(len(e.Insert)))
		}
	}
	if flags&flagSet == 0 {
		if dst, numbers, ok = appendNumbers(dst, c.Added, numbers, number); !ok {
			return nil, nil, false
		}
	}
	dst, numbers, ok = appendNumbers(dst, c.Removed, numbers, number)
	return dst, numbers, ok
}

func appendNumbers(dst []byte, ids []inventory.ShapeID, numbers []uint32, number numberOf) ([]byte, []uint32, bool) {
	dst = binary.AppendUvarint(dst, uint64(len(ids)))
	for _, id := range ids {
		n, ok := number(id)
		if !ok {
			return nil, nil, false
		}
		numbers = append(numbers, n)
		dst = binary.AppendUvarint(dst, uint64(n))
	}
	return dst, numbers, true
}

// draftChange encodes a change. document is what it leaves, nil where it removes. false where a shape has no number.
func draftChange(c *inventory.Change, document *inventory.Document, number numberOf) (draft, bool) {
	var flags byte
	inserted := insertedRefs(c.Delta)
	if document == nil {
		flags |= flagGone
	} else {
		whole := len(c.Delta) == 1 && c.Delta[0].Copy == 0 && c.Delta[0].From == 0 &&
			len(inserted) > 0 && slices.EqualFunc(inserted, document.Refs, inventory.Ref.Equal)
		if whole {
			flags |= flagWhole | flagBorrowed
		}
		if len(inserted) > 0 && isShapeSet(c.Added, inserted) {
			flags |= flagSet
		}
	}
	value, numbers, ok := appendChange(make([]byte, 0, 160), c, flags, number)
	if !ok {
		return draft{}, false
	}
	if flags&(flagGone|flagBorrowed) == 0 {
		var more []uint32
		if value, more, ok = appendRefs(value, inserted, number); !ok {
			return draft{}, false
		}
		numbers = append(numbers, more...)
	}
	return draft{value: value, numbers: numbers, borrowed: flags&flagBorrowed != 0}, true
}

// isShapeSet reports whether a list is the shape set of refs, without making that: sorting hundreds of shapes takes
// longer than looking them up.
func isShapeSet(list []inventory.ShapeID, refs []inventory.Ref) bool {
	if len(list) > len(refs) {
		return false
	}
	for i := 1; i < len(list); i++ {
		if inventory.CompareShapeIDs(list[i-1], list[i]) >= 0 {
			return false
		}
	}
	met, left := make([]bool, len(list)), len(list)
	for i := range refs {
		at, ok := findShape(list, refs[i].Shape)
		if !ok {
			return false
		}
		if !met[at] {
			met[at] = true
			left--
		}
	}
	return left == 0
}

// findShape finds a shape in a sorted list. Ids are hashes, so that one says about where it is.
func findShape(list []inventory.ShapeID, id inventory.ShapeID) (int, bool) {
	about, _ := bits.Mul64(binary.BigEndian.Uint64(id[:8]), uint64(len(list)))
	at := int(about)
	for at < len(list) && inventory.CompareShapeIDs(list[at], id) < 0 {
		at++
	}
	for at > 0 && inventory.CompareShapeIDs(list[at-1], id) >= 0 {
		at--
	}
	return at, at < len(list) && list[at] == id
}

func insertedRefs(d inventory.Delta) []inventory.Ref {
	if len(d) == 1 {
		return d[0].Insert
	}
	var refs []inventory.Ref
	for _, e := range d {
		refs = append(refs, e.Insert...)
	}
	return refs
}

// ownRefs gives a change that borrowed its document's refs a copy of them, and their version with it.
func ownRefs(change, document []byte) ([]byte, error) {
	if len(change) <= changeFlagsAt || change[changeFlagsAt]&flagBorrowed == 0 {
		return nil, fmt.Errorf("change borrows no document")
	}
	d := documentDecoder(document)
	if d.err != nil {
		return nil, d.err
	}
	own := slices.Concat(change, document[d.at:])
	own[0] = d.version
	own[changeFlagsAt] &^= flagBorrowed
	return own, nil
}

// changeHead reads a change up to its document's name.
func (d *decoder) changeHead(c *inventory.Change) (flags byte) {
	copy(c.ID[:], d.bytes(len(c.ID)))
	flags = d.byte()
	c.Cause = inventory.Cause(d.byte())
	c.Arrival = d.time(time.Unix(0, 0))
	c.Document.Account = d.string()
	c.Document.Region = d.string()
	c.Document.Node = inventory.NodeID(d.string())
	c.Document.Type = inventory.TypeName(d.string())
	c.Document.SubType = d.string()
	c.Gone = flags&flagGone != 0
	if flags >= flagBorrowed<<1 || flags&flagBorrowed != 0 && flags&flagWhole == 0 {
		d.fail("has flags %#x", flags)
	}
	return flags
}

// changeSource gives what a change's value does not hold itself: the ids of its shapes' numbers, and the document whose
// refs it borrows.
type changeSource struct {
	ids      func(inventory.Partition, inventory.TypeName) idOf
	borrowed func(inventory.DocumentKey) ([]byte, error)
}

func decodeChange(value []byte, from changeSource) (c inventory.Change, err error) {
	d := newDecoder(value)
	flags := d.changeHead(&c)
	c.SchemaVersion = d.string()
	c.CaptureTime = d.packed()
	c.Context = d.entry()
	c.Split = d.split()
	var inserts []int
	if flags&flagWhole == 0 {
		inserts = d.edits(&c)
	}
	if d.err != nil {
		return c, d.err
	}
	id := from.ids(c.Document.Partition, c.Document.Type)
	if flags&flagSet == 0 {
		c.Added = d.shapeIDs(id)
	}
	c.Removed = d.shapeIDs(id)
	if c.Gone {
		return c, d.end()
	}
	if flags&flagBorrowed != 0 {
		if err := d.end(); err != nil {
			return c, err
		}
		document, err := from.borrowed(c.Document)
		if err != nil {
			return c, err
		}
		d = documentDecoder(document)
	}
	refs := d.refs(id)
	if flags&flagWhole != 0 {
		c.Delta = inventory.Delta{{Insert: refs}}
	} else {
		d.fillInserts(&c, inserts, refs)
	}
	if flags&flagSet != 0 {
		c.Added = inventory.Document{Refs: refs}.ShapeSet()
	}
	return c, d.end()
}

// edits reads the delta's edits and gives how many refs each of them inserts.
func (d *decoder) edits(c *inventory.Change) []int {
	n := d.count(3)
	if n == 0 {
		return nil
	}
	c.Delta = make(inventory.Delta, n)
	inserts := make([]int, n)
	for i := range c.Delta {
		from, number, insert := d.uvarint(), d.uvarint(), d.uvarint()
		if from > math.MaxInt32 || number > math.MaxInt32 || insert > uint64(len(d.buf)) {
			d.fail("has an edit of entries %d to %d", from, from+number)
			return nil
		}
		c.Delta[i].From, c.Delta[i].Copy, inserts[i] = int(from), int(number), int(insert)
	}
	return inserts
}

func (d *decoder) fillInserts(c *inventory.Change, inserts []int, refs []inventory.Ref) {
	for i, n := range inserts {
		if n > len(refs) {
			d.fail("inserts more refs than it has")
			return
		}
		if n > 0 {
			c.Delta[i].Insert = refs[:n:n]
		}
		refs = refs[n:]
	}
	if len(refs) > 0 {
		d.fail("has %d refs that no edit inserts", len(refs))
	}
}

func (d *decoder) shapeIDs(id idOf) []inventory.ShapeID {
	n := d.count(1)
	if n == 0 {
		return nil
	}
	ids := make([]inventory.ShapeID, n)
	for i := range ids {
		v := d.uvarint()
		ok := v <= uint64(^uint32(0))
		if ok {
			ids[i], ok = id(uint32(v))
		}
		if !ok {
			d.fail("names shape number %d, which is not known", v)
			return nil
		}
	}
	return ids
}

// changeNumbers gives the shape numbers a stored change holds, not those of a document it borrows, and what space they
// are of.
func changeNumbers(value []byte) (key spaceKey, numbers []uint32, err error) {
	// Reading with a look-up that knows every number collects them.
	collect := func(n uint32) (_ inventory.ShapeID, known bool) { //nolint:unparam // the ids do not matter here
		numbers = append(numbers, n)
		return inventory.ShapeID{}, true
	}
	c, err := decodeChange(value, changeSource{
		ids:      func(inventory.Partition, inventory.TypeName) idOf { return collect },
		borrowed: func(inventory.DocumentKey) ([]byte, error) { return noDocument, nil },
	})
	return spaceKey{c.Document.Partition, c.Document.Type}, numbers, err
}

// noDocument is a document without refs.
var noDocument = []byte{valueVersion, 0, 0, 0}
