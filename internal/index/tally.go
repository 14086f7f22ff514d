package index

import (
	"sync/atomic"
	"time"

	"stocktake/internal/inventory"
)

// tally counts the nodes of every value of an attribute. The numbers are kept with the values, and an applied change
// forgets those it touches, so that only they are counted again. ok is false where shapes alone do not tell, and while
// sets hold nodes that are no part of any answer.
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
	v, ok := part.tallied(c, a.Type)
	if !ok {
		return nil, false, nil
	}
	buckets, err := c.collect(v, attr)
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
	if part.hidden > 0 {
		return -1, nil
	}
	values := tab.attrs[attr].values
	c.fit(part.ids.n)
	begun := time.Now()
	for done := 0; from < len(values); from++ {
		if done++; done%holdLook == 0 && time.Since(begun) > holdFor {
			return from, nil
		}
		s := tab.states.get(values[from])
		if s.count > groupAt || atomic.LoadUint32(&s.aux) != unknown {
			continue
		}
		n, err := c.countValue(&tab.view, s)
		if err != nil {
			return 0, err
		}
		atomic.StoreUint32(&s.aux, n)
	}
	return -1, nil
}

// tallied freezes the table unless sets hold hidden nodes.
func (part *partition) tallied(c *counter, t inventory.TypeName) (*view, bool) {
	part.mu.RLock()
	defer part.mu.RUnlock()
	if part.hidden > 0 {
		return nil, false
	}
	c.fit(part.ids.n)
	return part.view(t), true
}

// fit makes room for node numbers given out since.
func (c *counter) fit(nodes uint32) {
	if c.nodes < nodes {
		c.nodes, c.stamps = nodes, nil
	}
}

func (c *counter) countValue(v *view, s *state) (uint32, error) {
	c.joined = v.appendShapes(c.joined[:0], s)
	c.sources = c.sources[:0]
	for _, o := range c.joined {
		if p := v.postings.get(o); !p.empty() {
			c.sources = append(c.sources, p)
		}
	}
	if err := c.step(1 + len(c.sources)); err != nil {
		return 0, err
	}
	if len(c.sources) == 0 {
		return 0, nil
	}
	n, _ := c.gather(nil, false)
	return uint32(n), nil
}

// collect gives the values some node has. A number kept with its value may be of a moment after the view.
func (c *counter) collect(v *view, attr uint32) ([]bucket, error) {
	a := &v.attrs[attr]
	out := make([]bucket, 0, len(a.values))
	for _, val := range v.byteOrder(a) {
		s := v.states.get(val)
		var n uint32
		if s.count > groupAt {
			n = uint32(v.groupNodes(s).GetCardinality())
		} else if n = atomic.LoadUint32(&s.aux); n == unknown {
			// It came after the others were counted. Its number is not kept: the state may be copied at the same time.
			var err error
			if n, err = c.countValue(v, s); err != nil {
				return nil, err
			}
		}
		if n > 0 {
			out = append(out, bucket{value: v.text(val), count: int(n)})
		}
	}
	return out, nil
}
