package index

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"stocktake/internal/inventory"
)

// orders are an attribute's folded values in the orders filters ask for. Each is made when first asked for and covers a
// head of the attribute's values; those seen since are looked at one by one until they are many.
type orders struct {
	mu   sync.Mutex
	kept [3]*valueOrder
}

type orderKind int

const (
	byBytes orderKind = iota
	byNature
	byNumber // values that are no number are left out
)

// valueOrder does not change.
type valueOrder struct {
	values  []uint32
	numbers []float64 // byNumber: parallel to values
	covers  int
}

func orderFor(f inventory.Filter) (orderKind, bool) {
	switch f.Operator {
	case inventory.BeginWith:
		return byBytes, true
	case inventory.LessThan, inventory.GreaterThan:
		if f.Number {
			return byNumber, true
		}
		return byNature, true
	}
	return 0, false
}

// slack is how many values may be missing from the order.
func (o *valueOrder) slack() int { return 256 + len(o.values)/32 }

func (o *orders) get(kind orderKind) *valueOrder {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.kept[kind]
}

// prepare makes the orders the filters need. Values never change once seen, so sorting needs no lock; the caller holds
// none.
func (part *partition) prepare(filters []inventory.Filter) {
	for _, f := range filters {
		kind, ok := orderFor(f)
		if !ok {
			continue
		}
		part.mu.RLock()
		tab := part.tables[f.Type]
		var v view
		var a attribute
		if tab != nil {
			if i, ok := tab.attrNumber[f.Attribute]; ok {
				a, v.values, v.texts = tab.attrs[i], tab.values, tab.texts
			}
		}
		part.mu.RUnlock()
		if len(a.values) == 0 {
			continue
		}
		old := a.orders.get(kind)
		if old != nil && len(a.values)-old.covers <= old.slack() {
			continue
		}
		made := v.sorted(kind, a.values, old)
		a.orders.mu.Lock()
		if now := a.orders.kept[kind]; now == nil || now.covers < made.covers {
			a.orders.kept[kind] = made
		}
		a.orders.mu.Unlock()
	}
}

func (v *view) sorted(kind orderKind, values []uint32, old *valueOrder) *valueOrder {
	o := &valueOrder{covers: len(values)}
	var base []uint32
	if old != nil {
		base, values = old.values, values[old.covers:]
	}
	fresh := slices.Clone(values)
	compare := v.byText(inventory.CompareNatural)
	switch kind {
	case byBytes:
		compare = v.byText(strings.Compare)
	case byNumber:
		fresh = slices.DeleteFunc(fresh, func(x uint32) bool { _, ok := inventory.ParseNumber(v.text(x)); return !ok })
		compare = func(a, b uint32) int {
			x, _ := inventory.ParseNumber(v.text(a))
			y, _ := inventory.ParseNumber(v.text(b))
			return cmp.Compare(x, y)
		}
	}
	slices.SortFunc(fresh, compare)
	o.values = mergeSorted(base, fresh, compare)
	if kind == byNumber {
		o.numbers = make([]float64, len(o.values))
		for i, x := range o.values {
			o.numbers[i], _ = inventory.ParseNumber(v.text(x))
		}
	}
	return o
}

func (v *view) byText(compare func(a, b string) int) func(a, b uint32) int {
	return func(a, b uint32) int { return compare(v.text(a), v.text(b)) }
}

// matching gives the values of an attribute that meet one of an ordering filter's comparisons. They must not be changed.
func (v *view) matching(a *attribute, f inventory.Filter) []uint32 {
	kind, _ := orderFor(f)
	var found []uint32
	rest := a.values
	if o := a.orders.get(kind); o != nil {
		found = v.ordered(o, kind, f)
		rest = rest[min(o.covers, len(rest)):]
	}
	found = found[:len(found):len(found)]
	for _, x := range rest {
		if f.Holds(v.text(x)) {
			found = append(found, x)
		}
	}
	return found
}

// ordered does so for the values an order covers.
func (v *view) ordered(o *valueOrder, kind orderKind, f inventory.Filter) []uint32 {
	if f.Operator == inventory.BeginWith {
		return v.prefixed(o, f.Values)
	}
	// Of several values the loosest decides: the greatest for LessThan, the least for GreaterThan.
	from, to := len(o.values), 0
	for _, bound := range f.Values {
		lo, hi, ok := v.bounds(o, kind, bound)
		if ok {
			to, from = max(to, lo), min(from, hi)
		}
	}
	if f.Operator == inventory.LessThan {
		return o.values[:to]
	}
	return o.values[from:]
}

// prefixed gives the values that begin with one of some sorted prefixes.
func (v *view) prefixed(o *valueOrder, prefixes []string) []uint32 {
	var found []uint32
	last := ""
	for i, prefix := range prefixes {
		if i > 0 && strings.HasPrefix(prefix, last) {
			continue // found already: a prefix of a prefix comes first
		}
		last = prefix
		from := v.search(o, func(x uint32) bool { return v.text(x) >= prefix })
		to := v.search(o, func(x uint32) bool { t := v.text(x); return t >= prefix && !strings.HasPrefix(t, prefix) })
		if i == 0 {
			found = o.values[from:to:to]
		} else {
			found = append(found, o.values[from:to]...)
		}
	}
	return found
}

// bounds gives the places where the values equal to bound begin and end.
func (v *view) bounds(o *valueOrder, kind orderKind, bound string) (lo, hi int, ok bool) {
	if kind == byNumber {
		number, ok := inventory.ParseNumber(bound)
		if !ok {
			return 0, 0, false
		}
		lo, _ = slices.BinarySearch(o.numbers, number)
		hi = lo
		for hi < len(o.numbers) && o.numbers[hi] == number {
			hi++
		}
		return lo, hi, true
	}
	lo = v.search(o, func(x uint32) bool { return inventory.CompareNatural(v.text(x), bound) >= 0 })
	hi = v.search(o, func(x uint32) bool { return inventory.CompareNatural(v.text(x), bound) > 0 })
	return lo, hi, true
}

// search gives the first place from which on the values meet the condition.
func (v *view) search(o *valueOrder, met func(uint32) bool) int {
	i, _ := slices.BinarySearchFunc(o.values, true, func(x uint32, _ bool) int {
		if met(x) {
			return 1
		}
		return -1
	})
	return i
}
