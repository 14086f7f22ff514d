package index

import (
	"slices"
	"strings"

	"github.com/RoaringBitmap/roaring/v2"

	"stocktake/internal/inventory"
)

// read counts by the documents of nodes shapes can't tell of.
func (c *counter) read(a inventory.Aggregator, nodes *roaring.Bitmap) (branches, error) {
	top := branches{}
	types := typesOf(a, nil)
	var buf [ReadMost]uint32
	it := nodes.ManyIterator()
	for n := it.NextMany(buf[:]); n > 0; n = it.NextMany(buf[:]) {
		if err := c.readSome(top, a, types, buf[:n]); err != nil {
			return nil, err
		}
	}
	return top, nil
}

func (c *counter) readSome(top branches, a inventory.Aggregator, types []inventory.TypeName, nodes []uint32) error {
	ids := (&Result{ids: c.ids}).idsOf(nodes)
	read := map[inventory.TypeName][][]inventory.Entry{}
	for _, t := range types {
		if err := c.step(256 * len(ids)); err != nil {
			return err
		}
		var err error
		if read[t], _, err = c.docs.Entries(c.ctx, ids, t, nil); err != nil {
			return err
		}
	}
	for i := range nodes {
		if err := top.add(c, a, func(t inventory.TypeName) []inventory.Entry { return read[t][i] }); err != nil {
			return err
		}
	}
	return nil
}

// typesOf appends the types an aggregator counts by, each once.
func typesOf(a inventory.Aggregator, types []inventory.TypeName) []inventory.TypeName {
	if !slices.Contains(types, a.Type) {
		types = append(types, a.Type)
	}
	for _, n := range a.Nested {
		types = typesOf(n, types)
	}
	return types
}

// branches are the buckets of an expression under one parent while documents are read, by value.
type branches map[string]*branch

type branch struct {
	count int
	inner []branches // nil where there is none yet
}

// entriesOf gives a node's entries of a type; of a type bound already only those that have the values above.
type entriesOf func(t inventory.TypeName) []inventory.Entry

// add counts a node. Within another type every value meets every other, so that each costs a step.
func (bs branches) add(c *counter, a inventory.Aggregator, entries entriesOf) error {
	all := entries(a.Type)
	if err := c.step(1 + len(all)); err != nil {
		return err
	}
	byValue := map[string][]inventory.Entry{}
	for _, e := range all {
		if text, ok := e.Get(a.Attribute); ok {
			folded := inventory.Fold(text)
			byValue[folded] = append(byValue[folded], e)
		}
	}
	for value, same := range byValue {
		b, err := bs.branch(c, value, len(a.Nested))
		if err != nil {
			return err
		}
		b.count++
		bound := func(t inventory.TypeName) []inventory.Entry {
			if t == a.Type {
				return same
			}
			return entries(t)
		}
		for i, n := range a.Nested {
			if b.inner[i] == nil {
				b.inner[i] = branches{}
			}
			if err := b.inner[i].add(c, n, bound); err != nil {
				return err
			}
		}
	}
	return nil
}

// branch gives that of a value.
func (bs branches) branch(c *counter, value string, nested int) (*branch, error) {
	b := bs[value]
	if b != nil {
		return b, nil
	}
	if err := c.row(); err != nil {
		return nil, err
	}
	b = &branch{inner: make([]branches, nested)}
	bs[strings.Clone(value)] = b
	return b, nil
}

// absorb adds buckets counted by shapes.
func (bs branches) absorb(c *counter, l *layer, s span) error {
	for i := s.from; i < s.to; i++ {
		b, err := bs.branch(c, l.text(l.values[i]), len(l.nested))
		if err != nil {
			return err
		}
		b.count += int(l.counts[i])
		for k, inner := range l.nested {
			if b.inner[k] == nil {
				b.inner[k] = branches{}
			}
			if err := b.inner[k].absorb(c, inner, l.spans[k][i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// appendTo lists the buckets in order.
func (bs branches) appendTo(l *layer, texts *[]string, s *sorter) span {
	from := uint32(len(l.values))
	sorted := make([]string, 0, len(bs))
	for value := range bs {
		sorted = append(sorted, value)
	}
	slices.Sort(sorted)
	for _, value := range sorted {
		b := bs[value]
		l.values, l.counts = append(l.values, uint32(len(*texts))), append(l.counts, uint32(b.count))
		*texts = append(*texts, value)
		for k, inner := range l.nested {
			l.spans[k] = append(l.spans[k], b.inner[k].appendTo(inner, texts, s))
		}
	}
	l.sort(int(from), s)
	return span{from, uint32(len(l.values))}
}

// rows lists the buckets of an aggregator in order.
func (bs branches) rows(a inventory.Aggregator, s *sorter) Rows {
	texts := new([]string)
	var make func(a inventory.Aggregator) *layer
	make = func(a inventory.Aggregator) *layer {
		l := &layer{typ: a.Type, attribute: a.Attribute, text: func(v uint32) string { return (*texts)[v] }}
		for _, n := range a.Nested {
			l.nested, l.spans = append(l.nested, make(n)), append(l.spans, nil)
		}
		return l
	}
	top := make(a)
	bs.appendTo(top, texts, s)
	return newRows(top)
}
