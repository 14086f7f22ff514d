package index

import (
	"context"
	"slices"
	"sync"

	"github.com/RoaringBitmap/roaring/v2"

	"stocktake/internal/inventory"
)

// Documents reads what nodes of one partition report, for questions shapes can't answer. Entries are whole: shape,
// volatile and context attributes together. reports tells whether the node has a document of the type at all; of a node
// that is gone it is false, without an error. Entries may leave out attributes that are not among those asked for; nil asks
// for all. It must be safe for concurrent use.
type Documents interface {
	Entries(ctx context.Context, node inventory.NodeID, t inventory.TypeName, attributes []string) (entries []inventory.Entry, reports bool, err error)
}

// Result is the answer to a set of filters, as of when it was asked. It does not change and can be kept for the pages
// after the first.
type Result struct {
	answer
	ids   vector[inventory.NodeID]
	order *order
	extra []uint32 // nodes of the answer the order misses, by id

	sorted sync.Once
	list   []uint32 // all nodes of the answer by id, made on the first page of a sparse answer
}

// Query gives the nodes of a partition that meet every filter, Exists filters included; without filters every known
// node.
func (x *Index) Query(p inventory.Partition, filters []inventory.Filter) *Result {
	part := x.partition(p)
	if part == nil {
		return emptyResult()
	}
	part.prepare(filters)
	part.currentOrder()
	part.mu.RLock()
	pl, now := part.planned(filters, true)
	r := &Result{ids: part.ids, order: part.order.Load()}
	missed := part.registered[r.order.covers:]
	if now {
		r.answer = pl.run()
	}
	part.mu.RUnlock()
	if !now {
		r.answer = pl.run()
	}
	r.include(missed)
	return r
}

func emptyResult() *Result {
	return &Result{answer: answer{sure: roaring.New()}, order: &order{}}
}

// Reporting gives the nodes of a partition that have a document of the type.
func (x *Index) Reporting(p inventory.Partition, t inventory.TypeName) *Result {
	return x.Query(p, []inventory.Filter{{Operator: inventory.Exists, Values: []string{string(t)}}})
}

// Outdated gives the nodes with a document of the type that was cut with another split than the given one. A node with
// several documents of the type stays among them until the last of those documents is gone or it has but one.
func (x *Index) Outdated(p inventory.Partition, t inventory.TypeName, split uint32) *Result {
	r := x.Reporting(p, t)
	part := x.partition(p)
	if part == nil {
		return r
	}
	others := roaring.New()
	part.mu.RLock()
	if tab := part.tables[t]; tab != nil {
		for _, s := range tab.splits {
			if s.number != split {
				others.Or(&s.nodes.Bitmap)
			}
		}
	}
	part.mu.RUnlock()
	r.sure.And(others)
	r.extra = slices.DeleteFunc(r.extra, func(n uint32) bool { return !others.Contains(n) })
	return r
}

// include sorts in the nodes registered since the order was made.
func (r *Result) include(missed []uint32) {
	for _, n := range missed {
		if r.has(n) {
			r.extra = append(r.extra, n)
		}
	}
	slices.SortFunc(r.extra, r.byID)
}

func (r *Result) byID(a, b uint32) int { return compareIDs(*r.ids.get(a), *r.ids.get(b)) }

func (r *Result) has(n uint32) bool {
	return r.sure.Contains(n) || r.maybe != nil && r.maybe.Contains(n)
}

// Most is the number of nodes if every candidate meets the question; of an Exact result it is the number.
func (r *Result) Most() int {
	n := int(r.sure.GetCardinality())
	if r.maybe != nil {
		n += int(r.maybe.GetCardinality())
	}
	return n
}

// Exact reports whether the result is decided without documents; then Page and Count never read one.
func (r *Result) Exact() bool { return r.maybe == nil || r.maybe.IsEmpty() }

// Count gives the number of nodes. It reads the documents of every candidate shapes could not decide.
func (r *Result) Count(ctx context.Context, docs Documents) (int, error) {
	set, err := r.decide(ctx, docs)
	if err != nil {
		return 0, err
	}
	return int(set.GetCardinality()), nil
}

// decide gives the nodes, candidates decided. The set must not be changed.
func (r *Result) decide(ctx context.Context, docs Documents) (*roaring.Bitmap, error) {
	if r.Exact() {
		return r.sure, nil
	}
	out := r.sure.Clone()
	for it := r.maybe.Iterator(); it.HasNext(); {
		n := it.Next()
		ok, err := r.check(ctx, docs, n)
		if err != nil {
			return nil, err
		}
		if ok {
			out.Add(n)
		}
	}
	return out, nil
}

