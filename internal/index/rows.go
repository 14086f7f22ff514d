package index

import (
	"cmp"
	"slices"
	"unsafe"

	"stocktake/internal/inventory"
)

// Rows are the counted rows of an expression and what is nested in it. They are kept as numbers, a dozen bytes a row, so
// that those of the whole fleet can be kept for later pages; texts are looked up for the rows asked for. Rows do not
// change. The zero Rows has none.
type Rows struct {
	top *layer
	// ends has, for each outermost bucket, how many rows there are up to its end. Nil where each is a row.
	ends []uint32
}

// Row is one combination of values and the number of nodes that have it. Values are folded.
type Row struct {
	Path  []Cell // outermost first
	Count int
}

// Cell is one expression's part of a row. Its Value shares the index's memory.
type Cell struct {
	Type      inventory.TypeName
	Attribute string
	Value     string
}

// layer is all buckets of one expression, those under one parent side by side, in the order of rows. A bucket is one
// value with its nodes counted.
type layer struct {
	typ       inventory.TypeName
	attribute string
	text      func(value uint32) string
	values    []uint32
	counts    []uint32
	// nested are the expressions inside, and spans their buckets under each bucket here.
	nested []*layer
	spans  [][]span
}

// span is a run of buckets.
type span struct{ from, to uint32 }

func newRows(top *layer) Rows {
	r := Rows{top: top}
	if len(top.nested) > 0 {
		r.ends = make([]uint32, len(top.values))
		n := 0
		for i := range top.values {
			n += top.under(uint32(i))
			r.ends[i] = uint32(n)
		}
	}
	return r
}

// under gives how many rows a bucket makes.
func (l *layer) under(i uint32) int {
	if len(l.nested) == 0 {
		return 1
	}
	n := 0
	for k, inner := range l.nested {
		s := l.spans[k][i]
		if len(inner.nested) == 0 {
			n += int(s.to - s.from)
			continue
		}
		for j := s.from; j < s.to; j++ {
			n += inner.under(j)
		}
	}
	return n
}

// Len gives the number of rows.
func (r Rows) Len() int {
	switch {
	case r.top == nil:
		return 0
	case r.ends == nil:
		return len(r.top.values)
	case len(r.ends) == 0:
		return 0
	}
	return int(r.ends[len(r.ends)-1])
}

// Bytes gives the memory rows hold of their own; that of texts they share with the index.
func (r Rows) Bytes() int {
	if r.top == nil {
		return 0
	}
	return 4*len(r.ends) + r.top.bytes()
}

func (l *layer) bytes() int {
	n := int(unsafe.Sizeof(*l)) + 4*cap(l.values) + 4*cap(l.counts)
	for k, inner := range l.nested {
		n += 8*cap(l.spans[k]) + inner.bytes()
	}
	return n
}

// Page gives up to most rows from the given one on.
func (r Rows) Page(from, most int) []Row {
	n := min(most, r.Len()-from)
	if n <= 0 {
		return nil
	}
	p := pager{rows: make([]Row, 0, n)}
	first := from
	if r.ends != nil {
		if first, _ = slices.BinarySearch(r.ends, uint32(from+1)); first > 0 {
			from -= int(r.ends[first-1])
		}
		p.skip = from
	}
	p.cells = make([]Cell, 0, n*r.top.depth())
	p.walk(r.top, span{uint32(first), uint32(len(r.top.values))}, make([]Cell, 0, r.top.depth()))
	return p.rows
}

func (l *layer) depth() int {
	deepest := 0
	for _, inner := range l.nested {
		deepest = max(deepest, inner.depth())
	}
	return deepest + 1
}

// pager lists rows until it has as many as it has room for.
type pager struct {
	rows  []Row
	cells []Cell // of all rows
	skip  int    // rows to pass over first
}

func (p *pager) full() bool { return len(p.rows) == cap(p.rows) }

func (p *pager) walk(l *layer, s span, path []Cell) {
	for i := s.from; i < s.to && !p.full(); i++ {
		if p.skip > 0 {
			if n := l.under(i); n <= p.skip {
				p.skip -= n
				continue
			}
		}
		here := append(path, Cell{Type: l.typ, Attribute: l.attribute, Value: l.text(l.values[i])})
		if len(l.nested) == 0 {
			at := len(p.cells)
			p.cells = append(p.cells, here...)
			p.rows = append(p.rows, Row{Path: p.cells[at:len(p.cells):len(p.cells)], Count: int(l.counts[i])})
			continue
		}
		for k, inner := range l.nested {
			p.walk(inner, l.spans[k][i], here)
		}
	}
}

// sort orders the buckets from the given one on by count, largest first, and by value.
func (l *layer) sort(from int, s *sorter) {
	values, counts := l.values[from:], l.counts[from:]
	if s.sorted(values, counts) {
		return
	}
	at := s.order(values, counts)
	permute(values, at, &s.numbers)
	permute(counts, at, &s.numbers)
	for k := range l.spans {
		permute(l.spans[k][from:], at, &s.spans)
	}
}

// sorter holds what sorting needs for a moment.
type sorter struct {
	places  []uint32
	byValue []uint32
	starts  []uint32
	numbers []uint32
	spans   []span
}

func (s *sorter) sorted(values, counts []uint32) bool {
	for i := 1; i < len(values); i++ {
		if counts[i-1] < counts[i] || counts[i-1] == counts[i] && values[i-1] > values[i] {
			return false
		}
	}
	return true
}

// order gives the places of buckets in their order.
func (s *sorter) order(values, counts []uint32) []uint32 {
	s.places = slices.Grow(s.places[:0], len(values))[:len(values)]
	greatest, most := slices.Max(values), slices.Max(counts)
	if many := 8 * uint64(len(values)); len(values) < 256 || uint64(greatest) > many || uint64(most) > many {
		return s.few(values, counts)
	}
	// Both are small numbers: put them in their places, by value first.
	s.byValue = slices.Grow(s.byValue[:0], int(greatest)+1)[:greatest+1]
	for i := range s.byValue {
		s.byValue[i] = none
	}
	s.starts = slices.Grow(s.starts[:0], int(most)+2)[:most+2]
	clear(s.starts)
	for i, v := range values {
		s.byValue[v] = uint32(i)
		s.starts[most-counts[i]+1]++
	}
	for i := range most {
		s.starts[i+1] += s.starts[i]
	}
	for _, i := range s.byValue {
		if i != none {
			at := &s.starts[most-counts[i]]
			s.places[*at] = i
			*at++
		}
	}
	return s.places
}

// few does so by comparing.
func (s *sorter) few(values, counts []uint32) []uint32 {
	for i := range s.places {
		s.places[i] = uint32(i)
	}
	slices.SortFunc(s.places, func(a, b uint32) int {
		if c := cmp.Compare(counts[b], counts[a]); c != 0 {
			return c
		}
		return cmp.Compare(values[a], values[b])
	})
	return s.places
}

// permute puts the elements at the given places in their order.
func permute[T any](all []T, at []uint32, scratch *[]T) {
	old := append((*scratch)[:0], all...)
	for i, from := range at {
		all[i] = old[from]
	}
	*scratch = old
}
