package ssm

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"stocktake/internal/index"
	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// entries gives the entries that refs of a document stand for: the shape's attributes, the entry's own volatile ones and
// the context's. Shapes come from the index's memory, and from the store where it has moved on already.
func (s *Service) entries(ctx context.Context, key inventory.DocumentKey, refs []inventory.Ref, itemContext inventory.Entry) ([]inventory.Entry, error) {
	out := make([]inventory.Entry, len(refs))
	idx := s.replica.Index()
	var missing []inventory.ShapeID
	var at []int
	for i, r := range refs {
		shape, ok := idx.Entry(key.Partition, key.Type, r.Shape)
		if !ok {
			missing, at = append(missing, r.Shape), append(at, i)
			continue
		}
		out[i] = shape.Merge(r.Volatile).Merge(itemContext)
	}
	if len(missing) == 0 {
		return out, nil
	}
	shard := store.ShardOf(key.NodeKey, s.store.Identity().Shards)
	shapes, err := s.store.Shapes(ctx, shard, key.Partition, key.Type, missing)
	if err != nil {
		return nil, err
	}
	for i, shape := range shapes {
		e, err := inventory.ParseShapeText(shape.Text)
		if err != nil {
			return nil, fmt.Errorf("%w: shape %s of %s: %w", store.ErrCorrupt, shape.ID, key.Type, err)
		}
		out[at[i]] = e.Merge(refs[at[i]].Volatile).Merge(itemContext)
	}
	return out, nil
}

// readTries bounds how often a document is read again because it changed while its shapes were looked up.
const readTries = 10

// readMost is how many nodes are read from the store at a time.
const readMost = 128

// pageRead is how many nodes are read for a page at a time, and pageBytes how much of the content of nodes a page has, but for that
// of one node: whatever is stored, and however many nodes are asked for, an answer takes little more memory than that.
const (
	pageRead  = 25
	pageBytes = 8 << 20
)

// typeContent is what a node holds of one type, sub-types merged.
type typeContent struct {
	// Reports tells whether the node has a document of the type at all.
	Reports       bool
	SchemaVersion string
	CaptureTime   string
	Entries       []inventory.Entry
}

