package wire

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxDepth = 64
	// maxMembers bounds the names kept to find a key given twice.
	maxMembers = 10_000
	// maxElements bounds what the small recursive shapes (filters, aggregators, groups, values) may hold in one request.
	// An answer of 200 schemas of 50 attributes has 10,200.
	maxElements = 50_000
	// leastRoom is how many elements a list first gets room for.
	leastRoom = 4
)

// A shape is a structure of the model that can be read.
type shape interface{ decode(d *decoder) }

// decode reads body, all of it, into v.
func decode(body []byte, v shape) error {
	d := decoder{json: string(body)}
	d.names = d.few[:0]
	switch d.peek() {
	case '{':
		v.decode(&d)
	case '[':
		d.fail("Start of list found where not expected")
	default:
		d.malformed()
	}
	if d.peek() != 0 || d.pos < len(d.json) {
		d.malformed()
	}
	// Whatever else is wrong with it, a body that is no UTF-8 is refused as that. Outside of strings JSON is ASCII.
	if (d.err != nil || d.high&tops != 0) && !utf8.ValidString(d.json) {
		return &DecodeError{Message: "Body is not valid UTF-8"}
	}
	if d.err != nil {
		return d.err
	}
	return nil
}

// A decoder reads one JSON text from front to back. Its error sticks: after the first one every method returns at once
// and leaves its target alone, so callers need not look at each step.
type decoder struct {
	json     string
	pos      int
	depth    int
	elements int
	high     uint64 // has a top bit set if a string read so far may be other than ASCII
	err      *DecodeError
	names    []string // names of the objects now open, the innermost's last
	pairs    []Pair   // the slab entries are cut from: what is filled of it
	entries  []Entry  // scratch for the list of entries being read
	fit      bool     // every entry of the list being read satisfies the model for certain
	leads    []lead   // of the entries of the list read so far, each name once

	leadsOrdered bool // by name

	few [16]string // for names
}

func (d *decoder) fail(message string) {
	if d.err == nil {
		d.err = &DecodeError{Message: message, Offset: d.pos}
	}
	d.pos = len(d.json)
}

func (d *decoder) malformed() { d.fail("") }

// peek gives the next byte that is not white space and stays on it. At the end of the text it gives 0, which begins no
// value.
func (d *decoder) peek() byte {
	for d.pos < len(d.json) {
		switch c := d.json[d.pos]; c {
		case ' ', '\n', '\t', '\r':
			d.pos++
		default:
			return c
		}
	}
	return 0
}

func (d *decoder) enter() bool {
	d.pos++
	d.depth++
	if d.depth > maxDepth {
		d.fail("Nesting is deeper than 64 levels")
		return false
	}
	return true
}

func (d *decoder) leave() {
	d.pos++
	d.depth--
}

// more reads what stands between the elements of a list or object: false when close was met and consumed.
func (d *decoder) more(first bool, closing byte) bool {
	switch c := d.peek(); {
	case c == closing:
		d.leave()
		return false
	case first:
		return true
	case c == ',':
		d.pos++
		return true
	}
	d.malformed()
	return false
}

// members yields the name of each member of the object at hand; the caller reads the value of each before it goes on.
// It refuses names given twice once the object is closed.
func (d *decoder) members(yield func(name string) bool) {
	if !d.enter() {
		return
	}
	base := len(d.names)
	for first := true; d.more(first, '}'); first = false {
		name := d.name()
		d.remember(name, base)
		if d.err != nil || !yield(name) || d.err != nil {
			return
		}
	}
	d.distinct(base)
}

// name reads a member's name and the colon after it.
func (d *decoder) name() string {
	if d.peek() != '"' {
		d.malformed()
		return ""
	}
	name := d.quoted()
	if d.peek() != ':' {
		d.malformed()
		return ""
	}
	d.pos++
	return name
}

func (d *decoder) remember(name string, base int) {
	d.names = append(d.names, name)
	if len(d.names)-base > maxMembers {
		d.fail("An object has more than 10000 members")
	}
}

// distinct refuses names given twice among those from base on, and forgets them.
func (d *decoder) distinct(base int) {
	names := d.names[base:]
	d.names = d.names[:base]
	if d.err != nil {
		return
	}
	if len(names) > 8 {
		slices.Sort(names)
		for i := 1; i < len(names); i++ {
			if names[i] == names[i-1] {
				d.duplicate(names[i])
			}
		}
		return
	}
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			d.duplicate(name)
		}
	}
}

func (d *decoder) duplicate(name string) {
	p := printer{}
	p.write(name)
	d.fail("Key '" + p.String() + "' found twice in one object")
}

