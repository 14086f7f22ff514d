package index_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/index"
	"stocktake/internal/index/indextest"
	"stocktake/internal/inventory"
)

const shards = 4

var (
	here   = inventory.Partition{Account: "123456789012", Region: "eu-west-1"}
	config = index.Config{Store: [16]byte{1}, Shards: shards}
)

// rig is an index and a plain scan that are told the same.
type rig struct {
	tb        testing.TB
	index     *index.Index
	fleet     indextest.Fleet
	documents map[inventory.DocumentKey]inventory.Document
	texts     map[inventory.ShapeID]string
	feed      [shards][]inventory.Change
	splits    [][]string // volatile attributes by number
}

func newRig(tb testing.TB) *rig {
	return &rig{
		tb: tb, index: index.New(config), splits: [][]string{nil},
		documents: map[inventory.DocumentKey]inventory.Document{}, texts: map[inventory.ShapeID]string{},
	}
}

// ask asks an index.
func ask(tb testing.TB, x *index.Index, filters []inventory.Filter) *index.Result {
	tb.Helper()
	r, err := x.Query(context.Background(), here, filters)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func (r *rig) outdated(t inventory.TypeName, split uint32) *index.Result {
	r.tb.Helper()
	res, err := r.index.Outdated(context.Background(), here, t, split)
	if err != nil {
		r.tb.Fatal(err)
	}
	return res
}

// loader is an index, or a shard being loaded aside.
type loader interface {
	Missing(p inventory.Partition, t inventory.TypeName, ids []inventory.ShapeID) []inventory.ShapeID
	Define(p inventory.Partition, t inventory.TypeName, shapes []inventory.Shape) error
	Load(shard int, node inventory.NodeKey, documents []index.Loaded) error
	Apply(c inventory.Change, shapes []inventory.Shape) error
}

func shardOf(node inventory.NodeID) int { return int(node[len(node)-1]) % shards }

func documentKey(node inventory.NodeID, key inventory.ItemKey) inventory.DocumentKey {
	return inventory.DocumentKey{NodeKey: inventory.NodeKey{Partition: here, Node: node}, Type: key.Type, SubType: key.SubType}
}

// put stores a document in both, cut with the split of the given number.
func (r *rig) put(node inventory.NodeID, key inventory.ItemKey, entries []inventory.Entry, split int) {
	r.tb.Helper()
	after := inventory.Document{Split: uint32(split)}
	s := inventory.Split{Number: uint32(split), Volatile: r.splits[split]}
	var shapes []inventory.Shape
	for _, e := range entries {
		shape, volatile := s.Cut(e)
		text := inventory.AppendShapeText(nil, shape)
		id := inventory.HashKey{}.ShapeIDOf(key.Type, text)
		after.Refs = append(after.Refs, inventory.Ref{Shape: id, Volatile: volatile})
		if _, known := r.texts[id]; !known {
			r.texts[id] = string(text)
		}
		shapes = append(shapes, inventory.Shape{ID: id, Text: string(text)})
	}
	before := r.documents[documentKey(node, key)]
	c := inventory.Change{Document: documentKey(node, key), Cause: inventory.CausePut, Split: after.Split, Delta: inventory.Diff(before.Refs, after.Refs)}
	c.Added, c.Removed = inventory.SetDiff(before.ShapeSet(), after.ShapeSet())
	r.apply(c, shapes)
	r.documents[c.Document] = after
	r.fleet.Put(node, key, entries)
}

func (r *rig) remove(node inventory.NodeID, key inventory.ItemKey) {
	r.tb.Helper()
	before, ok := r.documents[documentKey(node, key)]
	if !ok {
		return
	}
	r.apply(inventory.Change{Document: documentKey(node, key), Cause: inventory.CauseRetention, Gone: true, Removed: before.ShapeSet()}, nil)
	delete(r.documents, documentKey(node, key))
	r.fleet.Remove(node, key)
}

func (r *rig) apply(c inventory.Change, shapes []inventory.Shape) {
	r.tb.Helper()
	c.Shard = shardOf(c.Document.Node)
	c.Seq = uint64(len(r.feed[c.Shard]) + 1)
	r.feed[c.Shard] = append(r.feed[c.Shard], c)
	if err := r.index.Apply(c, shapes); err != nil {
		r.tb.Fatal(err)
	}
}

// load loads a shard into an index as a replica does: what a scan finds now, then the changes after a position.
func (r *rig) load(x loader, shard int, after uint64) {
	r.tb.Helper()
	nodes := map[inventory.NodeKey][]index.Loaded{}
	for key, d := range r.documents {
		if shardOf(key.Node) != shard {
			continue
		}
		ids := d.ShapeSet()
		var missing []inventory.Shape
		for _, id := range x.Missing(here, key.Type, ids) {
			missing = append(missing, inventory.Shape{ID: id, Text: r.texts[id]})
		}
		if err := x.Define(here, key.Type, missing); err != nil {
			r.tb.Fatal(err)
		}
		l := index.Loaded{Key: inventory.ItemKey{Type: key.Type, SubType: key.SubType}, Split: d.Split, Shapes: ids}
		for _, ref := range d.Refs {
			for _, a := range ref.Volatile {
				l.Volatile = append(l.Volatile, a.Name)
			}
		}
		nodes[key.NodeKey] = append(nodes[key.NodeKey], l)
	}
	for _, key := range slices.SortedFunc(maps.Keys(nodes), func(a, b inventory.NodeKey) int { return strings.Compare(string(a.Node), string(b.Node)) }) {
		if err := x.Load(shard, key, nodes[key]); err != nil {
			r.tb.Fatal(err)
		}
	}
	r.replay(x, shard, after)
}

func (r *rig) replay(x loader, shard int, after uint64) {
	r.tb.Helper()
	for _, c := range r.feed[shard][after:] {
		var shapes []inventory.Shape
		for _, id := range x.Missing(here, c.Document.Type, c.Added) {
			shapes = append(shapes, inventory.Shape{ID: id, Text: r.texts[id]})
		}
		if err := x.Apply(c, shapes); err != nil {
			r.tb.Fatal(err)
		}
	}
}

// reopen writes a snapshot and goes on with what is read back.
func (r *rig) reopen() {
	r.tb.Helper()
	var b bytes.Buffer
	if err := r.index.WriteSnapshot(&b); err != nil {
		r.tb.Fatal(err)
	}
	x, err := index.ReadSnapshot(&b, config)
	if err != nil {
		r.tb.Fatal(err)
	}
	if diff := cmp.Diff(r.index.Positions(), x.Positions()); diff != "" {
		r.tb.Fatalf("positions changed in the snapshot (-before +after):\n%s", diff)
	}
	r.index = x
}

// pages walks a result by pages of n.
func (r *rig) pages(res *index.Result, n int) []inventory.NodeID {
	r.tb.Helper()
	var out []inventory.NodeID
	for after, more := inventory.NodeID(""), true; more; {
		var ids []inventory.NodeID
		var err error
		if ids, more, err = res.Page(context.Background(), &r.fleet, after, n); err != nil {
			r.tb.Fatal(err)
		}
		if more && len(ids) != n {
			r.tb.Fatalf("page of %d, and more to come; want %d", len(ids), n)
		}
		out = append(out, ids...)
		if len(ids) > 0 {
			after = ids[len(ids)-1]
		}
	}
	return out
}

func (r *rig) checkQuery(filters []inventory.Filter) {
	r.tb.Helper()
	res := ask(r.tb, r.index, filters)
	want := r.fleet.Match(filters)
	if diff := cmp.Diff(want, r.pages(res, 7)); diff != "" {
		r.tb.Fatalf("filters %+v (-want +got):\n%s", filters, diff)
	}
	if n, err := res.Count(context.Background(), &r.fleet); err != nil || n != len(want) {
		r.tb.Fatalf("filters %+v: Count = %d, %v; want %d", filters, n, err, len(want))
	}
}

func (r *rig) checkCounts(a inventory.Aggregator, filters []inventory.Filter) {
	r.tb.Helper()
	counts, err := r.index.Aggregate(context.Background(), here, []inventory.Aggregator{a}, filters, &r.fleet, index.Bounds{})
	if err != nil {
		r.tb.Fatal(err)
	}
	if diff := cmp.Diff(r.fleet.Count(a, filters), rowsOf(counts[0])); diff != "" {
		r.tb.Fatalf("aggregator %+v filters %+v (-want +got):\n%s", a, filters, diff)
	}
}

func rowsOf(c index.Counts) []indextest.Row {
	var out []indextest.Row
	for _, g := range c.Groups {
		out = append(out, indextest.Row{Path: fmt.Sprintf("%s/%d", g.Name, g.NotMatching), Count: g.Matching})
	}
	for _, row := range allRows(c.Rows) {
		var path []string
		for _, cell := range row.Path {
			path = append(path, cell.Attribute+"="+cell.Value)
		}
		out = append(out, indextest.Row{Path: strings.Join(path, ","), Count: row.Count})
	}
	return out
}

// allRows reads rows page by page.
func allRows(r index.Rows) []index.Row {
	var out []index.Row
	for size := 1; len(out) < r.Len(); size += 3 {
		page := r.Page(len(out), size)
		if len(page) == 0 || len(page) > size {
			panic(fmt.Sprintf("page of %d rows at %d of %d", len(page), len(out), r.Len()))
		}
		out = append(out, page...)
	}
	return out
}
