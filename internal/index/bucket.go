package index

import (
	"slices"
	"strings"

	"stocktake/internal/inventory"
)

// bucket is one value of an expression with its nodes counted, and the buckets inside it, for each nested aggregator.
type bucket struct {
	value string
	count int
	inner [][]bucket
}

// sortBuckets orders buckets by count, largest first, then by value.
func sortBuckets(bs []bucket) {
	ascending := slices.IsSortedFunc(bs, func(a, b bucket) int { return strings.Compare(a.value, b.value) })
	if !ascending || len(bs) < 64 {
		slices.SortFunc(bs, func(a, b bucket) int {
			if a.count != b.count {
				return b.count - a.count
			}
			return strings.Compare(a.value, b.value)
		})
		return
	}
	// Sorting numbers is several times faster than comparing texts.
	keys := make([]uint64, len(bs))
	for i, b := range bs {
		keys[i] = uint64(^uint32(b.count))<<32 | uint64(i)
	}
	slices.Sort(keys)
	sorted := make([]bucket, len(bs))
	for i, k := range keys {
		sorted[i] = bs[uint32(k)]
	}
	copy(bs, sorted)
}

// flatten makes rows of an aggregator's buckets.
func (c *counter) flatten(a inventory.Aggregator, bs []bucket) ([]Row, error) {
	rows, cells := leaves(a, bs, 1)
	if rows > c.bounds.rows() {
		return nil, c.tooManyRows()
	}
	f := flattener{rows: make([]Row, 0, rows), cells: make([]Cell, 0, cells)}
	f.add(a, bs, nil)
	return f.rows, nil
}

// leaves counts the rows buckets make, and the cells of those.
func leaves(a inventory.Aggregator, bs []bucket, depth int) (rows, cells int) {
	if len(a.Nested) == 0 {
		return len(bs), depth * len(bs)
	}
	for _, b := range bs {
		for i := range b.inner {
			r, c := leaves(a.Nested[i], b.inner[i], depth+1)
			rows, cells = rows+r, cells+c
		}
	}
	return rows, cells
}

type flattener struct {
	rows  []Row
	cells []Cell // of all rows
}

func (f *flattener) add(a inventory.Aggregator, bs []bucket, path []Cell) {
	sortBuckets(bs)
	for _, b := range bs {
		here := append(path, Cell{Type: a.Type, Attribute: a.Attribute, Value: b.value})
		if len(a.Nested) == 0 {
			at := len(f.cells)
			f.cells = append(f.cells, here...)
			f.rows = append(f.rows, Row{Path: f.cells[at:len(f.cells):len(f.cells)], Count: b.count})
		}
		for i := range b.inner {
			f.add(a.Nested[i], b.inner[i], here)
		}
	}
}

// mergeBuckets adds the counts of b to those of a.
func mergeBuckets(a, b []bucket) []bucket {
	at := make(map[string]int, len(a))
	for i := range a {
		at[a[i].value] = i
	}
	for _, x := range b {
		i, ok := at[x.value]
		if !ok {
			a = append(a, x)
			continue
		}
		a[i].count += x.count
		for k := range x.inner {
			a[i].inner[k] = mergeBuckets(a[i].inner[k], x.inner[k])
		}
	}
	return a
}
