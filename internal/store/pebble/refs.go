package pebble

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"

	"stocktake/internal/inventory"
)

// Refs are stored in columns: first the number of every ref's shape, each by a number shortly before it (see sequence);
// then the volatile attributes, by kind. Refs that have the same volatile attributes are of one kind; runs of kinds follow the
// refs, and for each kind and attribute its values stand together, in the form that is shortest for what they are.

// numberOf gives a shape's number; false where it has none.
type numberOf func(inventory.ShapeID) (uint32, bool)

// idOf undoes numberOf.
type idOf func(uint32) (inventory.ShapeID, bool)

// appendRefs appends refs and gives the numbers it used; false where a shape has no number.
func appendRefs(dst []byte, refs []inventory.Ref, number numberOf) ([]byte, []uint32, bool) {
	dst = binary.AppendUvarint(dst, uint64(len(refs)))
	numbers := make([]uint32, len(refs))
	var s sequence
	for i, r := range refs {
		n, ok := number(r.Shape)
		if !ok {
			return nil, nil, false
		}
		dst = binary.AppendUvarint(dst, s.encode(int64(n)))
		numbers[i] = n
	}
	return appendVolatile(dst, refs), numbers, true
}

// sequence codes numbers that come in a few interleaved runs. Shapes are numbered in the order in which documents first
// name them, so the entries that a fleet's machines share count up from one to the next, wherever others come between.
// A number is the distance to the successor of one of the eight before it, and which of them that is; the nearest is taken.
// Those in use are in front, and one that none is near to takes the place of the last.
type sequence [8]int64

const (
	sequenceBits = 3
	// nearCode bounds the codes of numbers that go on with a run: those of one byte.
	nearCode = 1 << 7
)

func (s *sequence) encode(number int64) uint64 {
	least, from := ^uint64(0), 0
	for i, before := range s {
		d := number - before - 1
		if distance := uint64(d)<<1 ^ uint64(d>>63); distance < least {
			least, from = distance, i
		}
	}
	code := least<<sequenceBits | uint64(from)
	s.move(code, number)
	return code
}

func (s *sequence) decode(code uint64) int64 {
	distance := code >> sequenceBits
	number := s[code%uint64(len(s))] + 1 + (int64(distance>>1) ^ -int64(distance&1))
	s.move(code, number)
	return number
}

func (s *sequence) move(code uint64, number int64) {
	from := len(s) - 1
	if code < nearCode {
		from = int(code) % len(s)
	}
	copy(s[1:from+1], s[:from])
	s[0] = number
}

// next reads a number.
func (d *decoder) next(s *sequence) int64 {
	if d.version == 1 { // the distance to the one before
		s[0] += d.varint()
		return s[0]
	}
	return s.decode(d.uvarint())
}

// kind is one set of volatile attribute names and the refs (by index) that have it.
type kind struct {
	like inventory.Entry
	refs []int
}

func kindsOf(refs []inventory.Ref) (kinds []kind, runs []uint64) {
	last, run := 0, uint64(0) // kind 0 is that of refs without volatile attributes
	for i, r := range refs {
		k := 0
		if len(r.Volatile) > 0 {
			k = 1 + slices.IndexFunc(kinds, func(k kind) bool { return sameNames(k.like, r.Volatile) })
			if k == 0 {
				kinds = append(kinds, kind{like: r.Volatile})
				k = len(kinds)
			}
			kinds[k-1].refs = append(kinds[k-1].refs, i)
		}
		if k != last && run > 0 {
			runs = append(runs, uint64(last), run)
			run = 0
		}
		last = k
		run++
	}
	if run > 0 {
		runs = append(runs, uint64(last), run)
	}
	return kinds, runs
}

func sameNames(a, b inventory.Entry) bool {
	return slices.EqualFunc(a, b, func(x, y inventory.Attribute) bool { return x.Name == y.Name })
}

func appendVolatile(dst []byte, refs []inventory.Ref) []byte {
	kinds, runs := kindsOf(refs)
	dst = binary.AppendUvarint(dst, uint64(len(kinds)))
	if len(kinds) == 0 {
		return dst
	}
	for _, k := range kinds {
		dst = binary.AppendUvarint(dst, uint64(len(k.like)))
		for _, a := range k.like {
			dst = appendString(dst, a.Name)
		}
	}
	for _, v := range runs {
		dst = binary.AppendUvarint(dst, v)
	}
	for _, k := range kinds {
		for column := range k.like {
			dst = appendColumn(dst, refs, k.refs, column)
		}
	}
	return dst
}

