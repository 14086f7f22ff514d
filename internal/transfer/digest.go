package transfer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// digest is the sum of all a shard holds, whatever order its store scans nodes in.
type digest struct {
	sum            [sha256.Size]byte
	nodes, changes int
}

// digestShard reads a shard: its nodes with their documents, its feed, and the text of every shape either names, which
// must be the text the shape's id was made of.
func digestShard(ctx context.Context, s store.Store, shard int, track *tracker) (digest, error) {
	var d digest
	named := map[dictionary]map[inventory.ShapeID]struct{}{}
	name := func(d dictionary, id inventory.ShapeID) {
		if named[d] == nil {
			named[d] = map[inventory.ShapeID]struct{}{}
		}
		named[d][id] = struct{}{}
	}
	var nodes [][sha256.Size]byte
	err := eachNodes(ctx, s, shard, func(page []store.NodeScan) error {
		track.read(len(page))
		shapesOfNodes(page, name)
		for i := range page {
			nodes = append(nodes, sumNode(&page[i]))
		}
		return nil
	})
	if err != nil {
		return d, err
	}
	d.nodes = len(nodes)
	slices.SortFunc(nodes, func(a, b [sha256.Size]byte) int { return bytes.Compare(a[:], b[:]) })
	whole := sha256.New()
	for _, n := range nodes {
		_, _ = whole.Write(n[:]) // a hash does not fail
	}
	var c canon
	err = eachChanges(ctx, s, shard, func(page []inventory.Change) error {
		d.changes += len(page)
		shapesOfChanges(page, name)
		for _, change := range page {
			c.reset()
			c.change(change)
			sum := c.sum()
			_, _ = whole.Write(sum[:])
		}
		return nil
	})
	if err != nil {
		return d, err
	}
	texts, err := sumShapes(ctx, s, shard, named)
	if err != nil {
		return d, err
	}
	_, _ = whole.Write(texts[:])
	whole.Sum(d.sum[:0])
	return d, nil
}

// sumShapes reads the texts of the shapes named.
func sumShapes(ctx context.Context, s store.Store, shard int, named map[dictionary]map[inventory.ShapeID]struct{}) ([sha256.Size]byte, error) {
	key := s.Identity().HashKey
	whole := sha256.New()
	var c canon
	for _, d := range slices.SortedFunc(maps.Keys(named), compareDictionaries) {
		ids := slices.SortedFunc(maps.Keys(named[d]), inventory.CompareShapeIDs)
		for page := range slices.Chunk(ids, shapePage) {
			shapes, err := s.Shapes(ctx, shard, d.Partition, d.Type, page)
			if err != nil {
				return [sha256.Size]byte{}, err
			}
			c.reset()
			c.text(d.Account, d.Region, string(d.Type))
			for i, shape := range shapes {
				if shape.ID != page[i] || key.ShapeIDOf(d.Type, []byte(shape.Text)) != shape.ID {
					return [sha256.Size]byte{}, fmt.Errorf("%w: the text of shape %s of %s is not the one it was made of", store.ErrCorrupt, page[i], d.Type)
				}
				c.bytes(shape.ID[:])
				c.text(shape.Text)
			}
			sum := c.sum()
			_, _ = whole.Write(sum[:])
		}
	}
	return [sha256.Size]byte(whole.Sum(nil)), nil
}

func compareDictionaries(a, b dictionary) int {
	if n := strings.Compare(a.Account, b.Account); n != 0 {
		return n
	}
	if n := strings.Compare(a.Region, b.Region); n != 0 {
		return n
	}
	return strings.Compare(string(a.Type), string(b.Type))
}

// digestRecords sums all records but the mark, and counts them.
func digestRecords(ctx context.Context, s store.Store) (sum [sha256.Size]byte, n int, err error) {
	whole := sha256.New()
	var c canon
	err = eachRecords(ctx, s, func(page []store.Record) error {
		n += len(page)
		for _, r := range page {
			c.reset()
			c.text(r.Key)
			c.bytes(r.Value)
			c.number(r.Revision)
			one := c.sum()
			_, _ = whole.Write(one[:])
		}
		return nil
	})
	whole.Sum(sum[:0])
	return sum, n, err
}

func sumNode(n *store.NodeScan) [sha256.Size]byte {
	var c canon
	c.node(n.Node.Key)
	c.number(n.Node.Revision)
	c.text(string(n.Node.Status))
	c.time(n.Node.Enrolled)
	c.number(uint64(len(n.Node.Items)))
	for i, s := range n.Node.Items {
		c.text(string(s.Type), s.SubType, s.SchemaVersion, s.CaptureTime, s.Hash)
		c.time(s.Arrival)
		c.entry(s.Context)
		c.number(uint64(s.Entries))
		c.number(s.Seq)
		c.number(uint64(n.Documents[i].Split))
		c.refs(n.Documents[i].Refs)
	}
	return c.sum()
}

// canon renders values so that equal ones are the same bytes in whatever store they were, and unequal ones are not: every
// text and every list begins with its length.
type canon struct{ buf []byte }

func (c *canon) reset() { c.buf = c.buf[:0] }

func (c *canon) sum() [sha256.Size]byte { return sha256.Sum256(c.buf) }

func (c *canon) number(n uint64) { c.buf = binary.AppendUvarint(c.buf, n) }

func (c *canon) bytes(b []byte) {
	c.number(uint64(len(b)))
	c.buf = append(c.buf, b...)
}

func (c *canon) text(texts ...string) {
	for _, s := range texts {
		c.number(uint64(len(s)))
		c.buf = append(c.buf, s...)
	}
}

// time renders the moment, not the zone or the clock it was read from.
func (c *canon) time(t time.Time) {
	c.buf = binary.AppendVarint(c.buf, t.Unix())
	c.number(uint64(t.Nanosecond()))
}

func (c *canon) node(k inventory.NodeKey) { c.text(k.Account, k.Region, string(k.Node)) }

func (c *canon) entry(e inventory.Entry) {
	c.number(uint64(len(e)))
	for _, a := range e {
		c.text(a.Name, a.Value)
	}
}

func (c *canon) refs(refs []inventory.Ref) {
	c.number(uint64(len(refs)))
	for _, r := range refs {
		c.bytes(r.Shape[:])
		c.entry(r.Volatile)
	}
}

func (c *canon) ids(ids []inventory.ShapeID) {
	c.number(uint64(len(ids)))
	for _, id := range ids {
		c.bytes(id[:])
	}
}

func (c *canon) change(v inventory.Change) {
	c.number(v.Seq)
	c.bytes(v.ID[:])
	c.node(v.Document.NodeKey)
	c.text(string(v.Document.Type), v.Document.SubType, v.SchemaVersion, v.CaptureTime)
	c.number(uint64(v.Cause))
	c.time(v.Arrival)
	c.entry(v.Context)
	gone := uint64(0)
	if v.Gone {
		gone = 1
	}
	c.number(gone)
	c.number(uint64(v.Split))
	c.number(uint64(len(v.Delta)))
	for _, e := range v.Delta {
		c.number(uint64(e.From))
		c.number(uint64(e.Copy))
		c.refs(e.Insert)
	}
	c.ids(v.Added)
	c.ids(v.Removed)
}
