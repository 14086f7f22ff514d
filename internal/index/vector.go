package index

import "slices"

const (
	pageBits = 7
	pageSize = 1 << pageBits
)

// vector is a list kept in pages, so that growing never copies and a frozen copy shares all that does not change. The
// writer stamps the pages it made with the epoch of its table; freezing moves the epoch, and a page of an older epoch is
// copied before it is edited. Elements at and after a frozen copy's n may change under it; it never looks there.
type vector[T any] struct {
	pages []*page[T]
	n     uint32
}

type page[T any] struct {
	epoch uint32
	items [pageSize]T
}

// get gives the element for reading.
func (v *vector[T]) get(i uint32) *T { return &v.pages[i>>pageBits].items[i&(pageSize-1)] }

// edit gives the element for writing.
func (v *vector[T]) edit(i, epoch uint32) *T {
	p := v.pages[i>>pageBits]
	if p.epoch != epoch {
		p = &page[T]{epoch: epoch, items: p.items}
		v.pages[i>>pageBits] = p
	}
	return &p.items[i&(pageSize-1)]
}

// push appends and gives the new element's number.
func (v *vector[T]) push(x T, epoch uint32) uint32 {
	i := v.n
	if int(i>>pageBits) == len(v.pages) {
		v.pages = append(v.pages, &page[T]{epoch: epoch})
	}
	v.pages[i>>pageBits].items[i&(pageSize-1)] = x
	v.n++
	return i
}

// frozen gives a copy that edits do not reach once the epoch has moved.
func (v *vector[T]) frozen() vector[T] { return vector[T]{pages: slices.Clone(v.pages), n: v.n} }
