package index

import (
	"slices"

	"stocktake/internal/inventory"
)

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
	shapes []uint32
}

// allValues counts by every value of the attribute, in byte order.
func (l *levelRun) allValues() error {
	col := l.column(l.view, l.attr)
	if l.within != nil && col.worth(l.view) {
		if err := l.fill(col, l.view); err != nil {
			return err
		}
	}
	if l.within != nil && col.starts != nil {
		return l.columnValues(col)
	}
	for _, val := range col.values {
		l.sourcesOf(val)
		col.spent += len(l.sources)
		if err := l.value(val, l.shapes); err != nil {
			return err
		}
	}
	return nil
}

// columnValues does so by the values each node has.
func (l *levelRun) columnValues(col *column) error {
	pairs := l.takePairs()
	for _, n := range l.within.list {
		for _, at := range col.of(n) {
			pairs = append(pairs, uint64(at)<<32|uint64(n))
		}
	}
	slices.Sort(pairs)
	for i := 0; i < len(pairs); {
		at, from := pairs[i]>>32, i
		for i < len(pairs) && pairs[i]>>32 == at {
			i++
		}
		if err := l.step(1); err != nil {
			return err
		}
		val := col.values[at]
		var list []uint32
		if len(l.agg.Nested) > 0 {
			list = make([]uint32, i-from)
			for k := range list {
				list[k] = uint32(pairs[from+k])
			}
			l.sourcesOf(val)
		}
		if err := l.counted(val, i-from, list, l.shapes); err != nil {
			return err
		}
	}
	l.givePairs(pairs)
	return nil
}

// sourcesOf finds the sets of nodes behind a value, and its shapes where they matter.
func (l *levelRun) sourcesOf(val uint32) {
	l.sources, l.shapes = l.sources[:0], l.shapes[:0]
	s := l.view.states.get(val)
	if s.count > groupAt {
		l.sources = append(l.sources, &posting{bits: l.view.groupNodes(s)})
		if uses(l.agg.Nested, l.agg.Type) {
			l.shapes = l.view.appendShapes(l.shapes, s)
		}
		return
	}
	l.shapes = l.view.appendShapes(l.shapes, s)
	l.source(l.shapes)
}

// boundValues counts by the values of the attribute the given shapes have.
func (l *levelRun) boundValues(shapes []uint32) error {
	pairs := l.takePairs()
	hint := 0
	for _, s := range shapes {
		if fold, ok := l.view.foldOf(s, l.attr, &hint); ok {
			pairs = append(pairs, uint64(fold)<<32|uint64(s))
		}
	}
	slices.Sort(pairs)
	for i := 0; i < len(pairs); {
		fold := uint32(pairs[i] >> 32)
		l.shapes = l.shapes[:0]
		for ; i < len(pairs) && uint32(pairs[i]>>32) == fold; i++ {
			l.shapes = append(l.shapes, uint32(pairs[i]))
		}
		l.sources = l.sources[:0]
		l.source(l.shapes)
		if err := l.value(fold, l.shapes); err != nil {
			return err
		}
	}
	l.givePairs(pairs)
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
	n, list := l.gather(l.within, usesOther(l.agg.Nested, l.agg.Type))
	if n == 0 {
		return nil
	}
	return l.counted(val, n, list, shapes)
}

// counted notes a value n nodes have, and counts what is nested in it. list has the nodes if expressions of other types
// are.
func (l *levelRun) counted(val uint32, n int, list, shapes []uint32) error {
	b := bucket{value: l.view.text(val), count: n}
	if len(l.agg.Nested) > 0 {
		var err error
		if b.inner, err = l.nested(list, shapes); err != nil {
			return err
		}
	}
	// One that turns out to make no row takes memory all the same.
	if rowless(b.inner) {
		if l.rowsMade++; l.rowsMade > l.bounds.rows() {
			return l.tooManyRows()
		}
	}
	l.out = append(l.out, b)
	return nil
}

// rowless reports whether a bucket has no buckets inside it: it makes a row itself, or none.
func rowless(inner [][]bucket) bool {
	return !slices.ContainsFunc(inner, func(bs []bucket) bool { return len(bs) > 0 })
}

