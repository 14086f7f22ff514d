package inventory

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/dchest/siphash"
)

// ShapeID names a shape by its content: SipHash-2-4-128 under the store's secret hash key of the type and the shape's
// text. Being keyed, nobody outside can make two shapes meet; being 128 bits, chance does not.
type ShapeID [16]byte

func (id ShapeID) String() string { return hex.EncodeToString(id[:]) }

// Shape is what many entries of a fleet have in common: an entry without its volatile attributes. Text is the canonical
// encoding of the attributes that remain (AppendShapeText).
type Shape struct {
	ID   ShapeID
	Text string
}

// HashKey is the secret under which a store names its shapes. It is made once, in the store.
type HashKey [16]byte

// ShapeIDOf names the shape of the given type and text.
func (k HashKey) ShapeIDOf(t TypeName, text []byte) ShapeID {
	k0, k1 := binary.LittleEndian.Uint64(k[:8]), binary.LittleEndian.Uint64(k[8:])
	// The type is bound in through the key, not by concatenation, so that the text is hashed where it lies.
	t0, t1 := siphash.Hash128(k0, k1, []byte(t))
	h0, h1 := siphash.Hash128(t0, t1, text)
	var id ShapeID
	binary.BigEndian.PutUint64(id[:8], h0)
	binary.BigEndian.PutUint64(id[8:], h1)
	return id
}

// AppendShapeText appends the canonical encoding of an entry: for each attribute in order, name and value, each led by
// its length as a uvarint.
func AppendShapeText(dst []byte, e Entry) []byte {
	for _, a := range e {
		dst = binary.AppendUvarint(dst, uint64(len(a.Name)))
		dst = append(dst, a.Name...)
		dst = binary.AppendUvarint(dst, uint64(len(a.Value)))
		dst = append(dst, a.Value...)
	}
	return dst
}

// ParseShapeText reads what AppendShapeText wrote. The entry's strings share text's memory. Text that is cut short,
// malformed or out of order is an error: it was not written by AppendShapeText, or was damaged since.
func ParseShapeText(text string) (Entry, error) {
	var e Entry
	for rest := text; rest != ""; {
		var a Attribute
		var ok bool
		if a.Name, rest, ok = cutString(rest); !ok {
			return nil, fmt.Errorf("shape text is cut short or malformed at byte %d", len(text)-len(rest))
		}
		if a.Value, rest, ok = cutString(rest); !ok {
			return nil, fmt.Errorf("shape text is cut short or malformed at byte %d", len(text)-len(rest))
		}
		if n := len(e); n > 0 && e[n-1].Name >= a.Name {
			return nil, fmt.Errorf("shape text has attribute %q out of order", a.Name)
		}
		e = append(e, a)
	}
	return e, nil
}

func cutString(s string) (field, rest string, ok bool) {
	n, w := uint64(0), 0
	for shift := uint(0); ; shift += 7 {
		if w >= len(s) || shift > 35 {
			return "", s, false
		}
		c := s[w]
		w++
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			if c == 0 && shift > 0 {
				return "", s, false // longer than it need be
			}
			break
		}
	}
	if n > uint64(len(s)-w) {
		return "", s, false
	}
	return s[w : w+int(n)], s[w+int(n):], true
}

// Split says which attributes of a type are volatile: nearly unique to a node and entry, and so left out of shapes. A
// document names the split it was written with by Number and stays readable under any, since a Ref carries the names of
// its volatile attributes.
type Split struct {
	Number   uint32
	Volatile []string // sorted bytewise
}

// Cut divides an entry into the attributes that make its shape and those that stay with the document.
func (s Split) Cut(e Entry) (shape, volatile Entry) {
	if len(s.Volatile) == 0 {
		return e, nil
	}
	n := 0
	for _, a := range e {
		if s.IsVolatile(a.Name) {
			n++
		}
	}
	if n == 0 {
		return e, nil
	}
	both := make(Entry, 0, len(e))
	for _, a := range e {
		if s.IsVolatile(a.Name) {
			both = append(both, a)
		}
	}
	for _, a := range e {
		if !s.IsVolatile(a.Name) {
			both = append(both, a)
		}
	}
	return both[n:], both[:n:n]
}

// Cutter cuts one entry after the other, remembering how the names of those before were cut: entries of a report have
// the same names for the most part. Make one with Split.Cutter for each report; it is used by one goroutine.
type Cutter struct {
	split Split
	names []cutName // in order
}

type cutName struct {
	name     string
	head     []byte // the name as a shape's text has it
	volatile bool
}

// maxCutNames bounds what a Cutter remembers.
const maxCutNames = 64

// Cutter gives a cutter of entries.
func (s Split) Cutter() *Cutter { return &Cutter{split: s} }

// Append appends the canonical text of the entry's shape to text and its volatile attributes to volatile: what Cut and
// AppendShapeText give, without a copy of the entry.
func (c *Cutter) Append(text []byte, volatile []Attribute, e Entry) ([]byte, []Attribute) {
	next := 0
	for _, a := range e {
		for next < len(c.names) && c.names[next].name != a.Name {
			next++
		}
		if next == len(c.names) {
			next = c.learn(a.Name)
		}
		n := &c.names[next]
		next++
		if n.volatile {
			volatile = append(volatile, a)
			continue
		}
		text = append(text, n.head...)
		text = binary.AppendUvarint(text, uint64(len(a.Value)))
		text = append(text, a.Value...)
	}
	return text, volatile
}

// learn remembers a name and gives its place.
func (c *Cutter) learn(name string) int {
	at, known := slices.BinarySearchFunc(c.names, name, func(n cutName, name string) int { return strings.Compare(n.name, name) })
	if known { // names are out of order, which content that was decoded never is
		return at
	}
	if len(c.names) == maxCutNames {
		c.names, at = c.names[:0], 0
	}
	head := append(binary.AppendUvarint(nil, uint64(len(name))), name...)
	c.names = slices.Insert(c.names, at, cutName{name, head, c.split.IsVolatile(name)})
	return at
}

// IsVolatile reports whether the attribute with exactly this name is left out of shapes.
func (s Split) IsVolatile(name string) bool {
	const few = 8 // are compared faster than searched
	if len(s.Volatile) <= few {
		return slices.Contains(s.Volatile, name)
	}
	_, found := slices.BinarySearch(s.Volatile, name)
	return found
}
