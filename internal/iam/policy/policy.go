// Package policy decides by IAM's JSON policies: who was given which policies may do which action to which resource, under
// which conditions.
//
// Call [Parse] once for each policy, when it is stored and when it is read back, and [Evaluate] for each request with all
// the policies its principal has. [Managed] gives the policies that are built in, [Actions] every action of this service
// with the resources it is done to and the condition keys it has, [NodeARN] and the functions beside it the names of
// resources. A Policy never changes and may be used by many goroutines at once; nothing here does I/O, knows a clock or
// keeps state.
//
// The language is that of AWS's identity policies: version 2012-10-17, and 2008-10-17, in which ${...} is plain text.
// What is not allowed is denied, and a statement that denies overrides all that allow. The order of policies and of
// statements plays no part.
//
// Whatever this package cannot judge, Parse refuses, with the path of what it stumbled over: an unknown element, operator,
// condition key or variable, a member given twice, a value of the wrong kind. A policy that was taken means what it says. Of
// actions any name is taken, since policies made for AWS list those of other services; a name that no action has matches
// nothing. What can only be known with the request is decided against the caller: where a variable has no value, or the
// request's value is no number, date or address, a comparison fails, and a negated one (StringNotEquals, NotResource)
// holds in a statement that denies and fails in one that allows.
//
// The package holds identity policies alone. It refuses Principal and knows no trust policies of roles, no permissions
// boundaries and no session policies.
package policy

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// The sizes policies may have, in characters that are not white space, as IAM counts and bounds them. A user's and a role's
// is that of all its inline policies together, which Parse cannot know: hold the sum of [Policy.Size] to it.
const (
	MaxUserSize    = 2_048
	MaxManagedSize = 6_144
	MaxRoleSize    = 10_240
)

// maxText is the longest text of a policy, in bytes, white space included: the bound of the API's model.
const maxText = 131_072

// The versions of the language.
const (
	version2008 = "2008-10-17"
	version2012 = "2012-10-17"
)

// A Policy is a parsed policy. The zero Policy allows and denies nothing.
type Policy struct {
	version    string
	id         string
	statements []statement
	size       int
	readsTags  bool
}

// Size is the length of the text the policy was parsed from, in characters that are not white space.
func (p *Policy) Size() int { return p.size }

// ReadsResourceTags reports whether a condition or variable of the policy asks for tags of the resource. Where no policy of
// a principal does, the tags need not be fetched for [Evaluate].
func (p *Policy) ReadsResourceTags() bool { return p.readsTags }

// Parse reads a policy of at most [MaxRoleSize] characters. Its error is the author's to mend; it begins with the path of
// what is wrong:
//
//	Statement[1].Condition.StringEquals.aws:Foo: unknown condition key; known are aws:CurrentTime, ...
func Parse(text []byte) (*Policy, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("the policy has %d bytes, more than %d", len(text), maxText)
	}
	size := 0
	for _, c := range string(text) {
		if !unicode.IsSpace(c) {
			size++
		}
	}
	if size > MaxRoleSize {
		return nil, fmt.Errorf("the policy has %d characters without white space, more than %d: make two of it, or use wildcards", size, MaxRoleSize)
	}
	root, err := readJSON(text)
	if err != nil {
		return nil, err
	}
	p := parser{policy: &Policy{version: version2008, size: size}}
	p.root(root)
	if p.err != nil {
		return nil, p.err
	}
	return p.policy, nil
}

// A parser makes a policy of a JSON value. Its first error sticks.
type parser struct {
	policy *Policy
	err    error
}

func (p *parser) fail(path *place, format string, args ...any) {
	if p.err == nil {
		p.err = problem(path, format, args...)
	}
}

// problem makes an error that begins with its path; the policy as a whole has none.
func problem(path *place, format string, args ...any) error {
	message, where := fmt.Sprintf(format, args...), path.String()
	if where == "" {
		where = "policy"
	}
	return fmt.Errorf("%s: %s", where, message)
}

var (
	policyElements    = []string{"Version", "Id", "Statement"}
	statementElements = []string{"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"}
)

func (p *parser) root(v value) {
	if !p.object(v, nil, policyElements) {
		return
	}
	if version, ok := v.member("Version"); ok {
		p.version(version)
	}
	if id, ok := v.member("Id"); ok {
		p.policy.id = p.text(id)
	}
	list, ok := v.member("Statement")
	switch {
	case !ok:
		p.fail(nil, "it has no Statement")
	case list.kind == objectKind:
		p.statement(list)
	case list.kind != listKind:
		p.fail(list.path, "it must be a statement or a list of statements, and is %s", list.kind)
	case len(list.items) == 0:
		p.fail(list.path, "it holds no statement")
	default:
		for _, item := range list.items {
			p.statement(item)
		}
	}
}

func (p *parser) version(v value) {
	p.policy.version = p.text(v)
	if p.policy.version != version2008 && p.policy.version != version2012 {
		p.fail(v.path, "unknown version %q; write %s", p.policy.version, version2012)
	}
}

// object reports whether v is an object with no other members than those known.
func (p *parser) object(v value, path *place, known []string) bool {
	if v.kind != objectKind {
		p.fail(path, "it must be an object, and is %s", v.kind)
		return false
	}
	for _, m := range v.members {
		if slices.Contains(known, m.name) {
			continue
		}
		if m.name == "Principal" || m.name == "NotPrincipal" {
			p.fail(m.value.path, "a policy of an identity names no principal; it applies to whom it is given")
			return false
		}
		p.fail(m.value.path, "unknown element; known are %s", strings.Join(known, ", "))
		return false
	}
	return true
}

// text reads a string.
func (p *parser) text(v value) string {
	if v.kind != stringKind {
		p.fail(v.path, "it must be a string, and is %s", v.kind)
		return ""
	}
	return v.text
}

// texts reads a string or a list of strings, at least one.
func (p *parser) texts(v value) []value {
	if v.kind != listKind {
		p.text(v)
		return []value{v}
	}
	if len(v.items) == 0 {
		p.fail(v.path, "the list is empty; it must hold at least one string")
	}
	for _, item := range v.items {
		p.text(item)
	}
	return v.items
}