// The forms of a column of values.
const (
	columnRaw   = 0 // every value with its length
	columnSame  = 1 // one value for all
	columnBytes = 2 // of times: the least, a width in bytes, and each one's distance from the least in so many; not written now
	columnTimes = 3 // the same with a width in bits, the last byte filled up with zeros

	// maxSame bounds how many columns of a kind may be of one value, and with it what a short value can decode to.
	maxSame = 32
)

func appendColumn(dst []byte, refs []inventory.Ref, rows []int, column int) []byte {
	value := func(i int) string { return refs[rows[i]].Volatile[column].Value }
	if column < maxSame {
		i := 1
		for i < len(rows) && value(i) == value(0) {
			i++
		}
		if i == len(rows) {
			return appendString(append(dst, columnSame), value(0))
		}
	}
	least, most := int64(maxSeconds), int64(0)
	times := make([]int64, len(rows))
	for i := range rows {
		t, ok := parseSeconds(value(i))
		if !ok {
			return appendRawColumn(dst, refs, rows, column)
		}
		times[i] = t
		least, most = min(least, t), max(most, t)
	}
	width := max(1, bits.Len64(uint64(most-least)))
	dst = binary.AppendUvarint(append(dst, columnTimes), uint64(least))
	dst = append(dst, byte(width))
	held, n := uint64(0), 0 // bits not yet written
	for _, t := range times {
		held, n = held<<width|uint64(t-least), n+width
		for ; n >= 8; n -= 8 {
			dst = append(dst, byte(held>>(n-8)))
		}
	}
	if n > 0 {
		dst = append(dst, byte(held<<(8-n)))
	}
	return dst
}

func appendRawColumn(dst []byte, refs []inventory.Ref, rows []int, column int) []byte {
	dst = append(dst, columnRaw)
	for _, r := range rows {
		dst = appendString(dst, refs[r].Volatile[column].Value)
	}
	return dst
}

// part is some refs of a document: so many from one on. The zero part is all.
type part struct{ from, most int }

func (p part) within(refs int) (from, to int) {
	if p == (part{}) {
		return 0, refs
	}
	from = min(p.from, refs)
	return from, from + min(p.most, refs-from)
}

// refs reads what appendRefs wrote; it takes all that is left of the value.
func (d *decoder) refs(id idOf) []inventory.Ref {
	n := d.count(1)
	if d.err != nil {
		return nil
	}
	var refs []inventory.Ref
	if n > 0 {
		refs = make([]inventory.Ref, n)
	}
	var s sequence
	from, to := d.part.within(n)
	for i := range refs {
		if i >= to {
			d.uvarint()
			continue
		}
		number := d.next(&s)
		if i < from {
			continue
		}
		ok := number >= 0 && number <= int64(^uint32(0))
		if ok {
			refs[i].Shape, ok = id(uint32(number))
		}
		if !ok {
			d.fail("names shape number %d, which is not known", number)
			return nil
		}
	}
	d.volatile(refs)
	return refs
}

// refNumbers gives the shape numbers of what appendRefs wrote and passes over the rest of the value.
func (d *decoder) refNumbers() []uint32 {
	n := d.count(1)
	numbers := make([]uint32, n)
	var s sequence
	for i := range numbers {
		numbers[i] = uint32(d.next(&s))
	}
	d.at = len(d.buf)
	return numbers
}

func (d *decoder) volatile(refs []inventory.Ref) {
	names := make([][]string, d.count(1))
	if len(names) == 0 {
		return
	}
	for k := range names {
		names[k] = make([]string, d.count(1))
		for i := range names[k] {
			names[k][i] = d.string()
		}
	}
	runs, rows := d.runs(len(refs), len(names))
	from, to := d.part.within(len(refs))
	arenas := make([][]inventory.Attribute, len(names))
	for k := range names {
		if d.err == nil && rows[k] == 0 {
			d.fail("has a kind of ref that no ref is of")
		}
		if d.err != nil {
			return
		}
		width := len(names[k])
		if width*rows[k] > 2*maxSame*len(d.buf) {
			d.fail("has %d attributes on %d refs", width, rows[k])
			return
		}
		c := column{width: width, rows: rows[k]}
		c.from, c.to = rowsOf(runs, k+1, from, to)
		arenas[k] = make([]inventory.Attribute, width*(c.to-c.from))
		c.arena = arenas[k]
		for at, name := range names[k] {
			c.at, c.name = at, name
			d.column(c)
		}
	}
	deal(refs, from, to, runs, names, arenas)
}

