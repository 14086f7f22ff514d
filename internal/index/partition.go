package index

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/RoaringBitmap/roaring/v2"

	"stocktake/internal/inventory"
)

// partition is one account's fleet in one region. Nodes have dense numbers in the order they were first seen.
type partition struct {
	key inventory.Partition

	mu sync.RWMutex // guards all below; see the package comment
	// freezing is held, within mu for reading, by who freezes.
	freezing sync.Mutex
	epoch    uint32 // of known

	// ids is by number. Slots are written once; Sweep, which gives numbers free, makes a new list.
	ids     vector[inventory.NodeID]
	numbers map[inventory.NodeID]uint32
	lives   []life
	known   *bits // the nodes with any document
	free    []uint32
	// hidden is how many numbers answers leave out although sets hold them: of a shard being loaded aside, and of one
	// being replaced. retired are those of them that no set holds any more, for Sweep to free.
	hidden  int
	retired []uint32
	// registered lists numbers as they were given out; the order covers a head of it.
	registered []uint32
	order      atomic.Pointer[order]

	tables map[inventory.TypeName]*table
	found  []uint32 // scratch of Load
	bulk   bool     // of new tables
}

// life is what changes about a node.
type life struct {
	shard  uint16
	types  uint16 // types it reports
	hidden bool   // it is never known
}

// names are the numbers of nodes by id: the partition's own, or those of a shard being loaded aside.
type names struct {
	numbers map[inventory.NodeID]uint32
	hidden  bool
}

// names gives those of the nodes questions are about.
func (part *partition) names() names { return names{numbers: part.numbers} }

func newPartition(key inventory.Partition) *partition {
	return &partition{
		key:     key,
		numbers: map[inventory.NodeID]uint32{},
		known:   newBits(0),
		tables:  map[inventory.TypeName]*table{},
	}
}

// register gives a node's number. What is kept here of names is copied: the caller's may be cut from the body of a request.
func (part *partition) register(by names, id inventory.NodeID, shard int) uint32 {
	n, ok := by.numbers[id]
	if !ok {
		id = inventory.NodeID(strings.Clone(string(id)))
		if last := len(part.free) - 1; last >= 0 {
			n, part.free = part.free[last], part.free[:last]
			*part.ids.get(n) = id
		} else {
			n = part.ids.push(id, 0)
			part.lives = append(part.lives, life{})
		}
		part.lives[n] = life{hidden: by.hidden}
		if by.hidden {
			part.hidden++
		}
		by.numbers[id] = n
		part.registered = append(part.registered, n)
	}
	part.lives[n].shard = uint16(shard)
	return n
}

func (part *partition) table(t inventory.TypeName) *table {
	tab := part.tables[t]
	if tab == nil {
		t = inventory.TypeName(strings.Clone(string(t)))
		tab = newTable(t)
		tab.bulk = part.bulk
		part.tables[t] = tab
	}
	return tab
}

// entered and left keep known: a node is known while it has any document, unless it is hidden.
func (part *partition) entered(n uint32) {
	part.lives[n].types++
	if part.lives[n].types == 1 && !part.lives[n].hidden {
		part.known = part.known.own(part.epoch)
		part.known.Add(n)
	}
}

func (part *partition) left(n uint32) {
	part.lives[n].types--
	if part.lives[n].types == 0 && !part.lives[n].hidden {
		part.known = part.known.own(part.epoch)
		part.known.Remove(n)
	}
}

// freezeKnown gives the known nodes as they are now, to be read without the lock. The caller holds the lock for reading.
func (part *partition) freezeKnown() *roaring.Bitmap {
	part.freezing.Lock()
	defer part.freezing.Unlock()
	part.epoch++
	return &part.known.Bitmap
}

// view freezes a table, nil where the partition has none of the type. The caller holds the lock for reading.
func (part *partition) view(t inventory.TypeName) *view {
	tab := part.tables[t]
	if tab == nil {
		return nil
	}
	part.freezing.Lock()
	defer part.freezing.Unlock()
	return tab.freeze()
}

// order is the nodes in id order, for paging. It does not change; nodes registered after it are sorted in by who asks.
type order struct {
	ids    vector[inventory.NodeID]
	nodes  []uint32 // by id
	ranks  []uint32 // by number: its place in nodes
	covers int      // how much of registered is in it
}

// orderSlack is how many nodes may be missing from the order before it is made anew.
func (o *order) slack() int { return 1024 + len(o.nodes)/16 }

// currentOrder gives an order that misses few nodes, and those it misses. The caller does not hold the lock.
func (part *partition) currentOrder() {
	part.mu.RLock()
	old, registered, ids := part.order.Load(), part.registered, part.ids
	part.mu.RUnlock()
	if old != nil && len(registered)-old.covers <= old.slack() {
		return
	}
	o := &order{ids: ids, covers: len(registered)}
	var fresh, base []uint32
	fresh = registered
	if old != nil {
		base, fresh = old.nodes, registered[old.covers:]
	}
	fresh = slices.Clone(fresh)
	byID := func(a, b uint32) int { return compareIDs(*ids.get(a), *ids.get(b)) }
	slices.SortFunc(fresh, byID)
	o.nodes = mergeSorted(base, fresh, byID)
	o.ranks = make([]uint32, ids.n)
	for i, n := range o.nodes {
		o.ranks[n] = uint32(i)
	}
	part.order.CompareAndSwap(old, o)
}

func compareIDs(a, b inventory.NodeID) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// mergeSorted merges a long sorted list with a short one, comparing as little as it can.
func mergeSorted(long, short []uint32, compare func(a, b uint32) int) []uint32 {
	out := make([]uint32, 0, len(long)+len(short))
	for _, s := range short {
		i, _ := slices.BinarySearchFunc(long, s, compare)
		out = append(append(out, long[:i]...), s)
		long = long[i:]
	}
	return append(out, long...)
}