// list reads the list at hand, keeping at most limit elements and one more; nil where the member is null or faulty.
func list[T any](d *decoder, limit int, element func(d *decoder, v *T)) []T {
	if !d.expect('[') || !d.enter() {
		return nil
	}
	kept := []T{}
	var beyond *T
	for first := true; d.more(first, ']'); first = false {
		if d.peek() == 'n' {
			d.literal("null")
			d.fail("Null found where a list element was expected")
		}
		if len(kept) > limit {
			if beyond == nil {
				beyond = new(T)
			}
			element(d, beyond)
			continue
		}
		if d.elements++; d.elements > maxElements {
			d.fail("Request holds more than 50000 list elements")
		}
		if len(kept) == cap(kept) {
			kept = slices.Grow(kept, max(leastRoom, len(kept)))
		}
		kept = kept[:len(kept)+1]
		element(d, &kept[len(kept)-1])
	}
	return kept
}

// structure reads the structure at hand into v by its own decode, unless it is null.
func (d *decoder) structure(v shape) bool {
	if !d.expect('{') {
		return false
	}
	v.decode(d)
	return true
}

// element reads one structure of a list.
func element[T any, P interface {
	*T
	shape
}](d *decoder, v *T) {
	d.structure(P(v))
}

// expect reports whether a value beginning with open is at hand, '{' for a structure or map, '[' for a list, '"' for a
// string. It consumes null; anything else is a type error.
func (d *decoder) expect(open byte) bool {
	c := d.peek()
	if c == open {
		return true
	}
	switch c {
	case 'n':
		d.literal("null")
		return false
	case '[':
		d.fail("Start of list found where not expected")
		return false
	case '{':
		d.fail("Start of structure or map found where not expected.")
		return false
	}
	kind := d.scalar()
	switch {
	case kind == "":
	case open == '[':
		d.fail("Expected list or null")
	case open == '{':
		d.fail("Expected null")
	default:
		d.fail(kind + " can not be converted to a String")
	}
	return false
}

// scalar reads over a string, number or boolean and names its kind as the type errors do; "" when it is malformed.
func (d *decoder) scalar() string {
	kind := ""
	switch c := d.peek(); c {
	case '"':
		d.quoted()
		kind = "STRING_VALUE"
	case 't':
		d.literal("true")
		kind = "TRUE_VALUE"
	case 'f':
		d.literal("false")
		kind = "FALSE_VALUE"
	default:
		d.number()
		kind = "NUMBER_VALUE"
	}
	if d.err != nil {
		return ""
	}
	return kind
}

func (d *decoder) literal(word string) {
	if !strings.HasPrefix(d.json[d.pos:], word) {
		d.malformed()
		return
	}
	d.pos += len(word)
}

// text reads a string; false, and v untouched, where it is null or faulty.
func (d *decoder) text(v *string) bool {
	if !d.expect('"') {
		return false
	}
	s := d.quoted()
	if d.err != nil {
		return false
	}
	*v = s
	return true
}

func (d *decoder) textPointer(v **string) {
	var s string
	if d.text(&s) {
		*v = &s
	}
}

func value(d *decoder, v *string) { d.text(v) }

// boolean reads true or false.
func (d *decoder) boolean() (v, present bool) {
	switch c := d.peek(); c {
	case 't', 'f':
		return d.scalar() == "TRUE_VALUE", d.err == nil
	case '[', '{', 'n':
		d.expect('"')
	default:
		if kind := d.scalar(); kind != "" {
			d.fail(kind + " can not be converted to a Boolean")
		}
	}
	return false, false
}

// numeric reads over a scalar where a number is wanted and gives where it began and its kind; "" where it is null or
// faulty.
func (d *decoder) numeric() (start int, kind string) {
	switch d.peek() {
	case '[', '{', 'n':
		d.expect('"')
		return 0, ""
	}
	start = d.pos
	return start, d.scalar()
}

// integer reads a number of 32 bits, its fraction cut off.
func (d *decoder) integer() (v int32, present bool) {
	start, kind := d.numeric()
	if kind == "" {
		return 0, false
	}
	if kind == "NUMBER_VALUE" {
		f, err := strconv.ParseFloat(d.json[start:d.pos], 64)
		if f = math.Trunc(f); err == nil && f >= math.MinInt32 && f <= math.MaxInt32 {
			return int32(f), true
		}
	}
	d.fail(kind + " can not be converted to an Integer")
	return 0, false
}

func (d *decoder) integerPointer(v **int32) {
	if n, ok := d.integer(); ok {
		*v = &n
	}
}

// float reads a number of any size that fits 64 bits.
func (d *decoder) float() (v float64, present bool) {
	start, kind := d.numeric()
	if kind == "" {
		return 0, false
	}
	if kind == "NUMBER_VALUE" {
		if f, err := strconv.ParseFloat(d.json[start:d.pos], 64); err == nil {
			return f, true
		}
	}
	d.fail(kind + " can not be converted to a Double")
	return 0, false
}

// skip reads over one value of any kind, holding it to the same strictness as a known one.
func (d *decoder) skip() {
	switch d.peek() {
	case '{':
		for range d.members {
			d.skip()
		}
	case '[':
		if !d.enter() {
			return
		}
		for first := true; d.more(first, ']'); first = false {
			d.skip()
		}
	case 'n':
		d.literal("null")
	default:
		d.scalar()
	}
}
