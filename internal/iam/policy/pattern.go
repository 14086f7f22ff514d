package policy

import (
	"strings"
	"unicode/utf8"
)

// A pattern is a text with wildcards and variables in it, taken apart.
type pattern struct {
	source    string // as the policy has it
	atoms     []atom
	variables bool // some atom is one
}

type atomKind uint8

const (
	literalAtom  atomKind = iota
	manyAtom              // any characters, or none
	oneAtom               // any one character
	variableAtom          // the value a key has in the request
)

type atom struct {
	kind     atomKind
	text     string // of a literal; of a variable what stands for it where the key has no value
	fallback bool   // a variable has such a text
	key      *key   // of a variable
}

// mostAtoms is how many atoms of a pattern are resolved without allocation.
const mostAtoms = 12

// appendText appends the atoms of a text without variables.
func appendText(atoms []atom, text string, wild bool) []atom {
	for text != "" {
		at := -1
		if wild {
			at = strings.IndexAny(text, "*?")
		}
		if at < 0 {
			return append(atoms, atom{kind: literalAtom, text: text})
		}
		if at > 0 {
			atoms = append(atoms, atom{kind: literalAtom, text: text[:at]})
		}
		wildcard := atom{kind: oneAtom}
		if text[at] == '*' {
			wildcard.kind = manyAtom
		}
		atoms = append(atoms, wildcard)
		text = text[at+1:]
	}
	return atoms
}

// pattern compiles a text in which variables may stand, where the policy's version has them, and wildcards, if they count.
// A variable is ${aws:username} or ${aws:username, 'nobody'}; ${*}, ${?} and ${$} are these characters themselves.
func (p *parser) pattern(path *place, text string, wild bool) pattern {
	out := pattern{source: text}
	for rest := text; ; {
		before, after, found := rest, "", false
		if p.policy.version != version2008 {
			before, after, found = strings.Cut(rest, "${")
		}
		out.atoms = appendText(out.atoms, before, wild)
		if !found {
			return out
		}
		name, remaining, closed := strings.Cut(after, "}")
		if !closed {
			p.fail(path, "the variable ${%s has no closing brace; write ${$}{ for a dollar sign before a brace", after)
			return out
		}
		switch name {
		case "*", "?", "$":
			out.atoms = appendText(out.atoms, name, false)
		default:
			out.atoms = append(out.atoms, p.variable(path, name))
			out.variables = true
		}
		rest = remaining
	}
}

// variable reads what stands between the braces.
func (p *parser) variable(path *place, text string) atom {
	a := atom{kind: variableAtom}
	name, fallback, found := strings.Cut(text, ",")
	if found {
		fallback = strings.TrimSpace(fallback)
		inner, opened := strings.CutPrefix(fallback, "'")
		inner, closed := strings.CutSuffix(inner, "'")
		if !opened || !closed || strings.Contains(inner, "'") {
			p.fail(path, "the default of the variable ${%s} must stand in single quotes: ${aws:username, 'nobody'}", text)
		}
		a.text, a.fallback = inner, true
	}
	k, ok := keyNamed(strings.TrimSpace(name))
	switch {
	case !ok:
		p.fail(path, "unknown variable ${%s}; known are ${%s}", text, strings.Join(keyNames(false), "}, ${"))
	case k.many:
		p.fail(path, "${%s} has many values and cannot be a variable", text)
	}
	p.reads(k)
	a.key = &k
	return a
}

// reads remembers what a decision by this policy needs to know.
func (p *parser) reads(k key) {
	if k.ofResource {
		p.policy.readsTags = true
	}
}

// match reports whether all of s fits the pattern. Judged is false where a variable has no value.
func (p *pattern) match(s string, v view) (matched, judged bool) {
	if !p.variables {
		return matchAtoms(p.atoms, s), true
	}
	var few [mostAtoms]atom
	atoms, ok := p.resolve(few[:0], v, false)
	return ok && matchAtoms(atoms, s), ok
}

// matchFolded is match without regard to case; s is folded, and so are the literals of the pattern.
func (p *pattern) matchFolded(s string, v view) (matched, judged bool) {
	var few [mostAtoms]atom
	atoms, ok := p.resolve(few[:0], v, true)
	return ok && matchAtoms(atoms, s), ok
}

// resolve puts values in the places of variables. What they hold is plain text, * and ? too. A key with several values,
// as tags that differ in case alone make it, cannot stand for any of them.
func (p *pattern) resolve(atoms []atom, v view, folded bool) (resolved []atom, ok bool) {
	for _, a := range p.atoms {
		if a.kind == variableAtom {
			switch value, count := v.value(a.key); {
			case count == 1:
				a.text = value
			case count > 1 || !a.fallback:
				return nil, false
			}
			a.kind = literalAtom
			if folded {
				a.text = fold(a.text)
			}
		}
		atoms = append(atoms, a)
	}
	return atoms, true
}

// fold maps texts that differ only in case to one. It makes no new text of one in lower case.
func fold(s string) string {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return strings.ToLower(strings.ToUpper(s))
		}
	}
	return strings.ToLower(s)
}

// matchAtoms reports whether all of s fits atoms, none of which is a variable. It takes time in proportion to the length of
// s times the longest stretch without *.
func matchAtoms(atoms []atom, s string) bool {
	next, at := 0, 0
	star, resume := -1, 0 // the last * met, and where in s what follows it is tried next
	for {
		if next == len(atoms) {
			if at == len(s) {
				return true
			}
		} else {
			switch a := &atoms[next]; a.kind {
			case manyAtom:
				star, resume = next, at
				next++
				if next == len(atoms) {
					return true
				}
				continue
			case oneAtom:
				if at < len(s) {
					at += width(s[at:])
					next++
					continue
				}
			default:
				if strings.HasPrefix(s[at:], a.text) {
					at += len(a.text)
					next++
					continue
				}
			}
		}
		if star < 0 || resume >= len(s) {
			return false
		}
		resume += width(s[resume:])
		next, at = star+1, resume
	}
}

// width is the length of the first character of s, which is not empty.
func width(s string) int {
	if s[0] < utf8.RuneSelf {
		return 1
	}
	_, n := utf8.DecodeRuneInString(s)
	return n
}
