package index

import "github.com/RoaringBitmap/roaring/v2"

// Bulk fills a new index: load calls Define, Load and SetPosition, from many goroutines if it likes, and nobody else uses
// the index before Bulk returns. What follows from the shapes' own sets of nodes is then computed once for all rather
// than with every document. The error is load's; the index is whole all the same, as far as load came.
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
				t.regroup()
			}
		}
		part.mu.Unlock()
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
		b.Or(roaring.FromDense(words, false))
		*t.groups.edit(s.aux, t.epoch) = group{nodes: b}
	}
	t.version++
}
