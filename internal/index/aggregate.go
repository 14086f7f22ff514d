package index

import (
	"context"

	"github.com/RoaringBitmap/roaring/v2"

	"stocktake/internal/inventory"
)

// Bounds limit one Aggregate.
type Bounds struct {
	// Work is in steps of joining one set of nodes; reading a document is 256 steps. 0 is no bound.
	Work int
	// Rows bounds the rows of all aggregators together. 0 is MostRows.
	Rows int
}

// MostRows is the bound on rows where none is given: they have to fit in memory.
const MostRows = 1_000_000

func (b Bounds) rows() int {
	if b.Rows > 0 {
		return b.Rows
	}
	return MostRows
}

// Counts answers one top-level aggregator: Rows for an expression, Groups for groups, in the order of its groups.
type Counts struct {
	Rows   Rows
	Groups []GroupCount
}

// GroupCount is how many nodes meet a group's filters and how many do not.
type GroupCount struct {
	Name                  string
	Matching, NotMatching int
}

// Aggregate counts the nodes that meet the filters, one Counts for each aggregator, in their order.
//
// A row counts nodes, each once: those with one value for each expression of its path, where expressions of one type hold
// for one and the same entry. Rows with fewer values than their path has expressions do not exist. They are ordered by the
// count of their outermost value, largest first, then by that value, bytewise, and so on inwards; of sibling aggregators
// the first one's rows come first. docs may be nil when no attribute asked for is volatile.
//
// Errors: InvalidAggregator when a bound is passed; those of ctx and docs.
func (x *Index) Aggregate(ctx context.Context, p inventory.Partition, aggs []inventory.Aggregator, filters []inventory.Filter, docs Documents, bounds Bounds) ([]Counts, error) {
	part := x.partition(p)
	if part == nil {
		part = newPartition(p)
	}
	c := &counter{ctx: ctx, docs: docs, bounds: bounds, tallies: map[tallyKey]uint64{}}
	part.prepareAll(aggs, filters)
	for _, a := range aggs {
		if a.Type == "" {
			continue
		}
		if err := part.tally(c, a); err != nil {
			return nil, err
		}
	}
	return part.aggregate(c, aggs, filters)
}

// prepareAll makes the orders of filters, and of expressions: their rows come out in them.
func (part *partition) prepareAll(aggs []inventory.Aggregator, filters []inventory.Filter) {
	part.prepare(filters)
	for _, a := range aggs {
		for _, g := range a.Groups {
			part.prepare(g.Filters)
		}
		if a.Type != "" {
			part.prepare([]inventory.Filter{{Type: a.Type, Attribute: a.Attribute, Operator: inventory.BeginWith}})
		}
		part.prepareAll(a.Nested, nil)
	}
}

// aggregate answers the aggregators, all from the same frozen views.
func (part *partition) aggregate(c *counter, aggs []inventory.Aggregator, filters []inventory.Filter) ([]Counts, error) {
	part.mu.RLock()
	everyone := len(filters) == 0 && part.hidden == 0
	universe, _ := part.planned(filters, false)
	c.ids = part.ids
	c.fit(part.ids.n)
	c.views = map[inventory.TypeName]*view{}
	groups := make([][]*plan, len(aggs))
	kept := make([]bool, len(aggs))
	var err error
	for i, a := range aggs {
		if a.Type != "" && err == nil {
			kept[i], err = part.tallied(c, a)
		}
		part.viewAll(c.views, a)
		for _, g := range a.Groups {
			pl, _ := part.planned(g.Filters, false)
			groups[i] = append(groups[i], pl)
		}
	}
	part.mu.RUnlock()
	if err != nil {
		return nil, err
	}

	r := &Result{ids: c.ids}
	universe.resolve()
	if r.answer, err = universe.run(c.ctx); err != nil {
		return nil, err
	}
	set, err := r.decide(c.ctx, c.docs)
	if err != nil {
		return nil, err
	}
	out := make([]Counts, len(aggs))
	for i, a := range aggs {
		if len(a.Groups) > 0 {
			out[i].Groups, err = c.groups(a, groups[i], set)
		} else {
			out[i].Rows, err = c.rows(a, set, everyone, kept[i])
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (part *partition) viewAll(views map[inventory.TypeName]*view, a inventory.Aggregator) {
	if a.Type != "" && views[a.Type] == nil {
		if v := part.view(a.Type); v != nil {
			views[a.Type] = v
		}
	}
	for _, n := range a.Nested {
		part.viewAll(views, n)
	}
}

func (c *counter) groups(a inventory.Aggregator, plans []*plan, universe *roaring.Bitmap) ([]GroupCount, error) {
	out := make([]GroupCount, len(a.Groups))
	for i, g := range a.Groups {
		if err := c.step(plans[i].resolve()); err != nil {
			return nil, err
		}
		r := &Result{ids: c.ids}
		var err error
		if r.answer, err = plans[i].run(c.ctx); err != nil {
			return nil, err
		}
		if r.maybe != nil {
			r.maybe.And(universe)
			if err := c.step(256 * int(r.maybe.GetCardinality())); err != nil {
				return nil, err
			}
		}
		set, err := r.decide(c.ctx, c.docs)
		if err != nil {
			return nil, err
		}
		n := int(set.AndCardinality(universe))
		out[i] = GroupCount{Name: g.Name, Matching: n, NotMatching: int(universe.GetCardinality()) - n}
	}
	return out, nil
}

// rows answers an expression. kept says that its values' numbers are those of the view.
func (c *counter) rows(a inventory.Aggregator, universe *roaring.Bitmap, everyone, kept bool) (Rows, error) {
	var base *nodeSet
	unsure := roaring.New()
	c.unsure(a, unsure)
	unsure.And(universe)
	if !everyone || !unsure.IsEmpty() {
		sure := roaring.AndNot(universe, unsure)
		base = &nodeSet{list: sure.ToArray(), bitmap: sure}
	}
	s := c.stage(a, nil)
	s.kept = kept
	all, err := c.level(s, base, nil)
	if err != nil {
		return Rows{}, err
	}
	s.finish()
	if unsure.IsEmpty() {
		return newRows(s.layer), nil
	}
	read, err := c.read(a, unsure)
	if err != nil {
		return Rows{}, err
	}
	c.rowsMade = 0
	if err := read.absorb(c, s.layer, all); err != nil {
		return Rows{}, err
	}
	return read.rows(a, &c.sorter), nil
}

// unsure adds the nodes that may carry an attribute of the aggregator outside of shapes.
func (c *counter) unsure(a inventory.Aggregator, set *roaring.Bitmap) {
	if v := c.views[a.Type]; v != nil {
		if i, ok := v.attrNamed(a.Attribute); ok && v.attrs[i].volatile != nil {
			set.Or(&v.attrs[i].volatile.Bitmap)
		}
	}
	for _, n := range a.Nested {
		c.unsure(n, set)
	}
}

func (v *view) attrNamed(name string) (uint32, bool) {
	for i := range v.attrs {
		if v.attrs[i].name == name {
			return uint32(i), true
		}
	}
	return 0, false
}
