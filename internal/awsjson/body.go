package awsjson

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"

	"stocktake/internal/wire"
)

const (
	// firstRoom is how much room is made before the first read, in which a body may have to wait for memory with many others.
	firstRoom = 512
	// trusted is how much room is made at once on a peer's word alone, once the body has begun to come.
	trusted = 1 << 20
	// maxKept is the largest buffer that is used again.
	maxKept = 4 << 20
)

func (h *Handler) buffer() *[]byte {
	if b, ok := h.buffers.Get().(*[]byte); ok {
		return b
	}
	return new([]byte)
}

func (h *Handler) giveBack(b *[]byte) {
	if cap(*b) <= maxKept {
		h.buffers.Put(b)
	}
}

// shrink leaves in the buffer what it holds, in as much memory as that takes, and lets others use the rest.
func (h *Handler) shrink(b *[]byte) {
	large := *b
	*b = append(make([]byte, 0, len(large)), large...)
	h.giveBack(&large)
}

// readBody appends the body, announced with a length that is -1 where unknown, to dst.
func readBody(from io.Reader, length int64, dst []byte) ([]byte, error) {
	dst = slices.Grow(dst, firstRoom)
	for {
		if len(dst) == cap(dst) {
			has := int64(len(dst))
			// One byte more than announced, to meet the end without growing. A peer that sent what it was trusted with may be
			// given more at once: less is copied, and left behind.
			dst = slices.Grow(dst, int(min(max(length+1-has, has), max(3*has, trusted))))
		}
		n, err := from.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
}

// bodyFailure answers a body that could not be read to its end: it is too large, or its peer is at fault.
func bodyFailure(err error) *failure {
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return bodyTooLarge(tooLarge.Limit)
	}
	f := frontEnd(wire.SerializationException, "The request body could not be read to its end")
	f.hangUp = true
	return f
}

func bodyTooLarge(most int64) *failure {
	f := frontEnd(wire.RequestEntityTooLargeException, "The request body must not exceed "+strconv.FormatInt(most, 10)+" bytes")
	f.status = http.StatusRequestEntityTooLarge
	f.hangUp = true
	return f
}
