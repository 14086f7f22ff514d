package pebble

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"

	"stocktake/internal/inventory"
)

// Refs are stored in columns: first the number of every ref's shape, each as the difference to the one before it; then
// the volatile attributes, by kind. Refs that have the same volatile attributes are of one kind; runs of kinds follow the
// refs, and for each kind and attribute its values stand together, in the form that is shortest for what they are.

// numberOf gives a shape's number; false where it has none.
type numberOf func(inventory.ShapeID) (uint32, bool)

// idOf undoes numberOf.
type idOf func(uint32) (inventory.ShapeID, bool)

// appendRefs appends refs and gives the numbers it used; false where a shape has no number.
func appendRefs(dst []byte, refs []inventory.Ref, number numberOf) ([]byte, []uint32, bool) {
	dst = binary.AppendUvarint(dst, uint64(len(refs)))
	numbers := make([]uint32, len(refs))
	last := uint32(0)
	for i, r := range refs {
		n, ok := number(r.Shape)
		if !ok {
			return nil, nil, false
		}
		dst = binary.AppendVarint(dst, int64(n)-int64(last))
		numbers[i], last = n, n
	}
	return appendVolatile(dst, refs), numbers, true
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
	columnTimes = 2 // the least time, a width in bytes, and every time's distance from the least in so many bytes

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
	width := max(1, (bits.Len64(uint64(most-least))+7)/8)
	dst = binary.AppendUvarint(append(dst, columnTimes), uint64(least))
	dst = append(dst, byte(width))
	for _, t := range times {
		for shift := 8 * (width - 1); shift >= 0; shift -= 8 {
			dst = append(dst, byte((t-least)>>shift))
		}
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
	last := int64(0)
	for i := range refs {
		last += d.varint()
		ok := last >= 0 && last <= int64(^uint32(0))
		if ok {
			refs[i].Shape, ok = id(uint32(last))
		}
		if !ok {
			d.fail("names shape number %d, which is not known", last)
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
	last := int64(0)
	for i := range numbers {
		last += d.varint()
		numbers[i] = uint32(last)
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
		arenas[k] = make([]inventory.Attribute, width*rows[k])
		for column, name := range names[k] {
			d.column(arenas[k], column, width, name)
		}
	}
	deal(refs, runs, names, arenas)
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

// deal gives every ref its volatile attributes, which lie in its kind's arena, ref after ref.
func deal(refs []inventory.Ref, runs []run, names [][]string, arenas [][]inventory.Attribute) {
	at := 0
	for _, r := range runs {
		if r.kind == 0 {
			at += r.refs
			continue
		}
		width := len(names[r.kind-1])
		arena := &arenas[r.kind-1]
		for range r.refs {
			refs[at].Volatile = (*arena)[:width:width]
			*arena = (*arena)[width:]
			at++
		}
	}
}

// column reads the values of one attribute into the arena of its kind, where each ref has width attributes.
func (d *decoder) column(arena []inventory.Attribute, column, width int, name string) {
	switch form := d.byte(); form {
	case columnRaw:
		for i := column; i < len(arena); i += width {
			arena[i] = inventory.Attribute{Name: name, Value: d.string()}
		}
	case columnSame:
		value := d.string()
		for i := column; i < len(arena); i += width {
			arena[i] = inventory.Attribute{Name: name, Value: value}
		}
	case columnTimes:
		d.times(arena, column, width, name)
	default:
		d.fail("has a column of form %d", form)
	}
}

func (d *decoder) times(arena []inventory.Attribute, column, width int, name string) {
	least, size := d.uvarint(), int(d.byte())
	rows := len(arena) / width
	packed := d.bytes(size * rows)
	if size < 1 || size > 5 || least > maxSeconds || d.err != nil {
		d.fail("has a column of times %d bytes wide", size)
		return
	}
	var text strings.Builder
	text.Grow(timeLength * rows)
	var one [timeLength]byte
	for ; len(packed) > 0; packed = packed[size:] {
		t := uint64(0)
		for _, b := range packed[:size] {
			t = t<<8 | uint64(b)
		}
		if least+t > maxSeconds {
			d.fail("has a time out of range")
			return
		}
		text.Write(appendSeconds(one[:0], int64(least+t)))
	}
	all := text.String()
	for i := column; i < len(arena); i += width {
		arena[i] = inventory.Attribute{Name: name, Value: all[:timeLength]}
		all = all[timeLength:]
	}
}
