package index

import (
	"slices"

	"stocktake/internal/inventory"
)

// Posting is a shape and the nodes that have it in a document of one type and sub-type, sorted by id.
type Posting struct {
	inventory.Partition
	inventory.ItemKey
	Shape inventory.ShapeID
	Entry inventory.Entry
	Nodes []inventory.NodeID
}

// EachPosting calls use with every shape that any node has, in no order, until it gives an error. It is for looking an index
// over that nobody writes to; it holds up who does.
func (x *Index) EachPosting(use func(Posting) error) error {
	for _, part := range x.all() {
		if err := part.eachPosting(use); err != nil {
			return err
		}
	}
	return nil
}

func (part *partition) eachPosting(use func(Posting) error) error {
	part.mu.RLock()
	defer part.mu.RUnlock()
	for _, t := range part.tables {
		for s := range t.shapes.n {
			nodes := part.idsIn(t.postings.get(s))
			if len(nodes) == 0 {
				continue
			}
			of := t.shapes.get(s)
			key := inventory.ItemKey{Type: t.typ, SubType: t.subNames[of.sub]}
			if err := use(Posting{part.key, key, of.id, t.entry(s), nodes}); err != nil {
				return err
			}
		}
	}
	return nil
}

// idsIn gives the ids of a posting's nodes.
func (part *partition) idsIn(p *posting) []inventory.NodeID {
	ids := make([]inventory.NodeID, 0, p.count())
	if p.bits != nil {
		for _, n := range p.bits.ToArray() {
			ids = append(ids, *part.ids.get(n))
		}
	} else {
		for i := range p.count() {
			ids = append(ids, *part.ids.get(p.at(i)))
		}
	}
	slices.Sort(ids)
	return ids
}

// Lacks gives which of the shapes of a document the index does not know the node to have, and whether it does not know of
// the document at all.
func (x *Index) Lacks(key inventory.DocumentKey, shapes []inventory.ShapeID) (missing []inventory.ShapeID, unknown bool) {
	part := x.partition(key.Partition)
	if part == nil {
		return shapes, true
	}
	part.mu.RLock()
	defer part.mu.RUnlock()
	t := part.tables[key.Type]
	n, known := part.numbers[key.Node]
	if t == nil || !known || !t.reports(n, key.SubType) {
		return shapes, true
	}
	sub := t.subNumber[key.SubType]
	for _, id := range shapes {
		if s, ok := t.find(id, sub); !ok || !t.postings.get(s).contains(n) {
			missing = append(missing, id)
		}
	}
	return missing, false
}

// reports tells whether a node has a document of the type and the sub-type.
func (t *table) reports(n uint32, name string) bool {
	sub, ok := t.subNumber[name]
	if !ok || !t.all.Contains(n) {
		return false
	}
	subs := t.subsOf(n)
	return len(subs) == 0 && sub == 0 || slices.Contains(subs, sub)
}

// CountReporting gives how many nodes report each type of each partition.
func (x *Index) CountReporting() map[inventory.Partition]map[inventory.TypeName]int {
	all := map[inventory.Partition]map[inventory.TypeName]int{}
	for _, part := range x.all() {
		part.mu.RLock()
		for name, t := range part.tables {
			if n := int(t.all.GetCardinality()); n > 0 {
				if all[part.key] == nil {
					all[part.key] = map[inventory.TypeName]int{}
				}
				all[part.key][name] = n
			}
		}
		part.mu.RUnlock()
	}
	return all
}