// nested counts what is nested in a value that the nodes of list have, by entries of the given shapes.
func (l *levelRun) nested(list, shapes []uint32) ([][]bucket, error) {
	bound := make([]binding, 0, len(l.bound)+1)
	bound = append(bound, binding{typ: l.agg.Type, shapes: shapes, rest: l.within})
	if !usesOther(l.agg.Nested, l.agg.Type) {
		return l.level(l.agg.Nested, nil, bound)
	}
	var sets []*nodeSet
	var mine []*posting
	for _, b := range l.bound {
		if b.typ == l.agg.Type {
			continue
		}
		if uses(l.agg.Nested, b.typ) {
			if mine == nil {
				mine = slices.Clone(l.sources)
			}
			l.sources = append(l.sources[:0], mine...)
			_, rest := l.gather(b.rest, true)
			b.rest = l.take(rest)
			sets = append(sets, b.rest)
		}
		bound = append(bound, b)
	}
	full := l.take(list)
	inner, err := l.level(l.agg.Nested, full, bound)
	for _, s := range append(sets, full) {
		l.release(s)
	}
	return inner, err
}

// uses reports whether an aggregator, or one nested in it, is of a type: then the shapes behind a value of it matter.
func uses(aggs []inventory.Aggregator, t inventory.TypeName) bool {
	return slices.ContainsFunc(aggs, func(a inventory.Aggregator) bool { return a.Type == t || uses(a.Nested, t) })
}

// usesOther reports whether one is of another type: then the nodes of a value matter.
func usesOther(aggs []inventory.Aggregator, t inventory.TypeName) bool {
	return slices.ContainsFunc(aggs, func(a inventory.Aggregator) bool { return a.Type != t || usesOther(a.Nested, t) })
}

// column is an attribute's values in byte order and, once that is worth it, the values each node has.
type column struct {
	values []uint32
	spent  int // sets joined so far for want of what is below
	starts []uint32
	places []uint32 // in values
}

type columnKey struct {
	view *view
	attr uint32
}

func (c *counter) column(v *view, attr uint32) *column {
	key := columnKey{v, attr}
	col := c.columns[key]
	if col == nil {
		col = &column{values: v.byteOrder(&v.attrs[attr])}
		if c.columns == nil {
			c.columns = map[columnKey]*column{}
		}
		c.columns[key] = col
	}
	return col
}

// worth reports whether the work done without the nodes' values has come near that of finding them.
func (col *column) worth(v *view) bool {
	const most = 64 << 20 // pairs of a node and a shape: half a gigabyte, for a moment
	return col.starts == nil && v.elements < most && col.spent > (v.elements+len(col.values))/16
}

// of gives the places of a node's values.
func (col *column) of(n uint32) []uint32 { return col.places[col.starts[n]:col.starts[n+1]] }

// fill finds the values of every node.
func (c *counter) fill(col *column, v *view) error {
	starts := make([]uint32, c.nodes+1)
	var nodes []uint32
	ends := make([]int, len(col.values))
	l := levelRun{counter: c, view: v}
	for i, val := range col.values {
		l.sourcesOf(val)
		if err := c.step(len(c.sources)); err != nil {
			return err
		}
		_, list := c.gather(nil, true)
		nodes = append(nodes, list...)
		ends[i] = len(nodes)
		for _, n := range list {
			starts[n+1]++
		}
	}
	for n := range c.nodes {
		starts[n+1] += starts[n]
	}
	next := slices.Clone(starts)
	col.places = make([]uint32, len(nodes))
	from := 0
	for i, end := range ends {
		for _, n := range nodes[from:end] {
			col.places[next[n]] = uint32(i)
			next[n]++
		}
		from = end
	}
	col.starts = starts
	return nil
}

// byteOrder gives an attribute's values in byte order.
func (v *view) byteOrder(a *attribute) []uint32 {
	o := a.orders.get(byBytes)
	if o == nil || o.covers < len(a.values) {
		return v.sorted(byBytes, a.values, o).values
	}
	if o.covers == len(a.values) {
		return o.values
	}
	// It was made after the view was frozen and knows more.
	return slices.DeleteFunc(slices.Clone(o.values), func(x uint32) bool { return x >= v.values.n })
}
