package index

import (
	"slices"

	"github.com/RoaringBitmap/roaring/v2"

	"stocktake/internal/inventory"
)

// sweepAt is how much garbage a sweep leaves alone: a constant, and a quarter of what is alive.
func sweepAt(alive int) int { return 1024 + alive/4 }

// Sweep gives back the memory of shapes no node has, of values no shape has, and of numbers of nodes that are gone, where
// they have become a good part of the whole. It gives how many shapes and nodes it dropped. Nothing may be loaded or
// applied meanwhile on the word of what Missing said before. It works beside questions and Apply, but for one hold of the
// lock for each table and partition it changes, of a few milliseconds in a large fleet.
func (x *Index) Sweep() (shapes, nodes int) { return x.sweep(sweepAt) }

func (x *Index) sweep(leave func(alive int) int) (shapes, nodes int) {
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

// sweepTable makes a table anew with only the shapes nodes have: from a frozen view first, then, under the lock, with
// what came since. It keeps the numbers of attributes and sub-types.
func (part *partition) sweepTable(old *table) int {
	part.mu.RLock()
	v := part.view(old.typ)
	epoch := old.epoch
	part.mu.RUnlock()
	s := &tableSweep{table: newTable(old.typ), from: v}
	s.epoch = epoch
	s.adopt()

	part.mu.Lock()
	defer part.mu.Unlock()
	s.from = &old.view
	s.adopt()
	before := int(old.postings.n)
	s.take(old)
	*old = *s.table
	return before - int(old.postings.n)
}

// tableSweep is a table being made from a view of another.
type tableSweep struct {
	*table
	from   *view
	number []uint32 // of the other's shapes in this; none for those not there
}

// adopt defines attributes, sub-types and shapes that are not here yet, shapes only when nodes have them.
func (s *tableSweep) adopt() {
	for _, a := range s.from.attrs[len(s.attrs):] {
		s.attr(a.name)
	}
	for _, name := range s.from.subNames {
		s.sub(name)
	}
	for n := range s.from.postings.n {
		if int(n) == len(s.number) {
			s.number = append(s.number, none)
		}
		if s.number[n] != none || s.from.postings.get(n).empty() {
			continue
		}
		row := slices.Clone(s.from.row(n))
		for i, val := range row {
			row[i] = s.value(s.from.values.get(val).attr, s.from.text(val))
		}
		sh := s.from.shapes.get(n)
		s.number[n] = s.addShape(sh.id, sh.sub, row)
	}
}

// take takes over the sets of nodes. The other's epoch goes on, so frozen views of it stay untouched.
func (s *tableSweep) take(old *table) {
	s.epoch, s.version = old.epoch, old.version+1
	for n, to := range s.number {
		if to != none {
			*s.postings.edit(to, s.epoch) = *old.postings.get(uint32(n))
		}
	}
	for val := range old.values.n {
		st := old.states.get(val)
		if st.count <= groupAt {
			continue
		}
		x := old.values.get(val)
		if now, ok := s.findValue(x.attr, old.text(val)); ok && s.states.get(now).count > groupAt {
			*s.groups.edit(s.states.get(now).aux, s.epoch) = *old.groups.get(st.aux)
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
	gone := roaring.New()
	for _, n := range part.numbers {
		if part.lives[n].types == 0 {
			gone.Add(n)
		}
	}
	count := int(gone.GetCardinality())
	if count <= leave(len(part.numbers)-count) {
		part.mu.Unlock()
		return 0
	}
	// A node that comes back from here on gets another number.
	for it := gone.Iterator(); it.HasNext(); {
		delete(part.numbers, *part.ids.get(it.Next()))
	}
	tables := make([]*table, 0, len(part.tables))
	for _, t := range part.tables {
		tables = append(tables, t)
	}
	part.mu.Unlock()
	// They should be in no set any more; make sure before the numbers are given out again.
	for _, t := range tables {
		part.clear(t, gone)
	}
	part.mu.Lock()
	defer part.mu.Unlock()
	part.forget(gone)
	return count
}

// forget makes numbers free. Results made before keep the list of ids they have.
func (part *partition) forget(gone *roaring.Bitmap) {
	var ids vector[inventory.NodeID]
	for n := range part.ids.n {
		ids.push(*part.ids.get(n), 0)
	}
	part.ids = ids
	o := &order{ids: ids}
	old := part.order.Load()
	if old == nil {
		old = &order{}
	}
	for _, n := range part.registered[:old.covers] {
		if !gone.Contains(n) {
			o.covers++
		}
	}
	o.nodes = slices.DeleteFunc(slices.Clone(old.nodes), gone.Contains)
	o.ranks = make([]uint32, ids.n)
	for i, n := range o.nodes {
		o.ranks[n] = uint32(i)
	}
	part.order.Store(o)
	part.registered = slices.DeleteFunc(slices.Clone(part.registered), gone.Contains)
	part.free = append(part.free, gone.ToArray()...)
}
