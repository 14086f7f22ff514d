package api

import (
	"stocktake/internal/inventory"
	"stocktake/internal/wire"
)

// entries maps content without touching its strings: the attributes of all entries lie in one piece of memory.
func entries(content []wire.Entry) []inventory.Entry {
	pairs := 0
	for _, e := range content {
		pairs += len(e)
	}
	slab := make([]inventory.Attribute, 0, pairs)
	out := make([]inventory.Entry, len(content))
	for i, e := range content {
		from := len(slab)
		for _, pair := range e {
			slab = append(slab, inventory.Attribute(pair))
		}
		out[i] = slab[from:len(slab):len(slab)]
	}
	return out
}

func entry(e wire.Entry) inventory.Entry {
	if len(e) == 0 {
		return nil
	}
	return entries([]wire.Entry{e})[0]
}

func wireEntries(content []inventory.Entry) []wire.Entry {
	pairs := 0
	for _, e := range content {
		pairs += len(e)
	}
	slab := make([]wire.Pair, 0, pairs)
	out := make([]wire.Entry, len(content))
	for i, e := range content {
		from := len(slab)
		for _, a := range e {
			slab = append(slab, wire.Pair(a))
		}
		out[i] = slab[from:len(slab):len(slab)]
	}
	return out
}

func items(sent []wire.Item) []inventory.Item {
	out := make([]inventory.Item, len(sent))
	for i, it := range sent {
		out[i] = inventory.Item{
			Type: inventory.TypeName(it.TypeName), SchemaVersion: it.SchemaVersion, CaptureTime: it.CaptureTime,
			ContentHash: value(it.ContentHash), HasContent: it.Content != nil,
			Content: entries(it.Content), Context: entry(it.Context), Bytes: it.Bytes,
		}
	}
	return out
}

func filters(sent []wire.Filter) []inventory.RawFilter {
	var out []inventory.RawFilter
	for _, f := range sent {
		out = append(out, inventory.RawFilter{Key: f.Key, Values: f.Values, Operator: value(f.Type)})
	}
	return out
}

func aggregators(sent []wire.Aggregator) []inventory.RawAggregator {
	var out []inventory.RawAggregator
	for _, a := range sent {
		raw := inventory.RawAggregator{Expression: value(a.Expression), Aggregators: aggregators(a.Aggregators)}
		for _, g := range a.Groups {
			raw.Groups = append(raw.Groups, inventory.RawGroup{Name: g.Name, Filters: filters(g.Filters)})
		}
		out = append(out, raw)
	}
	return out
}

// value gives what a pointer member holds, or the zero value where it was absent.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
