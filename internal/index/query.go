package index

import (
	"context"
	"slices"
	"sync"

	"github.com/RoaringBitmap/roaring/v2"

	"stocktake/internal/inventory"
)

// Documents reads what nodes of one partition report of a type, for questions shapes can't answer: for each node asked
// for, in their order, its entries and whether it has a document of the type at all; a node that is gone has none.
// Entries are whole: shape, volatile and context attributes together. They may leave out attributes that are not among
// those asked for; nil asks for all. At most ReadMost nodes are asked for at a time. It must be safe for concurrent use.
type Documents interface {
	Entries(ctx context.Context, nodes []inventory.NodeID, t inventory.TypeName, attributes []string) (entries [][]inventory.Entry, reports []bool, err error)
	// Meet tells of each node whether it meets a question, as q.MatchEntries would of its entries.
	Meet(ctx context.Context, nodes []inventory.NodeID, q inventory.TypeQuestion) ([]bool, error)
}

// ReadMost is how many nodes Documents is asked about at a time, at most.
const ReadMost = 128

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
// node. The only error is that of ctx.
func (x *Index) Query(ctx context.Context, p inventory.Partition, filters []inventory.Filter) (*Result, error) {
	part := x.partition(p)
	if part == nil {
		return emptyResult(), ctx.Err()
	}
	part.prepare(filters)
	part.currentOrder()
	part.mu.RLock()
	pl, now := part.planned(filters, true)
	r := &Result{ids: part.ids, order: part.order.Load()}
	missed := part.registered[r.order.covers:]
	var err error
	if now {
		r.answer, err = pl.run(ctx)
	}
	part.mu.RUnlock()
	if !now {
		pl.resolve()
		r.answer, err = pl.run(ctx)
	}
	if err != nil {
		return nil, err
	}
	r.include(missed)
	return r, nil
}

func emptyResult() *Result {
	return &Result{answer: answer{sure: roaring.New()}, order: &order{}}
}

// Reporting gives the nodes of a partition that have a document of the type.
func (x *Index) Reporting(ctx context.Context, p inventory.Partition, t inventory.TypeName) (*Result, error) {
	return x.Query(ctx, p, []inventory.Filter{{Operator: inventory.Exists, Values: []string{string(t)}}})
}

// Outdated gives the nodes with a document of the type that was cut with another split than the given one. A node with
// several documents of the type stays among them until the last of those documents is gone or it has but one.
func (x *Index) Outdated(ctx context.Context, p inventory.Partition, t inventory.TypeName, split uint32) (*Result, error) {
	r, err := x.Reporting(ctx, p, t)
	part := x.partition(p)
	if part == nil || err != nil {
		return r, err
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
	return r, nil
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
	var buf [ReadMost]uint32
	it := r.maybe.ManyIterator()
	for n := it.NextMany(buf[:]); n > 0; n = it.NextMany(buf[:]) {
		met, err := r.meeting(ctx, docs, buf[:n])
		if err != nil {
			return nil, err
		}
		out.AddMany(met)
	}
	return out, nil
}

// meeting gives those of some nodes of the answer, in their order, that meet the question: of candidates the documents
// are asked what their shapes could not tell.
func (r *Result) meeting(ctx context.Context, docs Documents, nodes []uint32) ([]uint32, error) {
	if r.Exact() {
		return nodes, nil
	}
	var candidates []uint32
	for _, n := range nodes {
		if !r.sure.Contains(n) {
			candidates = append(candidates, n)
		}
	}
	failed := map[uint32]bool{}
	for _, q := range r.checks {
		left := slices.DeleteFunc(candidates, func(n uint32) bool { return failed[n] })
		candidates = left
		for step := range slices.Chunk(left, ReadMost) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			met, err := docs.Meet(ctx, r.idsOf(step), q)
			if err != nil {
				return nil, err
			}
			for i, n := range step {
				if !met[i] {
					failed[n] = true
				}
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(nodes), func(n uint32) bool { return failed[n] }), nil
}

func (r *Result) idsOf(nodes []uint32) []inventory.NodeID {
	ids := make([]inventory.NodeID, len(nodes))
	for i, n := range nodes {
		ids[i] = *r.ids.get(n)
	}
	return ids
}

// Page gives the first n nodes after the given id ("" for the first page), in byte order of ids, and whether there are
// more. docs may be nil when the result is Exact.
func (r *Result) Page(ctx context.Context, docs Documents, after inventory.NodeID, n int) (ids []inventory.NodeID, more bool, err error) {
	w := r.walk(after)
	for ahead := n + 1; ; {
		nodes := w.take(ahead)
		met, err := r.meeting(ctx, docs, nodes)
		if err != nil {
			return nil, false, err
		}
		for _, node := range met {
			if len(ids) == n {
				return ids, true, nil
			}
			ids = append(ids, *r.ids.get(node))
		}
		if len(nodes) < ahead {
			return ids, false, nil
		}
		// As many as will do if the next meet the question as often as these.
		ahead = max(1, min((n+1-len(ids))*len(nodes)/max(1, len(met)), ReadMost))
	}
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
	i, _ := slices.BinarySearchFunc(nodes, after, func(n uint32, id inventory.NodeID) int {
		if *r.ids.get(n) > id {
			return 1
		}
		return -1 // a node that was loaded again has several numbers
	})
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

// take gives the next n nodes, fewer at the end.
func (w *walk) take(n int) []uint32 {
	var nodes []uint32
	for len(nodes) < n {
		node, ok := w.next()
		if !ok {
			break
		}
		nodes = append(nodes, node)
	}
	return nodes
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
