package backup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// encoder renders values into a section: numbers as varints, texts and lists led by their length.
type encoder struct{ buf []byte }

func (e *encoder) number(n uint64) { e.buf = binary.AppendUvarint(e.buf, n) }

func (e *encoder) signed(n int64) { e.buf = binary.AppendVarint(e.buf, n) }

func (e *encoder) raw(b []byte) { e.buf = append(e.buf, b...) }

func (e *encoder) text(texts ...string) {
	for _, s := range texts {
		e.number(uint64(len(s)))
		e.buf = append(e.buf, s...)
	}
}

func (e *encoder) time(t time.Time) {
	e.signed(t.Unix())
	e.number(uint64(t.Nanosecond()))
}

func (e *encoder) entry(entry inventory.Entry) {
	e.number(uint64(len(entry)))
	for _, a := range entry {
		e.text(a.Name, a.Value)
	}
}

// dictionary renders what the shapes that follow are of, unless it is as before.
func (e *encoder) dictionary(d, before dictionary) {
	if d == before {
		e.number(0)
		return
	}
	e.number(1)
	e.text(d.Account, d.Region, string(d.Type))
}

func (d *decoder) dictionary(before dictionary) (of dictionary) {
	if d.number() == 0 {
		return before
	}
	of.Account, of.Region, of.Type = d.text(), d.text(), inventory.TypeName(d.text())
	return of
}

// numberOf gives the number of a shape of one partition and type.
type numberOf func(id inventory.ShapeID) (uint64, bool)

var errNoText = errors.New("a shape is named whose text was not given")

// shape renders an id as the numbers of their shapes, each by its distance to the one after that before: neighbours in one
// document are so in others.
func (e *encoder) shape(of numberOf, id inventory.ShapeID, next *uint64) error {
	n, ok := of(id)
	if !ok {
		return errNoText
	}
	e.signed(int64(n) - int64(*next))
	*next = n + 1
	return nil
}

func (e *encoder) ids(of numberOf, ids []inventory.ShapeID) error {
	e.number(uint64(len(ids)))
	next := uint64(0)
	for _, id := range ids {
		if err := e.shape(of, id, &next); err != nil {
			return err
		}
	}
	return nil
}

// refs renders all numbers first, then what is not in shapes.
func (e *encoder) refs(of numberOf, refs []inventory.Ref) error {
	e.number(uint64(len(refs)))
	next := uint64(0)
	for i := range refs {
		if err := e.shape(of, refs[i].Shape, &next); err != nil {
			return err
		}
	}
	for i := range refs {
		e.entry(refs[i].Volatile)
	}
	return nil
}

func (e *encoder) node(n *store.NodeScan, of func(inventory.Partition, inventory.TypeName) numberOf) error {
	e.text(n.Node.Key.Account, n.Node.Key.Region, string(n.Node.Key.Node), string(n.Node.Status))
	e.number(n.Node.Revision)
	e.time(n.Node.Enrolled)
	e.number(uint64(len(n.Node.Items)))
	for i := range n.Node.Items {
		s := &n.Node.Items[i]
		e.text(string(s.Type), s.SubType, s.SchemaVersion, s.CaptureTime, s.Hash)
		e.time(s.Arrival)
		e.entry(s.Context)
		e.number(uint64(s.Entries))
		e.number(s.Seq)
		e.number(uint64(n.Documents[i].Split))
		if err := e.refs(of(n.Node.Key.Partition, s.Type), n.Documents[i].Refs); err != nil {
			return fmt.Errorf("document %q of node %s: %w", s.Type, n.Node.Key.Node, err)
		}
	}
	return nil
}

func (e *encoder) change(c *inventory.Change, of numberOf) error {
	e.number(c.Seq)
	e.raw(c.ID[:])
	e.text(c.Document.Account, c.Document.Region, string(c.Document.Node), string(c.Document.Type), c.Document.SubType)
	e.text(c.SchemaVersion, c.CaptureTime)
	e.number(uint64(c.Cause))
	e.time(c.Arrival)
	e.entry(c.Context)
	gone := uint64(0)
	if c.Gone {
		gone = 1
	}
	e.number(gone)
	e.number(uint64(c.Split))
	e.number(uint64(len(c.Delta)))
	for i := range c.Delta {
		e.number(uint64(c.Delta[i].From))
		e.number(uint64(c.Delta[i].Copy))
		if err := e.refs(of, c.Delta[i].Insert); err != nil {
			return err
		}
	}
	return errors.Join(e.ids(of, c.Added), e.ids(of, c.Removed))
}

// decoder reads what encoder wrote. After the first value that is not there, all are zero and err tells.
type decoder struct {
	buf []byte
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
		d.buf = nil
	}
}

func (d *decoder) number() uint64 {
	n, w := binary.Uvarint(d.buf)
	if w <= 0 {
		d.fail("a number is cut short")
		return 0
	}
	d.buf = d.buf[w:]
	return n
}

