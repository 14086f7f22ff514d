package pebble

import (
	"context"
	"errors"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// Spans implements store.Spanner. Of a document it reads the column of the attribute; times it compares as numbers.
func (s *Store) Spans(ctx context.Context, keys []inventory.NodeKey, t inventory.TypeName, attribute string) ([]store.Span, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	v := s.views.acquire()
	defer s.views.release(v)
	spans := make([]store.Span, len(keys))
	for i, key := range keys {
		var err error
		if spans[i], err = s.spanOf(v, key, t, attribute); err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return spans, nil
}

func (s *Store) spanOf(v *view, key inventory.NodeKey, t inventory.TypeName, attribute string) (store.Span, error) {
	all := store.NoSpan
	at := nodeKey(store.ShardOf(key, s.identity.Shards), key)
	row, err := s.row(v, at)
	if err != nil || row == nil {
		return all, err
	}
	r, err := row.decode(key, at)
	if err != nil {
		return all, err
	}
	for _, item := range r.node.Items {
		if item.Type != t {
			continue
		}
		key := documentKey(at, item.ItemKey)
		one := store.Span{}
		found, err := v.get(key, func(value []byte) error {
			d := documentDecoder(value)
			one = d.span(attribute)
			return d.end()
		})
		if err == nil && !found {
			err = damaged(key, errors.New("a stored document is missing"))
		}
		if err != nil {
			return all, err
		}
		one.Sure = one.Sure && len(item.Context) == 0
		all = all.With(one)
	}
	return all, nil
}

// span reads refs for the span of one volatile attribute.
func (d *decoder) span(attribute string) store.Span {
	span := store.Span{Entries: d.count(1)}
	for range span.Entries {
		d.uvarint()
	}
	columns := make([][]bool, d.count(1)) // of each kind, whether they are of the attribute
	if len(columns) == 0 {
		span.Sure = span.Entries == 0
		return span
	}
	for k := range columns {
		columns[k] = make([]bool, d.count(1))
		for i := range columns[k] {
			columns[k][i] = string(d.bytes(d.count(1))) == attribute
		}
	}
	_, rows := d.runs(span.Entries, len(columns))
	covered := 0
	for k := range columns {
		for _, asked := range columns[k] {
			if asked {
				d.spanColumn(&span, rows[k], covered == 0)
				covered += rows[k]
			} else {
				d.skipColumn(rows[k])
			}
		}
	}
	span.Sure = covered == span.Entries
	return span
}

func (d *decoder) spanColumn(span *store.Span, rows int, begin bool) {
	switch form := d.byte(); form {
	case columnRaw:
		for i := range rows {
			span.Add(d.string(), begin && i == 0)
		}
	case columnSame:
		span.Add(d.string(), begin)
	case columnBytes, columnTimes:
		least, most := uint64(maxSeconds), uint64(0)
		d.eachTime(form, rows, 0, rows, func(t uint64) { least, most = min(least, t), max(most, t) })
		if d.err == nil {
			span.Add(string(appendSeconds(nil, int64(least))), begin)
			span.Add(string(appendSeconds(nil, int64(most))), false)
		}
	default:
		d.fail("has a column of form %d", form)
	}
}

func (d *decoder) skipColumn(rows int) {
	switch form := d.byte(); form {
	case columnRaw:
		for range rows {
			d.bytes(d.count(1))
		}
	case columnSame:
		d.bytes(d.count(1))
	case columnBytes, columnTimes:
		d.uvarint()
		d.packedTimes(form, rows)
	default:
		d.fail("has a column of form %d", form)
	}
}
