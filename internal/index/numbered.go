package index

import (
	"fmt"

	"stocktake/internal/inventory"
)

// Numbered is a document as Loaded tells of it, its shapes by the numbers they were given to DefineNumbered with.
type Numbered struct {
	Key      inventory.ItemKey
	Split    uint32
	Shapes   []uint32
	Volatile []string
}

// DefineNumbered is Define of shapes that a store numbers, parallel to numbers, within Bulk. A number stands for one shape
// of the partition and type; numbers are small, as memory is taken for all up to the greatest.
func (x *Index) DefineNumbered(p inventory.Partition, t inventory.TypeName, numbers []uint32, shapes []inventory.Shape) error {
	entries := make([]inventory.Entry, len(shapes))
	for i, s := range shapes {
		var err error
		if entries[i], err = inventory.ParseShapeText(s.Text); err != nil {
			return fmt.Errorf("shape %s of %s: %w", s.ID, t, err)
		}
	}
	part := x.makePartition(p)
	part.mu.Lock()
	defer part.mu.Unlock()
	tab := part.table(t)
	for i, s := range shapes {
		n, ok := tab.findAny(s.ID)
		if !ok {
			n = tab.defineEntry(s.ID, entries[i])
		}
		at := int(numbers[i])
		if at >= len(tab.numbered) {
			tab.numbered = append(tab.numbered, make([]uint32, at+1-len(tab.numbered))...)
		}
		tab.numbered[at] = n + 1
	}
	return nil
}

// LoadNumbered is Load by numbers, within Bulk. It reports false, and changes nothing, where DefineNumbered was not told of
// a number.
func (x *Index) LoadNumbered(shard int, node inventory.NodeKey, documents []Numbered) bool {
	if len(documents) == 0 {
		return true
	}
	part := x.makePartition(node.Partition)
	part.mu.Lock()
	defer part.mu.Unlock()
	for _, d := range documents {
		t := part.table(d.Key.Type)
		for _, number := range d.Shapes {
			if int(number) >= len(t.numbered) || t.numbered[number] == 0 {
				return false
			}
		}
	}
	n := part.register(part.names(), node.Node, shard)
	for _, d := range documents {
		t := part.table(d.Key.Type)
		sub := t.sub(d.Key.SubType)
		t.begin()
		for _, number := range d.Shapes {
			s := t.numbered[number] - 1
			if have := t.shapes.get(s); have.sub != sub {
				s, _ = t.resolve(have.id, sub)
			}
			t.enter(s, n)
		}
		if t.report(n, sub) {
			part.entered(n)
		}
		t.carry(n, d.Volatile)
		t.cut(n, d.Split)
	}
	return true
}
