package postgres

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"

	"stocktake/internal/inventory"
)

// A document's content is its split and its refs. Refs are the ids of their shapes, 16 bytes each, which nothing makes
// shorter, and then the volatile attributes as a section of its own, which is compressed where that helps.
//
//	content: version, split, refs
//	refs:    how many, their shape ids, section
//	section: form, length in bytes, then itself (as such or compressed):
//	         the kinds (sets of attribute names), for runs of refs how many are of which kind, the values of each ref

// The forms of a section.
const (
	sectionNone       = 0 // no ref has volatile attributes
	sectionPlain      = 1
	sectionCompressed = 2

	// compressFrom is the size below which compressing does not pay, compressMost what a section may decode to.
	compressFrom = 512
	compressMost = 64 << 20
)

// codec compresses and decodes sections. It may be used from many goroutines.
type codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newCodec() (*codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false), zstd.WithWindowSize(1<<20))
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(compressMost))
	if err != nil {
		return nil, err
	}
	return &codec{enc: enc, dec: dec}, nil
}

func (c *codec) appendDocument(dst []byte, doc *inventory.Document) []byte {
	dst = binary.AppendUvarint(append(dst, valueVersion), uint64(doc.Split))
	return c.appendRefs(dst, doc.Refs)
}

func (c *codec) decodeDocument(value []byte) (inventory.Document, error) {
	d := newDecoder(value)
	doc := inventory.Document{Split: d.split(), Refs: c.refs(d)}
	return doc, d.end()
}

// documentShapes reads no more of a document than the ids of its shapes.
func documentShapes(value []byte) ([]byte, error) {
	d := newDecoder(value)
	d.split()
	ids := d.ids()
	return ids, d.err
}

func (d *decoder) split() uint32 {
	v := d.uvarint()
	if v > uint64(^uint32(0)) {
		d.fail("has split %d", v)
	}
	return uint32(v)
}

func (c *codec) appendRefs(dst []byte, refs []inventory.Ref) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(refs)))
	dst = slices.Grow(dst, 16*len(refs))
	volatile := false
	for _, r := range refs {
		dst = append(dst, r.Shape[:]...)
		volatile = volatile || len(r.Volatile) > 0
	}
	if !volatile {
		return append(dst, sectionNone)
	}
	section := appendSection(make([]byte, 0, 16+8*len(refs)), refs)
	if len(section) >= compressFrom {
		if small := c.enc.EncodeAll(section, make([]byte, 0, len(section))); len(small) < len(section)-len(section)/16 {
			dst = binary.AppendUvarint(append(dst, sectionCompressed), uint64(len(small)))
			return append(dst, small...)
		}
	}
	dst = binary.AppendUvarint(append(dst, sectionPlain), uint64(len(section)))
	return append(dst, section...)
}

func appendSection(dst []byte, refs []inventory.Ref) []byte {
	var kinds []inventory.Entry // the first ref of each kind; number 0 is that of refs without volatile attributes
	var runs []uint64
	for _, r := range refs {
		k := 0
		if len(r.Volatile) > 0 {
			k = 1 + slices.IndexFunc(kinds, func(e inventory.Entry) bool { return sameNames(e, r.Volatile) })
			if k == 0 {
				kinds = append(kinds, r.Volatile)
				k = len(kinds)
			}
		}
		if n := len(runs); n > 0 && runs[n-2] == uint64(k) {
			runs[n-1]++
		} else {
			runs = append(runs, uint64(k), 1)
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(kinds)))
	for _, k := range kinds {
		dst = binary.AppendUvarint(dst, uint64(len(k)))
		for _, a := range k {
			dst = appendString(dst, a.Name)
		}
	}
	for _, v := range runs {
		dst = binary.AppendUvarint(dst, v)
	}
	for _, r := range refs {
		for _, a := range r.Volatile {
			dst = appendPacked(dst, a.Value)
		}
	}
	return dst
}

func sameNames(a, b inventory.Entry) bool {
	return slices.EqualFunc(a, b, func(x, y inventory.Attribute) bool { return x.Name == y.Name })
}

// ids reads the shape ids of refs.
func (d *decoder) ids() []byte { return d.bytes(16 * d.count(16)) }

