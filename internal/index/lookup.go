package index

// lookup finds numbers by the hash of what they stand for. It holds the numbers alone: whoever asks compares. It is cut
// into parts so that growing rehashes a small one at a time.
type lookup struct {
	parts []lookupPart
}

type lookupPart struct {
	slots []uint32 // number+1; 0 is free. The length is a power of two.
	n     int
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
	mask := uint64(len(p.slots) - 1)
	if len(p.slots) == 0 {
		return 0, false
	}
	for i := hash & mask; p.slots[i] != 0; i = (i + 1) & mask {
		if n := p.slots[i] - 1; same(n) {
			return n, true
		}
	}
	return 0, false
}

// add puts a number under its hash; hashOf gives the hashes of numbers put before.
func (l *lookup) add(hash uint64, number uint32, hashOf func(uint32) uint64) {
	p := l.part(hash)
	if 4*(p.n+1) > 3*len(p.slots) {
		old := p.slots
		p.slots = make([]uint32, max(4, 2*len(old)))
		for _, s := range old {
			if s != 0 {
				p.put(hashOf(s-1), s)
			}
		}
	}
	p.put(hash, number+1)
	p.n++
}

func (p *lookupPart) put(hash uint64, slot uint32) {
	mask := uint64(len(p.slots) - 1)
	i := hash & mask
	for p.slots[i] != 0 {
		i = (i + 1) & mask
	}
	p.slots[i] = slot
}

func (l *lookup) bytes() int {
	n := 0
	for i := range l.parts {
		n += 4 * len(l.parts[i].slots)
	}
	return n
}
