package index

import (
	"iter"
	"slices"

	"stocktake/internal/inventory"
)

// sweepAt is how much garbage a sweep leaves alone: a constant, and a quarter of what is alive.
func sweepAt(alive int) int { return 1024 + alive/4 }

// Sweep gives back the memory of shapes no node has, of values no shape has, and of numbers of nodes that are gone, where
// they have become a good part of the whole. It gives how many shapes and nodes it dropped. Nothing may be loaded or
// applied meanwhile on the word of what Missing said before. It works beside questions and Apply.
func (x *Index) Sweep() (shapes, nodes int) { return x.sweep(sweepAt) }

func (x *Index) sweep(leave func(alive int) int) (shapes, nodes int) {
	x.sweeping.Lock()
	defer x.sweeping.Unlock()
	for _, part := range x.all() {
		nodes += part.sweepNodes(leave)
		part.mu.RLock()
		var tables []*table
		for _, t := range part.tables {
			if int(t.postings.n)-t.live > leave(t.live) {
				tables = append(tables, t)
			}
		}
		part.mu.RUnlock()
		for _, t := range tables {
			shapes += part.sweepTable(t)
		}
	}
	return shapes, nodes
}

const (
	// sweepRounds bounds how often a sweep catches up with what changed before it takes the lock all the same.
	sweepRounds = 8
	// sweepPages is how many pages of sets may have changed for the lock to be taken at once.
	sweepPages = 32
)

// sweepTable makes a table anew with only the shapes nodes have: from frozen views first, each time with what changed
// since the one before, and at last, under the lock, with the little that is left. It keeps the numbers of attributes and
// sub-types.
func (part *partition) sweepTable(old *table) int {
	s := &tableSweep{table: newTable(old.typ)}
	for round, pages := 0, sweepPages; pages >= sweepPages && round < sweepRounds; round++ {
		part.mu.RLock()
		v := part.view(old.typ)
		s.epoch = old.epoch
		part.mu.RUnlock()
		pages = s.adopt(v)
		s.aim(v)
	}
	part.mu.Lock()
	defer part.mu.Unlock()
	before, adopted := int(old.postings.n), s.postings.n
	s.epoch = old.epoch
	s.adopt(&old.view)
	if s.postings.n > adopted {
		s.aim(&old.view)
	}
	s.take(old)
	*old = *s.table
	return before - int(old.postings.n)
}

// tableSweep is a table being made from views of another. The other's epoch goes on in it, so that the views stay
// untouched.
type tableSweep struct {
	*table
	last   view     // adopted before
	number []uint32 // of the other's shapes in this; none for those not there
	vals   []uint32 // of the other's values in this; none for those not there
	owner  []uint32 // the other's values that have its groups
	into   []uint32 // the groups here of the other's groups; none for those not here
}

// adopt brings the table up to a view of the other, and gives how many pages of sets were not as before. Shapes are taken
// over only when nodes have them.
func (s *tableSweep) adopt(v *view) (pages int) {
	for _, a := range v.attrs[len(s.attrs):] {
		s.attr(a.name)
	}
	for _, name := range v.subNames[len(s.subNames):] {
		s.sub(name)
	}
	s.vals = longer(s.vals, v.values.n)
	s.number = longer(s.number, v.postings.n)
	s.owner = longer(s.owner, v.groups.n)
	for n := range changed(&s.last.states, &v.states) {
		if st := v.states.get(n); st.count > groupAt && v.values.get(n).fold == n {
			s.owner[st.aux] = n
		}
	}
	for n := range changed(&s.last.postings, &v.postings) {
		if n%pageSize == 0 {
			pages++
		}
		p := v.postings.get(n)
		if s.number[n] == none && !p.empty() {
			sh := v.shapes.get(n)
			s.number[n] = s.addShape(sh.id, sh.sub, s.rowOf(v, n))
		}
		if to := s.number[n]; to != none {
			*s.postings.edit(to, s.epoch) = *p
		}
	}
	s.last.states, s.last.postings = v.states.frozen(), v.postings.frozen()
	return pages
}

