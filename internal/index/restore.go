package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"math"
	"strings"

	"github.com/RoaringBitmap/roaring/v2"

	"stocktake/internal/inventory"
)

// ErrSnapshot is wrapped by every error of ReadSnapshot that is not of the reader: the snapshot is damaged, of another
// version, or of another store. The text says which; an index can be loaded from the store without it.
var ErrSnapshot = errors.New("index snapshot can't be used")

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrSnapshot, fmt.Sprintf(format, args...))
}

// ReadSnapshot reads what WriteSnapshot wrote. c must name the store and number of shards the snapshot was written for.
// Any input is safe: what is not a whole snapshot is an error, and memory is taken only as input arrives.
func ReadSnapshot(r io.Reader, c Config) (*Index, error) {
	magic := make([]byte, len(snapshotMagic))
	if _, err := io.ReadFull(r, magic); err != nil {
		return nil, damaged("it is cut short: %v", err)
	}
	if last := len(magic) - 1; string(magic[:last]) != snapshotMagic[:last] {
		return nil, damaged("it is no index snapshot")
	} else if string(magic) != snapshotMagic {
		return nil, damaged("it has format version %d, not %d", magic[last], snapshotMagic[last])
	}
	rd := &snapshotReader{sectionReader: sectionReader{r: r}, index: New(c)}
	if err := rd.read(); err != nil {
		return nil, err
	}
	return rd.index, nil
}

type snapshotReader struct {
	sectionReader
	index *Index
	part  *partition
	table *table
	// free holds the partition's free numbers; values are the table's numbers of the values read.
	free   *roaring.Bitmap
	values []uint32
	after  byte // kind of the section before
}

// follows says after which kinds a section may stand.
var follows = map[byte]string{
	sectionHeader:    "\x00",
	sectionPartition: "HNA",
	sectionNodes:     "PN",
	sectionType:      "NA",
	sectionValues:    "TV",
	sectionShapes:    "VS",
	sectionGroups:    "SG",
	sectionSets:      "G",
	sectionEnd:       "HNA",
}

func (rd *snapshotReader) read() error {
	for rd.after != sectionEnd {
		if err := rd.next(); err != nil {
			return err
		}
		if strings.IndexByte(follows[rd.kind], rd.after) < 0 {
			return damaged("section %q does not belong after %q", rd.kind, rd.after)
		}
		rd.after = rd.kind
		if err := rd.section(); err != nil {
			return err
		}
		if rd.bad || len(rd.rest) > 0 {
			return damaged("section %q at byte %d is malformed", rd.kind, rd.at)
		}
	}
	return nil
}

func (rd *snapshotReader) section() error {
	switch rd.kind {
	case sectionHeader:
		return rd.header()
	case sectionPartition:
		rd.partition()
	case sectionNodes:
		rd.nodes()
	case sectionType:
		rd.tableHead()
	case sectionValues:
		rd.valueTexts()
	case sectionShapes:
		rd.shapes()
	case sectionGroups:
		rd.groups()
	case sectionSets:
		rd.sets()
	}
	return nil
}

func (rd *snapshotReader) header() error {
	x := rd.index
	if !bytes.Equal(rd.bytes(16), x.config.Store[:]) {
		return damaged("it belongs to another store")
	}
	if n := rd.uint(math.MaxInt32); !rd.bad && n != uint64(len(x.positions)) {
		return damaged("it has %d shards, the store %d", n, len(x.positions))
	}
	for i := range x.positions {
		x.positions[i].Seq = rd.uint(math.MaxUint64)
		copy(x.positions[i].ID[:], rd.bytes(8))
	}
	return nil
}

func (rd *snapshotReader) partition() {
	key := inventory.Partition{Account: rd.string(), Region: rd.string()}
	if rd.index.partitions[key] != nil {
		rd.bad = true
		return
	}
	rd.part, rd.free = rd.index.makePartition(key), roaring.New()
}

