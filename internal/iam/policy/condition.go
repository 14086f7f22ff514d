package policy

import (
	"slices"
	"strings"
)

// A condition is one key under one operator, with the values it is compared with.
type condition struct {
	operator string // as the policy has it
	key      key
	sources  []string // the values as the policy has them
	operands []operand

	set      set
	negated  bool // it holds for a value that fits none of the operands
	ifExists bool // it holds where the key has no value
	null     bool // it asks whether the key has a value; there are no operands
	absent   bool // what null asks for: that it has none
}

// A set is how the many values of a key are taken together.
type set uint8

const (
	noSet set = iota
	allValues
	anyValue
)

func (p *parser) conditions(v value) []condition {
	if v.kind != objectKind {
		p.fail(v.path, "it must be an object, and is %s", v.kind)
		return nil
	}
	var all []condition
	for _, operator := range v.members {
		form, ok := p.operator(operator)
		if !ok {
			return nil
		}
		if operator.value.kind != objectKind {
			p.fail(operator.value.path, "it must be an object of condition keys, and is %s", operator.value.kind)
			return nil
		}
		if len(operator.value.members) == 0 {
			p.fail(operator.value.path, "it has no condition key")
		}
		first := len(all)
		for _, m := range operator.value.members {
			c := p.condition(form, m)
			if slices.ContainsFunc(all[first:], func(other condition) bool { return other.key.same(c.key) }) {
				p.fail(m.value.path, "it is given twice; case does not tell condition keys apart")
			}
			all = append(all, c)
		}
	}
	return all
}

// A form is an operator with its prefix and suffix.
type form struct {
	comparison
	set      set
	ifExists bool
}

// operator reads the name of an operator: perhaps ForAllValues: or ForAnyValue:, the comparison, perhaps IfExists.
func (p *parser) operator(m member) (form, bool) {
	f := form{}
	base := m.name
	if rest, ok := strings.CutPrefix(base, "ForAllValues:"); ok {
		base, f.set = rest, allValues
	} else if rest, ok := strings.CutPrefix(base, "ForAnyValue:"); ok {
		base, f.set = rest, anyValue
	}
	base, f.ifExists = strings.CutSuffix(base, "IfExists")
	at := slices.IndexFunc(comparisons, func(c comparison) bool { return c.name == base })
	if at < 0 {
		p.fail(m.value.path, "unknown operator; known are %s, with IfExists behind and ForAllValues: or ForAnyValue: before them",
			strings.Join(comparisonNames(), ", "))
		return form{}, false
	}
	f.comparison = comparisons[at]
	if f.operand == nil && (f.ifExists || f.set != noSet) {
		p.fail(m.value.path, "Null takes neither IfExists nor ForAllValues: nor ForAnyValue:")
	}
	return f, true
}

func (p *parser) condition(f form, m member) condition {
	k, ok := keyNamed(m.name)
	if !ok {
		p.fail(m.value.path, "unknown condition key; known are %s", strings.Join(keyNames(true), ", "))
	}
	if k.many && f.set == noSet && f.operand != nil {
		p.fail(m.value.path, "it may have many values; write ForAllValues:%s or ForAnyValue:%s", f.name, f.name)
	}
	p.reads(k)
	c := condition{key: k, set: f.set, negated: f.negated, ifExists: f.ifExists, null: f.operand == nil}
	c.operator = operatorName(f)
	list := []value{m.value}
	if m.value.kind == listKind {
		list = m.value.items
	}
	if len(list) == 0 || c.null && len(list) > 1 {
		p.fail(m.value.path, "it must hold %s", quantity(c.null))
	}
	for _, v := range list {
		switch v.kind {
		case stringKind, numberKind, booleanKind:
		default:
			p.fail(v.path, "it must be a string, and is %s", v.kind)
			return c
		}
		c.sources = append(c.sources, v.text)
		if c.null {
			c.absent = p.truth(v.path, v.text)
			continue
		}
		c.operands = append(c.operands, f.operand(p, v.path, v.text))
	}
	return c
}

func quantity(one bool) string {
	if one {
		return "one value"
	}
	return "at least one value"
}

func operatorName(f form) string {
	name := f.name
	switch f.set {
	case allValues:
		name = "ForAllValues:" + name
	case anyValue:
		name = "ForAnyValue:" + name
	}
	if f.ifExists {
		name += "IfExists"
	}
	return name
}

// holds reports whether the condition holds in a statement that denies, or in one that allows.
func (c *condition) holds(v view, deny bool) bool {
	values := v.values(&c.key)
	at := values.next(c.key.folded, 0)
	if c.null {
		return (at < 0) == c.absent
	}
	if at < 0 {
		return c.ifExists || c.set == allValues || c.set == noSet && c.negated
	}
	// A key of one value may have several: a tag given twice, or in two cases. What allows is then to hold for each, and
	// what denies for any, whichever of them the method goes by.
	every := c.set == allValues || c.set == noSet && !deny
	for ; at >= 0; at = values.next(c.key.folded, at+1) {
		if c.holdsFor(values.pairs[at].value, v, deny) != every {
			return !every
		}
	}
	return every
}

// holdsFor reports whether the condition holds for one value of the key.
func (c *condition) holdsFor(value string, v view, deny bool) bool {
	certain := true
	for _, o := range c.operands {
		fits, judged := o.fits(value, v)
		if fits {
			return !c.negated
		}
		certain = certain && judged
	}
	return c.negated && (certain || deny)
}
