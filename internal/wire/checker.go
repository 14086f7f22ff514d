package wire

import (
	"strconv"
	"unicode/utf8"
)

const (
	maxPrinted    = 512 // bytes of one value in a text
	maxViolations = 32  // in a text
)

// A constrained shape can be held to the model. Paths are lower-camel and count list members from 1:
// items.1.member.typeName.
type constrained interface {
	validate(c *checker)
}

// A printable value shows itself as violations do: lists in brackets, maps in braces, structures as Shape(member=value).
type printable interface{ print(p *printer) }

// A checker gathers the violations of one request.
type checker struct {
	path  []byte
	count int
	text  []byte
}

// validate holds v to the model.
func validate(v constrained) error {
	c := checker{path: make([]byte, 0, 64)}
	v.validate(&c)
	switch {
	case c.count == 0:
		return nil
	case c.count > maxViolations:
		c.text = append(c.text, "; ..."...)
	}
	head := " validation errors detected: "
	if c.count == 1 {
		head = " validation error detected: "
	}
	return &ValidationError{Count: c.count, text: strconv.Itoa(c.count) + head + string(c.text)}
}

// enter goes to a member and gives what leave needs to come back.
func (c *checker) enter(member string) (mark int) {
	mark = len(c.path)
	if mark > 0 {
		c.path = append(c.path, '.')
	}
	c.path = append(c.path, member...)
	return mark
}

// enterElement goes to a list's element, counted from 0 here.
func (c *checker) enterElement(i int) (mark int) {
	mark = len(c.path)
	c.path = append(c.path, '.')
	c.path = strconv.AppendInt(c.path, int64(i)+1, 10)
	c.path = append(c.path, ".member"...)
	return mark
}

func (c *checker) leave(mark int) { c.path = c.path[:mark] }

// violation records one at the present path; a nil value prints as null.
func (c *checker) violation(value printable, constraint string) {
	c.count++
	if c.count > maxViolations {
		return
	}
	if c.count > 1 {
		c.text = append(c.text, "; "...)
	}
	c.text = append(c.text, "Value "...)
	if value == nil {
		c.text = append(c.text, "null"...)
	} else {
		p := printer{}
		value.print(&p)
		c.text = append(c.text, '\'')
		c.text = append(c.text, p.buf...)
		c.text = append(c.text, '\'')
	}
	c.text = append(c.text, " at '"...)
	c.text = append(c.text, c.path...)
	c.text = append(c.text, "' failed to satisfy constraint: "...)
	c.text = append(c.text, constraint...)
}

// required is the violation of a member that is not there.
func (c *checker) required(member string) {
	mark := c.enter(member)
	c.violation(nil, "Member must not be null")
	c.leave(mark)
}

// str holds a required string to its rule.
func (c *checker) str(member, s string, absent bool, r *rule) {
	if absent {
		c.required(member)
		return
	}
	c.optional(member, &s, r)
}

// optional holds a string that may be absent to its rule.
func (c *checker) optional(member string, s *string, r *rule) {
	if s == nil || r.holds(*s) {
		return
	}
	mark := c.enter(member)
	for _, text := range r.violated(*s) {
		c.violation(printed(*s), text)
	}
	c.leave(mark)
}

// number holds an integer that may be absent to a range.
func (c *checker) number(member string, n *int32, least, most int32) {
	if n == nil || least <= *n && *n <= most {
		return
	}
	mark := c.enter(member)
	text := rangeText("less", int(most))
	if *n < least {
		text = rangeText("greater", int(least))
	}
	c.violation(printed(strconv.Itoa(int(*n))), text)
	c.leave(mark)
}

// length holds the length of the list or map at the present path to a range.
func (c *checker) length(n, least, most int, value printable) {
	if n > most {
		c.violation(value, lengthText("less", most))
	}
	if n < least {
		c.violation(value, lengthText("greater", least))
	}
}

// structures holds a list of structures, which may be absent, to its length and each element to its own constraints.
func structures[T any, P interface {
	*T
	constrained
	printable
}](c *checker, member string, list []T, least, most int) {
	if list == nil {
		return
	}
	mark := c.enter(member)
	if len(list) < least || len(list) > most {
		c.length(len(list), least, most, printedList[T, P](list))
	}
	for i := range list {
		inner := c.enterElement(i)
		P(&list[i]).validate(c)
		c.leave(inner)
	}
	c.leave(mark)
}

// printed is a string as a printable.
type printed string

func (s printed) print(p *printer) { p.write(string(s)) }

type printedList[T any, P interface {
	*T
	printable
}] []T

func (l printedList[T, P]) print(p *printer) {
	p.write("[")
	for i := range l {
		if i > 0 {
			p.write(", ")
		}
		P(&l[i]).print(p)
		if p.full {
			return
		}
	}
	p.write("]")
}

// A printer keeps the first maxPrinted bytes of what is written, cut between characters, and "..." once it is full.
type printer struct {
	buf  []byte
	full bool
}

func (p *printer) String() string { return string(p.buf) }

func (p *printer) write(s string) {
	if p.full {
		return
	}
	if room := maxPrinted - len(p.buf); len(s) > room {
		for room > 0 && !utf8.RuneStart(s[room]) {
			room--
		}
		p.full = true
		s = s[:room] + "..."
	}
	p.buf = append(p.buf, s...)
}

// member writes one member of a structure under its label ("typeName=", ", schemaVersion="); null where it is absent.
func (p *printer) member(label string, present bool, value printable) {
	p.write(label)
	if present {
		value.print(p)
	} else {
		p.write("null")
	}
}

func (p *printer) pointer(label string, s *string) {
	if s == nil {
		p.member(label, false, nil)
		return
	}
	p.member(label, true, printed(*s))
}