// check asks a candidate's documents what its shapes could not tell.
func (r *Result) check(ctx context.Context, docs Documents, n uint32) (bool, error) {
	for _, q := range r.checks {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		entries, reports, err := docs.Entries(ctx, *r.ids.get(n), q.Type, attributesOf(q))
		if err != nil {
			return false, err
		}
		if !q.MatchEntries(reports, entries) {
			return false, nil
		}
	}
	return true, nil
}

// attributesOf gives the attributes a question looks at.
func attributesOf(q inventory.TypeQuestion) []string {
	var names []string
	for _, filters := range [][]inventory.Filter{q.Same, q.Differ, q.None} {
		for _, f := range filters {
			names = append(names, f.Attribute)
		}
	}
	return names
}

// Page gives the first n nodes after the given id ("" for the first page), in byte order of ids, and whether there are
// more. docs may be nil when the result is Exact.
func (r *Result) Page(ctx context.Context, docs Documents, after inventory.NodeID, n int) (ids []inventory.NodeID, more bool, err error) {
	w := r.walk(after)
	for node, ok := w.next(); ok; node, ok = w.next() {
		if !r.sure.Contains(node) {
			met, err := r.check(ctx, docs, node)
			if err != nil {
				return nil, false, err
			}
			if !met {
				continue
			}
		}
		if len(ids) == n {
			return ids, true, nil
		}
		ids = append(ids, *r.ids.get(node))
	}
	return ids, false, nil
}

// walk goes through the nodes of the answer, candidates included, by id.
type walk struct {
	r           *Result
	base, extra []uint32
	listed      bool // whether base holds nodes of the answer only
}

// sparseAt is the share of nodes below which an answer is sorted by itself rather than picked from the order of all.
const sparseAt = 32

func (r *Result) walk(after inventory.NodeID) *walk {
	w := &walk{r: r, base: r.order.nodes, extra: r.extra}
	if r.Most() < len(r.order.nodes)/sparseAt {
		r.sorted.Do(r.sortList)
		w.base, w.listed = r.list, true
	}
	w.base = w.base[r.firstAfter(w.base, after):]
	w.extra = w.extra[r.firstAfter(w.extra, after):]
	return w
}

func (r *Result) firstAfter(nodes []uint32, after inventory.NodeID) int {
	i, found := slices.BinarySearchFunc(nodes, after, func(n uint32, id inventory.NodeID) int { return compareIDs(*r.ids.get(n), id) })
	if found {
		i++
	}
	return i
}

// sortList lists the nodes the order has.
func (r *Result) sortList() {
	nodes := r.sure.ToArray()
	if r.maybe != nil {
		nodes = append(nodes, r.maybe.ToArray()...)
	}
	extra := roaring.BitmapOf(r.extra...)
	nodes = slices.DeleteFunc(nodes, extra.Contains)
	slices.SortFunc(nodes, func(a, b uint32) int { return int(r.order.ranks[a]) - int(r.order.ranks[b]) })
	r.list = nodes
}

func (w *walk) next() (uint32, bool) {
	for !w.listed && len(w.base) > 0 && !w.r.has(w.base[0]) {
		w.base = w.base[1:]
	}
	switch {
	case len(w.base) == 0 && len(w.extra) == 0:
		return 0, false
	case len(w.extra) == 0 || len(w.base) > 0 && w.r.byID(w.base[0], w.extra[0]) < 0:
		n := w.base[0]
		w.base = w.base[1:]
		return n, true
	}
	n := w.extra[0]
	w.extra = w.extra[1:]
	return n, true
}

// Bytes estimates the memory the result holds alone. The order of ids it shares with others of its time.
func (r *Result) Bytes() int {
	n := 256 + int(r.sure.GetSizeInBytes()) + 4*len(r.extra)
	if r.maybe != nil {
		n += int(r.maybe.GetSizeInBytes())
	}
	if r.Most() < len(r.order.nodes)/sparseAt {
		n += 4 * r.Most()
	}
	return n
}

// Entry rebuilds a shape's entry from memory. Its strings share the index's memory.
func (x *Index) Entry(p inventory.Partition, t inventory.TypeName, id inventory.ShapeID) (inventory.Entry, bool) {
	part := x.partition(p)
	if part == nil {
		return nil, false
	}
	part.mu.RLock()
	defer part.mu.RUnlock()
	tab := part.tables[t]
	if tab == nil {
		return nil, false
	}
	n, ok := tab.findAny(id)
	if !ok {
		return nil, false
	}
	return tab.entry(n), true
}
