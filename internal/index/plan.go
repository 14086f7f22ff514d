package index

import (
	"context"
	"iter"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"

	"stocktake/internal/inventory"
)

// plan is a set of filters with their values looked up: what is left is to join sets of nodes. It is made under the
// partition's lock, from the live tables, and run on them or on views frozen under the same hold. Values that go by an
// order may be many: they are looked up in the views, by resolve.
type plan struct {
	questions []question
	exists    [][]*view // each a disjunction
	known     *roaring.Bitmap
	nodes     uint32 // every number is below
	cost      int    // sets to join, about
}

type question struct {
	inventory.TypeQuestion
	view               *view // nil where the partition has nothing of the type
	same, differ, none []match
}

// match is a filter with the folded values that meet it.
type match struct {
	filter  inventory.Filter
	known   bool // whether the table has the attribute
	ordered bool // whether the filter goes by an order
	attr    uint32
	values  []uint32
	shapes  int // how many have one of them, at least
	hint    int // see foldOf
	// unsure holds the nodes whose documents may carry the attribute outside of shapes; nil for none.
	unsure *roaring.Bitmap
}

// offLock is the cost above which a plan is run on frozen views.
const offLock = 512

// runStep is after how many sets joined it is looked whether the answer is still wanted.
const runStep = 1024

// planned looks the filters' values up and gives a plan that can be run without the lock, freezing what it needs unless
// now is true and it is little work: then the caller must run it before letting the lock go.
func (part *partition) planned(filters []inventory.Filter, now bool) (*plan, bool) {
	p := &plan{nodes: part.ids.n}
	for _, q := range inventory.Questions(filters) {
		pq := question{TypeQuestion: q}
		if tab := part.tables[q.Type]; tab != nil {
			pq.view = &tab.view
			pq.same, pq.differ, pq.none = tab.matches(q.Same), tab.matches(q.Differ), tab.matches(q.None)
			p.cost += pq.cost()
			now = now && !pq.ordered()
		}
		p.questions = append(p.questions, pq)
	}
	for _, f := range filters {
		if f.Operator != inventory.Exists {
			continue
		}
		var any []*view
		for _, t := range f.Values {
			if tab := part.tables[inventory.TypeName(t)]; tab != nil {
				any = append(any, &tab.view)
			}
		}
		p.exists = append(p.exists, any)
	}
	if now && p.cost <= offLock {
		p.known = &part.known.Bitmap
		return p, true
	}
	p.known = part.freezeKnown()
	for i := range p.questions {
		if q := &p.questions[i]; q.view != nil {
			q.view = part.view(q.Type)
			q.refreeze()
		}
	}
	for _, any := range p.exists {
		for i, v := range any {
			any[i] = part.view(v.typ)
		}
	}
	return p, false
}

func (t *table) matches(filters []inventory.Filter) []match {
	out := make([]match, len(filters))
	for i, f := range filters {
		m := &out[i]
		m.filter = f
		m.attr, m.known = t.attrNumber[f.Attribute]
		if !m.known {
			continue
		}
		a := &t.attrs[m.attr]
		if a.volatile != nil && !a.volatile.IsEmpty() {
			m.unsure = &a.volatile.Bitmap
		}
		if _, m.ordered = orderFor(f); m.ordered {
			continue
		}
		for _, text := range f.Values {
			if v, ok := t.findValue(m.attr, text); ok {
				m.values = append(m.values, v)
				m.shapes += int(t.states.get(v).count)
			}
		}
	}
	return out
}

// refreeze takes the sets of unsure nodes from the frozen view.
func (q *question) refreeze() {
	for m := range q.matches() {
		if m.unsure != nil {
			m.unsure = &q.view.attrs[m.attr].volatile.Bitmap
		}
	}
}

// matches gives those of the question.
func (q *question) matches() iter.Seq[*match] {
	return func(yield func(*match) bool) {
		for _, ms := range [][]match{q.same, q.differ, q.none} {
			for i := range ms {
				if !yield(&ms[i]) {
					return
				}
			}
		}
	}
}

