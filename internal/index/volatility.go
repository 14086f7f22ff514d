package index

import (
	"cmp"
	"slices"
	"strings"

	"stocktake/internal/inventory"
)

const (
	// A dictionary smaller than this, or with fewer shapes a node, costs too little to be worth a new split.
	volatileShapes  = 4096
	volatilePerNode = 4
	// A few nodes can differ in everything by chance.
	volatileNodes = 64
	// volatileTries bounds the attributes tried together.
	volatileTries = 8
)

// Volatility suggests attributes of a type to leave out of shapes, in addition to those that are left out already: values
// nearly unique to a node and entry, without which the dictionary would be half as large or less. keep names attributes
// that must stay (those that can be aggregated); at least one attribute always stays. Names are sorted; none is the usual
// answer.
func (x *Index) Volatility(p inventory.Partition, t inventory.TypeName, keep []string) []string {
	part := x.partition(p)
	if part == nil {
		return nil
	}
	part.mu.RLock()
	tab := part.tables[t]
	if tab == nil || tab.live < volatileShapes || tab.all.GetCardinality() < volatileNodes ||
		tab.live < volatilePerNode*int(tab.all.GetCardinality()) {
		part.mu.RUnlock()
		return nil
	}
	v := part.view(t)
	part.mu.RUnlock()

	var live []uint32
	for s := range v.postings.n {
		if !v.postings.get(s).empty() {
			live = append(live, s)
		}
	}
	spread, used := v.spread(live)
	var candidates []uint32
	for attr, n := range spread {
		if 2*n >= len(live) && !slices.Contains(keep, v.attrs[attr].name) {
			candidates = append(candidates, uint32(attr))
		}
	}
	slices.SortFunc(candidates, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(spread[b], spread[a]), strings.Compare(v.attrs[a].name, v.attrs[b].name))
	})
	for n := 1; n <= min(len(candidates), volatileTries, used-1); n++ {
		if 2*v.without(live, candidates[:n]) > len(live) {
			continue
		}
		names := make([]string, n)
		for i, attr := range candidates[:n] {
			names[i] = v.attrs[attr].name
		}
		slices.Sort(names)
		return names
	}
	return nil
}

// spread counts, for each attribute, the different values the shapes have, and how many attributes have any.
func (v *view) spread(shapes []uint32) (values []int, used int) {
	values = make([]int, len(v.attrs))
	seen := make([]uint64, (v.values.n+63)/64)
	for _, s := range shapes {
		for _, val := range v.row(s) {
			if w := &seen[val>>6]; *w&(1<<(val&63)) == 0 {
				*w |= 1 << (val & 63)
				attr := v.values.get(val).attr
				if values[attr] == 0 {
					used++
				}
				values[attr]++
			}
		}
	}
	return values, used
}

// without counts the different shapes there would be without some attributes, give or take a collision.
func (v *view) without(shapes, attrs []uint32) int {
	seen := make(map[uint64]struct{}, len(shapes))
	for _, s := range shapes {
		hash := uint64(0)
		for _, val := range v.row(s) {
			if !slices.Contains(attrs, v.values.get(val).attr) {
				hash = (hash ^ uint64(val+1)) * 0x9e3779b97f4a7c15
				hash ^= hash >> 29
			}
		}
		seen[hash] = struct{}{}
	}
	return len(seen)
}
