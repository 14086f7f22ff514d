package pebble

import (
	"encoding/binary"
	"strings"
	"sync"
	"sync/atomic"

	"stocktake/internal/inventory"
)

// dictionary numbers the shapes. Callers intern shapes while they encode; the committer stores the text of a number when
// the first commit that uses it is written, so a number may exist for a while that is not stored, or for ever when that
// commit was refused: it then costs its slot until the next start.
type dictionary struct {
	// sweeps counts the sweeps that took numbers away: what was encoded before one may name a number that is gone.
	sweeps atomic.Uint64

	mu     sync.RWMutex
	spaces map[spaceKey]*space
	next   uint32 // the number of the next space
}

// spaceKey is what numbers are given within.
type spaceKey struct {
	inventory.Partition
	Type inventory.TypeName
}

// space numbers the shapes of one partition and type, from 1 on. It holds no pointers a shape, so that a collection does
// not walk millions of them.
type space struct {
	number uint32
	// stored, texts are the committer's alone: whether the space's own row is stored, and for each number its text.
	stored bool
	texts  bitset

	mu sync.RWMutex
	// ids[n] is the shape with number n. It stays when the shape is swept: a view from before may still hold n.
	ids []inventory.ShapeID
	// slots is an open-addressing hash table of numbers, never more than 3/4 full; 0 is an empty slot. Ids are keyed
	// hashes, so their own bits serve as the hash.
	slots []uint32
	used  int
	// free are numbers that no row had when the store was opened.
	free []uint32
}

func newDictionary() *dictionary { return &dictionary{spaces: map[spaceKey]*space{}, next: 1} }

// space gives the space of a partition and type, new if need be.
func (d *dictionary) space(key spaceKey) *space {
	if s := d.find(key); s != nil {
		return s
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.spaces[key]; s != nil {
		return s
	}
	s := newSpace(d.next)
	d.next++
	// The caller's strings may be cut from something much larger.
	key.Account, key.Region = strings.Clone(key.Account), strings.Clone(key.Region)
	key.Type = inventory.TypeName(strings.Clone(string(key.Type)))
	d.spaces[key] = s
	return s
}

// find gives the space of a partition and type, or nil.
func (d *dictionary) find(key spaceKey) *space {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.spaces[key]
}

// all gives every space there is.
func (d *dictionary) all() []*space {
	d.mu.RLock()
	defer d.mu.RUnlock()
	all := make([]*space, 0, len(d.spaces))
	for _, s := range d.spaces {
		all = append(all, s)
	}
	return all
}

// idsOf gives the reverse look-up of a partition and type, which finds nothing where there is no such space. It knows the
// numbers given before the call, and so all that what was read before it names.
func (d *dictionary) idsOf(p inventory.Partition, t inventory.TypeName) idOf {
	s := d.find(spaceKey{p, t})
	if s == nil {
		return func(uint32) (inventory.ShapeID, bool) { return inventory.ShapeID{}, false }
	}
	return s.reverse()
}

func newSpace(number uint32) *space {
	return &space{number: number, ids: make([]inventory.ShapeID, 1), slots: make([]uint32, 16)}
}

// lookup gives a shape's number.
func (s *space) lookup(id inventory.ShapeID) (uint32, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.known(id)
}

// known gives a shape's number as lookup does. The caller holds mu, for reading at least: it looks up many.
func (s *space) known(id inventory.ShapeID) (uint32, bool) {
	n := s.slots[s.slot(id)]
	return n, n != 0
}

// reverse gives the look-up from numbers to shapes.
func (s *space) reverse() idOf {
	s.mu.RLock()
	ids := s.ids
	s.mu.RUnlock()
	return func(n uint32) (inventory.ShapeID, bool) {
		if n == 0 || int(n) >= len(ids) {
			return inventory.ShapeID{}, false
		}
		return ids[n], true
	}
}

// intern gives a shape's number, a new one if it has none.
func (s *space) intern(id inventory.ShapeID) uint32 {
	if n, ok := s.lookup(id); ok {
		return n
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.internLocked(id)
}

// internNew numbers those shapes of refs that have no number yet, in their order and one after the other: what stands
// together in one document does in others, and near numbers take little room.
func (s *space) internNew(refs []inventory.Ref) {
	var fresh []inventory.ShapeID
	s.mu.RLock()
	for i := range refs {
		if s.slots[s.slot(refs[i].Shape)] == 0 {
			fresh = append(fresh, refs[i].Shape)
		}
	}
	s.mu.RUnlock()
	if len(fresh) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range fresh {
		s.internLocked(id)
	}
}

func (s *space) internLocked(id inventory.ShapeID) uint32 {
	if n := s.slots[s.slot(id)]; n != 0 {
		return n
	}
	var n uint32
	if last := len(s.free) - 1; last >= 0 {
		n, s.free = s.free[last], s.free[:last]
		s.ids[n] = id
	} else {
		n = uint32(len(s.ids))
		s.ids = append(s.ids, id)
	}
	s.insert(n)
	return n
}

// slot finds where id is in the table, or the empty slot where it would be.
func (s *space) slot(id inventory.ShapeID) int {
	mask := len(s.slots) - 1
	i := int(binary.LittleEndian.Uint64(id[:8])) & mask
	for s.slots[i] != 0 && s.ids[s.slots[i]] != id {
		i = (i + 1) & mask
	}
	return i
}

// insert puts number n, whose id stands, into the table.
func (s *space) insert(n uint32) {
	if 4*(s.used+1) > 3*len(s.slots) {
		old := s.slots
		s.slots = make([]uint32, 2*len(old))
		for _, o := range old {
			if o != 0 {
				s.slots[s.slot(s.ids[o])] = o
			}
		}
	}
	s.slots[s.slot(s.ids[n])] = n
	s.used++
}

// forget takes the numbers for which gone is true out of the table; their ids stay readable by number.
func (s *space) forget(gone bitset) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.slots
	s.slots = make([]uint32, len(old))
	s.used = 0
	for _, o := range old {
		if o != 0 && !gone.has(o) {
			s.slots[s.slot(s.ids[o])] = o
			s.used++
		}
	}
}

// load fills in a number read from disk; the committer does not run yet.
func (s *space) load(n uint32, id inventory.ShapeID) {
	for uint32(len(s.ids)) <= n {
		s.ids = append(s.ids, inventory.ShapeID{})
	}
	s.ids[n] = id
	s.insert(n)
	s.texts.set(n)
}

// loaded ends loading: numbers without a row are free.
func (s *space) loaded() {
	for n := uint32(len(s.ids)) - 1; n > 0; n-- {
		if !s.texts.has(n) {
			s.free = append(s.free, n)
		}
	}
}

// bitset is a set of shape numbers.
type bitset []uint64

func (b bitset) has(n uint32) bool { return int(n/64) < len(b) && b[n/64]>>(n%64)&1 == 1 }

func (b *bitset) set(n uint32) {
	for len(*b) <= int(n/64) {
		*b = append(*b, 0)
	}
	(*b)[n/64] |= 1 << (n % 64)
}

func (b bitset) clear(n uint32) {
	if b.has(n) {
		b[n/64] &^= 1 << (n % 64)
	}
}
