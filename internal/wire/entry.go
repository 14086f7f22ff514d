package wire

import (
	"slices"
	"strings"
)

// A Pair is one member of a map of strings.
type Pair struct{ Name, Value string }

// An Entry is a map of strings: one element of an item's Content, or its Context. Pairs stand in byte order of their
// names, each name once; Decode sorts what came otherwise.
type Entry []Pair

const (
	maxPairs   = 50
	slabPairs  = 1024 // 32 KiB
	leastBytes = 6    // of a pair in JSON: "":"",
)

// entryList reads a list of entries.
func (d *decoder) entryList(limit int) []Entry {
	if !d.expect('[') || !d.enter() {
		return nil
	}
	d.entries = d.entries[:0]
	for first := true; d.more(first, ']'); first = false {
		if d.peek() == 'n' {
			d.literal("null")
			d.fail("Null found where a list element was expected")
		}
		slab := d.pairs
		e := d.entry()
		if len(d.entries) > limit {
			d.pairs, d.like = slab, nil
			continue
		}
		d.entries = append(d.entries, e)
	}
	return append(make([]Entry, 0, len(d.entries)), d.entries...)
}

// entry reads a map of strings into the slab. Past one pair over the limit it keeps the names only, to find one given
// twice.
func (d *decoder) entry() Entry {
	if !d.expect('{') || !d.enter() {
		return nil
	}
	d.grow()
	from, base := len(d.pairs), len(d.names)
	pairs := d.pairs[from:from]
	sorted, alike, clean := true, true, true
	for first := true; d.more(first, '}'); first = false {
		var p Pair
		var known bool
		if p.Name, known = d.nameOf(len(pairs)); !known {
			p.Name = d.name()
			clean = clean && plain(p.Name) == len(p.Name)
		}
		present := true
		if d.at('"') {
			p.Value = d.quoted()
		} else {
			present = d.text(&p.Value)
		}
		if d.err != nil {
			return nil
		}
		if !present || len(pairs) > maxPairs {
			d.remember(p.Name, base)
			continue
		}
		// Names that go on as those of the entry before do are in order as those were.
		if n := len(pairs); n > 0 && !(known && alike) && pairs[n-1].Name >= p.Name {
			sorted = false
		}
		alike = known
		pairs = append(pairs, p)
	}
	if !sorted {
		d.sort(pairs)
	}
	if len(d.names) > base {
		for i := range pairs {
			d.remember(pairs[i].Name, base)
		}
		d.distinct(base)
	}
	d.pairs = d.pairs[:from+len(pairs)]
	e := Entry(pairs[:len(pairs):len(pairs)])
	if clean {
		d.like = e
	}
	return e
}

// nameOf reads a member's name and the colon after it where they stand as the i-th name of the entry before did: most
// entries of an item have the same names in the same order, and then share their memory too.
func (d *decoder) nameOf(i int) (name string, ok bool) {
	if i >= len(d.like) || d.peek() != '"' {
		return "", false
	}
	name = d.like[i].Name
	rest := d.json[d.pos+1:]
	n := len(name)
	if len(rest) < n+2 || rest[n] != '"' || rest[n+1] != ':' || rest[:n] != name {
		return "", false
	}
	d.pos += n + 3
	return name, true
}

// grow makes room in the slab for the widest entry that is kept of what is left of the body.
func (d *decoder) grow() {
	left := (len(d.json)-d.pos)/leastBytes + 1
	if cap(d.pairs)-len(d.pairs) < min(maxPairs+1, left) {
		d.pairs = make([]Pair, 0, min(slabPairs, left))
	}
}

func (d *decoder) sort(pairs []Pair) {
	slices.SortFunc(pairs, func(a, b Pair) int { return strings.Compare(a.Name, b.Name) })
	for i := 1; i < len(pairs); i++ {
		if pairs[i].Name == pairs[i-1].Name {
			d.duplicate(pairs[i].Name)
		}
	}
}

// AppendJSON appends the entry to dst.
func (e Entry) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	for i := range e {
		dst = appendString(dst, e[i].Name)
		dst = append(dst, ':')
		dst = appendString(dst, e[i].Value)
		dst = append(dst, ',')
	}
	return closeObject(dst)
}

func (e Entry) validate(c *checker, keys, values *rule) {
	c.length(len(e), 0, maxPairs, e)
	badKey, badValue := false, false
	for i := range e {
		badKey = badKey || !keys.holds(e[i].Name)
		badValue = badValue || !values.holds(e[i].Value)
	}
	if badKey {
		c.violation(e, "Map keys must satisfy constraint: "+keys.list())
	}
	if badValue {
		c.violation(e, "Map value must satisfy constraint: "+values.list())
	}
}

// fits says the same as validate, without the texts.
func (e Entry) fits(keys, values *rule) bool {
	for i := range e {
		if !keys.surely(e[i].Name) && !keys.holds(e[i].Name) || !values.surely(e[i].Value) && !values.holds(e[i].Value) {
			return false
		}
	}
	return len(e) <= maxPairs
}

func (e Entry) print(p *printer) {
	p.write("{")
	for i := range e {
		if i > 0 {
			p.write(", ")
		}
		p.write(e[i].Name)
		p.write("=")
		p.write(e[i].Value)
		if p.full {
			return
		}
	}
	p.write("}")
}