func (rd *snapshotReader) nodes() {
	p := rd.part
	for !rd.bad && len(rd.rest) > 0 {
		id := inventory.NodeID(rd.string())
		if id == "" {
			n := p.ids.push("", 0)
			p.free = append(p.free, n)
			rd.free.Add(n)
			p.lives = append(p.lives, life{})
			continue
		}
		shard := rd.uint(uint64(len(rd.index.positions)) - 1)
		if _, twice := p.numbers[id]; twice {
			rd.bad = true
			return
		}
		n := p.ids.push(id, 0)
		p.lives = append(p.lives, life{shard: uint16(shard)})
		p.numbers[id] = n
		p.registered = append(p.registered, n)
	}
}

func (rd *snapshotReader) tableHead() {
	name := inventory.TypeName(rd.string())
	if rd.part.tables[name] != nil {
		rd.bad = true
		return
	}
	rd.table, rd.values = rd.part.table(name), nil
	for i := range rd.count() {
		rd.bad = rd.bad || uint64(rd.table.sub(rd.string())) != i
	}
	for i := range rd.count() {
		rd.bad = rd.bad || uint64(rd.table.attr(rd.string())) != i
	}
}

func (rd *snapshotReader) valueTexts() {
	t := rd.table
	for !rd.bad && len(rd.rest) > 0 {
		attr, text := rd.below(len(t.attrs)), rd.string()
		if rd.bad {
			return
		}
		rd.values = append(rd.values, t.value(attr, text))
	}
}

func (rd *snapshotReader) shapes() {
	t := rd.table
	var row []uint32
	for !rd.bad && len(rd.rest) > 0 {
		var id inventory.ShapeID
		copy(id[:], rd.bytes(len(id)))
		sub := rd.below(len(t.subNames))
		row = row[:0]
		for range rd.count() {
			row = append(row, rd.value())
		}
		p := rd.set()
		if _, twice := t.find(id, sub); twice || rd.bad || p.empty() || !t.sortedRow(row) {
			rd.bad = true
			return
		}
		n := t.addShape(id, sub, row)
		*t.postings.edit(n, t.epoch) = p
		t.live++
		t.elements += p.count()
	}
}

// sortedRow reports whether a row's attributes are in order, each once.
func (t *table) sortedRow(row []uint32) bool {
	for i := 1; i < len(row); i++ {
		if t.attrs[t.values.get(row[i-1]).attr].name >= t.attrs[t.values.get(row[i]).attr].name {
			return false
		}
	}
	return true
}

func (rd *snapshotReader) groups() {
	t := rd.table
	for !rd.bad && len(rd.rest) > 0 {
		val, p := rd.value(), rd.set()
		if rd.bad {
			return
		}
		// A value may have had more shapes when the snapshot was written.
		if s := t.states.get(val); t.values.get(val).fold == val && s.count > groupAt {
			b := newBits(t.epoch)
			b.Or(p.bitmap())
			*t.groups.edit(s.aux, t.epoch) = group{nodes: b}
		}
	}
}

func (rd *snapshotReader) sets() {
	t := rd.table
	t.all.Or(rd.bitmap())
	for range rd.count() {
		attr := rd.below(len(t.attrs))
		if rd.bad {
			return
		}
		t.attrs[attr].volatile = newBits(t.epoch)
		t.attrs[attr].volatile.Or(rd.bitmap())
	}
	for range rd.count() {
		s := splitNodes{number: uint32(rd.uint(math.MaxUint32)), nodes: newBits(t.epoch)}
		s.nodes.Or(rd.bitmap())
		t.splits = append(t.splits, s)
	}
	for range rd.count() {
		n := rd.below(int(rd.part.ids.n))
		var subs []uint32
		for range rd.count() {
			subs = append(subs, rd.below(len(t.subNames)))
		}
		if rd.bad || len(subs) == 0 || !t.all.Contains(n) {
			rd.bad = true
			return
		}
		t.setSubs(n, subs)
	}
	for it := t.all.Iterator(); !rd.bad && it.HasNext(); {
		rd.part.entered(it.Next())
	}
}

