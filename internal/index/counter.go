package index

import (
	"context"
	"slices"
	"strings"

	"github.com/RoaringBitmap/roaring/v2"

	"stocktake/internal/inventory"
)

// counter is one Aggregate under way.
type counter struct {
	ctx      context.Context
	docs     Documents
	bounds   Bounds
	views    map[inventory.TypeName]*view
	ids      vector[inventory.NodeID]
	nodes    uint32 // every number is below
	workDone int
	rowsDone int

	stamps  []uint32 // by node: the last union it was seen in
	stamp   uint32
	spare   [][]uint64
	sources []*posting
	buf     []uint32
}

// nodeSet is a set of nodes both as a list and as a plain bitset. nil is the set of all.
type nodeSet struct {
	list  []uint32
	words []uint64
}

func (s *nodeSet) has(n uint32) bool { return s.words[n>>6]&(1<<(n&63)) != 0 }

// take makes a set of a list; release gives its bitset back for the next.
func (c *counter) take(list []uint32) *nodeSet {
	s := &nodeSet{list: list}
	if last := len(c.spare) - 1; last >= 0 {
		s.words, c.spare = c.spare[last], c.spare[:last]
	} else {
		s.words = make([]uint64, (c.nodes+63)/64)
	}
	for _, n := range list {
		s.words[n>>6] |= 1 << (n & 63)
	}
	return s
}

func (c *counter) release(s *nodeSet) {
	for _, n := range s.list {
		s.words[n>>6] = 0
	}
	c.spare = append(c.spare, s.words)
}

// step accounts for work.
func (c *counter) step(n int) error {
	before := c.workDone
	c.workDone += n
	if c.bounds.Work > 0 && c.workDone > c.bounds.Work {
		return inventory.Errorf(inventory.InvalidAggregator,
			"Counting would take more than %d steps. Use fewer nested Aggregators, or Filters that match fewer nodes.", c.bounds.Work)
	}
	if before>>8 != c.workDone>>8 {
		return c.ctx.Err()
	}
	return nil
}

func (c *counter) tooManyRows() error {
	return inventory.Errorf(inventory.InvalidAggregator,
		"The aggregator gives more than %d rows. Use fewer nested Aggregators, or Filters that match fewer nodes.", c.bounds.Rows)
}

// binding says that a type's expressions met so far hold for entries of these shapes. rest is the set of nodes that meet
// everything but this.
type binding struct {
	typ    inventory.TypeName
	shapes []uint32
	rest   *nodeSet
}

// level counts for sibling aggregators under one parent. full is the set of nodes that have the parent's values.
func (c *counter) level(aggs []inventory.Aggregator, full *nodeSet, bound []binding) ([][]bucket, error) {
	out := make([][]bucket, len(aggs))
	for i, a := range aggs {
		v := c.views[a.Type]
		if v == nil {
			continue
		}
		attr, ok := v.attrNamed(a.Attribute)
		if !ok {
			continue
		}
		l := levelRun{counter: c, agg: a, view: v, attr: attr, within: full, bound: bound}
		at := slices.IndexFunc(bound, func(b binding) bool { return b.typ == a.Type })
		var err error
		if at >= 0 {
			l.within = bound[at].rest
			err = l.boundValues(bound[at].shapes)
		} else {
			err = l.allValues()
		}
		if err != nil {
			return nil, err
		}
		out[i] = l.out
	}
	return out, nil
}

// levelRun counts for one aggregator under one parent.
type levelRun struct {
	*counter
	agg    inventory.Aggregator
	view   *view
	attr   uint32
	within *nodeSet
	bound  []binding
	out    []bucket
}

