package index

import (
	"maps"
	"slices"

	"stocktake/internal/inventory"
)

// Reload is a shard loaded anew beside what the index holds of it. Answers are of the old until Finish puts the new in its
// place, node by node; both are whole for every node at every moment. One goroutine at a time may use it, beside
// everything else the index is asked to do, but for applying changes of the shard to the index itself while Finish runs.
type Reload struct {
	index *Index
	shard int
	aside map[*partition]names
	gone  []retiring
	at    inventory.Position
}

// Reload begins to load a shard anew. It ends with Finish, or without, and Close.
func (x *Index) Reload(shard int) *Reload {
	return &Reload{index: x, shard: shard, aside: map[*partition]names{}}
}

func (r *Reload) part(p inventory.Partition) (*partition, names) {
	part := r.index.makePartition(p)
	by, ok := r.aside[part]
	if !ok {
		by = names{numbers: map[inventory.NodeID]uint32{}, hidden: true}
		r.aside[part] = by
	}
	return part, by
}

// Missing is Index.Missing.
func (r *Reload) Missing(p inventory.Partition, t inventory.TypeName, ids []inventory.ShapeID) []inventory.ShapeID {
	return r.index.Missing(p, t, ids)
}

// Define is Index.Define.
func (r *Reload) Define(p inventory.Partition, t inventory.TypeName, shapes []inventory.Shape) error {
	return r.index.Define(p, t, shapes)
}

// Load is Index.Load, aside.
func (r *Reload) Load(shard int, node inventory.NodeKey, documents []Loaded) error {
	if len(documents) == 0 {
		return nil
	}
	r.index.sweeping.RLock()
	defer r.index.sweeping.RUnlock()
	part, by := r.part(node.Partition)
	return part.load(by, shard, node, documents)
}

// SetPosition notes the position changes are to be applied from.
func (r *Reload) SetPosition(_ int, at inventory.Position) { r.at = at }

// Position gives the position up to which changes were applied.
func (r *Reload) Position(_ int) inventory.Position { return r.at }

// Apply is Index.Apply, aside.
func (r *Reload) Apply(c inventory.Change, shapes []inventory.Shape) error {
	part, by := r.part(c.Document.Partition)
	if err := part.apply(by, c, shapes); err != nil {
		return err
	}
	if c.Seq > r.at.Seq {
		r.at = c.Position
	}
	return nil
}

// Finish puts what was loaded in the place of what the index held of the shard, and moves the shard's position.
func (r *Reload) Finish() {
	x := r.index
	x.unsettle(r.shard)
	for _, part := range x.all() {
		r.gone = append(r.gone, retiring{part, part.replace(r.shard, r.aside[part].numbers)})
	}
	x.SetPosition(r.shard, r.at)
	x.unsettle(r.shard)
	r.aside = nil
}

// Close gives back what answers do not need any more: what was replaced or, without Finish, what was loaded.
func (r *Reload) Close() {
	for part, by := range r.aside {
		r.gone = append(r.gone, retiring{part, slices.Collect(maps.Values(by.numbers))})
	}
	r.index.retire(r.gone)
	r.aside, r.gone = nil, nil
}

// unsettle marks the begin, and the end, of a time in which a shard has no one position.
func (x *Index) unsettle(shard int) {
	x.positionsMu.Lock()
	defer x.positionsMu.Unlock()
	x.unsettled[shard]++
}

// replaceStep is how many nodes are replaced under one hold of the lock.
const replaceStep = 128

// replace puts the nodes of a shard that were loaded aside in the place of those the partition has, and gives the numbers
// that are hidden now.
func (part *partition) replace(shard int, aside map[inventory.NodeID]uint32) (gone []uint32) {
	ids := part.idsOf(shard)
	for id := range aside {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for step := range slices.Chunk(slices.Compact(ids), replaceStep) {
		gone = part.replaceNodes(gone, step, aside)
	}
	return gone
}

// idsOf gives the nodes of a shard.
func (part *partition) idsOf(shard int) []inventory.NodeID {
	part.mu.RLock()
	defer part.mu.RUnlock()
	var ids []inventory.NodeID
	for n := range part.lives {
		if l := &part.lives[n]; int(l.shard) == shard && l.types > 0 && !l.hidden {
			ids = append(ids, *part.ids.get(uint32(n)))
		}
	}
	return ids
}

func (part *partition) replaceNodes(gone []uint32, ids []inventory.NodeID, aside map[inventory.NodeID]uint32) []uint32 {
	part.mu.Lock()
	defer part.release()
	part.known = part.known.own(part.epoch)
	for _, id := range ids {
		if old, ok := part.numbers[id]; ok {
			part.known.Remove(old)
			part.lives[old].hidden = true
			part.hidden++
			delete(part.numbers, id)
			gone = append(gone, old)
		}
		n, ok := aside[id]
		switch {
		case !ok:
		case part.lives[n].types == 0: // it lost all its documents since
			gone = append(gone, n)
		default:
			part.lives[n].hidden = false
			part.hidden--
			part.known.Add(n)
			part.numbers[*part.ids.get(n)] = n
		}
	}
	return gone
}

// retiring is numbers of a partition that are hidden for good.
type retiring struct {
	part *partition
	gone []uint32
}

// retire takes hidden numbers out of all sets. Sweep gives them out again.
func (x *Index) retire(all []retiring) {
	x.sweeping.RLock()
	defer x.sweeping.RUnlock()
	for _, r := range all {
		if len(r.gone) == 0 {
			continue
		}
		slices.Sort(r.gone)
		r.part.clearAll(r.gone)
		r.part.mu.Lock()
		for _, n := range r.gone {
			r.part.lives[n].types = 0
		}
		r.part.hidden -= len(r.gone)
		r.part.retired = append(r.part.retired, r.gone...)
		r.part.mu.Unlock()
		r.part.sweepNodes(sweepAt)
	}
}
