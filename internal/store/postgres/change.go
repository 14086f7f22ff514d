package postgres

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// A change is stored as a meta of what is small and a content.
//
//	meta:    version, cause, flags, split, nanoseconds of arrival below the microsecond, schema version, capture time,
//	         context, the sub-type where the row's key has only its digest
//	content: version, edits (from, copy, how many inserted), all refs inserted, added, removed
//
// A change that put a whole document where there was none holds what the document itself is made of, and so is flagged
// whole and has no content while the document still is the one it put.

// The flags of a change.
const (
	flagGone = 1 << iota
	flagWhole
	flagSubType
)

// whole reports whether a change of the document says no more than the document does.
func whole(w *store.Write) bool {
	if w.Document == nil || len(w.Removed) > 0 {
		return false
	}
	refs := w.Document.Refs
	if len(refs) == 0 {
		return len(w.Delta) == 0 && len(w.Added) == 0
	}
	return len(w.Delta) == 1 && w.Delta[0].From == 0 && w.Delta[0].Copy == 0 &&
		slices.EqualFunc(w.Delta[0].Insert, refs, inventory.Ref.Equal) && slices.Equal(w.Added, w.Document.ShapeSet())
}

func appendMeta(dst []byte, c *inventory.Change, whole bool) []byte {
	k := inventory.ItemKey{Type: c.Document.Type, SubType: c.Document.SubType}
	flags := byte(0)
	if c.Gone {
		flags |= flagGone
	}
	if whole {
		flags |= flagWhole
	}
	if hashed(k) {
		flags |= flagSubType
	}
	dst = append(dst, valueVersion, byte(c.Cause), flags)
	dst = binary.AppendUvarint(dst, uint64(c.Split))
	dst = binary.AppendUvarint(dst, uint64(c.Arrival.Nanosecond()%1000))
	dst = appendString(dst, c.SchemaVersion)
	dst = appendPacked(dst, c.CaptureTime)
	dst = appendEntry(dst, c.Context)
	if hashed(k) {
		dst = appendString(dst, k.SubType)
	}
	return dst
}

func (c *codec) encodeDelta(w *store.Write) []byte {
	dst := []byte{valueVersion}
	dst = binary.AppendUvarint(dst, uint64(len(w.Delta)))
	var inserted []inventory.Ref
	for _, e := range w.Delta {
		for _, n := range [...]int{e.From, e.Copy, len(e.Insert)} {
			dst = binary.AppendUvarint(dst, uint64(n))
		}
		inserted = append(inserted, e.Insert...)
	}
	dst = c.appendRefs(dst, inserted)
	// What is added was inserted, and is told by where.
	at := make(map[inventory.ShapeID]int, len(w.Added))
	if len(w.Added) > 0 {
		for i, r := range slices.Backward(inserted) {
			at[r.Shape] = i + 1
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(w.Added)))
	for _, id := range w.Added {
		dst = binary.AppendUvarint(dst, uint64(at[id]))
		if at[id] == 0 {
			dst = append(dst, id[:]...)
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(w.Removed)))
	for _, id := range w.Removed {
		dst = append(dst, id[:]...)
	}
	return dst
}

// changeRow is a row of the feed.
type changeRow struct {
	seq, arrival              int64
	id, node, item, meta, all []byte
}

// decodeChange puts a change together; its content is left out where there is none in the row.
func (c *codec) decodeChange(shard int, r *changeRow) (inventory.Change, error) {
	change := inventory.Change{Shard: shard, Position: inventory.Position{Seq: uint64(r.seq)}}
	fail := func(err error) (inventory.Change, error) {
		return inventory.Change{}, damaged(fmt.Sprintf("change %d of shard %d", r.seq, shard), err)
	}
	if len(r.id) != len(change.ID) {
		return fail(fmt.Errorf("its id takes %d bytes", len(r.id)))
	}
	change.ID = inventory.ChangeID(r.id)
	key, err := parseNodeKey(r.node)
	if err != nil {
		return fail(err)
	}
	item, wholeKey, err := parseItemKey(r.item)
	if err != nil {
		return fail(err)
	}
	d := newDecoder(r.meta)
	change.Cause = inventory.Cause(d.byte())
	flags := d.byte()
	change.Gone = flags&flagGone != 0
	change.Split = d.split()
	change.Arrival = time.UnixMicro(r.arrival).Add(time.Duration(d.number() % 1000)).UTC()
	change.SchemaVersion = d.string()
	change.CaptureTime = d.packed()
	change.Context = d.entry()
	if !wholeKey {
		item.SubType = d.string()
	}
	if err := d.end(); err != nil {
		return fail(err)
	}
	change.Document = inventory.DocumentKey{NodeKey: key, Type: item.Type, SubType: item.SubType}
	if err := c.decodeContent(&change, flags&flagWhole != 0, r.all); err != nil {
		return fail(err)
	}
	return change, nil
}

func (c *codec) decodeContent(change *inventory.Change, whole bool, content []byte) error {
	if whole {
		doc, err := c.decodeDocument(content)
		if err != nil || len(doc.Refs) == 0 {
			return err
		}
		change.Delta, change.Added = inventory.Delta{{Insert: doc.Refs}}, doc.ShapeSet()
		return nil
	}
	d := newDecoder(content)
	type counts struct{ from, copied, inserted int }
	edits := make([]counts, d.count(3))
	for i := range edits {
		edits[i] = counts{d.number(), d.number(), d.number()}
	}
	refs := c.refs(d)
	change.Added = d.added(refs)
	change.Removed = d.shapeIDs()
	for _, e := range edits {
		if e.inserted > len(refs) {
			d.fail("has edits of more entries than there are")
			break
		}
		edit := inventory.Edit{From: e.from, Copy: e.copied}
		if e.inserted > 0 {
			edit.Insert = refs[:e.inserted:e.inserted]
		}
		refs = refs[e.inserted:]
		change.Delta = append(change.Delta, edit)
	}
	if d.err == nil && len(refs) > 0 {
		d.fail("has entries that no edit inserts")
	}
	return d.end()
}

func (d *decoder) added(refs []inventory.Ref) []inventory.ShapeID {
	n := d.count(1)
	if n == 0 {
		return nil
	}
	ids := make([]inventory.ShapeID, n)
	for i := range ids {
		switch at := d.number(); {
		case at > len(refs):
			d.fail("adds a shape of an entry that is not there")
		case at > 0:
			ids[i] = refs[at-1].Shape
		default:
			copy(ids[i][:], d.bytes(16))
		}
	}
	return ids
}

func (d *decoder) shapeIDs() []inventory.ShapeID {
	raw := d.ids()
	if len(raw) == 0 {
		return nil
	}
	ids := make([]inventory.ShapeID, len(raw)/16)
	for i := range ids {
		ids[i] = inventory.ShapeID(raw[16*i:])
	}
	return ids
}

// changeShapes calls each with the id of every shape that a change's content names.
func (c *codec) changeShapes(meta, content []byte, each func(id []byte)) error {
	m := newDecoder(meta)
	m.byte()
	flags := m.byte()
	if m.err != nil {
		return m.err
	}
	if flags&flagWhole != 0 {
		ids, err := documentShapes(content)
		for ; len(ids) > 0; ids = ids[16:] {
			each(ids[:16])
		}
		return err
	}
	var change inventory.Change
	if err := c.decodeContent(&change, false, content); err != nil {
		return err
	}
	for _, id := range slices.Concat(change.Added, change.Removed) {
		each(id[:])
	}
	for _, e := range change.Delta {
		for _, r := range e.Insert {
			each(r.Shape[:])
		}
	}
	return nil
}
