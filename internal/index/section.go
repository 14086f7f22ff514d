package index

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"iter"
	"strings"
	"sync"

	"github.com/klauspost/compress/s2"
)

// section is one section of a snapshot, read and checked. release gives its memory back.
type section struct {
	fields
	kind byte
	at   int64 // where it begins, after the magic
	body []byte
}

// bodies lends memory for sections.
var bodies sync.Pool

func (s *section) release() {
	if len(s.body) <= sectionUsual {
		bodies.Put(s.body[:0]) //nolint:staticcheck // a header a section
	}
	s.body, s.rest = nil, nil
}

// unpack undoes the packing of a section whose kind is packed.
func (s *section) unpack() {
	if strings.IndexByte(packedKinds, s.kind) < 0 {
		return
	}
	// A section is no larger than the writer's target and one thing more; few bytes must not ask for much memory.
	n, err := s2.DecodedLen(s.rest)
	if err != nil || n > 32*sectionTarget+64*len(s.rest) {
		s.bad = true
		return
	}
	whole, _ := bodies.Get().([]byte)
	if whole, err = s2.Decode(whole, s.rest); err != nil {
		s.bad = true
		return
	}
	s.release()
	s.body, s.rest = whole, whole
}

func (s *section) malformed() error {
	return damaged("section %q at byte %d is malformed", s.kind, s.at)
}

// sectionReader reads sections.
type sectionReader struct {
	r  io.Reader
	at int64
}

// sectionUsual is the size up to which memory is taken before a section's bytes have arrived.
const sectionUsual = 2 << 20

func (r *sectionReader) next() (*section, error) {
	var head [sectionHead]byte
	if _, err := io.ReadFull(r.r, head[:]); err != nil {
		return nil, damaged("it is cut short at byte %d", r.at)
	}
	s := &section{kind: head[0], at: r.at}
	length := int64(binary.LittleEndian.Uint32(head[1:]))
	if length > sectionMost {
		return nil, damaged("section at byte %d claims %d bytes", s.at, length)
	}
	if err := s.read(r.r, length+4); err != nil {
		return nil, damaged("section %q at byte %d is cut short", s.kind, s.at)
	}
	sum := crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, s.body[:length])
	if sum != binary.LittleEndian.Uint32(s.body[length:]) {
		return nil, damaged("section %q at byte %d fails its checksum", s.kind, s.at)
	}
	s.rest = s.body[:length]
	r.at += sectionHead + length + 4
	return s, nil
}

func (s *section) read(r io.Reader, n int64) error {
	if n > sectionUsual {
		var b bytes.Buffer
		_, err := io.CopyN(&b, r, n)
		s.body = b.Bytes()
		return err
	}
	s.body, _ = bodies.Get().([]byte)
	if int64(cap(s.body)) < n {
		s.body = make([]byte, max(n, sectionTarget+sectionTarget/16))
	}
	s.body = s.body[:n]
	_, err := io.ReadFull(r, s.body)
	return err
}

// fields reads what is in a section. What does not fit sets bad and gives zeros.
type fields struct {
	rest []byte
	bad  bool
}

func (s *fields) more() bool { return !s.bad && len(s.rest) > 0 }

// uint reads a number up to most.
func (s *fields) uint(most uint64) uint64 {
	n, w := binary.Uvarint(s.rest)
	if w <= 0 || n > most {
		s.bad = true
		return 0
	}
	s.rest = s.rest[w:]
	return n
}

// count goes through as many numbers as are announced, and stops where the section does not hold up.
func (s *fields) count() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		n := s.uint(uint64(len(s.rest)))
		for i := uint64(0); i < n && !s.bad && yield(i); i++ {
		}
	}
}

// below reads a number less than n.
func (s *fields) below(n int) uint32 {
	if n == 0 {
		s.bad = true
		return 0
	}
	return uint32(s.uint(uint64(n - 1)))
}

func (s *fields) bytes(n int) []byte {
	if n < 0 || n > len(s.rest) {
		s.bad = true
		return make([]byte, max(0, min(n, 64)))
	}
	b := s.rest[:n]
	s.rest = s.rest[n:]
	return b
}

// text reads a text that shares the section's memory.
func (s *fields) text() []byte { return s.bytes(int(s.uint(uint64(len(s.rest))))) }

func (s *fields) string() string { return string(s.text()) }
