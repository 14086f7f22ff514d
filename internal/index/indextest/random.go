package indextest

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"stocktake/internal/inventory"
)

// Random makes fleets and questions so small and so alike that everything meets everything: few values, in two cases,
// with versions, numbers, missing attributes and repeated entries.
type Random struct {
	*rand.Rand
	// Nodes is how many different nodes there are.
	Nodes int
}

// NewRandom makes a Random whose choices follow from the seed.
func NewRandom(seed uint64) Random { return Random{Rand: rand.New(rand.NewPCG(seed, 0)), Nodes: 40} }

// Types are the types of the random fleet.
var Types = []inventory.TypeName{"AWS:Application", inventory.TypeInstanceInformation, inventory.TypeComplianceItem, "Custom:Rack"}

// Volatile are the attributes that may be volatile in some splits.
var Volatile = []string{"Installed", "Units"}

var attributes = []string{"Installed", "Name", "State", "Units", "Version"}

var values = map[string][]string{
	"Installed": {"2020", "2021", "2022", "2023", "2024", "2025", "2026"},
	"Name":      {"libc", "LIBC", "libd", "Straße", "STRASSE", "bash", "zsh", "", "Δelta", "δELTA"},
	"State":     {"running", "Running", "stopped"},
	"Units":     {"1", "2", "10", "010", "-3", "2.5", "many", ""},
	"Version":   {"1.0", "1.0~rc1", "1.10", "1.9", "1", "01", "2:1.0", "a"},
}

func pick[T any](r Random, from []T) T { return from[r.IntN(len(from))] }

// Node picks one of the fleet's nodes.
func (r Random) Node() inventory.NodeID {
	return inventory.NodeID(fmt.Sprintf("i-%08x", uint32(r.IntN(r.Nodes))*2654435761)) // not in id order
}

// Key picks a document.
func (r Random) Key() inventory.ItemKey {
	key := inventory.ItemKey{Type: pick(r, Types)}
	if key.Type == inventory.TypeComplianceItem {
		key.SubType = pick(r, []string{"Association", "Patch", "Custom:x"})
	}
	return key
}

// Entries makes a document's entries.
func (r Random) Entries() []inventory.Entry {
	out := make([]inventory.Entry, 0, 6)
	for range r.IntN(7) {
		// Half of all entries are from a short list, so that nodes have shapes in common.
		from := r
		if r.IntN(2) == 0 {
			from = NewRandom(r.Uint64N(25))
		}
		e := from.entry()
		out = append(out, e)
		if r.IntN(8) == 0 {
			out = append(out, e)
		}
	}
	return out
}

func (r Random) entry() inventory.Entry {
	var e inventory.Entry
	for _, a := range attributes {
		if r.IntN(6) > 0 {
			e = append(e, inventory.Attribute{Name: a, Value: pick(r, values[a])})
		}
	}
	return e
}

// Edit changes some of a document's entries.
func (r Random) Edit(entries []inventory.Entry) []inventory.Entry {
	out := slices.Clone(entries)
	for _, e := range r.Entries() {
		switch at := r.IntN(len(out) + 1); {
		case r.IntN(2) == 0 || at == len(out):
			out = slices.Insert(out, at, e)
		case r.IntN(2) == 0:
			out[at] = e
		default:
			out = slices.Delete(out, at, at+1)
		}
	}
	return out
}

// Split picks the volatile attributes of a split, sorted.
func (r Random) Split() []string {
	var out []string
	for _, v := range Volatile {
		if r.IntN(2) == 0 {
			out = append(out, v)
		}
	}
	return out
}

// Filters makes the filters of a question. In a group Exists may be among them.
func (r Random) Filters(group bool) []inventory.Filter {
	var out []inventory.Filter
	for range r.IntN(4) {
		if group && r.IntN(3) == 0 {
			out = append(out, inventory.Filter{Operator: inventory.Exists, Values: r.typeNames()})
			continue
		}
		a := pick(r, attributes)
		f := inventory.Filter{
			Type: pick(r, Types), Attribute: a, Number: a == "Units",
			Operator: pick(r, []inventory.Operator{inventory.Equal, inventory.NotEqual, inventory.BeginWith, inventory.LessThan, inventory.GreaterThan}),
		}
		for range 1 + r.IntN(3) {
			f.Values = append(f.Values, inventory.Fold(r.value(a, f.Operator)))
		}
		slices.Sort(f.Values)
		f.Values = slices.Compact(f.Values)
		out = append(out, f)
	}
	return out
}

func (r Random) typeNames() []string {
	out := []string{string(pick(r, Types)), "AWS:Nothing"}
	return out[:1+r.IntN(2)]
}

func (r Random) value(attribute string, op inventory.Operator) string {
	v := pick(r, append(slices.Clone(values[attribute]), "nothing has this"))
	if op == inventory.BeginWith && v != "" {
		runes := []rune(v)
		v = string(runes[:r.IntN(len(runes)+1)])
	}
	return v
}

// Aggregator makes an aggregator, nested up to three deep.
func (r Random) Aggregator() inventory.Aggregator {
	if r.IntN(4) == 0 {
		var a inventory.Aggregator
		for i := range 1 + r.IntN(3) {
			a.Groups = append(a.Groups, inventory.Group{Name: fmt.Sprintf("g%d", i), Filters: r.Filters(true)})
		}
		return a
	}
	return r.expression(1)
}

func (r Random) expression(depth int) inventory.Aggregator {
	a := inventory.Aggregator{Type: pick(r, Types), Attribute: pick(r, attributes)}
	for range r.IntN(3) {
		if depth < 4 {
			a.Nested = append(a.Nested, r.expression(depth+1))
		}
	}
	return a
}
