package wire

import (
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The shapes around associations and documents are wide and much alike, so each is a table of its members: one row says
// how a member is read, held to the model, shown in a violation and written. Reports, which are many, have code instead.

// A tabled shape gives its table, in the model's order. The rows point into the shape they are of.
type tabled interface{ members() []member }

// A member is one row of a table.
type member struct {
	name   string
	decode func(d *decoder)
	append func(dst []byte) []byte // nothing for an absent member
	// check holds the member to the model, path being its name in lower camel; nil for what is not constrained.
	check func(c *checker, path string)
	// value shows it; nil where it is absent. Only elements of lists are shown.
	value func() printable
}

// table makes every shape with a table one that can be read, held to the model, shown and written.
type table struct{ of tabled }

func (t table) decode(d *decoder) {
	members := t.of.members()
	for name := range d.members {
		known := false
		for i := range members {
			if known = members[i].name == name; known {
				members[i].decode(d)
				break
			}
		}
		if !known {
			d.skip()
		}
	}
}

func (t table) validate(c *checker) {
	for _, m := range t.of.members() {
		if m.check != nil {
			m.check(c, lowerCamel(m.name))
		}
	}
}

func (t table) print(p *printer) {
	label := reflect.TypeOf(t.of).Elem().Name() + "("
	for _, m := range t.of.members() {
		var value printable
		if m.value != nil {
			value = m.value()
		}
		p.member(label+lowerCamel(m.name)+"=", value != nil, value)
		label = ", "
	}
	p.write(")")
}

func (t table) append(dst []byte) []byte {
	dst = append(dst, '{')
	for _, m := range t.of.members() {
		dst = m.append(dst)
	}
	return closeObject(dst)
}

func lowerCamel(name string) string { return strings.ToLower(name[:1]) + name[1:] }

// whole makes the rule of a pattern that the whole value must match.
func whole(pattern string) *rule {
	return &rule{pattern: pattern, match: regexp.MustCompile(`^(?:` + pattern + `)$`).MatchString}
}

// textMember is a string that is absent when empty.
func textMember(name string, v *string) member {
	return member{
		name:   name,
		decode: func(d *decoder) { d.text(v) },
		append: func(dst []byte) []byte { return optionalMember(dst, name, *v) },
	}
}

// presentMember is a string that is never absent, because who reads it does not look whether it is there.
func presentMember(name string, v *string) member {
	m := textMember(name, v)
	m.append = func(dst []byte) []byte { return stringMember(dst, name, *v) }
	return m
}

// optionalText is a string that may be absent; the nil rule holds of every text.
func optionalText(name string, v **string, r *rule) member {
	return member{
		name:   name,
		decode: func(d *decoder) { d.textPointer(v) },
		append: func(dst []byte) []byte { return pointerMember(dst, name, *v) },
		check: func(c *checker, path string) {
			if r != nil {
				c.optional(path, *v, r)
			}
		},
		value: func() printable {
			if *v == nil {
				return nil
			}
			return printed(**v)
		},
	}
}

// requiredText is a string that must not be absent.
func requiredText(name string, v **string, r *rule) member {
	return optionalText(name, v, r).required(func() bool { return *v == nil })
}

// required makes a member one that must be there.
func (m member) required(absent func() bool) member {
	check := m.check
	m.check = func(c *checker, path string) {
		switch {
		case absent():
			c.required(path)
		case check != nil:
			check(c, path)
		}
	}
	return m
}

// booleanMember is true or false, or absent.
func booleanMember(name string, v **bool) member {
	return member{
		name: name,
		decode: func(d *decoder) {
			if b, ok := d.boolean(); ok {
				*v = &b
			}
		},
		append: func(dst []byte) []byte {
			if *v == nil {
				return dst
			}
			return append(strconv.AppendBool(nameMember(dst, name), **v), ',')
		},
		value: func() printable {
			if *v == nil {
				return nil
			}
			return printed(strconv.FormatBool(**v))
		},
	}
}

// numberMember is an integer within bounds, or absent.
func numberMember(name string, v **int32, least, most int32) member {
	return member{
		name:   name,
		decode: func(d *decoder) { d.integerPointer(v) },
		append: func(dst []byte) []byte { return integerPointerMember(dst, name, *v) },
		check:  func(c *checker, path string) { c.number(path, *v, least, most) },
		value: func() printable {
			if *v == nil {
				return nil
			}
			return printed(strconv.Itoa(int(**v)))
		},
	}
}

// momentMember is a time that is absent when zero.
func momentMember(name string, v *time.Time) member {
	return member{
		name:   name,
		decode: func(d *decoder) { d.time(v) },
		append: func(dst []byte) []byte { return timeMember(dst, name, *v) },
	}
}

// requiredMoment is a time that must not be absent.
func requiredMoment(name string, v **time.Time) member {
	m := member{
		name: name,
		decode: func(d *decoder) {
			var at time.Time
			if d.time(&at); d.err == nil && !at.IsZero() {
				*v = &at
			}
		},
		append: func(dst []byte) []byte {
			if *v == nil {
				return dst
			}
			return timeMember(dst, name, **v)
		},
	}
	return m.required(func() bool { return *v == nil })
}

// textsMember is a list of strings, each held to a rule; the nil rule holds of every text.
func textsMember(name string, v *[]string, least, most int, r *rule) member {
	return member{
		name:   name,
		decode: func(d *decoder) { *v = list(d, most, value) },
		append: func(dst []byte) []byte { return listMember(dst, name, *v, appendValue) },
		check: func(c *checker, path string) {
			if *v == nil {
				return
			}
			mark := c.enter(path)
			c.length(len(*v), least, most, values(*v))
			if r != nil {
				for _, s := range *v {
					if !r.holds(s) {
						c.violation(values(*v), "Member must satisfy constraint: ["+strings.Join(r.violated(s), ", ")+"]")
						break
					}
				}
			}
			c.leave(mark)
		},
		value: func() printable {
			if *v == nil {
				return nil
			}
			return values(*v)
		},
	}
}

// structuresMember is a list of structures that have tables.
func structuresMember[T any, P interface {
	*T
	tabled
}](name string, v *[]T, least, most int) member {
	return member{
		name: name,
		decode: func(d *decoder) {
			*v = list(d, most, func(d *decoder, e *T) { d.structure(table{P(e)}) })
		},
		append: func(dst []byte) []byte {
			return listMember(dst, name, *v, func(dst []byte, e *T) []byte { return table{P(e)}.append(dst) })
		},
		check: func(c *checker, path string) {
			mark := c.enter(path)
			if *v != nil {
				c.length(len(*v), least, most, tables[T, P](*v))
			}
			for i := range *v {
				inner := c.enterElement(i)
				table{P(&(*v)[i])}.validate(c)
				c.leave(inner)
			}
			c.leave(mark)
		},
		value: func() printable {
			if *v == nil {
				return nil
			}
			return tables[T, P](*v)
		},
	}
}

// presentStructures is a list of an answer, [] when nil.
func presentStructures[T any, P interface {
	*T
	tabled
}](name string, v *[]T) member {
	m := structuresMember[T, P](name, v, 0, maxRows)
	m.append = func(dst []byte) []byte {
		return requiredList(dst, name, *v, func(dst []byte, e *T) []byte { return table{P(e)}.append(dst) })
	}
	return m
}

// tables shows a list of structures that have tables.
type tables[T any, P interface {
	*T
	tabled
}] []T

func (l tables[T, P]) print(p *printer) {
	p.write("[")
	for i := range l {
		if i > 0 {
			p.write(", ")
		}
		table{P(&l[i])}.print(p)
		if p.full {
			return
		}
	}
	p.write("]")
}

// structureMember is one structure that has a table, or absent.
func structureMember[T any, P interface {
	*T
	tabled
}](name string, v **T) member {
	return member{
		name: name,
		decode: func(d *decoder) {
			s := new(T)
			if d.structure(table{P(s)}) {
				*v = s
			}
		},
		append: func(dst []byte) []byte {
			if *v == nil {
				return dst
			}
			return append(table{P(*v)}.append(nameMember(dst, name)), ',')
		},
		check: func(c *checker, path string) {
			if *v == nil {
				return
			}
			mark := c.enter(path)
			table{P(*v)}.validate(c)
			c.leave(mark)
		},
		value: func() printable {
			if *v == nil {
				return nil
			}
			return table{P(*v)}
		},
	}
}

// Raw is a value of the model that no action here acts on: its JSON as it came, "" for absent.
type Raw string

func rawMember(name string, v *Raw) member {
	return member{
		name: name,
		decode: func(d *decoder) {
			if d.peek() == 'n' {
				d.literal("null")
				return
			}
			start := d.pos
			d.skip()
			if d.err == nil {
				*v = Raw(d.json[start:d.pos])
			}
		},
		append: func(dst []byte) []byte {
			if *v == "" {
				return dst
			}
			return append(append(nameMember(dst, name), *v...), ',')
		},
		value: func() printable {
			if *v == "" {
				return nil
			}
			return printed(*v)
		},
	}
}

// A Parameter is one entry of a map from names to lists of strings.
type Parameter struct {
	Name   string
	Values []string
}

// parameterValues bounds the values of one parameter; the model does not.
const parameterValues = 1000

// parametersMember is a map from names to lists of strings, in the order it came; nil is absent, and so is a null value.
func parametersMember(name string, v *[]Parameter) member {
	return member{
		name: name,
		decode: func(d *decoder) {
			if !d.expect('{') {
				return
			}
			all := []Parameter{}
			for key := range d.members {
				if values := list(d, parameterValues, value); values != nil {
					all = append(all, Parameter{Name: key, Values: values})
				}
			}
			*v = all
		},
		append: func(dst []byte) []byte {
			if *v == nil {
				return dst
			}
			dst = append(nameMember(dst, name), '{')
			for i := range *v {
				dst = append(appendString(dst, (*v)[i].Name), ':', '[')
				for j := range (*v)[i].Values {
					dst = append(appendString(dst, (*v)[i].Values[j]), ',')
				}
				dst = append(closeList(dst), ',')
			}
			return append(closeObject(dst), ',')
		},
		value: func() printable {
			if *v == nil {
				return nil
			}
			return parameters(*v)
		},
	}
}

type parameters []Parameter

func (l parameters) print(p *printer) {
	p.write("{")
	for i := range l {
		if i > 0 {
			p.write(", ")
		}
		p.write(l[i].Name + "=")
		values(l[i].Values).print(p)
		if p.full {
			return
		}
	}
	p.write("}")
}
