package index

import (
	"iter"
	"slices"
)

// column is an attribute's values in byte order and, once that is worth it, the values each node has. A value's place is
// its place in that order.
type column struct {
	values []uint32
	ranks  []uint32 // of values: their places; made when first asked for
	shapes []uint32 // of shapes: the place of their value, plus one; made once that is worth it
	looked int      // shapes whose values were looked up so far for want of it
	spent  int      // sets joined so far for want of what is below
	starts []uint32
	places []uint32
	only   []uint32 // of nodes, where none has several: its place+1

	counts  []uint32 // of places, zero between calls of tally
	touched []uint32
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

// rank gives the places of values.
func (col *column) rank(v *view) []uint32 {
	if col.ranks == nil {
		col.ranks = make([]uint32, v.values.n)
		for at, val := range col.values {
			col.ranks[val] = uint32(at)
		}
	}
	return col.ranks
}

// fewValues are gone through in their order.
const fewValues = 256

// all gives the values with their places: many in the order they were first seen, in which what is kept of them lies.
func (col *column) all(v *view, attr uint32) iter.Seq2[uint32, uint32] {
	return func(yield func(at, value uint32) bool) {
		if len(col.values) < fewValues {
			for at, val := range col.values {
				if !yield(uint32(at), val) {
					return
				}
			}
			return
		}
		ranks := col.rank(v)
		for _, val := range v.attrs[attr].values {
			if !yield(ranks[val], val) {
				return
			}
		}
	}
}

// appendPairs appends, for those of some shapes that have the attribute, the place of their value and their number.
func (col *column) appendPairs(pairs []uint64, v *view, attr uint32, shapes []uint32) []uint64 {
	if col.shapes == nil {
		if col.looked += len(shapes); col.looked > int(v.shapes.n)/8 {
			col.shapes = col.ofShapes(v, attr)
		}
	}
	if col.shapes != nil {
		for _, o := range shapes {
			if at := col.shapes[o]; at > 0 {
				pairs = append(pairs, uint64(at-1)<<32|uint64(o))
			}
		}
		return pairs
	}
	ranks, hint := col.rank(v), 0
	for _, o := range shapes {
		if fold, ok := v.foldOf(o, attr, &hint); ok {
			pairs = append(pairs, uint64(ranks[fold])<<32|uint64(o))
		}
	}
	return pairs
}

// ofShapes gives for every shape the place of its value, plus one.
func (col *column) ofShapes(v *view, attr uint32) []uint32 {
	all, ranks, hint := make([]uint32, v.shapes.n), col.rank(v), 0
	for o := range all {
		if fold, ok := v.foldOf(uint32(o), attr, &hint); ok {
			all[o] = ranks[fold] + 1
		}
	}
	return all
}

// worth reports whether the work done without the nodes' values has come near that of finding them.
func (col *column) worth(v *view) bool {
	const most = 64 << 20 // pairs of a node and a shape: half a gigabyte, for a moment
	return col.starts == nil && v.elements < most && col.spent > (v.elements+len(col.values))/16
}

// of gives the places of a node's values.
func (col *column) of(n uint32) []uint32 { return col.places[col.starts[n]:col.starts[n+1]] }

// tally counts nodes by the places of their values, and gives those places. The caller sets their counts to zero again.
func (col *column) tally(nodes []uint32) []uint32 {
	if col.counts == nil {
		col.counts = make([]uint32, len(col.values))
	}
	col.touched = col.touched[:0]
	if col.only == nil {
		for _, n := range nodes {
			for _, at := range col.of(n) {
				col.touch(at)
			}
		}
		return col.touched
	}
	for _, n := range nodes {
		if at := col.only[n]; at > 0 {
			col.touch(at - 1)
		}
	}
	return col.touched
}

func (col *column) touch(at uint32) {
	if col.counts[at] == 0 {
		col.touched = append(col.touched, at)
	}
	col.counts[at]++
}

// fill finds the values of every node.
func (c *counter) fill(col *column, v *view) error {
	starts := make([]uint32, c.nodes+1)
	var nodes []uint32
	ends := make([]int, len(col.values))
	s := stage{view: v}
	for i, val := range col.values {
		s.take(v.states.get(val))
		if err := c.step(len(s.sources)); err != nil {
			return err
		}
		from := len(nodes)
		nodes = c.gather(nodes, s.sources, nil)
		ends[i] = len(nodes)
		for _, n := range nodes[from:] {
			starts[n+1]++
		}
	}
	several := slices.Max(starts) > 1
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
	if !several {
		col.only = make([]uint32, c.nodes)
		for n := range c.nodes {
			if starts[n] < starts[n+1] {
				col.only[n] = col.places[starts[n]] + 1
			}
		}
	}
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
