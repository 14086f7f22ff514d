package api

import (
	"slices"

	"stocktake/internal/inventory"
	"stocktake/internal/wire"
)

// entries gives content as it is in memory: entries of the wire and of the inventory are lists of one type.
func entries(content []wire.Entry) []inventory.Entry {
	out := make([]inventory.Entry, len(content))
	for i, e := range content {
		out[i] = inventory.Entry(e)
	}
	return out
}

// entry gives a context a place of its own: it is kept for longer than the content it lies beside.
func entry(e wire.Entry) inventory.Entry {
	if len(e) == 0 {
		return nil
	}
	return inventory.Entry(slices.Clone(e))
}

func wireEntries(content []inventory.Entry) []wire.Entry {
	out := make([]wire.Entry, len(content))
	for i, e := range content {
		out[i] = wire.Entry(e)
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
