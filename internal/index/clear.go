package index

import (
	"runtime"
	"time"

	"github.com/RoaringBitmap/roaring/v2"
)

const (
	// holdFor is how long work that can be put down holds the lock before it lets others have it.
	holdFor = 200 * time.Microsecond
	// holdLook is after how many steps it looks at the clock.
	holdLook = 16
)

// release lets the lock go after a piece of longer work, and has those who wait for it run first: a mutex would give it
// to who had it last for up to a millisecond, however many wait.
func (part *partition) release() {
	part.mu.Unlock()
	runtime.Gosched()
}

// inSteps calls step for 0, 1 and so on until it gives false, under the lock, which it lets go now and then.
func (part *partition) inSteps(step func(i uint32) bool) {
	more := true
	for i := uint32(0); more; {
		part.mu.Lock()
		for begun := time.Now(); more; i++ {
			if i%holdLook == 0 && time.Since(begun) > holdFor {
				break
			}
			more = step(i)
		}
		part.release()
	}
}

// clearAll takes nodes, which are in order, out of every table.
func (part *partition) clearAll(gone []uint32) {
	set := roaring.BitmapOf(gone...)
	part.mu.RLock()
	tables := make([]*table, 0, len(part.tables))
	for _, t := range part.tables {
		tables = append(tables, t)
	}
	part.mu.RUnlock()
	for _, t := range tables {
		part.clear(t, set)
	}
}

// clear takes nodes out of a table.
func (part *partition) clear(t *table, gone *roaring.Bitmap) {
	part.mu.Lock()
	t.clearSets(gone)
	part.release()
	part.inSteps(func(i uint32) bool {
		t.version++
		if i < t.groups.n {
			t.clearGroup(i, gone)
		}
		return i < t.groups.n
	})
	part.inSteps(func(s uint32) bool {
		t.version++
		if s < t.postings.n {
			t.clearPosting(s, gone)
		}
		return s < t.postings.n
	})
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

// without gives a set without some nodes: itself where it has none of them.
func (t *table) without(b *bits, gone *roaring.Bitmap) *bits {
	if b == nil || !b.Intersects(gone) {
		return b
	}
	b = b.own(t.epoch)
	b.AndNot(gone)
	return b
}

func (t *table) clearGroup(i uint32, gone *roaring.Bitmap) {
	if !t.groups.get(i).nodes.Intersects(gone) {
		return
	}
	g := t.groups.edit(i, t.epoch)
	g.nodes = t.without(g.nodes, gone)
	g.doubts.removeAll(gone, t.epoch)
}

// clearSets takes nodes out of the sets a table keeps beside postings and groups.
func (t *table) clearSets(gone *roaring.Bitmap) {
	t.version++
	t.all = t.without(t.all, gone)
	for i := range t.attrs {
		t.attrs[i].volatile = t.without(t.attrs[i].volatile, gone)
	}
	for i := range t.splits {
		t.splits[i].nodes = t.without(t.splits[i].nodes, gone)
	}
	for it := gone.Iterator(); it.HasNext(); {
		if n := it.Next(); len(t.subsOf(n)) > 0 {
			t.setSubs(n, nil)
		}
	}
}
