package policy

import (
	"regexp"
	"strings"
)

// A statement is one statement of a policy, compiled.
type statement struct {
	sid         string
	deny        bool
	actions     []pattern // in lower case
	notAction   bool      // actions are those it does not apply to
	resources   []pattern
	notResource bool // resources are those it does not apply to
	conditions  []condition
}

var (
	sidForm      = regexp.MustCompile(`^[A-Za-z0-9]*$`)
	actionForm   = regexp.MustCompile(`^(\*|[A-Za-z0-9-]+:[A-Za-z0-9_*?-]+)$`)
	resourceForm = regexp.MustCompile(`(?s)^(\*|arn:[^:]+:[^:]+:.*)$`)
)

func (p *parser) statement(v value) {
	if !p.object(v, v.path, statementElements) {
		return
	}
	s := statement{}
	if sid, ok := v.member("Sid"); ok {
		s.sid = p.sid(sid)
	}
	effect, ok := v.member("Effect")
	if !ok {
		p.fail(v.path, "it has no Effect; write Allow or Deny")
		return
	}
	switch p.text(effect) {
	case "Allow":
	case "Deny":
		s.deny = true
	default:
		p.fail(effect.path, "unknown effect %q; write Allow or Deny", effect.text)
	}
	actions, not := p.either(v, "Action", "NotAction")
	s.notAction = not
	for _, action := range actions {
		s.actions = append(s.actions, p.action(action))
	}
	resources, not := p.either(v, "Resource", "NotResource")
	s.notResource = not
	for _, resource := range resources {
		s.resources = append(s.resources, p.resource(resource))
	}
	if conditions, ok := v.member("Condition"); ok {
		s.conditions = p.conditions(conditions)
	}
	p.policy.statements = append(p.policy.statements, s)
}

func (p *parser) sid(v value) string {
	sid := p.text(v)
	if !sidForm.MatchString(sid) {
		p.fail(v.path, "%q has characters other than letters and digits", sid)
	}
	for i := range p.policy.statements {
		if sid != "" && p.policy.statements[i].sid == sid {
			p.fail(v.path, "another statement has the Sid %q too", sid)
		}
	}
	return sid
}

// either reads the one of two elements that a statement must have, and tells whether it is the second.
func (p *parser) either(v value, name, notName string) (list []value, not bool) {
	plain, is := v.member(name)
	negated, isNot := v.member(notName)
	switch {
	case is && isNot:
		p.fail(v.path, "it has both %s and %s; keep one", name, notName)
	case is:
		return p.texts(plain), false
	case isNot:
		return p.texts(negated), true
	default:
		p.fail(v.path, "it has no %s and no %s", name, notName)
	}
	return nil, false
}

func (p *parser) action(v value) pattern {
	if !actionForm.MatchString(v.text) {
		p.fail(v.path, "%q is no action; write for example ssm:GetInventory, ssm:Get* or *", v.text)
		return pattern{}
	}
	return pattern{source: v.text, atoms: appendText(nil, strings.ToLower(v.text), true)}
}

func (p *parser) resource(v value) pattern {
	if !resourceForm.MatchString(v.text) {
		p.fail(v.path, "%q is no resource; write * or an ARN, for example arn:aws:ssm:*:*:managed-instance/mi-*", v.text)
		return pattern{}
	}
	return p.pattern(v.path, v.text, true)
}

// applies reports whether the statement is about this action on this resource and all its conditions hold. Action is in
// lower case.
func (s *statement) applies(action string, v view) bool {
	return matchAny(s.actions, action, v, s.notAction, s.deny) &&
		matchAny(s.resources, v.resource.ARN, v, s.notResource, s.deny) &&
		s.conditionsHold(v)
}

func (s *statement) conditionsHold(v view) bool {
	for i := range s.conditions {
		if !s.conditions[i].holds(v, s.deny) {
			return false
		}
	}
	return true
}

// matchAny reports whether a pattern matches text; if negated, whether none does.
func matchAny(patterns []pattern, text string, v view, negated, deny bool) bool {
	certain := true
	for i := range patterns {
		matched, judged := patterns[i].match(text, v)
		if matched {
			return !negated
		}
		certain = certain && judged
	}
	return negated && (certain || deny)
}