// ordered reports whether a filter goes by an order.
func (q *question) ordered() bool {
	for m := range q.matches() {
		if m.ordered && m.known {
			return true
		}
	}
	return false
}

// resolve looks up in the frozen views what planned left, and gives the plan's cost.
func (p *plan) resolve() int {
	p.cost = 0
	for i := range p.questions {
		q := &p.questions[i]
		for m := range q.matches() {
			if m.ordered && m.known && m.values == nil {
				m.values = q.view.matching(&q.view.attrs[m.attr], m.filter)
				m.shapes = len(m.values)
			}
		}
		p.cost += q.cost()
	}
	return p.cost
}

func (q *question) cost() int {
	cost := 1
	if len(q.same) > 0 {
		cost += q.same[driver(q.same)].shapes
	}
	for _, m := range q.none {
		cost += m.shapes
	}
	return cost
}

// driver gives the match with the fewest shapes: only they are looked at.
func driver(ms []match) int {
	least := 0
	for i := range ms {
		if ms[i].shapes < ms[least].shapes {
			least = i
		}
	}
	return least
}

// has reports whether a shape has one of the match's values.
func (m *match) has(v *view, shape uint32) bool {
	if !m.known {
		return false
	}
	fold, ok := v.foldOf(shape, m.attr, &m.hint)
	if !ok {
		return false
	}
	if m.ordered {
		return m.filter.Holds(v.text(fold))
	}
	return slices.Contains(m.values, fold)
}

// answer is a set of nodes, and others of which documents decide.
type answer struct {
	sure, maybe *roaring.Bitmap
	checks      []inventory.TypeQuestion
}

// run joins the plan's sets. Where ctx is done it gives up, and what it gives is of no use.
func (p *plan) run(ctx context.Context) (answer, error) {
	a := answer{sure: p.known.Clone()}
	all := a.sure // sure and maybe together; its own set once they differ
	for i := range p.questions {
		q := &p.questions[i]
		exact, unsure := q.run(ctx, p.nodes)
		if unsure != nil && !unsure.IsEmpty() {
			a.checks = append(a.checks, q.TypeQuestion)
			if all == a.sure {
				all = a.sure.Clone()
			}
			unsure.Or(exact)
			all.And(unsure)
		} else if all != a.sure {
			all.And(exact)
		}
		a.sure.And(exact)
	}
	for _, views := range p.exists {
		any := roaring.New()
		for _, v := range views {
			any.Or(&v.all.Bitmap)
		}
		a.sure.And(any)
		if all != a.sure {
			all.And(any)
		}
	}
	if all != a.sure {
		all.AndNot(a.sure)
		a.maybe = all
	}
	return a, ctx.Err()
}

// run gives the nodes that meet the question by their shapes, and those whose documents must be read to know. Both are
// the caller's to change.
func (q *question) run(ctx context.Context, nodes uint32) (exact, unsure *roaring.Bitmap) {
	v := q.view
	if v == nil {
		return roaring.New(), nil
	}
	exact = v.all.Clone()
	if len(q.same) > 0 {
		exact = v.nodesOf(ctx, q.same, q.differ, nodes)
	}
	if len(q.none) > 0 {
		if len(q.same) > 0 {
			exact.And(&v.all.Bitmap)
		}
		for i := range q.none {
			exact.AndNot(v.union(ctx, q.none[i].values, nodes))
		}
	}
	if unsure = q.unsure(); unsure == nil {
		return exact, nil
	}
	exact.AndNot(unsure)
	unsure.And(&v.all.Bitmap)
	// Filters on attributes that no document carries outside of shapes thin the candidates out.
	certain := func(ms []match) []match {
		return slices.DeleteFunc(slices.Clone(ms), func(m match) bool { return m.unsure != nil })
	}
	if same := certain(q.same); len(same) > 0 {
		unsure.And(v.nodesOf(ctx, same, certain(q.differ), nodes))
	}
	for _, m := range certain(q.none) {
		unsure.AndNot(v.union(ctx, m.values, nodes))
	}
	return exact, unsure
}

