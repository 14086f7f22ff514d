package index

import (
	"sync/atomic"
	"time"

	"stocktake/internal/inventory"
)

// A value keeps its number of nodes, once it was counted; an applied change forgets those it touches, so that only they
// are counted again.

// tally has the values of an outermost expression keep their numbers, and counts those not known, without the lock
// between any two pieces of work.
func (part *partition) tally(c *counter, a inventory.Aggregator) error {
	tab, attr, ok := part.counted(a)
	for from := 0; ok && from >= 0; {
		var err error
		if from, err = part.tallyUnknown(c, tab, attr, from); err != nil {
			return err
		}
	}
	return nil
}

// counted finds the attribute and sees that its values keep their number of nodes.
func (part *partition) counted(a inventory.Aggregator) (tab *table, attr uint32, ok bool) {
	part.mu.RLock()
	already := false
	if tab = part.tables[a.Type]; tab != nil {
		if attr, ok = tab.attrNumber[a.Attribute]; ok {
			already = tab.attrs[attr].counted
		}
	}
	part.mu.RUnlock()
	if ok && !already {
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
	if part.hidden > 0 { // sets hold nodes that are no part of any answer
		return -1, nil
	}
	if from == 0 {
		c.tallyAt = tab.version
	}
	values := tab.attrs[attr].values
	c.fit(part.ids.n)
	begun := time.Now()
	for done := 0; from < len(values); from++ {
		if done >= tallyLook {
			if done = 0; time.Since(begun) > holdFor {
				return from, nil
			}
		}
		done++
		counted, err := c.countUnknown(&tab.view, values[from])
		if err != nil {
			return 0, err
		}
		if counted {
			done += tallyLook / holdLook
		}
	}
	if tab.version == c.tallyAt {
		c.tallies[tallyKey{tab, attr}] = tab.version
	}
	return -1, nil
}

// tallyKey names an attribute of which all numbers were known.
type tallyKey struct {
	*table
	attr uint32
}

// tallyLook is after how many values whose number is known the clock is looked at.
const tallyLook = 64 * holdLook

// tallied counts the few that have become unknown since tally, under the lock, held for reading. It reports whether all is
// known: a view frozen under the same hold then has the numbers of its moment.
func (part *partition) tallied(c *counter, a inventory.Aggregator) (bool, error) {
	tab := part.tables[a.Type]
	if tab == nil || part.hidden > 0 {
		return false, nil
	}
	attr, ok := tab.attrNumber[a.Attribute]
	if !ok || !tab.attrs[attr].counted {
		return false, nil
	}
	if version, ok := c.tallies[tallyKey{tab, attr}]; ok && version == tab.version {
		return true, nil
	}
	values := tab.attrs[attr].values
	if len(values) > talliedMost {
		return false, nil
	}
	begun := time.Now()
	for _, val := range values {
		counted, err := c.countUnknown(&tab.view, val)
		if err != nil || counted && time.Since(begun) > holdFor {
			return false, err
		}
	}
	return true, nil
}

// talliedMost is how many values are looked at under one hold of the lock.
const talliedMost = 1 << 17

// countUnknown counts a value whose number is not known, under the lock, and tells whether it did.
func (c *counter) countUnknown(v *view, val uint32) (bool, error) {
	s := v.states.get(val)
	if s.count > groupAt || atomic.LoadUint32(&s.aux) != unknown {
		return false, nil
	}
	n, err := c.countValue(v, s)
	if err != nil {
		return false, err
	}
	atomic.StoreUint32(&s.aux, n)
	return true, nil
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
	return uint32(c.count(c.sources, nil)), nil
}
