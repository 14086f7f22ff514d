package index

import (
	"encoding/binary"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
)

// posting is the set of nodes that have a shape. Few nodes are kept as sorted little-endian numbers in a string, which
// is never written, so that frozen copies need no care; more are kept as a bitmap.
type posting struct {
	few  string
	bits *bits
}

// bits is a bitmap that belongs to an epoch: it is copied before it is written under a later one.
type bits struct {
	roaring.Bitmap
	epoch uint32
}

const (
	// fewMost is the longest list; longer ones become bitmaps.
	fewMost = 24
	// fewAgain is the size at which a shrinking bitmap becomes a list again.
	fewAgain = 12
)

func newBits(epoch uint32) *bits { return &bits{epoch: epoch} }

// own gives b, or its copy when a frozen view may share it.
func (b *bits) own(epoch uint32) *bits {
	if b.epoch == epoch {
		return b
	}
	c := &bits{epoch: epoch}
	c.Or(&b.Bitmap)
	return c
}

func (p *posting) empty() bool { return p.few == "" && p.bits == nil }

func (p *posting) count() int {
	if p.bits != nil {
		return int(p.bits.GetCardinality())
	}
	return len(p.few) / 4
}

func (p *posting) contains(node uint32) bool {
	if p.bits != nil {
		return p.bits.Contains(node)
	}
	_, ok := p.search(node)
	return ok
}

func (p *posting) at(i int) uint32 {
	s := p.few[4*i:]
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

// search finds a node's place in few.
func (p *posting) search(node uint32) (int, bool) {
	n := len(p.few) / 4
	i := n
	for i > 0 { // nodes arrive in growing order for the most part
		x := p.at(i - 1)
		if x == node {
			return i - 1, true
		}
		if x < node {
			break
		}
		i--
	}
	return i, false
}

// add puts a node into the set and reports whether it was not there.
func (p *posting) add(node, epoch uint32) bool {
	if p.bits != nil {
		if p.bits.epoch == epoch {
			return p.bits.CheckedAdd(node)
		}
		if p.bits.Contains(node) {
			return false
		}
		p.bits = p.bits.own(epoch)
		p.bits.Add(node)
		return true
	}
	i, found := p.search(node)
	if found {
		return false
	}
	if n := len(p.few) / 4; n >= fewMost {
		b := newBits(epoch)
		for j := range n {
			b.Add(p.at(j))
		}
		b.Add(node)
		p.few, p.bits = "", b
		return true
	}
	var buf [4 * fewMost]byte
	out := append(buf[:0], p.few[:4*i]...)
	out = binary.LittleEndian.AppendUint32(out, node)
	p.few = string(append(out, p.few[4*i:]...))
	return true
}

// addAll puts nodes into the set.
func (p *posting) addAll(nodes []uint32, epoch uint32) {
	before := p.count()
	ascending := p.bits == nil && (before == 0 || len(nodes) == 0 || p.at(before-1) < nodes[0])
	for i := 1; i < len(nodes) && ascending; i++ {
		ascending = nodes[i-1] < nodes[i]
	}
	switch {
	case !ascending:
		for _, n := range nodes {
			p.add(n, epoch)
		}
	case before+len(nodes) <= fewMost:
		var buf [4 * fewMost]byte
		out := append(buf[:0], p.few...)
		for _, n := range nodes {
			out = binary.LittleEndian.AppendUint32(out, n)
		}
		p.few = string(out)
	default:
		b := newBits(epoch)
		b.AddMany(p.appendTo(nil))
		b.AddMany(nodes)
		p.few, p.bits = "", b
	}
}

// remove takes a node out of the set.
func (p *posting) remove(node, epoch uint32) {
	if p.bits == nil {
		if i, found := p.search(node); found {
			p.few = p.few[:4*i] + p.few[4*i+4:]
		}
		return
	}
	if p.bits.Contains(node) {
		p.bits = p.bits.own(epoch)
		p.bits.Remove(node)
		p.shrink()
	}
}

// removeAll takes a set of nodes out and gives how many were there.
func (p *posting) removeAll(gone *roaring.Bitmap, epoch uint32) int {
	before := p.count()
	if p.bits != nil {
		if !p.bits.Intersects(gone) {
			return 0
		}
		p.bits = p.bits.own(epoch)
		p.bits.AndNot(gone)
		p.shrink()
		return before - p.count()
	}
	var buf [4 * fewMost]byte
	out := buf[:0]
	for i := range before {
		if x := p.at(i); !gone.Contains(x) {
			out = binary.LittleEndian.AppendUint32(out, x)
		}
	}
	if len(out) == len(p.few) {
		return 0
	}
	p.few = string(out)
	return before - len(out)/4
}

func (p *posting) shrink() {
	if p.bits.GetCardinality() > fewAgain {
		return
	}
	var buf [4 * fewAgain]byte
	out := buf[:0]
	p.bits.Iterate(func(x uint32) bool {
		out = binary.LittleEndian.AppendUint32(out, x)
		return true
	})
	p.few, p.bits = string(out), nil
}

// appendTo appends the nodes, ascending.
func (p *posting) appendTo(dst []uint32) []uint32 {
	if p.bits == nil {
		for i := range len(p.few) / 4 {
			dst = append(dst, p.at(i))
		}
		return dst
	}
	at, n := len(dst), int(p.bits.GetCardinality())
	dst = slices.Grow(dst, n)[:at+n]
	added := dst[at:]
	p.bits.ToExistingArray(&added)
	return dst
}

// orInto sets the nodes in a plain bitset long enough for them.
func (p *posting) orInto(words []uint64) {
	if p.bits == nil {
		for i := range len(p.few) / 4 {
			x := p.at(i)
			words[x>>6] |= 1 << (x & 63)
		}
		return
	}
	p.bits.orInto(words)
}

func (b *bits) orInto(words []uint64) {
	var buf [256]uint32
	var it roaring.ManyIntIterator
	it.Initialize(&b.Bitmap)
	for n := it.NextMany(buf[:]); n > 0; n = it.NextMany(buf[:]) {
		for _, x := range buf[:n] {
			words[x>>6] |= 1 << (x & 63)
		}
	}
}

// bitmap gives the set as a bitmap, which must not be changed.
func (p *posting) bitmap() *roaring.Bitmap {
	if p.bits != nil {
		return &p.bits.Bitmap
	}
	return roaring.BitmapOf(p.appendTo(nil)...)
}

// takeFrom takes the nodes out of another set.
func (p *posting) takeFrom(set *roaring.Bitmap) {
	if p.bits != nil {
		set.AndNot(&p.bits.Bitmap)
		return
	}
	for i := range len(p.few) / 4 {
		set.Remove(p.at(i))
	}
}
