package simulate

import "math/bits"

// The purposes numbers are drawn for: two of them never share a stream.
const (
	forRank uint64 = iota + 1
	forID
	forImage
	forBase
	forExtra
	forVariant
	forInstalled
	forChange
	forEdits
	forService
	forStatus
	forNode
	forHash
	forText
)

// mix is the finalizer of splitmix64: a bijection that spreads every bit over all.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// hash gives the number that belongs to the parts, in their order.
func hash(parts ...uint64) uint64 {
	h := uint64(len(parts))
	for _, p := range parts {
		h = mix(h ^ p)
	}
	return h
}

// below takes a number to [0, n) without favour.
func below(x uint64, n int) int {
	hi, _ := bits.Mul64(x, uint64(n))
	return int(hi)
}

// stream is a sequence of numbers from one start.
type stream uint64

func (s *stream) next() uint64 {
	*s++
	return mix(uint64(*s))
}

// zipf draws ranks from 0: the weight of rank r is one over r plus an offset. Whole numbers only, for the same draw on
// every processor.
type zipf struct{ sums []uint64 }

// newZipf draws from n ranks. The larger the offset, the flatter the head.
func newZipf(n, offset int) zipf {
	z := zipf{sums: make([]uint64, n)}
	var sum uint64
	for r := range n {
		sum += (1 << 40) / uint64(r+1+offset)
		z.sums[r] = sum
	}
	return z
}

func (z zipf) draw(x uint64) int {
	hi, _ := bits.Mul64(x, z.sums[len(z.sums)-1])
	lo, up := 0, len(z.sums)-1
	for lo < up {
		if mid := (lo + up) / 2; z.sums[mid] > hi {
			up = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}
