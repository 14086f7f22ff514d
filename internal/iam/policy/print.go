package policy

import (
	"encoding/json"
	"slices"
	"strings"
)

// AppendJSON appends the policy in one form for all that mean the same to the letter: no white space, elements in one
// order, lists where one value would do. Parsed again, it is the same policy.
func (p *Policy) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"Version":`...)
	dst = appendString(dst, p.version)
	if p.id != "" {
		dst = appendString(append(dst, `,"Id":`...), p.id)
	}
	dst = append(dst, `,"Statement":[`...)
	for i := range p.statements {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = p.statements[i].appendJSON(dst)
	}
	return append(dst, "]}"...)
}

func (s *statement) appendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	if s.sid != "" {
		dst = append(appendString(append(dst, `"Sid":`...), s.sid), ',')
	}
	effect := "Allow"
	if s.deny {
		effect = "Deny"
	}
	dst = appendString(append(dst, `"Effect":`...), effect)
	dst = appendPatterns(dst, "Action", s.notAction, s.actions)
	dst = appendPatterns(dst, "Resource", s.notResource, s.resources)
	if len(s.conditions) > 0 {
		dst = appendConditions(append(dst, `,"Condition":`...), s.conditions)
	}
	return append(dst, '}')
}

func appendPatterns(dst []byte, element string, not bool, patterns []pattern) []byte {
	if not {
		element = "Not" + element
	}
	sources := make([]string, len(patterns))
	for i := range patterns {
		sources[i] = patterns[i].source
	}
	return appendStrings(append(appendString(append(dst, ','), element), ':'), sources)
}

// appendConditions puts the keys of an operator together, and both in the order of bytes.
func appendConditions(dst []byte, conditions []condition) []byte {
	sorted := slices.Clone(conditions)
	slices.SortFunc(sorted, func(a, b condition) int {
		if order := strings.Compare(a.operator, b.operator); order != 0 {
			return order
		}
		return strings.Compare(a.key.name, b.key.name)
	})
	dst = append(dst, '{')
	for i, c := range sorted {
		switch {
		case i == 0:
			dst = append(appendString(dst, c.operator), ":{"...)
		case sorted[i-1].operator != c.operator:
			dst = append(appendString(append(dst, "},"...), c.operator), ":{"...)
		default:
			dst = append(dst, ',')
		}
		dst = appendStrings(append(appendString(dst, c.key.name), ':'), c.sources)
	}
	return append(dst, "}}"...)
}

func appendStrings(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, s)
	}
	return append(dst, ']')
}

func appendString(dst []byte, s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil {
		return append(dst, `""`...) // no string fails to be JSON
	}
	return append(dst, quoted...)
}
