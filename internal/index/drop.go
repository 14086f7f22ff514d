package index

import (
	"github.com/RoaringBitmap/roaring/v2"

	"stocktake/internal/inventory"
)

// clearStep is how many postings are gone through under one hold of the lock.
const clearStep = 4096

// DropShard forgets every node of a shard and sets its position to zero, before the shard is loaded anew. Nothing of the
// shard may be loaded or applied meanwhile. The text of its shapes stays.
func (x *Index) DropShard(shard int) {
	x.positionsMu.Lock()
	x.positions[shard] = inventory.Position{}
	x.drops[shard]++
	x.positionsMu.Unlock()
	for _, part := range x.all() {
		part.drop(shard)
	}
}

func (part *partition) drop(shard int) {
	gone := roaring.New()
	part.mu.Lock()
	for n := range part.lives {
		if l := &part.lives[n]; int(l.shard) == shard && l.types > 0 {
			gone.Add(uint32(n))
			l.types = 0
		}
	}
	part.known = part.known.own(part.epoch)
	part.known.AndNot(gone)
	tables := make([]*table, 0, len(part.tables))
	for _, t := range part.tables {
		tables = append(tables, t)
	}
	part.mu.Unlock()
	if gone.IsEmpty() {
		return
	}
	for _, t := range tables {
		part.clear(t, gone)
	}
}

// clear takes nodes out of a table, in short holds of the lock.
func (part *partition) clear(t *table, gone *roaring.Bitmap) {
	part.mu.Lock()
	t.clearSets(gone)
	part.mu.Unlock()
	for from := uint32(0); ; from += clearStep {
		part.mu.Lock()
		t.version++
		last := t.postings.n
		for s := from; s < min(from+clearStep, last); s++ {
			t.clearPosting(s, gone)
		}
		part.mu.Unlock()
		if from+clearStep >= last {
			return
		}
	}
}

func (t *table) clearPosting(s uint32, gone *roaring.Bitmap) {
	p := *t.postings.get(s)
	if p.empty() {
		return
	}
	lost := p.removeAll(gone, t.epoch)
	if lost == 0 {
		return
	}
	*t.postings.edit(s, t.epoch) = p
	t.elements -= lost
	if p.empty() {
		t.live--
	}
	for _, val := range t.row(s) {
		if v := t.values.get(val); t.states.get(v.fold).count <= groupAt {
			t.recount(v)
		}
	}
}

// clearSets takes nodes out of the sets a table keeps beside postings.
func (t *table) clearSets(gone *roaring.Bitmap) {
	t.version++
	without := func(b *bits) *bits {
		if b == nil || !b.Intersects(gone) {
			return b
		}
		b = b.own(t.epoch)
		b.AndNot(gone)
		return b
	}
	t.all = without(t.all)
	for i := range t.attrs {
		t.attrs[i].volatile = without(t.attrs[i].volatile)
	}
	for i := range t.splits {
		t.splits[i].nodes = without(t.splits[i].nodes)
	}
	for i := range t.groups.n {
		if t.groups.get(i).nodes.Intersects(gone) {
			g := t.groups.edit(i, t.epoch)
			g.nodes = without(g.nodes)
			g.doubts.removeAll(gone, t.epoch)
		}
	}
	for n := range t.subs {
		if gone.Contains(n) {
			delete(t.subs, n)
		}
	}
}
