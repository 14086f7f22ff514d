package index

import (
	"encoding/binary"
	"slices"
	"unsafe"
)

// arena is an append-only store of small runs of T in chunks without pointers, so that the collector passes it over. A
// run never straddles chunks unless it is longer than one: then its chunks are cut from one allocation and a run read
// from its first chunk sees it whole. A copy of the header is a frozen arena.
type arena[T byte | uint32] struct {
	chunks [][]T
	used   int // of the last chunk
}

const (
	chunkBits = 16
	chunkSize = 1 << chunkBits
)

// alloc makes room for n elements and gives their place.
func (a *arena[T]) alloc(n int) (at uint64, run []T) {
	if last := len(a.chunks) - 1; last >= 0 && a.used+n <= chunkSize {
		c := a.chunks[last]
		if a.used+n > len(c) { // an arena that holds little stays small
			c = append(c, make([]T, min(max(a.used+n, 2*len(c)), chunkSize)-len(c))...)
			a.chunks = slices.Clone(a.chunks) // frozen copies keep the chunk they have
			a.chunks[last] = c
		}
		at = uint64(last)<<chunkBits | uint64(a.used)
		run = c[a.used : a.used+n]
		a.used += n
		return at, run
	}
	at = uint64(len(a.chunks)) << chunkBits
	if n <= chunkSize {
		first := chunkSize
		if len(a.chunks) == 0 {
			first = max(n, 64)
		}
		c := make([]T, first)
		a.chunks = append(a.chunks, c)
		a.used = n
		return at, c[:n]
	}
	big := make([]T, n)
	for rest := big; ; rest = rest[chunkSize:] {
		a.chunks = append(a.chunks, rest)
		if len(rest) <= chunkSize {
			break
		}
	}
	a.used = chunkSize // the rest of its last chunk stays unused
	return at, big
}

// run gives n elements from a place.
func (a *arena[T]) run(at uint64, n int) []T {
	return a.chunks[at>>chunkBits][at&(chunkSize-1):][:n:n]
}

// texts keeps strings, each led by its length, at places divisible by four, so that a place fits 32 bits.
type texts struct{ arena[byte] }

const textAlign = 4

func (t *texts) put(s string) uint32 { return t.putBytes(unsafe.Slice(unsafe.StringData(s), len(s))) }

func (t *texts) putBytes(s []byte) uint32 {
	var head [binary.MaxVarintLen64]byte
	h := binary.PutUvarint(head[:], uint64(len(s)))
	at, run := t.alloc((h + len(s) + textAlign - 1) &^ (textAlign - 1))
	copy(run, head[:h])
	copy(run[h:], s)
	return uint32(at / textAlign)
}

// get gives a string put before. It shares the arena's memory, which is never written again.
func (t *texts) get(ref uint32) string {
	at := uint64(ref) * textAlign
	rest := t.chunks[at>>chunkBits][at&(chunkSize-1):]
	n, h := binary.Uvarint(rest)
	if n == 0 {
		return ""
	}
	return unsafe.String(&rest[h], int(n))
}

// bytes is the memory an arena holds.
func (a *arena[T]) bytes() int {
	n := 0
	for i, c := range a.chunks {
		if i+1 == len(a.chunks) || len(c) <= chunkSize {
			n += len(c)
		} else {
			n += chunkSize
		}
	}
	var zero T
	return n * int(unsafe.Sizeof(zero))
}