// run is some refs of one kind, one after the other; kind 0 has no volatile attributes.
type run struct{ kind, refs int }

// runs reads the runs, and gives how many refs each kind has.
func (d *decoder) runs(refs, kinds int) (runs []run, rows []int) {
	rows = make([]int, kinds)
	for at := 0; at < refs && d.err == nil; {
		k, n := d.uvarint(), d.uvarint()
		if k > uint64(kinds) || n == 0 || n > uint64(refs-at) {
			d.fail("has a run of %d refs of kind %d", n, k)
			break
		}
		if k > 0 {
			rows[k-1] += int(n)
		}
		runs = append(runs, run{int(k), int(n)})
		at += int(n)
	}
	return runs, rows
}

// deal gives the refs from one to before another their volatile attributes, which lie in their kind's arena, ref after ref.
func deal(refs []inventory.Ref, from, to int, runs []run, names [][]string, arenas [][]inventory.Attribute) {
	begin := 0
	for _, r := range runs {
		end := begin + r.refs
		if r.kind > 0 {
			width := len(names[r.kind-1])
			arena := &arenas[r.kind-1]
			for at := max(begin, from); at < min(end, to); at++ {
				refs[at].Volatile = (*arena)[:width:width]
				*arena = (*arena)[width:]
			}
		}
		begin = end
	}
}

// rowsOf gives which rows of a kind the refs from one to before another are.
func rowsOf(runs []run, kind, from, to int) (first, end int) {
	at := 0
	for _, r := range runs {
		if r.kind == kind {
			first += min(max(from-at, 0), r.refs)
			end += min(max(to-at, 0), r.refs)
		}
		at += r.refs
	}
	return first, end
}

// column is where the values of one attribute belong: in the arena of its kind, where each ref has width attributes. The
// arena holds the rows that are asked for.
type column struct {
	arena     []inventory.Attribute
	width, at int
	rows      int
	from, to  int
	name      string
}

func (c *column) set(row int, value string) {
	c.arena[(row-c.from)*c.width+c.at] = inventory.Attribute{Name: c.name, Value: value}
}

// column reads a column.
func (d *decoder) column(c column) {
	switch form := d.byte(); form {
	case columnRaw:
		for i := range c.rows {
			if value := d.bytes(d.count(1)); c.from <= i && i < c.to {
				c.set(i, string(value))
			}
		}
	case columnSame:
		value := d.string()
		for i := c.from; i < c.to; i++ {
			c.set(i, value)
		}
	case columnBytes, columnTimes:
		d.times(form, c)
	default:
		d.fail("has a column of form %d", form)
	}
}

// maxTimeBits is the width of maxSeconds, in whole bytes.
const maxTimeBits = 40

func (d *decoder) times(form byte, c column) {
	var text strings.Builder
	text.Grow(timeLength * max(0, min(c.to, 8*d.left())-c.from))
	var one [timeLength]byte
	d.eachTime(form, c.rows, c.from, c.to, func(t uint64) { text.Write(appendSeconds(one[:0], int64(t))) })
	if d.err != nil {
		return
	}
	all := text.String()
	for i := c.from; i < c.to; i++ {
		c.set(i, all[:timeLength])
		all = all[timeLength:]
	}
}

// eachTime reads a column of times behind its form and calls use for those of some rows in order.
func (d *decoder) eachTime(form byte, rows, from, to int, use func(t uint64)) {
	least := d.uvarint()
	size, packed := d.packedTimes(form, rows)
	if d.err != nil || from >= to {
		return
	}
	packed = packed[from*size/8:]
	held, n := uint64(0), 0 // bits read and not yet used
	if used := from * size % 8; used > 0 {
		held, n, packed = uint64(packed[0]), 8-used, packed[1:]
	}
	for range to - from {
		for ; n < size; n += 8 {
			held = held<<8 | uint64(packed[0])
			packed = packed[1:]
		}
		n -= size
		t := held >> n & (1<<size - 1)
		if least > maxSeconds || least+t > maxSeconds {
			d.fail("has a time out of range")
			return
		}
		use(least + t)
	}
}

// packedTimes gives the width in bits of a column's times, and the times.
func (d *decoder) packedTimes(form byte, rows int) (size int, packed []byte) {
	size = int(d.byte())
	if form == columnBytes {
		size *= 8
	}
	if size < 1 || size > maxTimeBits {
		d.fail("has a column of times %d bits wide", size)
		return 0, nil
	}
	return size, d.bytes((size*rows + 7) / 8)
}