// allValues counts by every value of the attribute, in byte order.
func (l *levelRun) allValues() error {
	a := &l.view.attrs[l.attr]
	binds := l.rebinds(l.agg.Nested)
	var shapes []uint32
	for _, val := range l.view.byteOrder(a) {
		s := l.view.states.get(val)
		l.sources = l.sources[:0]
		if s.count > groupAt {
			l.sources = append(l.sources, &posting{bits: *l.view.groups.get(s.aux)})
		}
		if s.count <= groupAt || binds {
			shapes = l.view.appendShapes(shapes[:0], s)
		}
		if s.count <= groupAt {
			l.source(shapes)
		}
		if err := l.value(val, shapes); err != nil {
			return err
		}
	}
	return nil
}

// boundValues counts by the values of the attribute the given shapes have.
func (l *levelRun) boundValues(shapes []uint32) error {
	pairs := make([]uint64, 0, len(shapes))
	for _, s := range shapes {
		if fold, ok := l.view.foldOf(s, l.attr); ok {
			pairs = append(pairs, uint64(fold)<<32|uint64(s))
		}
	}
	slices.Sort(pairs)
	var same []uint32
	for i := 0; i < len(pairs); {
		fold := uint32(pairs[i] >> 32)
		same = same[:0]
		for ; i < len(pairs) && uint32(pairs[i]>>32) == fold; i++ {
			same = append(same, uint32(pairs[i]))
		}
		l.sources = l.sources[:0]
		l.source(same)
		if err := l.value(fold, same); err != nil {
			return err
		}
	}
	return nil
}

func (l *levelRun) source(shapes []uint32) {
	for _, s := range shapes {
		if p := l.view.postings.get(s); !p.empty() {
			l.sources = append(l.sources, p)
		}
	}
}

// value counts one value, whose nodes are in sources, and what is nested in it.
func (l *levelRun) value(val uint32, shapes []uint32) error {
	if len(l.sources) == 0 {
		return nil
	}
	if err := l.step(len(l.sources)); err != nil {
		return err
	}
	deeper := len(l.agg.Nested) > 0
	n, list := l.gather(l.within, deeper)
	if n == 0 {
		return nil
	}
	b := bucket{value: l.view.text(val), count: n}
	if deeper {
		var err error
		if b.inner, err = l.nested(list, shapes); err != nil {
			return err
		}
	} else if most := l.bounds.Rows; most > 0 && l.rowsDone+len(l.out) >= most {
		return l.tooManyRows()
	}
	l.out = append(l.out, b)
	return nil
}

// nested counts what is nested in a value that the nodes of list have, by entries of the given shapes.
func (l *levelRun) nested(list, shapes []uint32) ([][]bucket, error) {
	bound := make([]binding, 0, len(l.bound)+1)
	mine := append([]*posting(nil), l.sources...)
	var sets []*nodeSet
	for _, b := range l.bound {
		if b.typ == l.agg.Type {
			continue
		}
		if uses(l.agg.Nested, b.typ) {
			l.sources = append(l.sources[:0], mine...)
			_, rest := l.gather(b.rest, true)
			b.rest = l.take(rest)
			sets = append(sets, b.rest)
		}
		bound = append(bound, b)
	}
	full := l.take(list)
	sets = append(sets, full)
	bound = append(bound, binding{typ: l.agg.Type, shapes: slices.Clone(shapes), rest: l.within})
	inner, err := l.level(l.agg.Nested, full, bound)
	for _, s := range sets {
		l.release(s)
	}
	return inner, err
}

// rebinds reports whether an aggregator among those given, or nested in them, is of the same type as this one: then the
// shapes behind a value matter.
func (l *levelRun) rebinds(nested []inventory.Aggregator) bool { return uses(nested, l.agg.Type) }

func uses(aggs []inventory.Aggregator, t inventory.TypeName) bool {
	return slices.ContainsFunc(aggs, func(a inventory.Aggregator) bool { return a.Type == t || uses(a.Nested, t) })
}