func (rd *snapshotReader) value() uint32 {
	i := rd.below(len(rd.values))
	if rd.bad {
		return 0
	}
	return rd.values[i]
}

// set reads a set of nodes, none of them a number that is free.
func (rd *snapshotReader) set() posting {
	var p posting
	n := rd.uint(uint64(rd.part.ids.n))
	if n <= fewMost {
		last := uint64(0)
		for i := range n {
			d := rd.uint(math.MaxUint32)
			last += d
			if rd.bad || i > 0 && d == 0 || !rd.live(last) {
				rd.bad = true
				return posting{}
			}
			p.add(uint32(last), rd.table.epoch)
		}
		return p
	}
	b := newBits(rd.table.epoch)
	body := rd.bytes(int(rd.uint(uint64(len(rd.rest)))))
	if rd.bad || !readBitmap(b, body) || b.GetCardinality() != n || !rd.live(uint64(b.Maximum())) {
		rd.bad = true
		return posting{}
	}
	if b.Intersects(rd.free) {
		rd.bad = true
		return posting{}
	}
	return posting{bits: b}
}

func readBitmap(b *bits, body []byte) bool {
	used, err := b.ReadFrom(bytes.NewReader(body))
	return err == nil && used == int64(len(body)) && b.Validate() == nil
}

func (rd *snapshotReader) bitmap() *roaring.Bitmap {
	p := rd.set()
	return p.bitmap()
}

func (rd *snapshotReader) live(n uint64) bool {
	return n < uint64(rd.part.ids.n) && *rd.part.ids.get(uint32(n)) != ""
}

// sectionReader reads sections and what is in them. What does not fit sets bad and gives zeros.
type sectionReader struct {
	r      io.Reader
	at     int64 // where the section begins, after the magic
	begins int64
	kind   byte
	body   bytes.Buffer
	rest   []byte
	bad    bool
}

func (s *sectionReader) next() error {
	s.at = s.begins
	s.body.Reset()
	if _, err := io.CopyN(&s.body, s.r, sectionHead); err != nil {
		return damaged("it is cut short at byte %d", s.at)
	}
	s.kind = s.body.Bytes()[0]
	length := int64(binary.LittleEndian.Uint32(s.body.Bytes()[1:]))
	if length > sectionMost {
		return damaged("section at byte %d claims %d bytes", s.at, length)
	}
	if _, err := io.CopyN(&s.body, s.r, length+4); err != nil {
		return damaged("section %q at byte %d is cut short", s.kind, s.at)
	}
	whole := s.body.Bytes()
	sum := len(whole) - 4
	if crc32.Checksum(whole[:sum], castagnoli) != binary.LittleEndian.Uint32(whole[sum:]) {
		return damaged("section %q at byte %d fails its checksum", s.kind, s.at)
	}
	s.rest = whole[sectionHead:sum]
	s.begins += int64(len(whole))
	return nil
}

// uint reads a number up to most.
func (s *sectionReader) uint(most uint64) uint64 {
	n, w := binary.Uvarint(s.rest)
	if w <= 0 || n > most {
		s.bad = true
		return 0
	}
	s.rest = s.rest[w:]
	return n
}

// count goes through as many numbers as are announced, and stops where the section does not hold up.
func (s *sectionReader) count() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		n := s.uint(uint64(len(s.rest)))
		for i := uint64(0); i < n && !s.bad && yield(i); i++ {
		}
	}
}

// below reads a number less than n.
func (s *sectionReader) below(n int) uint32 {
	if n == 0 {
		s.bad = true
		return 0
	}
	return uint32(s.uint(uint64(n - 1)))
}

func (s *sectionReader) bytes(n int) []byte {
	if n < 0 || n > len(s.rest) {
		s.bad = true
		return make([]byte, max(0, min(n, 64)))
	}
	b := s.rest[:n]
	s.rest = s.rest[n:]
	return b
}

func (s *sectionReader) string() string { return string(s.bytes(int(s.uint(uint64(len(s.rest)))))) }
