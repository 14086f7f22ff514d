package policy

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// naive is a second evaluator, as plain as can be: it reads the JSON each time, tries every way a wildcard may match, and
// shares nothing with the first but the meaning. The policies are known to parse.
func naive(texts []string, r *Request) Outcome {
	if len(r.Resources) == 0 {
		return NotAllowed
	}
	all := Allowed
	for _, resource := range r.Resources {
		allows, denies := 0, 0
		for _, text := range texts {
			var policy map[string]any
			decoder := json.NewDecoder(strings.NewReader(text))
			decoder.UseNumber()
			if err := decoder.Decode(&policy); err != nil {
				panic(err)
			}
			for _, s := range many(policy["Statement"]) {
				n := naiveStatement{s.(map[string]any), policy["Version"] == "2012-10-17", r, resource}
				switch deny := n.s["Effect"] == "Deny"; {
				case !n.applies():
				case deny:
					denies++
				default:
					allows++
				}
			}
		}
		if denies > 0 {
			return DeniedExplicitly
		}
		if allows == 0 {
			all = NotAllowed
		}
	}
	return all
}

// many gives the elements of what may be one or a list of them.
func many(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{v}
}

type naiveStatement struct {
	s         map[string]any
	variables bool
	r         *Request
	resource  Resource
}

// Three answers a comparison may have.
const (
	no = iota
	yes
	unknown
)

// either turns three answers into two, negated or not: what is unknown holds where that denies.
func (n naiveStatement) either(answer int, negated bool) bool {
	if answer == unknown {
		return negated && n.s["Effect"] == "Deny"
	}
	return (answer == yes) != negated
}

// best is yes if any answer is, else unknown if any is.
func best(answers []int) int {
	switch {
	case slices.Contains(answers, yes):
		return yes
	case slices.Contains(answers, unknown):
		return unknown
	}
	return no
}

func (n naiveStatement) applies() bool {
	var actions, resources []int
	for _, a := range append(many(n.s["Action"]), many(n.s["NotAction"])...) {
		actions = append(actions, naiveGlob(tokens(strings.ToLower(a.(string)), true), strings.ToLower(n.r.Action)))
	}
	for _, a := range append(many(n.s["Resource"]), many(n.s["NotResource"])...) {
		resources = append(resources, n.compare("StringLike", a.(string), n.resource.ARN))
	}
	if !n.either(best(actions), n.s["NotAction"] != nil) || !n.either(best(resources), n.s["NotResource"] != nil) {
		return false
	}
	conditions, _ := n.s["Condition"].(map[string]any)
	for operator, keys := range conditions {
		for key, values := range keys.(map[string]any) {
			if !n.condition(operator, key, many(values)) {
				return false
			}
		}
	}
	return true
}

// values finds the values of a key in the request.
func (n naiveStatement) values(key string) []string {
	key = fold(key)
	pairs := n.r.Context.pairs
	for _, family := range []string{"aws:resourcetag/", "ssm:resourcetag/"} {
		if tag, ok := strings.CutPrefix(key, family); ok {
			key, pairs = tag, n.resource.Tags.pairs
		}
	}
	var found []string
	for _, p := range pairs {
		if p.name == key {
			found = append(found, p.value)
		}
	}
	return found
}

func (n naiveStatement) condition(operator, key string, operands []any) bool {
	values := n.values(key)
	if operator == "Null" {
		return fmt.Sprint(operands[0]) == fmt.Sprint(len(values) == 0)
	}
	plain, ifExists := strings.CutSuffix(operator, "IfExists")
	set, base, found := strings.Cut(plain, ":")
	if !found {
		set, base = "", plain
	}
	negated := strings.Contains(base, "Not")
	if len(values) == 0 {
		return ifExists || set == "ForAllValues" || set == "" && negated
	}
	held := 0
	for _, value := range values {
		var answers []int
		for _, o := range operands {
			answers = append(answers, n.compare(strings.Replace(base, "Not", "", 1), fmt.Sprint(o), value))
		}
		if n.either(best(answers), negated) {
			held++
		}
	}
	if set == "ForAllValues" || set == "" && n.s["Effect"] == "Allow" {
		return held == len(values)
	}
	return held > 0
}

