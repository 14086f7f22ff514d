package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// The sizes of the pages that are read and written.
const (
	nodePage   = 64
	changePage = 256
	shapePage  = 1000
	recordPage = 200
	linePage   = 200
)

// dictionary names the shapes of one type in one partition.
type dictionary struct {
	inventory.Partition
	Type inventory.TypeName
}

// loading is one shard on its way. sent are the shapes the target was given already; texts is shared with other shards.
type loading struct {
	from  store.View
	to    store.Loader
	shard int
	sent  map[dictionary]map[inventory.ShapeID]struct{}
	texts *texts
	track *tracker
}

func newLoading(from store.View, to store.Loader, shard int, kept *texts, track *tracker) *loading {
	return &loading{from: from, to: to, shard: shard, sent: map[dictionary]map[inventory.ShapeID]struct{}{}, texts: kept, track: track}
}

func (l *loading) run(ctx context.Context) error {
	err := eachNodes(ctx, l.from, l.shard, func(nodes []store.NodeScan) error {
		l.track.read(len(nodes))
		if err := l.shapes(ctx, func(yield func(dictionary, inventory.ShapeID)) { shapesOfNodes(nodes, yield) }); err != nil {
			return err
		}
		return another(l.to.LoadNodes(ctx, l.shard, nodes))
	})
	if err != nil {
		return err
	}
	return eachChanges(ctx, l.from, l.shard, func(changes []inventory.Change) error {
		if err := l.shapes(ctx, func(yield func(dictionary, inventory.ShapeID)) { shapesOfChanges(changes, yield) }); err != nil {
			return err
		}
		return another(l.to.LoadChanges(ctx, l.shard, changes))
	})
}

// another tells what a target that holds another version of what is loaded means.
func another(err error) error {
	if errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("%w (%w)", ErrMoved, err)
	}
	return err
}

// shapes carries the text of the shapes named that the target does not have yet.
func (l *loading) shapes(ctx context.Context, each func(yield func(dictionary, inventory.ShapeID))) error {
	wanted := map[dictionary][]inventory.ShapeID{}
	each(func(d dictionary, id inventory.ShapeID) {
		if l.sent[d] == nil {
			l.sent[d] = map[inventory.ShapeID]struct{}{}
		}
		if _, ok := l.sent[d][id]; !ok {
			l.sent[d][id] = struct{}{}
			wanted[d] = append(wanted[d], id)
		}
	})
	for d, ids := range wanted {
		for page := range slices.Chunk(ids, shapePage) {
			shapes, err := l.read(ctx, d, page)
			if err != nil {
				return err
			}
			typed := make([]store.Typed, len(shapes))
			for i, s := range shapes {
				typed[i] = store.Typed{Partition: d.Partition, Type: d.Type, Shape: s}
			}
			if err := l.to.LoadShapes(ctx, l.shard, typed); err != nil {
				return err
			}
		}
	}
	return nil
}

// read gives shapes, of those that other shards name as well the text as it was read for one of them.
func (l *loading) read(ctx context.Context, d dictionary, ids []inventory.ShapeID) ([]inventory.Shape, error) {
	shapes := make([]inventory.Shape, len(ids))
	missing := l.texts.find(d, ids, shapes)
	if len(missing) == 0 {
		return shapes, nil
	}
	asked := make([]inventory.ShapeID, len(missing))
	for i, at := range missing {
		asked[i] = ids[at]
	}
	read, err := l.from.Shapes(ctx, l.shard, d.Partition, d.Type, asked)
	if err != nil {
		return nil, err
	}
	for i, at := range missing {
		shapes[at] = read[i]
	}
	l.texts.keep(d, read)
	return shapes, nil
}

func shapesOfNodes(nodes []store.NodeScan, yield func(dictionary, inventory.ShapeID)) {
	for _, n := range nodes {
		for i, document := range n.Documents {
			for _, r := range document.Refs {
				yield(dictionary{n.Node.Key.Partition, n.Node.Items[i].Type}, r.Shape)
			}
		}
	}
}

func shapesOfChanges(changes []inventory.Change, yield func(dictionary, inventory.ShapeID)) {
	for _, c := range changes {
		d := dictionary{c.Document.Partition, c.Document.Type}
		for _, id := range c.Added {
			yield(d, id)
		}
		for _, id := range c.Removed {
			yield(d, id)
		}
		for _, e := range c.Delta {
			for _, r := range e.Insert {
				yield(d, r.Shape)
			}
		}
	}
}

// eachNodes reads a shard's nodes page by page.
func eachNodes(ctx context.Context, s store.View, shard int, f func([]store.NodeScan) error) error {
	var after *inventory.NodeKey
	for more := true; more; {
		var nodes []store.NodeScan
		var err error
		if nodes, more, err = s.Scan(ctx, shard, after, nodePage); err != nil {
			return err
		}
		if len(nodes) == 0 {
			return nil
		}
		if err := f(nodes); err != nil {
			return err
		}
		after = &nodes[len(nodes)-1].Node.Key
	}
	return nil
}

// eachChanges reads a shard's feed page by page, from the oldest change it still holds.
func eachChanges(ctx context.Context, s store.View, shard int, f func([]inventory.Change) error) error {
	oldest, err := s.OldestChange(ctx, shard)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for page := []inventory.Change{oldest}; len(page) > 0; {
		if err := f(page); err != nil {
			return err
		}
		if page, err = s.Changes(ctx, shard, page[len(page)-1].Position, changePage); err != nil {
			return err
		}
	}
	return nil
}

// eachRecords reads all records but the mark, page by page.
func eachRecords(ctx context.Context, s store.View, f func([]store.Record) error) error {
	for after := ""; ; {
		records, err := s.ListRecords(ctx, "", after, recordPage)
		if err != nil || len(records) == 0 {
			return err
		}
		after = records[len(records)-1].Key
		records = slices.DeleteFunc(records, func(r store.Record) bool { return r.Key == markKey })
		if err := f(records); err != nil {
			return err
		}
	}
}
