package index

import (
	"slices"
	"sync/atomic"

	"stocktake/internal/inventory"
)

// binding says that a type's expressions met so far hold for entries of these shapes. rest is the set of nodes that meet
// everything but this.
type binding struct {
	typ    inventory.TypeName
	shapes []uint32
	rest   *nodeSet
}

// stage is an expression being counted: its layer, whose values are places in its column until all is done, and what it
// needs for one parent at a time.
type stage struct {
	*layer
	view   *view   // nil where nobody has the attribute
	column *column // of the attribute
	attr   uint32
	inner  []*stage
	bound  bool                 // an expression around it is of the same type
	nodes  bool                 // one inside needs the nodes of a value here: it is the first of its type
	shapes bool                 // one inside is of the same type
	kept   bool                 // the numbers kept with values are those of the view
	others []inventory.TypeName // types of expressions around that count inside, too

	of       []uint32 // shapes of a value
	sources  []*posting
	joint    posting // of a group
	list     []uint32
	full     nodeSet
	pairs    []uint64
	bindings []binding
}

// stage prepares an expression and those inside. around are the types of the expressions around it.
func (c *counter) stage(a inventory.Aggregator, around []inventory.TypeName) *stage {
	s := &stage{layer: &layer{typ: a.Type, attribute: a.Attribute}, bound: slices.Contains(around, a.Type), shapes: uses(a.Nested, a.Type)}
	if v := c.views[a.Type]; v != nil {
		if attr, ok := v.attrNamed(a.Attribute); ok {
			s.view, s.attr, s.column = v, attr, c.column(v, attr)
			names := &view{values: v.values, texts: v.texts} // rows may be kept for long
			s.layer.text = names.text
		}
	}
	for _, t := range around {
		if t != a.Type && uses(a.Nested, t) {
			s.others = append(s.others, t)
		}
	}
	within := append(slices.Clip(around), a.Type)
	for _, n := range a.Nested {
		inner := c.stage(n, within)
		s.nodes = s.nodes || !inner.bound
		s.inner = append(s.inner, inner)
		s.layer.nested, s.layer.spans = append(s.layer.nested, inner.layer), append(s.layer.spans, nil)
	}
	return s
}

// uses reports whether an aggregator, or one nested in it, is of a type: then the shapes behind a value of it matter.
func uses(aggs []inventory.Aggregator, t inventory.TypeName) bool {
	return slices.ContainsFunc(aggs, func(a inventory.Aggregator) bool { return a.Type == t || uses(a.Nested, t) })
}

// finish has values stand for themselves.
func (s *stage) finish() {
	if s.view != nil {
		for i, at := range s.layer.values {
			s.layer.values[i] = s.column.values[at]
		}
	}
	for _, inner := range s.inner {
		inner.finish()
	}
}

// level counts under one parent. full is the set of nodes that have the parent's values.
func (c *counter) level(s *stage, full *nodeSet, around []binding) (span, error) {
	from := len(s.layer.values)
	if s.view != nil {
		var err error
		if s.bound {
			at := slices.IndexFunc(around, func(b binding) bool { return b.typ == s.typ })
			err = c.boundValues(s, around[at].shapes, around[at].rest, around)
		} else {
			err = c.allValues(s, full, around)
		}
		if err != nil {
			return span{}, err
		}
		s.layer.sort(from, &c.sorter)
	}
	return span{uint32(from), uint32(len(s.layer.values))}, nil
}

// allValues counts by every value of the attribute.
func (c *counter) allValues(s *stage, within *nodeSet, around []binding) error {
	col := s.column
	if within != nil && col.worth(s.view) {
		if err := c.fill(col, s.view); err != nil {
			return err
		}
	}
	if within != nil && col.starts != nil {
		return c.columnValues(s, within, around)
	}
	for at, val := range col.all(s.view, s.attr) {
		state := s.view.states.get(val)
		if within == nil && len(s.inner) == 0 {
			if n, ok := s.keptOf(state); ok {
				if err := c.bucket(s, at, n, nil, nil); err != nil {
					return err
				}
				continue
			}
		}
		s.take(state)
		col.spent += len(s.sources)
		if err := c.value(s, at, state, within, around); err != nil {
			return err
		}
	}
	return nil
}

// keptOf gives the number of nodes kept with a value, if it is of the moment of the view.
func (s *stage) keptOf(state *state) (int, bool) {
	if !s.kept || state.count > groupAt {
		return 0, false
	}
	n := atomic.LoadUint32(&state.aux)
	return int(n), n != unknown
}

// take finds the sets of nodes behind a value, and its shapes where they matter.
func (s *stage) take(state *state) {
	s.of, s.sources = s.of[:0], s.sources[:0]
	if state.count > groupAt {
		s.joint = posting{bits: s.view.groupNodes(state)}
		s.sources = append(s.sources, &s.joint)
		if s.shapes {
			s.of = s.view.appendShapes(s.of, state)
		}
		return
	}
	s.of = s.view.appendShapes(s.of, state)
	s.source()
}

// source finds the sets of nodes of the shapes taken.
func (s *stage) source() {
	s.sources = s.sources[:0]
	for _, o := range s.of {
		if p := s.view.postings.get(o); !p.empty() {
			s.sources = append(s.sources, p)
		}
	}
}

