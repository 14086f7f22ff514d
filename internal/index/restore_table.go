package index

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/RoaringBitmap/roaring/v2"

	"stocktake/internal/inventory"
)

// tableReader reads the sections of one table. Values, shapes and postings are read side by side as they arrive, by
// goroutines that touch different parts of the table; what ties them together follows.
type tableReader struct {
	*table
	part           *partition
	free           *roaring.Bitmap
	values, shapes uint32 // how many there are to be

	columns map[byte]chan *section
	running sync.WaitGroup
	late    []*section // groups and other sets
	mu      sync.Mutex
	err     error // the first
}

// sectionsAhead is how many sections of a kind may wait to be read.
const sectionsAhead = 8

func newTableReader(t *table, part *partition, free *roaring.Bitmap, values, shapes uint32) *tableReader {
	r := &tableReader{table: t, part: part, free: free, values: values, shapes: shapes, columns: map[byte]chan *section{}}
	for kind, read := range map[byte]func(*section){
		sectionValues: r.readValues, sectionShapes: r.readShapes, sectionPostings: r.readPostings,
	} {
		column := make(chan *section, sectionsAhead)
		r.columns[kind] = column
		r.running.Go(func() {
			for s := range column {
				if r.failed() == nil {
					if s.unpack(); !s.bad {
						read(s)
					}
					if s.bad {
						r.fail(s)
					}
				}
				s.release()
			}
		})
	}
	return r
}

// feed takes a section.
func (r *tableReader) feed(s *section) {
	if column := r.columns[s.kind]; column != nil {
		column <- s
		return
	}
	r.late = append(r.late, s)
}

func (r *tableReader) fail(s *section) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = s.malformed()
	}
}

func (r *tableReader) failed() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// wait waits for what is read side by side, and ties it together.
func (r *tableReader) wait() error {
	for _, column := range r.columns {
		close(column)
	}
	r.running.Wait()
	if err := r.failed(); err != nil {
		return err
	}
	t := r.table
	if t.values.n != r.values || t.shapes.n != r.shapes || t.postings.n != r.shapes {
		return damaged("type %s has %d values and %d and %d shapes, not %d and %d", t.typ, t.values.n, t.shapes.n, t.postings.n, r.values, r.shapes)
	}
	r.running.Go(r.findTexts)
	whole := r.findShapes() && r.listShapes()
	r.running.Wait()
	if !whole {
		return damaged("shapes of type %s do not fit together", t.typ)
	}
	return nil
}

// readValues reads attribute, distance of the folded value, and text.
func (r *tableReader) readValues(s *section) {
	t := r.table
	for s.more() {
		attr, back, text := s.below(len(t.attrs)), s.uint(math.MaxUint32), s.text()
		n := t.values.n
		if s.bad || back > uint64(n) || n == r.values {
			s.bad = true
			return
		}
		fold := n - uint32(back)
		if f := fold; f < n && (t.values.get(f).fold != f || t.values.get(f).attr != attr) {
			s.bad = true
			return
		}
		t.values.push(value{text: t.texts.putBytes(text), fold: fold, attr: attr}, t.epoch)
		t.states.push(state{aux: unknown}, t.epoch)
		if fold == n {
			t.attrs[attr].values = append(t.attrs[attr].values, n)
		}
	}
}

// readShapes reads id, sub-type and values.
func (r *tableReader) readShapes(s *section) {
	t := r.table
	for s.more() {
		var id inventory.ShapeID
		copy(id[:], s.bytes(len(id)))
		sub := s.below(len(t.subNames))
		width := int(s.uint(uint64(len(s.rest))))
		if s.bad || t.shapes.n == r.shapes {
			s.bad = true
			return
		}
		at, row := t.rows.alloc(1 + width)
		row[0] = uint32(width)
		for i := range width {
			row[1+i] = s.below(int(r.values))
		}
		t.shapes.push(shape{id: id, row: uint32(at), sub: sub}, t.epoch)
	}
}

// readPostings reads the nodes of shapes. Those of the few share one text.
func (r *tableReader) readPostings(s *section) {
	t := r.table
	first := t.postings.n
	var few []byte
	var ends []int
	for s.more() {
		if t.postings.n == r.shapes {
			s.bad = true
			return
		}
		var p posting
		few, p = r.readSet(s, few)
		if p.bits != nil {
			t.elements += p.count()
		} else if len(ends) == 0 && len(few) == 0 || len(ends) > 0 && len(few) == ends[len(ends)-1] {
			s.bad = true // a shape that no node has
		}
		ends = append(ends, len(few))
		t.postings.push(p, t.epoch)
		t.live++
	}
	all, from := string(few), 0
	for i, end := range ends {
		if end > from {
			t.postings.get(first + uint32(i)).few = all[from:end]
			t.elements += (end - from) / 4
			from = end
		}
	}
}

// readSet reads a set of nodes, none of them a number that is free: few are appended, as posting.few has them.
func (r *tableReader) readSet(s *section, few []byte) ([]byte, posting) {
	n := s.uint(uint64(r.part.ids.n))
	if n > fewMost {
		return few, r.readMany(s, n)
	}
	last := uint64(0)
	for i := range n {
		d := s.uint(math.MaxUint32)
		last += d
		if s.bad || i > 0 && d == 0 || last >= uint64(r.part.ids.n) || *r.part.ids.get(uint32(last)) == "" {
			s.bad = true
			break
		}
		few = binary.LittleEndian.AppendUint32(few, uint32(last))
	}
	return few, posting{}
}

