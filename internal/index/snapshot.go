package index

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"slices"
	"strings"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/klauspost/compress/s2"

	"stocktake/internal/inventory"
)

// A snapshot is a magic, then sections: kind (1 byte), length of the body (4 bytes, little-endian), body, CRC-32C of all
// three (4 bytes). In order: header; for each partition its name and nodes; within it for each type its name, values,
// shapes, the shapes' nodes, groups, and other sets; the end. Values and shapes are numbered anew: those no node has are
// left out. What of a type makes up most of it can be read side by side. Bodies of the packed kinds are S2 blocks.
const snapshotMagic = "STKINDX\x03"

const (
	sectionHeader    = 'H' // store id; positions
	sectionPartition = 'P' // account, region
	sectionNodes     = 'N' // ids in number order, empty for numbers that are free, and shards
	sectionType      = 'T' // name; sub-types; attributes; number of values; number of shapes
	sectionValues    = 'V' // attribute, how far before it the folded value is (0: it is itself), text
	sectionShapes    = 'S' // id, sub-type, values
	sectionPostings  = 'B' // nodes
	sectionGroups    = 'G' // value, nodes
	sectionSets      = 'A' // nodes of the type, by volatile attribute, by split; sub-types by node
	sectionEnd       = 'E'
)

// packedKinds are worth it: shapes are hashes for the most part, and the others are small.
const packedKinds = "NVBG"

