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
	rowsMade int
	columns  map[columnKey]*column

	stamps  []uint32 // by node: the last union it was seen in
	stamp   uint32
	spare   [][]uint64
	sources []*posting
	joined  []uint32 // shapes, of countValue
	buf     []uint32
	pairs   [][]uint64
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

// takePairs and givePairs lend a list.
func (c *counter) takePairs() []uint64 {
	if last := len(c.pairs) - 1; last >= 0 {
		p := c.pairs[last]
		c.pairs = c.pairs[:last]
		return p[:0]
	}
	return nil
}

func (c *counter) givePairs(p []uint64) { c.pairs = append(c.pairs, p) }

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
		"The aggregator gives more than %d rows. Use fewer nested Aggregators, or Filters that match fewer nodes.", c.bounds.rows())
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

// read counts by the documents of nodes shapes can't tell of.
func (c *counter) read(a inventory.Aggregator, nodes *roaring.Bitmap) ([]bucket, error) {
	top := branches{}
	types := typesOf(a, nil)
	var buf [ReadMost]uint32
	it := nodes.ManyIterator()
	for n := it.NextMany(buf[:]); n > 0; n = it.NextMany(buf[:]) {
		if err := c.readSome(top, a, types, buf[:n]); err != nil {
			return nil, err
		}
	}
	return top.buckets(a), nil
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

// branches are buckets while documents are read.
type branches map[string]*branch

type branch struct {
	count int
	inner []branches
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
		b := bs[value]
		if b == nil {
			if c.rowsMade++; c.rowsMade > c.bounds.rows() {
				return c.tooManyRows()
			}
			b = &branch{inner: make([]branches, len(a.Nested))}
			bs[strings.Clone(value)] = b
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
