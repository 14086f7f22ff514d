package index

import "github.com/RoaringBitmap/roaring/v2"

// group is the nodes of a value that many shapes have, so that a question about it need not join them. Whether a node
// that lost one of the shapes still has another is not looked into at once: until then it is in doubt.
type group struct {
	nodes  *bits
	doubts posting // among nodes
}

const (
	// groupAt is the number of shapes above which a value has a group.
	groupAt = 64
	// doubtsMost is how many nodes are in doubt before one pass over the value's shapes clears them up.
	doubtsMost = 64
)

// makeGroup gives a value that has just got too many shapes its group.
func (t *table) makeGroup(s *state) {
	b := newBits(t.epoch)
	for _, o := range t.appendShapes(nil, s) {
		b.Or(t.postings.get(o).bitmap())
	}
	s.aux = t.groups.push(group{nodes: b}, t.epoch)
	t.seen = append(t.seen, 0)
}

// enterGroup notes that a node has a shape with the value.
func (t *table) enterGroup(number, n uint32) {
	if g := t.groups.get(number); g.nodes.Contains(n) && !g.doubts.contains(n) {
		return
	}
	g := t.groups.edit(number, t.epoch)
	g.nodes = g.nodes.own(t.epoch)
	g.nodes.Add(n)
	g.doubts.remove(n, t.epoch)
}

// leaveGroup notes that a node has no shape with the value.
func (t *table) leaveGroup(fold, n uint32) {
	number := t.states.get(fold).aux
	if !t.groups.get(number).nodes.Contains(n) {
		return
	}
	g := t.groups.edit(number, t.epoch)
	g.nodes = g.nodes.own(t.epoch)
	g.nodes.Remove(n)
	g.doubts.remove(n, t.epoch)
}

// doubt notes that a node lost a shape with the value.
func (t *table) doubt(fold, n uint32) {
	s := t.states.get(fold)
	if !t.groups.get(s.aux).nodes.Contains(n) {
		return
	}
	g := t.groups.edit(s.aux, t.epoch)
	g.doubts.add(n, t.epoch)
	if g.doubts.count() < doubtsMost {
		return
	}
	g.nodes = g.nodes.own(t.epoch)
	g.nodes.AndNot(t.lost(s, g))
	g.doubts = posting{}
}

// lost gives the nodes in doubt that have no shape with the value any more.
func (v *view) lost(s *state, g *group) *roaring.Bitmap {
	left := g.doubts.bitmap().Clone()
	for block := range v.blocks(s) {
		for _, o := range block {
			if v.postings.get(o).takeFrom(left); left.IsEmpty() {
				return left
			}
		}
	}
	return left
}

// groupNodes gives the nodes of a value that has a group. They must not be changed.
func (v *view) groupNodes(s *state) *bits {
	g := v.groups.get(s.aux)
	if g.doubts.empty() {
		return g.nodes
	}
	lost := v.lost(s, g)
	if lost.IsEmpty() {
		return g.nodes
	}
	b := newBits(0)
	b.Or(&g.nodes.Bitmap)
	b.AndNot(lost)
	return b
}