const (
	// sectionTarget is the size at which a section is closed and the next of its kind begun.
	sectionTarget = 1 << 20
	// sectionMost bounds what is read as one section.
	sectionMost = 1 << 30
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// WriteSnapshot writes the index as it is. It holds no lock while it writes; each partition is as of one moment, and the
// positions in the snapshot are those from before: what was applied since is in the snapshot already for some shards,
// which Apply allows for. A shard whose nodes were being replaced is at the zero position and without nodes.
func (x *Index) WriteSnapshot(w io.Writer) error {
	positions, before := x.positionsAndUnsettled()
	parts := x.all()
	stills := make([]*still, len(parts))
	for i, part := range parts {
		stills[i] = part.still()
	}
	_, after := x.positionsAndUnsettled()
	for shard := range positions {
		if before[shard] != after[shard] || before[shard]%2 == 1 {
			positions[shard] = inventory.Position{}
			for _, p := range stills {
				p.leaveOut(shard)
			}
		}
	}
	s := &sectionWriter{w: w}
	_, s.err = io.WriteString(w, snapshotMagic)
	s.begin(sectionHeader)
	s.bytes(x.config.Store[:])
	s.uint(uint64(len(positions)))
	for _, p := range positions {
		s.uint(p.Seq)
		s.bytes(p.ID[:])
	}
	s.end()
	for _, p := range stills {
		if s.err != nil {
			break
		}
		p.write(s)
	}
	s.begin(sectionEnd)
	s.end()
	return s.err
}

// still is a partition frozen for a snapshot.
type still struct {
	key    inventory.Partition
	ids    vector[inventory.NodeID]
	known  *roaring.Bitmap
	lives  []life
	tables []*view
}

func (part *partition) still() *still {
	part.mu.RLock()
	defer part.mu.RUnlock()
	s := &still{key: part.key, ids: part.ids, known: part.freezeKnown(), lives: slices.Clone(part.lives)}
	for t := range part.tables {
		s.tables = append(s.tables, part.view(t))
	}
	slices.SortFunc(s.tables, func(a, b *view) int { return strings.Compare(string(a.typ), string(b.typ)) })
	return s
}

// leaveOut forgets the nodes of a shard.
func (p *still) leaveOut(shard int) {
	p.known = p.known.Clone()
	for n, l := range p.lives {
		if int(l.shard) == shard {
			p.known.Remove(uint32(n))
		}
	}
}

func (p *still) write(s *sectionWriter) {
	s.begin(sectionPartition)
	s.string(p.key.Account)
	s.string(p.key.Region)
	s.end()
	dead := roaring.New()
	s.begin(sectionNodes)
	for n := range p.ids.n {
		if p.known.Contains(n) {
			s.string(string(*p.ids.get(n)))
			s.uint(uint64(p.lives[n].shard))
		} else {
			dead.Add(n)
			s.string("")
		}
		s.split()
	}
	s.end()
	for _, t := range p.tables {
		if s.err != nil {
			return
		}
		(&tableWriter{sectionWriter: s, view: t, dead: dead}).write()
	}
}

// tableWriter writes one table.
type tableWriter struct {
	*sectionWriter
	*view
	dead   *roaring.Bitmap
	number []uint32 // of values, in the snapshot; none for those left out
}

func (t *tableWriter) write() {
	live, values := t.renumber()
	t.begin(sectionType)
	t.string(string(t.typ))
	t.uint(uint64(len(t.subNames)))
	for _, name := range t.subNames {
		t.string(name)
	}
	t.uint(uint64(len(t.attrs)))
	for _, a := range t.attrs {
		t.string(a.name)
	}
	t.uint(uint64(len(values)))
	t.uint(uint64(len(live)))
	t.end()
	t.writeValues(values)
	t.writeShapes(live)
	t.begin(sectionPostings)
	for _, n := range live {
		t.set(t.postings.get(n))
		t.split()
	}
	t.end()
	t.begin(sectionGroups)
	for v := range t.values.n {
		if s := t.states.get(v); s.count > groupAt && t.number[v] != none {
			t.uint(uint64(t.number[v]))
			t.set(&posting{bits: t.groupNodes(s)})
			t.split()
		}
	}
	t.end()
	t.writeSets()
}

// renumber gives the shapes that nodes have, and their values, folded ones before those that fold to them.
func (t *tableWriter) renumber() (live, values []uint32) {
	t.number = slices.Repeat([]uint32{none}, int(t.values.n))
	put := func(v uint32) {
		if t.number[v] == none {
			t.number[v] = uint32(len(values))
			values = append(values, v)
		}
	}
	for n := range t.postings.n {
		if t.postings.get(n).without(t.dead) {
			continue
		}
		live = append(live, n)
		for _, v := range t.row(n) {
			put(t.values.get(v).fold)
			put(v)
		}
	}
	return live, values
}

func (t *tableWriter) writeValues(values []uint32) {
	t.begin(sectionValues)
	for i, v := range values {
		x := t.values.get(v)
		t.uint(uint64(x.attr))
		t.uint(uint64(uint32(i) - t.number[x.fold]))
		t.string(t.texts.get(x.text))
		t.split()
	}
	t.end()
}

func (t *tableWriter) writeShapes(live []uint32) {
	t.begin(sectionShapes)
	for _, n := range live {
		s := t.shapes.get(n)
		t.bytes(s.id[:])
		t.uint(uint64(s.sub))
		row := t.row(n)
		t.uint(uint64(len(row)))
		for _, v := range row {
			t.uint(uint64(t.number[v]))
		}
		t.split()
	}
	t.end()
}

// without reports whether a set is empty without the given nodes: those of a shard that is being dropped.
func (p *posting) without(dead *roaring.Bitmap) bool {
	if p.bits != nil {
		return p.bits.AndCardinality(dead) == p.bits.GetCardinality()
	}
	for i := range p.count() {
		if !dead.Contains(p.at(i)) {
			return false
		}
	}
	return true
}

func (t *tableWriter) writeSets() {
	t.begin(sectionSets)
	t.set(&posting{bits: t.all})
	var carried []int
	for i, a := range t.attrs {
		if a.volatile != nil && !a.volatile.IsEmpty() {
			carried = append(carried, i)
		}
	}
	t.uint(uint64(len(carried)))
	for _, i := range carried {
		t.uint(uint64(i))
		t.set(&posting{bits: t.attrs[i].volatile})
	}
	t.uint(uint64(len(t.splits)))
	for _, s := range t.splits {
		t.uint(uint64(s.number))
		t.set(&posting{bits: s.nodes})
	}
	var listed []uint32
	for n := range t.subs.n {
		if len(t.subsOf(n)) > 0 && !t.dead.Contains(n) {
			listed = append(listed, n)
		}
	}
	t.uint(uint64(len(listed)))
	for _, n := range listed {
		t.uint(uint64(n))
		t.uint(uint64(len(t.subsOf(n))))
		for _, sub := range t.subsOf(n) {
			t.uint(uint64(sub))
		}
	}
	t.end()
}

// set writes a set of nodes without those that are not known: their number, then their distances, or, of many, a
// portable roaring bitmap led by its length.
func (t *tableWriter) set(p *posting) {
	if p.bits != nil && p.bits.Intersects(t.dead) {
		q := posting{bits: p.bits.own(^uint32(0))}
		q.removeAll(t.dead, ^uint32(0))
		p = &q
	}
	if n := p.count(); p.bits != nil && n > fewMost {
		t.uint(uint64(n))
		body, err := p.bits.ToBytes()
		if err != nil {
			t.err = err
		}
		t.uint(uint64(len(body)))
		t.bytes(body)
		return
	}
	nodes := p.appendTo(nil)
	if !t.dead.IsEmpty() {
		nodes = slices.DeleteFunc(nodes, t.dead.Contains)
	}
	t.uint(uint64(len(nodes)))
	last := uint32(0)
	for _, n := range nodes {
		t.uint(uint64(n - last))
		last = n
	}
}

// sectionWriter writes sections; after the first error it writes nothing.
type sectionWriter struct {
	w    io.Writer
	err  error
	kind byte
	buf  []byte

	packed, out []byte // of a packed kind, for a moment
}

const sectionHead = 5

func (s *sectionWriter) begin(kind byte) {
	s.kind = kind
	s.buf = append(s.buf[:0], kind, 0, 0, 0, 0)
}

// split closes a section that has grown large and begins another of its kind.
func (s *sectionWriter) split() {
	if len(s.buf) >= sectionTarget {
		s.end()
		s.begin(s.kind)
	}
}

func (s *sectionWriter) end() {
	out := s.buf
	if strings.IndexByte(packedKinds, s.kind) >= 0 {
		s.packed = s2.Encode(s.packed, s.buf[sectionHead:])
		out = append(append(s.out[:0], s.buf[:sectionHead]...), s.packed...)
		s.out = out
	}
	binary.LittleEndian.PutUint32(out[1:], uint32(len(out)-sectionHead))
	sum := crc32.Checksum(out, castagnoli)
	if s.err == nil {
		_, s.err = s.w.Write(out)
	}
	if s.err == nil {
		_, s.err = s.w.Write(binary.LittleEndian.AppendUint32(nil, sum))
	}
}

func (s *sectionWriter) uint(n uint64) { s.buf = binary.AppendUvarint(s.buf, n) }

func (s *sectionWriter) bytes(b []byte) { s.buf = append(s.buf, b...) }

func (s *sectionWriter) string(v string) {
	s.uint(uint64(len(v)))
	s.buf = append(s.buf, v...)
}
