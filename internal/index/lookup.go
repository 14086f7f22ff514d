package index

// lookup finds numbers by the hash of what they stand for: whoever asks compares. Half of the hash is kept beside each, so
// that few are compared in vain, and growing, a part at a time, looks at nothing else.
type lookup struct {
	parts []lookupPart
}

type lookupPart struct {
	slots []lookupSlot // the length is a power of two
	n     int
}

type lookupSlot struct {
	hash  uint32 // its lower half
	taken uint32 // number+1; 0 is free
}

const lookupParts = 64

func (l *lookup) part(hash uint64) *lookupPart {
	if l.parts == nil {
		l.parts = make([]lookupPart, lookupParts)
	}
	return &l.parts[hash>>58]
}

// find gives the first number under the hash that same accepts.
func (l *lookup) find(hash uint64, same func(uint32) bool) (uint32, bool) {
	if l.parts == nil {
		return 0, false
	}
	p := &l.parts[hash>>58]
	if len(p.slots) == 0 {
		return 0, false
	}
	half, mask := uint32(hash), uint32(len(p.slots)-1)
	for i := half & mask; p.slots[i].taken != 0; i = (i + 1) & mask {
		if s := p.slots[i]; s.hash == half && same(s.taken-1) {
			return s.taken - 1, true
		}
	}
	return 0, false
}

// add puts a number under its hash.
func (l *lookup) add(hash uint64, number uint32) {
	p := l.part(hash)
	if 4*(p.n+1) > 3*len(p.slots) {
		old := p.slots
		p.slots = make([]lookupSlot, max(4, 2*len(old)))
		for _, s := range old {
			if s.taken != 0 {
				p.put(s)
			}
		}
	}
	p.put(lookupSlot{uint32(hash), number + 1})
	p.n++
}

// fill puts the numbers below n into a lookup that has none, part by part, so that each stays at hand while it is filled.
// twice, where not nil, is asked of numbers whose hashes are alike in half whether they stand for the same; fill ends
// where they do, and reports that none did.
func (l *lookup) fill(n uint32, hash func(uint32) uint64, twice func(a, b uint32) bool) bool {
	hashes := make([]uint64, n)
	var starts [lookupParts + 1]uint32
	for i := range hashes {
		hashes[i] = hash(uint32(i))
		starts[hashes[i]>>58+1]++
	}
	for i := range lookupParts {
		starts[i+1] += starts[i]
	}
	sorted, next := make([]lookupSlot, n), starts
	for i, h := range hashes {
		at := &next[h>>58]
		sorted[*at] = lookupSlot{uint32(h), uint32(i) + 1}
		*at++
	}
	l.parts = make([]lookupPart, lookupParts)
	for i := range l.parts {
		p, all := &l.parts[i], sorted[starts[i]:starts[i+1]]
		if len(all) == 0 {
			continue
		}
		p.n = len(all)
		slots := 4
		for 4*p.n > 3*slots {
			slots *= 2
		}
		p.slots = make([]lookupSlot, slots)
		for _, s := range all {
			if twice != nil && p.has(s, twice) {
				return false
			}
			p.put(s)
		}
	}
	return true
}

func (p *lookupPart) has(s lookupSlot, same func(a, b uint32) bool) bool {
	mask := uint32(len(p.slots) - 1)
	for i := s.hash & mask; p.slots[i].taken != 0; i = (i + 1) & mask {
		if x := p.slots[i]; x.hash == s.hash && same(x.taken-1, s.taken-1) {
			return true
		}
	}
	return false
}

func (p *lookupPart) put(s lookupSlot) {
	mask := uint32(len(p.slots) - 1)
	i := s.hash & mask
	for p.slots[i].taken != 0 {
		i = (i + 1) & mask
	}
	p.slots[i] = s
}

func (l *lookup) bytes() int {
	n := 0
	for i := range l.parts {
		n += 8 * len(l.parts[i].slots)
	}
	return n
}