// gather counts the nodes within a set that any of the sources has, and lists them when asked to.
func (c *counter) gather(within *nodeSet, wanted bool) (int, []uint32) {
	var list []uint32
	if len(c.sources) == 1 && within == nil {
		p := c.sources[0]
		if wanted {
			list = p.appendTo(nil)
		}
		return p.count(), list
	}
	if c.stamps == nil {
		c.stamps = make([]uint32, c.nodes)
	}
	c.stamp++
	n := 0
	for _, p := range c.sources {
		for _, x := range c.candidates(p, within) {
			if c.stamps[x] == c.stamp {
				continue
			}
			c.stamps[x] = c.stamp
			n++
			if wanted {
				list = append(list, x)
			}
		}
	}
	return n, list
}

// candidates gives the nodes of a posting within a set, going through the smaller of the two.
func (c *counter) candidates(p *posting, within *nodeSet) []uint32 {
	c.buf = c.buf[:0]
	if within != nil && p.bits != nil && 8*len(within.list) < p.count() {
		for _, x := range within.list {
			if p.bits.Contains(x) {
				c.buf = append(c.buf, x)
			}
		}
		return c.buf
	}
	c.buf = p.appendTo(c.buf)
	if within == nil {
		return c.buf
	}
	kept := c.buf[:0]
	for _, x := range c.buf {
		if within.has(x) {
			kept = append(kept, x)
		}
	}
	return kept
}

// byteOrder gives an attribute's values in byte order.
func (v *view) byteOrder(a *attribute) []uint32 {
	o := a.orders.get(byBytes)
	if o == nil {
		return v.sorted(byBytes, a.values, nil).values
	}
	if o.covers >= len(a.values) { // made after the view was frozen, it may know more
		return slices.DeleteFunc(slices.Clone(o.values), func(x uint32) bool { return x >= v.values.n })
	}
	return v.sorted(byBytes, a.values, o).values
}

// read counts by the documents of nodes shapes can't tell of.
func (c *counter) read(a inventory.Aggregator, nodes *roaring.Bitmap) ([]bucket, error) {
	top := branches{}
	for it := nodes.Iterator(); it.HasNext(); {
		n := it.Next()
		seen := map[inventory.TypeName][]inventory.Entry{}
		entries := func(t inventory.TypeName) ([]inventory.Entry, error) {
			if e, ok := seen[t]; ok {
				return e, nil
			}
			if err := c.step(256); err != nil {
				return nil, err
			}
			e, _, err := c.docs.Entries(c.ctx, *c.ids.get(n), t)
			seen[t] = e
			return e, err
		}
		if err := top.add(a, entries); err != nil {
			return nil, err
		}
	}
	return top.buckets(a), nil
}

// branches are buckets while documents are read.
type branches map[string]*branch

type branch struct {
	count int
	inner []branches
}

// entriesOf gives a node's entries of a type; of a type bound already only those that have the values above.
type entriesOf func(t inventory.TypeName) ([]inventory.Entry, error)

func (bs branches) add(a inventory.Aggregator, entries entriesOf) error {
	all, err := entries(a.Type)
	if err != nil {
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
		b := bs[value]
		if b == nil {
			b = &branch{inner: make([]branches, len(a.Nested))}
			bs[strings.Clone(value)] = b
		}
		b.count++
		bound := func(t inventory.TypeName) ([]inventory.Entry, error) {
			if t == a.Type {
				return same, nil
			}
			return entries(t)
		}
		for i, n := range a.Nested {
			if b.inner[i] == nil {
				b.inner[i] = branches{}
			}
			if err := b.inner[i].add(n, bound); err != nil {
				return err
			}
		}
	}
	return nil
}

func (bs branches) buckets(a inventory.Aggregator) []bucket {
	out := make([]bucket, 0, len(bs))
	for value, b := range bs {
		x := bucket{value: value, count: b.count}
		if len(a.Nested) > 0 {
			x.inner = make([][]bucket, len(a.Nested))
			for i, n := range a.Nested {
				x.inner[i] = b.inner[i].buckets(n)
			}
		}
		out = append(out, x)
	}
	return out
}