func (d *decoder) signed() int64 {
	n, w := binary.Varint(d.buf)
	if w <= 0 {
		d.fail("a number is cut short")
		return 0
	}
	d.buf = d.buf[w:]
	return n
}

// count reads how many of something follow, each of one byte at least.
func (d *decoder) count() int {
	n := d.number()
	if n > uint64(len(d.buf)) {
		d.fail("%d of something are said to follow in %d bytes", n, len(d.buf))
		return 0
	}
	return int(n)
}

func (d *decoder) raw(to []byte) {
	if len(d.buf) < len(to) {
		d.fail("bytes are cut short")
		return
	}
	copy(to, d.buf)
	d.buf = d.buf[len(to):]
}

func (d *decoder) text() string {
	n := d.count()
	s := string(d.buf[:n])
	d.buf = d.buf[n:]
	return s
}

func (d *decoder) time() time.Time {
	seconds, nanos := d.signed(), d.number()
	if nanos >= 1e9 {
		d.fail("a time has %d nanoseconds", nanos)
		return time.Time{}
	}
	return time.Unix(seconds, int64(nanos)).UTC()
}

func (d *decoder) entry() inventory.Entry {
	n := d.count()
	if n == 0 {
		return nil
	}
	entry := make(inventory.Entry, n)
	for i := range entry {
		entry[i] = inventory.Attribute{Name: d.text(), Value: d.text()}
	}
	return entry
}

// texts are the shapes of a file by their numbers, and which of them a shard has named so far.
type texts struct {
	all   []store.Typed
	named []uint64      // a bit a shape
	fresh []store.Typed // named since they were last taken
}

func (t *texts) name(n int) {
	for len(t.named) <= n/64 {
		t.named = append(t.named, 0)
	}
	if bit := uint64(1) << (n % 64); t.named[n/64]&bit == 0 {
		t.named[n/64] |= bit
		t.fresh = append(t.fresh, t.all[n])
	}
}

func (d *decoder) shape(of *texts, next *int64) inventory.ShapeID {
	n := *next + d.signed()
	if n < 0 || n >= int64(len(of.all)) {
		d.fail("shape %d of %d is named", n, len(of.all))
		return inventory.ShapeID{}
	}
	*next = n + 1
	of.name(int(n))
	return of.all[n].ID
}

func (d *decoder) ids(of *texts) []inventory.ShapeID {
	n := d.count()
	if n == 0 {
		return nil
	}
	ids := make([]inventory.ShapeID, n)
	next := int64(0)
	for i := range ids {
		ids[i] = d.shape(of, &next)
	}
	return ids
}

func (d *decoder) refs(of *texts) []inventory.Ref {
	n := d.count()
	if n == 0 {
		return nil
	}
	refs := make([]inventory.Ref, n)
	next := int64(0)
	for i := range refs {
		refs[i].Shape = d.shape(of, &next)
	}
	for i := range refs {
		refs[i].Volatile = d.entry()
	}
	return refs
}

func (d *decoder) node(of *texts) store.NodeScan {
	var n store.NodeScan
	n.Node.Key.Account, n.Node.Key.Region, n.Node.Key.Node = d.text(), d.text(), inventory.NodeID(d.text())
	n.Node.Status = inventory.Status(d.text())
	n.Node.Revision = d.number()
	n.Node.Enrolled = d.time()
	items := d.count()
	n.Node.Items, n.Documents = make([]inventory.ItemState, items), make([]inventory.Document, items)
	for i := range n.Node.Items {
		s := &n.Node.Items[i]
		s.Type, s.SubType = inventory.TypeName(d.text()), d.text()
		s.SchemaVersion, s.CaptureTime, s.Hash = d.text(), d.text(), d.text()
		s.Arrival = d.time()
		s.Context = d.entry()
		s.Entries = int(d.number())
		s.Seq = d.number()
		n.Documents[i] = inventory.Document{Split: uint32(d.number()), Refs: d.refs(of)}
	}
	return n
}

func (d *decoder) change(shard int, of *texts) inventory.Change {
	c := inventory.Change{Shard: shard}
	c.Seq = d.number()
	d.raw(c.ID[:])
	c.Document.Account, c.Document.Region, c.Document.Node = d.text(), d.text(), inventory.NodeID(d.text())
	c.Document.Type, c.Document.SubType = inventory.TypeName(d.text()), d.text()
	c.SchemaVersion, c.CaptureTime = d.text(), d.text()
	c.Cause = inventory.Cause(d.number())
	c.Arrival = d.time()
	c.Context = d.entry()
	c.Gone = d.number() == 1
	c.Split = uint32(d.number())
	if n := d.count(); n > 0 {
		c.Delta = make(inventory.Delta, n)
	}
	for i := range c.Delta {
		c.Delta[i].From, c.Delta[i].Copy = int(d.number()), int(d.number())
		c.Delta[i].Insert = d.refs(of)
	}
	c.Added, c.Removed = d.ids(of), d.ids(of)
	return c
}
