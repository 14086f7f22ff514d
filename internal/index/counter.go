package index

import (
	"context"

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
	sorter   sorter
	tallyAt  uint64              // version at which the tally under way began
	tallies  map[tallyKey]uint64 // versions at which all numbers were known

	stamps  []uint32 // by node: the last union it was seen in
	stamp   uint32
	spare   [][]uint64
	sources []*posting // of countValue
	joined  []uint32   // shapes, of countValue
	buf     []uint32
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

// row accounts for a row, or for a bucket that turns out to make none: it takes memory all the same.
func (c *counter) row() error {
	if c.rowsMade++; c.rowsMade > c.bounds.rows() {
		return c.tooManyRows()
	}
	return nil
}

func (c *counter) tooManyRows() error {
	return inventory.Errorf(inventory.InvalidAggregator,
		"The aggregator gives more than %d rows. Use fewer nested Aggregators, or Filters that match fewer nodes.", c.bounds.rows())
}

// fit makes room for node numbers given out since.
func (c *counter) fit(nodes uint32) {
	if c.nodes < nodes {
		c.nodes, c.stamps = nodes, nil
	}
}

// nodeSet is a set of nodes. nil is the set of all.
type nodeSet struct {
	list   []uint32
	bitmap *roaring.Bitmap // where it is at hand
	words  []uint64        // a plain bitset, once it is spread
}

func (s *nodeSet) has(n uint32) bool { return s.words[n>>6]&(1<<(n&63)) != 0 }

// spread makes the plain bitset of a set; release gives it back for the next.
func (c *counter) spread(s *nodeSet) {
	if s == nil || s.words != nil {
		return
	}
	if last := len(c.spare) - 1; last >= 0 {
		s.words, c.spare = c.spare[last], c.spare[:last]
	} else {
		s.words = make([]uint64, (c.nodes+63)/64)
	}
	for _, n := range s.list {
		s.words[n>>6] |= 1 << (n & 63)
	}
}

func (c *counter) release(s *nodeSet) {
	if s.words == nil {
		return
	}
	for _, n := range s.list {
		s.words[n>>6] = 0
	}
	c.spare, s.words = append(c.spare, s.words), nil
}

// gather appends the nodes within a set that any of the sources has, each once.
func (c *counter) gather(dst []uint32, sources []*posting, within *nodeSet) []uint32 {
	if len(sources) == 1 {
		return c.appendWithin(dst, sources[0], within)
	}
	c.restamp()
	for _, p := range sources {
		c.buf = c.appendWithin(c.buf[:0], p, within)
		for _, x := range c.buf {
			if c.stamps[x] != c.stamp {
				c.stamps[x] = c.stamp
				dst = append(dst, x)
			}
		}
	}
	return dst
}

// count gives how many nodes within a set any of the sources has.
func (c *counter) count(sources []*posting, within *nodeSet) int {
	if len(sources) == 1 {
		return c.countWithin(sources[0], within)
	}
	c.restamp()
	n := 0
	for _, p := range sources {
		c.buf = c.appendWithin(c.buf[:0], p, within)
		for _, x := range c.buf {
			if c.stamps[x] != c.stamp {
				c.stamps[x] = c.stamp
				n++
			}
		}
	}
	return n
}

func (c *counter) restamp() {
	if c.stamps == nil {
		c.stamps = make([]uint32, c.nodes)
	}
	c.stamp++
}

// manyNodes is the size from which a set's bitmap holds a bit a node, which makes cutting others with it quick.
const manyNodes = 4096

// countWithin gives how many nodes of a posting are in a set.
func (c *counter) countWithin(p *posting, within *nodeSet) int {
	if within == nil {
		return p.count()
	}
	if p.bits != nil && within.bitmap != nil && len(within.list) > manyNodes {
		return int(p.bits.AndCardinality(within.bitmap))
	}
	if p.bits == nil {
		c.spread(within)
		n := 0
		for i := range len(p.few) / 4 {
			if within.has(p.at(i)) {
				n++
			}
		}
		return n
	}
	c.buf = c.appendWithin(c.buf[:0], p, within)
	return len(c.buf)
}

// appendWithin appends the nodes of a posting that are in a set, going through the smaller of the two.
func (c *counter) appendWithin(dst []uint32, p *posting, within *nodeSet) []uint32 {
	if within != nil && p.bits != nil && 8*len(within.list) < p.count() {
		for _, x := range within.list {
			if p.bits.Contains(x) {
				dst = append(dst, x)
			}
		}
		return dst
	}
	at := len(dst)
	dst = p.appendTo(dst)
	if within == nil {
		return dst
	}
	c.spread(within)
	kept := dst[:at]
	for _, x := range dst[at:] {
		if within.has(x) {
			kept = append(kept, x)
		}
	}
	return kept
}