func (r *tableReader) readMany(s *section, n uint64) posting {
	b := newBits(r.epoch)
	body := s.bytes(int(s.uint(uint64(len(s.rest)))))
	if s.bad || !readBitmap(b, body) || b.GetCardinality() != n || uint64(b.Maximum()) >= uint64(r.part.ids.n) || b.Intersects(r.free) {
		s.bad = true
		return posting{}
	}
	return posting{bits: b}
}

func readBitmap(b *bits, body []byte) bool {
	used, err := b.ReadFrom(bytes.NewReader(body))
	return err == nil && used == int64(len(body)) && b.Validate() == nil
}

// findTexts has values be found by their texts.
func (r *tableReader) findTexts() {
	t := r.table
	t.byText.fill(r.values, func(n uint32) uint64 {
		v := t.values.get(n)
		return t.hashText(v.attr, t.texts.get(v.text))
	}, nil)
}

// findShapes has shapes be found by their ids, and reports whether none is there twice.
func (r *tableReader) findShapes() bool {
	t := r.table
	return t.byID.fill(r.shapes, func(n uint32) uint64 { return hashID(t.shapes.get(n).id) }, func(a, b uint32) bool {
		x, y := t.shapes.get(a), t.shapes.get(b)
		return x.id == y.id && x.sub == y.sub
	})
}

// listShapes lists the shapes of every folded value, and reports whether the values of each fit it: of different
// attributes, in the order of their names.
func (r *tableReader) listShapes() bool {
	t := r.table
	order := t.attrRanks()
	folds, ranks := make([]uint32, r.values), make([]uint32, r.values)
	for n := range r.values {
		v := t.values.get(n)
		folds[n], ranks[n] = v.fold, order[v.attr]
	}
	starts := make([]uint32, r.values+1)
	total := 0
	for n := range r.shapes {
		row := t.row(n)
		for i, val := range row {
			if i > 0 && ranks[row[i-1]] >= ranks[val] {
				return false
			}
			starts[folds[val]+1]++
		}
		total += len(row)
	}
	for n := range r.values {
		starts[n+1] += starts[n]
	}
	next, all := ranks, make([]uint32, total)
	copy(next, starts)
	for n := range r.shapes {
		for _, val := range t.row(n) {
			at := &next[folds[val]]
			all[*at] = n
			*at++
		}
	}
	for n := range r.values {
		if shapes := all[starts[n]:starts[n+1]]; len(shapes) > 0 {
			t.listAll(t.states.get(n), shapes)
		}
	}
	return true
}

// attrRanks gives each attribute's place in the order of names.
func (t *table) attrRanks() []uint32 {
	byName := make([]int, len(t.attrs))
	for i := range byName {
		byName[i] = i
	}
	slices.SortFunc(byName, func(a, b int) int { return strings.Compare(t.attrs[a].name, t.attrs[b].name) })
	ranks := make([]uint32, len(t.attrs))
	for rank, i := range byName {
		ranks[i] = uint32(rank)
	}
	return ranks
}

// finish reads what is left, once nothing else of the index is being read.
func (r *tableReader) finish() error {
	for _, s := range r.late {
		s.unpack()
		for s.kind == sectionGroups && s.more() {
			r.group(s)
		}
		if s.kind == sectionSets {
			r.sets(s)
		}
		if s.bad || len(s.rest) > 0 {
			return s.malformed()
		}
		s.release()
	}
	for n := range r.table.values.n {
		if s := r.states.get(n); s.count > groupAt && s.aux == unknown {
			r.makeGroup(s)
		}
	}
	return nil
}

// group reads the nodes of a value with many shapes.
func (r *tableReader) group(s *section) {
	t := r.table
	val := s.below(int(r.values))
	b := r.bitmap(s)
	if s.bad {
		return
	}
	// A value may have had more shapes when the snapshot was written.
	if st := t.states.get(val); st.count > groupAt && st.aux == unknown {
		st.aux = t.groups.push(group{nodes: b}, t.epoch)
		t.seen = append(t.seen, 0)
	}
}

// bitmap reads a set of nodes of any size.
func (r *tableReader) bitmap(s *section) *bits {
	few, p := r.readSet(s, nil)
	if p.bits == nil {
		p.bits = newBits(r.epoch)
		for at := 0; at < len(few); at += 4 {
			p.bits.Add(binary.LittleEndian.Uint32(few[at:]))
		}
	}
	return p.bits
}

func (r *tableReader) sets(s *section) {
	t := r.table
	t.all = r.bitmap(s)
	for range s.count() {
		attr := s.below(len(t.attrs))
		if s.bad {
			return
		}
		t.attrs[attr].volatile = r.bitmap(s)
	}
	for range s.count() {
		t.splits = append(t.splits, splitNodes{number: uint32(s.uint(math.MaxUint32)), nodes: r.bitmap(s)})
	}
	for range s.count() {
		n := s.below(int(r.part.ids.n))
		var subs []uint32
		for range s.count() {
			subs = append(subs, s.below(len(t.subNames)))
		}
		if s.bad || len(subs) == 0 || !t.all.Contains(n) {
			s.bad = true
			return
		}
		t.setSubs(n, subs)
	}
	for it := t.all.Iterator(); !s.bad && it.HasNext(); {
		r.part.entered(it.Next())
	}
}