// contents reads all entries each of some nodes holds of a type. Sub-types follow each other in byte order; the capture
// time is the newest of them. A node that is not known has none. Of entries all attributes are given, or at least those
// named.
func (s *Service) contents(ctx context.Context, p inventory.Partition, nodes []inventory.NodeID, t inventory.TypeName, attributes []string) ([]typeContent, error) {
	all := make([]typeContent, 0, len(nodes))
	for ids := range slices.Chunk(nodes, readMost) {
		err := s.eachContent(ctx, p, ids, t, attributes, func(c typeContent) bool {
			all = append(all, c)
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// pageContents reads what the first of some nodes hold of a type: one of them at least, and no more than make a page.
func (s *Service) pageContents(ctx context.Context, p inventory.Partition, nodes []inventory.NodeID, t inventory.TypeName) ([]typeContent, error) {
	page, left := make([]typeContent, 0, len(nodes)), pageBytes
	for ids := range slices.Chunk(nodes, pageRead) {
		err := s.eachContent(ctx, p, ids, t, nil, func(c typeContent) bool {
			if left -= c.size(); left >= 0 || len(page) == 0 {
				page = append(page, c)
			}
			return left > 0
		})
		if err != nil || left <= 0 {
			return page, err
		}
	}
	return page, nil
}

// eachContent reads nodes at once and gives what each holds of a type, in their order, until f has enough.
func (s *Service) eachContent(ctx context.Context, p inventory.Partition, nodes []inventory.NodeID, t inventory.TypeName, attributes []string, f func(typeContent) bool) error {
	scans, err := s.store.Read(ctx, nodeKeys(p, nodes), []inventory.TypeName{t})
	if err != nil {
		return err
	}
	for _, id := range nodes {
		var c typeContent
		if len(scans) > 0 && scans[0].Node.Key.Node == id {
			if c, err = s.contentOf(ctx, scans[0], t, attributes); err != nil {
				return err
			}
			scans = scans[1:]
		}
		if !f(c) {
			return nil
		}
	}
	return nil
}

func nodeKeys(p inventory.Partition, ids []inventory.NodeID) []inventory.NodeKey {
	keys := make([]inventory.NodeKey, len(ids))
	for i, id := range ids {
		keys[i] = inventory.NodeKey{Partition: p, Node: id}
	}
	return keys
}

// contentOf puts a node's entries of a type together. Where the texts of its shapes are gone already, because it was
// written since it was read, it is read again.
func (s *Service) contentOf(ctx context.Context, scan store.NodeScan, t inventory.TypeName, attributes []string) (c typeContent, err error) {
	for range readTries {
		c, err = s.tryContentOf(ctx, scan, t, attributes)
		if !errors.Is(err, store.ErrNotFound) {
			return c, err
		}
		if scan, err = s.readNode(ctx, scan.Node.Key, t); errors.Is(err, store.ErrNotFound) {
			return typeContent{}, nil
		} else if err != nil {
			return c, err
		}
	}
	return c, err
}

func (s *Service) tryContentOf(ctx context.Context, scan store.NodeScan, t inventory.TypeName, attributes []string) (typeContent, error) {
	var c typeContent
	for i, state := range scan.Node.Items {
		if state.Type != t {
			continue
		}
		refs := scan.Documents[i].Refs
		entries, own := volatileEntries(refs, attributes)
		if !own || len(state.Context) > 0 {
			var err error
			if entries, err = s.entries(ctx, documentKey(scan.Node.Key, state.ItemKey), refs, state.Context); err != nil {
				return c, err
			}
		}
		c.add(state, entries)
	}
	return c, nil
}

// readNode reads a node with its documents of one type, or gives ErrNotFound.
func (s *Service) readNode(ctx context.Context, key inventory.NodeKey, t inventory.TypeName) (store.NodeScan, error) {
	scans, err := s.store.Read(ctx, []inventory.NodeKey{key}, []inventory.TypeName{t})
	if err != nil {
		return store.NodeScan{}, err
	}
	if len(scans) == 0 {
		return store.NodeScan{}, fmt.Errorf("node %s: %w", key.Node, store.ErrNotFound)
	}
	return scans[0], nil
}

// eachNode calls f for every node of a result, in id order. A node that goes away meanwhile is passed over; its record may
// be as old as the one f was called for first since readMost calls.
func (s *Service) eachNode(ctx context.Context, p inventory.Partition, result *index.Result, f func(inventory.Node) error) error {
	var after inventory.NodeID
	for more := true; more; {
		var ids []inventory.NodeID
		var err error
		if ids, more, err = result.Page(ctx, documents{s, p}, after, readMost); err != nil {
			return err
		}
		scans, err := s.store.Read(ctx, nodeKeys(p, ids), nil)
		if err != nil {
			return err
		}
		for _, scan := range scans {
			if err := f(scan.Node); err != nil {
				return err
			}
		}
		if len(ids) > 0 {
			after = ids[len(ids)-1]
		}
	}
	return nil
}

// volatileEntries gives the volatile attributes of each ref, where they hold all that is asked for: then no shape need be
// looked up.
func volatileEntries(refs []inventory.Ref, attributes []string) (entries []inventory.Entry, all bool) {
	if len(attributes) == 0 {
		return nil, false
	}
	entries = make([]inventory.Entry, len(refs))
	for i, r := range refs {
		for _, name := range attributes {
			if _, has := r.Volatile.Get(name); !has {
				return nil, false
			}
		}
		entries[i] = r.Volatile
	}
	return entries, true
}

func (c *typeContent) add(state inventory.ItemState, entries []inventory.Entry) {
	c.Reports = true
	if state.CaptureTime >= c.CaptureTime { // the form of capture times sorts as time does
		c.CaptureTime, c.SchemaVersion = state.CaptureTime, state.SchemaVersion
	}
	c.Entries = append(c.Entries, entries...)
}

// size is how many bytes the entries take in an answer, but for what has to be escaped in them.
func (c *typeContent) size() int {
	const quotes = len(`"":"",`)
	sum := 0
	for _, e := range c.Entries {
		for _, a := range e {
			sum += len(a.Name) + len(a.Value) + quotes
		}
	}
	return sum
}

// documents lets the index read what its shapes leave out.
type documents struct {
	service   *Service
	partition inventory.Partition
}

// Entries makes documents an index.Documents.
func (d documents) Entries(ctx context.Context, nodes []inventory.NodeID, t inventory.TypeName, attributes []string) ([][]inventory.Entry, []bool, error) {
	all, err := d.service.contents(ctx, d.partition, nodes, t, attributes)
	entries, reports := make([][]inventory.Entry, len(all)), make([]bool, len(all))
	for i, c := range all {
		entries[i], reports[i] = c.Entries, c.Reports
	}
	return entries, reports, err
}

// Meet makes documents an index.Documents. Where the ends of what a node's entries say decide, nothing else is read.
func (d documents) Meet(ctx context.Context, nodes []inventory.NodeID, q inventory.TypeQuestion) ([]bool, error) {
	met, open, err := d.meetBySpan(ctx, nodes, q)
	if err != nil || len(open) == 0 {
		return met, err
	}
	ids := make([]inventory.NodeID, len(open))
	for i, at := range open {
		ids[i] = nodes[at]
	}
	entries, reports, err := d.Entries(ctx, ids, q.Type, q.Attributes())
	if err != nil {
		return nil, err
	}
	for i, at := range open {
		met[at] = q.MatchEntries(reports[i], entries[i])
	}
	return met, nil
}