// longer fills a list of numbers up with none.
func longer(list []uint32, n uint32) []uint32 {
	for len(list) < int(n) {
		list = append(list, none)
	}
	return list
}

// changed gives the places of elements on pages that are not those of a copy frozen before, or were not on them.
func changed[T any](before, now *vector[T]) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for i, page := range now.pages {
			first := uint32(i) << pageBits
			if last := first + pageSize; last <= before.n && before.pages[i] == page {
				continue
			}
			for n := first; n < min(first+pageSize, now.n); n++ {
				if !yield(n) {
					return
				}
			}
		}
	}
}

// rowOf gives a shape's values as they are numbered here.
func (s *tableSweep) rowOf(v *view, shape uint32) []uint32 {
	row := slices.Clone(v.row(shape))
	for i, val := range row {
		if s.vals[val] == none {
			s.vals[val] = s.value(v.values.get(val).attr, v.text(val))
		}
		row[i] = s.vals[val]
	}
	return row
}

// aim finds the groups that are to have the nodes of the other's.
func (s *tableSweep) aim(v *view) {
	s.into = longer(s.into, uint32(len(s.owner)))
	for g, val := range s.owner {
		if val == none || s.into[g] != none {
			continue
		}
		if now, ok := s.findValue(v.values.get(val).attr, v.text(val)); ok && s.states.get(now).count > groupAt {
			s.into[g] = s.states.get(now).aux
		}
	}
}

// take takes over what is not in views, and the nodes of groups.
func (s *tableSweep) take(old *table) {
	s.version = old.version + 1
	for g, into := range s.into {
		if into != none {
			*s.groups.edit(into, s.epoch) = *old.groups.get(uint32(g))
		}
	}
	for i, a := range old.attrs {
		s.attrs[i].volatile, s.attrs[i].counted = a.volatile, a.counted
	}
	s.all, s.splits, s.subs = old.all, old.splits, old.subs
	s.live, s.elements = old.live, old.elements
}

// sweepNodes frees the numbers of nodes that are gone.
func (part *partition) sweepNodes(leave func(alive int) int) int {
	part.mu.Lock()
	var gone []uint32
	for i, l := range part.lives {
		n := uint32(i)
		if l.types > 0 || l.hidden {
			continue
		}
		if now, ok := part.numbers[*part.ids.get(n)]; ok && now == n {
			gone = append(gone, n)
		}
	}
	if count := len(gone) + len(part.retired); count <= leave(len(part.numbers)-len(gone)) {
		part.mu.Unlock()
		return 0
	}
	// A node that comes back from here on gets another number.
	for _, n := range gone {
		delete(part.numbers, *part.ids.get(n))
	}
	gone = append(gone, part.retired...)
	part.retired = nil
	part.mu.Unlock()
	// They should be in no set any more; make sure before the numbers are given out again.
	slices.Sort(gone)
	part.clearAll(gone)
	part.mu.Lock()
	defer part.mu.Unlock()
	part.forget(gone)
	return len(gone)
}

// forget makes numbers free. Results made before keep the list of ids they have.
func (part *partition) forget(gone []uint32) {
	ids := vector[inventory.NodeID]{n: part.ids.n}
	for _, p := range part.ids.pages {
		p := *p
		ids.pages = append(ids.pages, &p)
	}
	part.ids = ids
	is := make([]bool, ids.n)
	for _, n := range gone {
		is[n] = true
	}
	o := &order{ids: ids}
	old := part.order.Load()
	if old == nil {
		old = &order{}
	}
	for _, n := range part.registered[:old.covers] {
		if !is[n] {
			o.covers++
		}
	}
	stays := func(nodes []uint32) []uint32 {
		return slices.DeleteFunc(slices.Clone(nodes), func(n uint32) bool { return is[n] })
	}
	o.nodes = stays(old.nodes)
	o.ranks = make([]uint32, ids.n)
	for i, n := range o.nodes {
		o.ranks[n] = uint32(i)
	}
	part.order.Store(o)
	part.registered = stays(part.registered)
	part.free = append(part.free, gone...)
}