// columnValues counts by the values each node has.
func (c *counter) columnValues(s *stage, within *nodeSet, around []binding) error {
	if s.nodes {
		return c.columnNodes(s, within, around)
	}
	col := s.column
	s.pairs = s.pairs[:0]
	for _, at := range col.tally(within.list) {
		s.pairs = append(s.pairs, uint64(^col.counts[at])<<32|uint64(at))
		col.counts[at] = 0
	}
	if err := c.step(len(s.pairs)); err != nil {
		return err
	}
	slices.Sort(s.pairs)
	for _, pair := range s.pairs {
		if len(s.inner) > 0 {
			s.take(s.view.states.get(col.values[uint32(pair)]))
		}
		if err := c.bucket(s, uint32(pair), int(^uint32(pair>>32)), within, around); err != nil {
			return err
		}
	}
	return nil
}

// columnNodes does so where the nodes of each value are asked for.
func (c *counter) columnNodes(s *stage, within *nodeSet, around []binding) error {
	col := s.column
	s.pairs = s.pairs[:0]
	for _, n := range within.list {
		for _, at := range col.of(n) {
			s.pairs = append(s.pairs, uint64(at)<<32|uint64(n))
		}
	}
	slices.Sort(s.pairs)
	for i := 0; i < len(s.pairs); {
		at := s.pairs[i] >> 32
		s.list = s.list[:0]
		for ; i < len(s.pairs) && s.pairs[i]>>32 == at; i++ {
			s.list = append(s.list, uint32(s.pairs[i]))
		}
		if err := c.step(1); err != nil {
			return err
		}
		s.take(s.view.states.get(col.values[at]))
		if err := c.bucket(s, uint32(at), len(s.list), within, around); err != nil {
			return err
		}
	}
	return nil
}

// boundValues counts by the values of the attribute the given shapes have.
func (c *counter) boundValues(s *stage, shapes []uint32, within *nodeSet, around []binding) error {
	s.pairs = s.column.appendPairs(s.pairs[:0], s.view, s.attr, shapes)
	slices.Sort(s.pairs)
	for i := 0; i < len(s.pairs); {
		at := s.pairs[i] >> 32
		s.of = s.of[:0]
		for ; i < len(s.pairs) && s.pairs[i]>>32 == at; i++ {
			s.of = append(s.of, uint32(s.pairs[i]))
		}
		s.source()
		if err := c.value(s, uint32(at), nil, within, around); err != nil {
			return err
		}
	}
	return nil
}

// value counts one value, whose nodes are in sources; state is nil where only some of its shapes count.
func (c *counter) value(s *stage, at uint32, state *state, within *nodeSet, around []binding) error {
	if len(s.sources) == 0 {
		return nil
	}
	if err := c.step(len(s.sources)); err != nil {
		return err
	}
	n := 0
	if s.nodes {
		s.list = c.gather(s.list[:0], s.sources, within)
		n = len(s.list)
	} else {
		n = c.number(s, state, within)
	}
	return c.bucket(s, at, n, within, around)
}

// number gives how many nodes within a set have a value. Where its shapes have no node in common, they are counted one by
// one.
func (c *counter) number(s *stage, state *state, within *nodeSet) int {
	if state == nil || len(s.sources) == 1 {
		return c.count(s.sources, within)
	}
	n, ok := s.keptOf(state)
	if !ok {
		return c.count(s.sources, within)
	}
	if within == nil {
		return n
	}
	for _, p := range s.sources {
		n -= p.count()
	}
	if n != 0 {
		return c.count(s.sources, within)
	}
	for _, p := range s.sources {
		n += c.countWithin(p, within)
	}
	return n
}

// bucket notes a value n nodes have, and counts what is inside it.
func (c *counter) bucket(s *stage, at uint32, n int, within *nodeSet, around []binding) error {
	if n == 0 {
		return nil
	}
	s.layer.values, s.layer.counts = append(s.layer.values, at), append(s.layer.counts, uint32(n))
	if len(s.inner) == 0 {
		return c.row()
	}
	any, err := c.inside(s, within, around)
	if err == nil && !any {
		err = c.row()
	}
	return err
}

// inside counts what is inside a value, by entries of the shapes taken, and tells whether there is anything.
func (c *counter) inside(s *stage, within *nodeSet, around []binding) (any bool, err error) {
	bindings := append(s.bindings[:0], binding{typ: s.typ, shapes: s.of, rest: within})
	var made []*nodeSet
	for _, b := range around {
		if b.typ == s.typ {
			continue
		}
		if slices.Contains(s.others, b.typ) {
			b.rest = &nodeSet{list: c.gather(nil, s.sources, b.rest)}
			made = append(made, b.rest)
		}
		bindings = append(bindings, b)
	}
	s.bindings = bindings
	s.full = nodeSet{list: s.list}
	for k, inner := range s.inner {
		under, err := c.level(inner, &s.full, bindings)
		if err != nil {
			return false, err
		}
		any = any || under.from < under.to
		s.layer.spans[k] = append(s.layer.spans[k], under)
	}
	c.release(&s.full)
	for _, set := range made {
		c.release(set)
	}
	return any, nil
}
