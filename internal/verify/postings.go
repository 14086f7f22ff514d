package verify

import (
	"sync"

	"stocktake/internal/index"
	"stocktake/internal/inventory"
)

// postings holds an index against the documents: what each has the index must know, and nothing else.
type postings struct {
	index *index.Index

	mu    sync.Mutex
	want  map[shapeKey]int // nodes that have a shape
	types map[typeKey]int  // nodes that report a type
	pairs int
}

// shapeKey names a shape as nodes have it in documents of a type and sub-type.
type shapeKey struct {
	inventory.Partition
	inventory.ItemKey
	id inventory.ShapeID
}

// document looks a document up in the index; first tells whether it is the node's first of its type.
func (p *postings) document(c *Checker, name inventory.DocumentKey, doc inventory.Document, first bool) {
	set := doc.ShapeSet()
	missing, unknown := p.index.Lacks(name, set)
	switch {
	case unknown:
		c.find("index: it does not know of %s", shown(name))
	case len(missing) > 0:
		c.find("index: %s has %d shapes the index does not know it has, the first is %s", shown(name), len(missing), missing[0])
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pairs += len(set)
	item := inventory.ItemKey{Type: name.Type, SubType: name.SubType}
	for _, id := range set {
		p.want[shapeKey{name.Partition, item, id}]++
	}
	if first {
		p.types[typeKey{name.Partition, name.Type}]++
	}
}

// finish looks for what the index knows and no document has.
func (p *postings) finish(c *Checker) {
	key := c.id.HashKey
	err := p.index.EachPosting(func(has index.Posting) error {
		if want := p.want[shapeKey{has.Partition, has.ItemKey, has.Shape}]; want != len(has.Nodes) {
			c.find("index: it knows %d nodes in %s to have shape %s of %s, and %d documents have it; its first is %s",
				len(has.Nodes), has.Partition, has.Shape, has.Type, want, has.Nodes[0])
		}
		if key.ShapeIDOf(has.Type, inventory.AppendShapeText(nil, has.Entry)) != has.Shape {
			c.find("index: the text it has for shape %s of %s in %s is not the one it is named by", has.Shape, has.Type, has.Partition)
		}
		return nil
	})
	if err != nil {
		c.find("index: %v", err)
	}
	counts := p.index.CountReporting()
	for p2, types := range counts {
		for t, n := range types {
			if want := p.types[typeKey{p2, t}]; want != n {
				c.find("index: it knows %d nodes in %s to report %s, and %d do", n, p2, t, want)
			}
		}
	}
	c.count(func(r *Report) { r.Postings += p.pairs })
}