// compare asks one comparison that is not negated.
func (n naiveStatement) compare(base, operand, value string) int {
	text := tokens(operand, strings.HasSuffix(base, "Like") || strings.HasPrefix(base, "Arn"))
	if strings.HasPrefix(base, "String") || strings.HasPrefix(base, "Arn") {
		var ok bool
		if text, ok = n.resolve(operand, text); !ok {
			return unknown
		}
	}
	switch {
	case base == "StringEqualsIgnoreCase":
		return naiveGlob(folded(text), fold(value))
	case strings.HasPrefix(base, "String"), operand == "*":
		return naiveGlob(text, value)
	case strings.HasPrefix(base, "Arn"):
		return naiveARN(text, value)
	case base == "Bool":
		value, operand = strings.ToLower(value), strings.ToLower(operand)
		return answer(value == operand, value == "true" || value == "false")
	case base == "IpAddress":
		return naiveAddress(operand, value)
	case strings.HasPrefix(base, "Numeric"):
		a, err := strconv.ParseFloat(value, 64)
		b, _ := strconv.ParseFloat(operand, 64)
		return answer(related(base, a-b), err == nil)
	}
	a, known := naiveDate(value)
	b, _ := naiveDate(operand)
	return answer(related(base, float64(a.Sub(b))), known)
}

func answer(holds, known bool) int {
	switch {
	case !known:
		return unknown
	case holds:
		return yes
	}
	return no
}

func related(base string, difference float64) bool {
	return strings.Contains(base, "Equals") && difference == 0 ||
		strings.Contains(base, "Less") && difference < 0 || strings.Contains(base, "Greater") && difference > 0
}

func naiveDate(text string) (time.Time, bool) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Unix(n, 0), true
	}
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", time.DateOnly, "2006-01"} {
		if at, err := time.Parse(form, text); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

// naiveAddress compares the leading bits, one by one.
func naiveAddress(operand, value string) int {
	a, err := netip.ParseAddr(value)
	if err != nil {
		return unknown
	}
	network, bits, _ := strings.Cut(operand, "/")
	b := netip.MustParseAddr(network)
	n := b.BitLen()
	if bits != "" {
		n, _ = strconv.Atoi(bits)
	}
	if b.Is4In6() {
		n -= 96
	}
	left, right := a.Unmap().AsSlice(), b.Unmap().AsSlice()
	if len(left) != len(right) {
		return no
	}
	for i := range n {
		if (left[i/8]^right[i/8])>>(7-i%8)&1 != 0 {
			return no
		}
	}
	return yes
}

// A token is a character of a pattern, or a wildcard.
type token struct {
	c        rune
	wildcard bool
}

func tokens(s string, wild bool) []token {
	var all []token
	for _, c := range s {
		all = append(all, token{c, wild && (c == '*' || c == '?')})
	}
	return all
}

func folded(all []token) []token {
	var text strings.Builder
	for _, t := range all {
		text.WriteRune(t.c)
	}
	return tokens(fold(text.String()), false)
}

// resolve puts the values of variables in their places, by the text as it was written.
func (n naiveStatement) resolve(text string, plain []token) ([]token, bool) {
	if !n.variables || !strings.Contains(text, "${") {
		return plain, true
	}
	begin := strings.Index(text, "${")
	end := begin + strings.Index(text[begin:], "}")
	name, fallback, has := strings.Cut(text[begin+2:end], ",")
	values := n.values(strings.TrimSpace(name))
	var middle string
	switch {
	case slices.Contains([]string{"*", "?", "$"}, name):
		middle = name
	case len(values) == 1:
		middle = values[0]
	case has && len(values) == 0:
		middle = strings.Trim(strings.TrimSpace(fallback), "'")
	default:
		return nil, false
	}
	wild := slices.ContainsFunc(plain, func(t token) bool { return t.wildcard })
	rest, ok := n.resolve(text[end+1:], tokens(text[end+1:], wild))
	return slices.Concat(tokens(text[:begin], wild), tokens(middle, false), rest), ok
}

// naiveGlob tries every length a * may have.
func naiveGlob(pattern []token, s string) int {
	return answer(fits(pattern, []rune(s)), true)
}

func fits(pattern []token, s []rune) bool {
	switch {
	case len(pattern) == 0:
		return len(s) == 0
	case pattern[0].wildcard && pattern[0].c == '*':
		return fits(pattern[1:], s) || len(s) > 0 && fits(pattern, s[1:])
	}
	return len(s) > 0 && (pattern[0].wildcard || pattern[0].c == s[0]) && fits(pattern[1:], s[1:])
}

// naiveARN compares part by part. Colons that came of variables count as the others: the tests' values have none.
func naiveARN(pattern []token, value string) int {
	parts := strings.SplitN(value, ":", 6)
	if len(parts) < 6 {
		return no
	}
	for i, part := range parts {
		end := slices.IndexFunc(pattern, func(t token) bool { return t.c == ':' })
		if i == 5 {
			end = len(pattern)
		}
		if !fits(pattern[:end], []rune(part)) {
			return no
		}
		pattern = pattern[min(end+1, len(pattern)):]
	}
	return yes
}