// unsure gives the nodes that may carry an attribute of the question outside of shapes, nil for none.
func (q *question) unsure() *roaring.Bitmap {
	var out *roaring.Bitmap
	for m := range q.matches() {
		if m.unsure == nil {
			continue
		}
		if out == nil {
			out = roaring.New()
		}
		out.Or(m.unsure)
	}
	return out
}

// nodesOf gives the nodes with a shape that meets every match of same and none of differ.
func (v *view) nodesOf(ctx context.Context, same, differ []match, nodes uint32) *roaring.Bitmap {
	d := driver(same)
	if len(same) == 1 && len(differ) == 0 {
		return v.union(ctx, same[d].values, nodes)
	}
	var shapes []uint32
	for _, val := range same[d].values {
		shapes = v.appendShapes(shapes, v.states.get(val))
	}
	u := unioner{nodes: nodes}
	for i, s := range shapes {
		if i%runStep == 0 && ctx.Err() != nil {
			break
		}
		if v.meets(s, same, differ, d) {
			u.add(v.postings.get(s))
		}
	}
	return u.bitmap()
}

// meets reports whether a shape meets every match of same, but for the driver's, and none of differ.
func (v *view) meets(shape uint32, same, differ []match, driver int) bool {
	for i := range same {
		if i != driver && !same[i].has(v, shape) {
			return false
		}
	}
	for i := range differ {
		if differ[i].has(v, shape) {
			return false
		}
	}
	return true
}

// union gives the nodes with any of the values.
func (v *view) union(ctx context.Context, values []uint32, nodes uint32) *roaring.Bitmap {
	u := unioner{nodes: nodes, all: v.all}
	var shapes []uint32
	for i, val := range values {
		if i%runStep == 0 && ctx.Err() != nil {
			break
		}
		s := v.states.get(val)
		if s.count > groupAt {
			u.add(&posting{bits: v.groupNodes(s)})
			continue
		}
		shapes = v.appendShapes(shapes[:0], s)
		for _, o := range shapes {
			u.add(v.postings.get(o))
		}
		if u.full() {
			break
		}
	}
	return u.bitmap()
}

// unioner joins postings: dense ones as bitmaps, the others bit by bit in a plain bitset once they are many.
type unioner struct {
	nodes uint32
	all   *bits // the nodes there are; nil where that is no help
	dense *roaring.Bitmap
	few   []uint32
	words []uint64
	every []uint64 // all, as words
	added int
}

// full reports whether the union has every node there is, so that no more need be added. It looks now and then.
func (u *unioner) full() bool {
	if u.added++; u.words == nil || u.all == nil || u.added < 16+len(u.words)/8 {
		return false
	}
	u.added = 0
	if u.every == nil {
		u.every = make([]uint64, len(u.words))
		u.all.orInto(u.every)
		if u.dense != nil {
			(&bits{Bitmap: *u.dense}).orInto(u.words)
			u.dense = nil
		}
	}
	for i, w := range u.every {
		if w&^u.words[i] != 0 {
			return false
		}
	}
	return true
}

func (u *unioner) add(p *posting) {
	const denseFrom, fewMost = 4096, 512
	n := p.count()
	switch {
	case p.bits != nil && u.every == nil && (n > denseFrom || u.dense == nil && len(u.few) == 0 && u.words == nil):
		if u.dense == nil {
			u.dense = p.bits.Clone()
		} else {
			u.dense.Or(&p.bits.Bitmap)
		}
	case u.words != nil:
		p.orInto(u.words)
	case len(u.few)+n <= fewMost:
		u.few = p.appendTo(u.few)
	default:
		u.words = make([]uint64, (u.nodes+63)/64)
		for _, x := range u.few {
			u.words[x>>6] |= 1 << (x & 63)
		}
		u.few = u.few[:0]
		p.orInto(u.words)
	}
}

func (u *unioner) bitmap() *roaring.Bitmap {
	out := u.dense
	if out == nil {
		out = roaring.New()
	}
	if len(u.few) > 0 {
		out.AddMany(u.few)
	}
	if u.words != nil {
		made := roaring.FromDense(u.words, true)
		if u.dense == nil {
			return made
		}
		out.Or(made)
	}
	return out
}
