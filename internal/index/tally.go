package index

import (
	"sync/atomic"

	"stocktake/internal/inventory"
)

// tallyStep is how many values are counted under one hold of the lock.
const tallyStep = 256

// tally counts the nodes of every value of an attribute. The numbers are kept with the values, and an applied change
// forgets those it touches, so that only they are counted again. ok is false where shapes alone do not tell.
func (part *partition) tally(c *counter, a inventory.Aggregator) (rows []Row, ok bool, err error) {
	tab, attr, ok := part.counted(a)
	if !ok || tab == nil {
		return nil, ok, nil
	}
	for from := 0; from >= 0; {
		if from, err = part.tallyUnknown(c, tab, attr, from); err != nil {
			return nil, false, err
		}
	}
	buckets, err := part.collect(c, tab, attr)
	if err != nil {
		return nil, false, err
	}
	rows, err = c.flatten(a, buckets)
	return rows, err == nil, err
}

// counted finds the attribute and sees that its values keep their number of nodes.
func (part *partition) counted(a inventory.Aggregator) (tab *table, attr uint32, ok bool) {
	part.mu.RLock()
	tab = part.tables[a.Type]
	already := false
	if tab != nil {
		if attr, ok = tab.attrNumber[a.Attribute]; ok {
			x := &tab.attrs[attr]
			already = x.counted
			ok = x.volatile == nil || x.volatile.IsEmpty()
		} else {
			tab, ok = nil, true
		}
	} else {
		ok = true
	}
	part.mu.RUnlock()
	if tab != nil && ok && !already {
		part.mu.Lock()
		tab.attrs[attr].counted = true
		part.mu.Unlock()
	}
	return tab, attr, ok
}

// tallyUnknown counts some of the values whose number is not known, from the given place on, and gives the place to go
// on from, -1 when none is left.
func (part *partition) tallyUnknown(c *counter, tab *table, attr uint32, from int) (int, error) {
	part.mu.RLock()
	defer part.mu.RUnlock()
	values := tab.attrs[attr].values
	c.fit(part.ids.n)
	for done := 0; from < len(values); from++ {
		s := tab.states.get(values[from])
		if s.count > groupAt || atomic.LoadUint32(&s.aux) != unknown {
			continue
		}
		if done == tallyStep {
			return from, nil
		}
		done++
		if err := c.countValue(tab, s); err != nil {
			return 0, err
		}
	}
	return -1, nil
}

// fit makes room for node numbers given out since.
func (c *counter) fit(nodes uint32) {
	if c.nodes < nodes {
		c.nodes, c.stamps = nodes, nil
	}
}

func (c *counter) countValue(tab *table, s *state) error {
	shapes := tab.appendShapes(nil, s)
	c.sources = c.sources[:0]
	for _, o := range shapes {
		if p := tab.postings.get(o); !p.empty() {
			c.sources = append(c.sources, p)
		}
	}
	if err := c.step(1 + len(c.sources)); err != nil {
		return err
	}
	n := 0
	if len(c.sources) > 0 {
		n, _ = c.gather(nil, false)
	}
	atomic.StoreUint32(&s.aux, uint32(n))
	return nil
}

// collect gives the values some node has, all of one moment.
func (part *partition) collect(c *counter, tab *table, attr uint32) ([]bucket, error) {
	part.mu.RLock()
	defer part.mu.RUnlock()
	a := &tab.attrs[attr]
	c.fit(part.ids.n)
	out := make([]bucket, 0, len(a.values))
	for _, val := range tab.byteOrder(a) {
		s := tab.states.get(val)
		n := 0
		if s.count > groupAt {
			n = int(tab.groupNodes(s).GetCardinality())
		} else {
			if atomic.LoadUint32(&s.aux) == unknown {
				if err := c.countValue(tab, s); err != nil {
					return nil, err
				}
			}
			n = int(atomic.LoadUint32(&s.aux))
		}
		if n > 0 {
			out = append(out, bucket{value: tab.text(val), count: n})
		}
	}
	return out, nil
}