// refs reads what appendRefs wrote.
func (c *codec) refs(d *decoder) []inventory.Ref {
	ids := d.ids()
	form := d.byte()
	if d.err != nil {
		return nil
	}
	var refs []inventory.Ref
	if len(ids) > 0 {
		refs = make([]inventory.Ref, len(ids)/16)
	}
	for i := range refs {
		refs[i].Shape = inventory.ShapeID(ids[16*i:])
	}
	if form == sectionNone {
		return refs
	}
	section := d.bytes(d.count(1))
	switch {
	case d.err != nil:
		return nil
	case form == sectionCompressed:
		var err error
		if section, err = c.dec.DecodeAll(section, nil); err != nil {
			d.fail("has volatile attributes that do not decompress: %v", err)
			return nil
		}
	case form != sectionPlain:
		d.fail("has volatile attributes of form %d", form)
		return nil
	}
	inner := &decoder{buf: section}
	inner.section(refs)
	if err := inner.end(); err != nil {
		d.fail("volatile attributes: %v", err)
		return nil
	}
	return refs
}

func (d *decoder) section(refs []inventory.Ref) {
	kinds := make([][]string, d.count(1))
	for k := range kinds {
		kinds[k] = make([]string, d.count(1))
		for i := range kinds[k] {
			kinds[k][i] = d.string()
		}
	}
	of := make([]int, len(refs))
	total := 0
	for at := 0; at < len(refs) && d.err == nil; {
		k, n := d.uvarint(), d.uvarint()
		if k > uint64(len(kinds)) || n == 0 || n > uint64(len(refs)-at) {
			d.fail("has a run of %d refs of kind %d", n, k)
			return
		}
		if k > 0 {
			total += int(n) * len(kinds[k-1])
		}
		for ; n > 0; n-- {
			of[at] = int(k)
			at++
		}
	}
	if total > d.left() { // a value takes a byte at least
		d.fail("has %d values in %d bytes", total, d.left())
	}
	if d.err != nil {
		return
	}
	arena := make([]inventory.Attribute, total)
	for i := range refs {
		if of[i] == 0 {
			continue
		}
		names := kinds[of[i]-1]
		e := arena[:len(names):len(names)]
		arena = arena[len(names):]
		for j, name := range names {
			e[j] = inventory.Attribute{Name: name, Value: d.packed()}
		}
		refs[i].Volatile = e
	}
}

// A node's record is its life and the state of each of its documents.
//
//	record: version, status, enrolled, how many items; for each its state and sequence

func appendNode(dst []byte, n *inventory.Node) []byte {
	dst = append(dst, valueVersion)
	dst = appendString(dst, string(n.Status))
	dst = appendTime(dst, n.Enrolled, time.Unix(0, 0))
	dst = binary.AppendUvarint(dst, uint64(len(n.Items)))
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
		dst = binary.AppendUvarint(dst, s.Seq)
	}
	return dst
}

func decodeNode(key inventory.NodeKey, revision int64, value []byte) (inventory.Node, error) {
	n := inventory.Node{Key: key, Revision: uint64(revision)}
	d := newDecoder(value)
	n.Status = inventory.Status(d.string())
	n.Enrolled = d.time(time.Unix(0, 0))
	if items := d.count(9); items > 0 {
		n.Items = make([]inventory.ItemState, items)
	}
	before := n.Enrolled
	for i := range n.Items {
		s := &n.Items[i]
		s.Type = inventory.TypeName(d.string())
		s.SubType = d.string()
		s.SchemaVersion = d.string()
		s.CaptureTime = d.packed()
		s.Arrival = d.time(before)
		before = s.Arrival
		s.Hash = d.packed()
		s.Context = d.entry()
		s.Entries = d.number()
		s.Seq = d.uvarint()
		if i > 0 && inventory.CompareItemKeys(n.Items[i-1].ItemKey, s.ItemKey) >= 0 {
			d.fail("has items out of order")
		}
	}
	if err := d.end(); err != nil {
		return inventory.Node{}, damaged(fmt.Sprintf("record of node %s", key.Node), err)
	}
	return n, nil
}
