package index

import "github.com/RoaringBitmap/roaring/v2"

// Bulk fills a new index: load calls Define, Load and SetPosition, or DefineNumbered and LoadNumbered, from many goroutines if it likes, and nobody else uses
// the index before Bulk returns. The shapes' sets of nodes are then filled by many nodes at a time, and what follows from
// them is computed once for all rather than with every document. The error is load's; the index is whole all the same, as far as load came.
func (x *Index) Bulk(load func() error) error {
	x.setBulk(true)
	defer x.setBulk(false)
	return load()
}

func (x *Index) setBulk(on bool) {
	x.mu.Lock()
	x.bulk = on
	x.mu.Unlock()
	for _, part := range x.all() {
		part.mu.Lock()
		part.bulk = on
		for _, t := range part.tables {
			t.bulk = on
			if !on {
				for s := range t.waiting {
					t.arrive(uint32(s))
				}
				t.waiting, t.numbered = nil, nil
				t.regroup()
			}
		}
		part.mu.Unlock()
	}
}

// waiting is nodes that are yet to be put into a shape's set: a set is a few cache misses away, which many share. It
// takes one cache line.
type waiting struct {
	nodes [15]uint32
	n     uint32
}

// wait has a node put into a shape's set before Bulk ends.
func (t *table) wait(s, n uint32) {
	if len(t.waiting) <= int(s) {
		t.waiting = append(t.waiting, make([]waiting, int(t.postings.n)-len(t.waiting))...)
	}
	w := &t.waiting[s]
	switch {
	case w.n > 0 && w.nodes[w.n-1] == n:
		return
	case int(w.n) == len(w.nodes):
		t.arrive(s)
	}
	w.nodes[w.n] = n
	w.n++
}

// arrive puts the nodes that wait into a shape's set.
func (t *table) arrive(s uint32) {
	w := &t.waiting[s]
	nodes := w.nodes[:w.n]
	w.n = 0
	if p := t.postings.get(s); p.bits != nil && p.bits.epoch == t.epoch {
		before := p.count()
		p.bits.AddMany(nodes)
		t.elements += p.count() - before
		return
	}
	p := t.postings.edit(s, t.epoch)
	before := p.count()
	p.addAll(nodes, t.epoch)
	t.elements += p.count() - before
	if before == 0 && len(nodes) > 0 {
		t.live++
	}
}

// regroup makes the bitmap of every value that has one from those of its shapes.
func (t *table) regroup() {
	words := []uint64{}
	var buf []uint32
	for n := range t.values.n {
		s := t.states.get(n)
		if t.values.get(n).fold != n || s.count <= groupAt {
			continue
		}
		clear(words)
		for block := range t.blocks(s) {
			for _, shape := range block {
				buf = t.postings.get(shape).appendTo(buf[:0])
				for _, node := range buf {
					for int(node>>6) >= len(words) {
						words = append(words, 0)
					}
					words[node>>6] |= 1 << (node & 63)
				}
			}
		}
		b := newBits(t.epoch)
		b.Or(roaring.FromDense(words, true)) // without a copy, containers of 65,536 nodes would share words
		*t.groups.edit(s.aux, t.epoch) = group{nodes: b}
	}
	t.version++
}
