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
	rows, err := c.appendRows(nil, a, bs, nil)
	if err != nil {
		return nil, err
	}
	c.rowsDone += len(rows)
	return rows, nil
}

func (c *counter) appendRows(rows []Row, a inventory.Aggregator, bs []bucket, path []Cell) ([]Row, error) {
	sortBuckets(bs)
	if len(a.Nested) == 0 {
		if most := c.bounds.Rows; most > 0 && c.rowsDone+len(rows)+len(bs) > most {
			return nil, c.tooManyRows()
		}
		rows = slices.Grow(rows, len(bs))
		cells := make([]Cell, 0, len(bs)*(len(path)+1))
		for _, b := range bs {
			at := len(cells)
			cells = append(append(cells, path...), Cell{Type: a.Type, Attribute: a.Attribute, Value: b.value})
			rows = append(rows, Row{Path: cells[at:len(cells):len(cells)], Count: b.count})
		}
		return rows, nil
	}
	for _, b := range bs {
		inner := append(path[:len(path):len(path)], Cell{Type: a.Type, Attribute: a.Attribute, Value: b.value})
		for i, n := range a.Nested {
			if i >= len(b.inner) {
				break
			}
			var err error
			if rows, err = c.appendRows(rows, n, b.inner[i], inner); err != nil {
				return nil, err
			}
		}
	}
	return rows, nil
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
