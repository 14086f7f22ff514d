package wire

import (
	"slices"
	"strings"
)

// A Pair is one member of a map of strings. It has no name of its own for the compiler: the same struct elsewhere is the
// same type, and content passes between rooms without being copied.
type Pair = struct{ Name, Value string }

// An Entry is a map of strings: one element of an item's Content, or its Context. Pairs stand in byte order of their
// names, each name once; Decode sorts what came otherwise.
type Entry []Pair

const (
	maxPairs   = 50
	slabPairs  = 1024 // 32 KiB
	leastBytes = 6    // of a pair in JSON: "":"",
)

// entryList reads a list of entries. fit is true when it and they satisfy the model for certain.
func (d *decoder) entryList(limit int) (list []Entry, fit bool) {
	if !d.expect('[') || !d.enter() {
		return nil, false
	}
	d.entries, d.fit, d.leads = d.entries[:0], true, d.leads[:0]
	for first := true; d.more(first, ']'); first = false {
		if d.peek() == 'n' {
			d.literal("null")
			d.fail("Null found where a list element was expected")
		}
		slab := d.pairs
		e := d.entry()
		if len(d.entries) > limit {
			d.pairs = slab
			continue
		}
		d.entries = append(d.entries, e)
	}
	return append(make([]Entry, 0, len(d.entries)), d.entries...), d.fit && len(d.entries) <= limit
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
	next, ordered := 0, d.leadsOrdered
	for {
		pairs, next = d.alike(pairs, next)
		first := len(pairs) == 0 && len(d.names) == base
		start := d.pos
		if !d.more(first, '}') {
			break
		}
		if !first {
			start = d.pos
		}
		ordered = false // it may be, which is looked at once the names are all there
		p, lead, present := d.pair(start)
		if d.err != nil {
			return nil
		}
		if !present || len(pairs) > maxPairs {
			d.remember(p.Name, base)
			continue
		}
		pairs = append(pairs, p)
		next = d.learn(p.Name, lead, next)
		d.fit = d.fit && attributeName.holds(p.Name) && len(p.Value) <= attributeValue.most
	}
	d.fit = d.fit && len(pairs) <= maxPairs
	if d.err != nil {
		return nil
	}
	if !ordered {
		d.order(pairs)
	}
	if len(d.names) > base {
		for i := range pairs {
			d.remember(pairs[i].Name, base)
		}
		d.distinct(base)
	}
	d.pairs = d.pairs[:from+len(pairs)]
	return Entry(pairs[:len(pairs):len(pairs)])
}

// pair reads one member. lead is its text from start to the quote that opens its value; present is false where that is
// null.
func (d *decoder) pair(start int) (p Pair, lead string, present bool) {
	p.Name = d.name()
	if d.peek() != '"' {
		return p, "", d.text(&p.Value)
	}
	lead = d.json[start : d.pos+1]
	p.Value = d.quoted()
	return p, lead, true
}

// A lead is how a member of an entry begins: its name as it stands in the text, with the colon and all spaces, up to the
// quote that opens the value. Most entries of an item have the same leads in the same order, with some left out: they are
// compared, not read, and the names of all entries share their memory.
type lead struct{ text, name string }

const (
	maxLeads    = 64
	maxLeadText = 256
)

// alike reads members as long as they begin as leads do, from the lead of number next on.
func (d *decoder) alike(pairs []Pair, next int) ([]Pair, int) {
	json, leads := d.json, d.leads
	for len(pairs) <= maxPairs {
		at := d.pos
		if len(pairs) > 0 {
			if at >= len(json) || json[at] != ',' {
				break
			}
			at++
		}
		rest, i := json[at:], next
		for i < len(leads) && !strings.HasPrefix(rest, leads[i].text) {
			i++
		}
		if i == len(leads) {
			break
		}
		next = i + 1
		// The rest is what quoted does, but for a string that needs it: most of a report is read here.
		value := rest[len(leads[i].text):]
		n, high := plain(value)
		if n < len(value) && value[n] == '"' {
			d.high |= high
			d.pos = at + len(leads[i].text) + n + 1
			value = value[:n]
		} else {
			d.pos = at + len(leads[i].text) - 1
			if value = d.quoted(); d.err != nil {
				break
			}
		}
		if len(value) > attributeValue.most {
			d.fit = false
		}
		pairs = append(pairs, Pair{Name: leads[i].name, Value: value})
	}
	return pairs, next
}

// learn takes note of a lead, unless one with its name is known, and gives the number of the lead to go on from. Leads
// that are in the order of their names stay so, where they can.
func (d *decoder) learn(name, text string, next int) int {
	if i := slices.IndexFunc(d.leads, func(l lead) bool { return l.name == name }); i >= 0 {
		return max(next, i+1)
	}
	if len(text) > maxLeadText || !attributeName.holds(name) {
		return next
	}
	if len(d.leads) == maxLeads {
		d.leads, next = d.leads[:0], 0
	}
	for d.leadsOrdered && next < len(d.leads) && d.leads[next].name < name {
		next++
	}
	d.leads = slices.Insert(d.leads, next, lead{text, name})
	d.leadsOrdered = slices.IsSortedFunc(d.leads, func(a, b lead) int { return strings.Compare(a.name, b.name) })
	return next + 1
}

// order puts pairs in the order of their names and refuses names given twice.
func (d *decoder) order(pairs []Pair) {
	for i := 1; i < len(pairs); i++ {
		if pairs[i-1].Name >= pairs[i].Name {
			d.sort(pairs)
			return
		}
	}
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

// wideEntry reads a map of strings whose members the model does not count.
func (d *decoder) wideEntry() Entry {
	if !d.expect('{') {
		return nil
	}
	e := Entry{}
	for name := range d.members {
		p := Pair{Name: name}
		if d.text(&p.Value) {
			e = append(e, p)
		}
	}
	slices.SortFunc(e, func(a, b Pair) int { return strings.Compare(a.Name, b.Name) })
	return e
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
	e.validatePairs(c, keys, values)
}

// validatePairs holds the members to their constraints, however many there are.
func (e Entry) validatePairs(c *checker, keys, values *rule) {
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
