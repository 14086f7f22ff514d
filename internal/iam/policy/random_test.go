package policy

import (
	"encoding/json"
	"flag"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// A dice makes policies and requests out of few words, so that they often meet.
type dice struct{ *rand.Rand }

func newDice(t *testing.T) dice {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return dice{rand.New(rand.NewPCG(seed, 0))}
}

func pick[T any](d dice, list ...T) T { return list[d.IntN(len(list))] }

// some gives one or a few of what make makes: alone, or in a list.
func some(d dice, make func() any) any {
	if d.IntN(3) == 0 {
		return make()
	}
	list := []any{make()}
	for d.IntN(2) == 0 {
		list = append(list, make())
	}
	return list
}

var (
	words     = []string{"a", "b", "ab", "ba", "*", "?", "A", "é", "", "a*", "*b", "?b", "x:y"}
	variables = []string{"${aws:username}", "${aws:userid, 'b'}", "${aws:ResourceTag/env}", "${*}", "${$}", "${?}"}
)

// text makes a text of words and, at times, variables.
func (d dice) text(variable bool) string {
	if d.IntN(3) == 0 {
		return pick(d, "a", "b", "ab")
	}
	out := ""
	for range 1 + d.IntN(3) {
		if variable && d.IntN(3) == 0 {
			out += pick(d, variables...)
		} else {
			out += pick(d, words...)
		}
	}
	return out
}

func (d dice) action() any {
	return pick(d, "*", "ssm:*", "ssm:GetInventory", "ssm:get*", "SSM:P?tInventory", "ssm:*Inventory", "ec2:*")
}

func (d dice) resource() any {
	return pick(d, "*", "arn:aws:ssm:*", "arn:aws:ec2:*:*:instance/"+d.text(true), "arn:aws:ssm:*:*:managed-instance/"+d.text(true))
}

// operands are, by the beginning of an operator's name, what it may be given.
func (d dice) operand(operator string) any {
	switch {
	case strings.HasPrefix(operator, "String"):
		return d.text(true)
	case strings.HasPrefix(operator, "Arn"):
		return pick(d, "*", "arn:aws:iam::"+pick(d, "*", "1", "${aws:username}")+":user/"+strings.ReplaceAll(d.text(true), "x:y", "x"))
	case strings.HasPrefix(operator, "Numeric"):
		return pick[any](d, "1", "1.5", "-2", 3, "1e1")
	case strings.HasPrefix(operator, "Date"):
		return pick[any](d, "2026-01-02T03:04:05Z", "2026-01-02", "1767323045", 10)
	case strings.Contains(operator, "IpAddress"):
		return pick(d, "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "2001:db8::/32", "::ffff:10.1.0.0/112", "0.0.0.0/0", "::/0")
	}
	return pick[any](d, "true", "false", true, false)
}

func (d dice) condition() any {
	operators := map[string]any{}
	for range 1 + d.IntN(2) {
		c := pick(d, comparisons...)
		key := pick(d, "aws:username", "aws:UserAgent", "aws:ResourceTag/env", "ssm:resourceTag/ENV", "aws:RequestTag/a", "aws:EpochTime", "aws:SourceIp")
		if c.operand == nil {
			operators[c.name] = map[string]any{key: d.operand("Bool")}
			continue
		}
		name := pick(d, "", "", "ForAllValues:", "ForAnyValue:") + c.name + pick(d, "", "", "IfExists")
		if strings.HasPrefix(name, "For") && d.IntN(2) == 0 {
			key = "aws:TagKeys"
		}
		operators[name] = map[string]any{key: some(d, func() any { return d.operand(c.name) })}
	}
	return operators
}

func (d dice) statement() map[string]any {
	s := map[string]any{"Effect": pick(d, "Allow", "Allow", "Deny")}
	s[pick(d, "Action", "Action", "NotAction")] = some(d, d.action)
	s[pick(d, "Resource", "Resource", "NotResource")] = some(d, d.resource)
	if d.IntN(3) > 0 {
		s["Condition"] = d.condition()
	}
	return s
}

// statements makes up to most statements, and at least one.
func (d dice) statements(most int) []map[string]any {
	list := make([]map[string]any, 1+d.IntN(most))
	for i := range list {
		list[i] = d.statement()
	}
	return list
}

func document(version string, statements ...map[string]any) string {
	text, err := json.Marshal(map[string]any{"Version": version, "Statement": statements})
	if err != nil {
		panic(err)
	}
	return string(text)
}

func (d dice) value() string {
	return pick(d, "a", "a", "b", "b", "ab", "ab", "*b", "é", "", "true", "1", "10", "1.5", "10.1.2.3", "::ffff:10.1.9.9", "2001:db8::7",
		"2026-01-02T03:04:05Z", "1767323045", "arn:aws:iam::1:user/a", "arn:aws:iam::b:user/a:b")
}

func (d dice) request() *Request {
	r := &Request{Action: pick(d, "ssm:GetInventory", "ssm:PutInventory", "ssm:DeleteInventory")}
	for range 1 + d.IntN(2) {
		resource := Resource{ARN: pick(d, "arn:aws:ssm:eu-1:1:managed-instance/", "arn:aws:ec2:eu-1:1:instance/") + d.value()}
		for range d.IntN(3) {
			resource.Tags.Add(pick(d, "env", "ENV", "other"), d.value())
		}
		r.Resources = append(r.Resources, resource)
	}
	for _, key := range []string{"aws:username", "aws:userid", "aws:UserAgent", "aws:RequestTag/A", "aws:EpochTime", "aws:SourceIp"} {
		if d.IntN(3) > 0 {
			r.Context.Add(key, d.value())
		}
	}
	for range d.IntN(3) {
		r.Context.Add("aws:TagKeys", d.value())
	}
	return r
}

var rounds = flag.Int("rounds", 600, "random policies a property is held on")

// TestBothEvaluatorsAgree asks the naive one the same.
func TestBothEvaluatorsAgree(t *testing.T) {
	d := newDice(t)
	met := map[Outcome]int{}
	for range *rounds {
		texts := []string{document(pick(d, version2012, version2012, version2008), d.statements(4)...)}
		if d.IntN(2) == 0 {
			texts = append(texts, document(version2012, d.statements(2)...))
		}
		var policies []*Policy
		for _, text := range texts {
			policies = append(policies, parse(t, text))
		}
		for range 5 {
			r := d.request()
			got, want := Evaluate(policies, r).Outcome, naive(texts, r)
			if got != want {
				t.Fatalf("%s, the naive evaluator says %s:\n%s\n%+v", got, want, strings.Join(texts, "\n"), *r)
			}
			met[got]++
		}
	}
	if len(met) != 3 || min(met[Allowed], met[NotAllowed], met[DeniedExplicitly]) < *rounds/20 {
		t.Errorf("the cases are one-sided: %v", met)
	}
}

// TestForesightIsCertain holds what is said before a request was read to what is decided after.
func TestForesightIsCertain(t *testing.T) {
	d := newDice(t)
	seen := map[Outcome]int{}
	for range 6 * *rounds {
		text := document("2012-10-17", d.statements(3)...)
		policies, r := []*Policy{parse(t, text)}, d.request()
		if len(r.Resources) == 0 {
			continue
		}
		foreseen, decided := Foresee(policies, r.Action), Evaluate(policies, r).Outcome
		seen[foreseen]++
		if foreseen == DeniedExplicitly && decided != DeniedExplicitly || foreseen == NotAllowed && decided == Allowed {
			t.Fatalf("foreseen: %s, decided: %s\n%s\n%+v", foreseen, decided, text, r)
		}
	}
	if len(seen) != 3 {
		t.Errorf("foreseen were only %v", seen)
	}
}

// TestStatementsOnlyAddUp holds what users rely on: a further statement that denies never lets pass what was refused, one
// that allows never refuses what was let pass, and neither their order nor their parting into policies plays a part.
func TestStatementsOnlyAddUp(t *testing.T) {
	d := newDice(t)
	for range *rounds {
		statements := d.statements(4)
		before := []*Policy{parse(t, document(version2012, statements...))}
		extra := d.statement()
		more := append(slices.Clone(statements), extra)
		d.Shuffle(len(more), func(i, j int) { more[i], more[j] = more[j], more[i] })
		after := []*Policy{parse(t, document(version2012, more...))}
		cut := d.IntN(len(more))
		apart := []*Policy{parse(t, document(version2012, more[cut:]...))}
		if cut > 0 {
			apart = append(apart, parse(t, document(version2012, more[:cut]...)))
		}
		for range 5 {
			r := d.request()
			was, is := Evaluate(before, r).Outcome, Evaluate(after, r).Outcome
			denies := extra["Effect"] == "Deny"
			switch {
			case denies && is == Allowed && was != Allowed:
				t.Fatalf("another Deny turned %s to %s: %v", was, is, extra)
			case !denies && is == DeniedExplicitly && was != DeniedExplicitly, !denies && was == Allowed && is != Allowed:
				t.Fatalf("another Allow turned %s to %s: %v", was, is, extra)
			}
			if other := Evaluate(apart, r).Outcome; other != is {
				t.Fatalf("together %s, apart and in another order %s: %v", is, other, more)
			}
		}
	}
}

// TestTheDecisionNamesItsStatement asks the statement that decided alone.
func TestTheDecisionNamesItsStatement(t *testing.T) {
	d := newDice(t)
	for range *rounds {
		statements := [][]map[string]any{d.statements(3), d.statements(3)}
		policies := []*Policy{parse(t, document(version2012, statements[0]...)), parse(t, document(version2012, statements[1]...))}
		r := d.request()
		decision := Evaluate(policies, r)
		if decision.Outcome == NotAllowed {
			if decision.Policy != -1 || decision.Statement != -1 {
				t.Fatalf("nothing decided, and it names %+v", decision)
			}
			continue
		}
		alone := parse(t, document(version2012, statements[decision.Policy][decision.Statement]))
		one := &Request{Action: r.Action, Resources: r.Resources[decision.Resource : decision.Resource+1], Context: r.Context}
		if got := Evaluate([]*Policy{alone}, one); got.Outcome != decision.Outcome {
			t.Fatalf("%+v, and alone it is %s", decision, got.Outcome)
		}
	}
}

// TestWildcardsMatchAsEveryTrialDoes compares the matcher with one that tries all.
func TestWildcardsMatchAsEveryTrialDoes(t *testing.T) {
	d := newDice(t)
	word := func(letters string, most int) string {
		var out strings.Builder
		for range d.IntN(most) {
			out.WriteRune(pick(d, []rune(letters)...))
		}
		return out.String()
	}
	matched := 0
	for range 20 * *rounds {
		text, s := word("ab*?€", 8), word("ab€é", 10)
		p := pattern{atoms: appendText(nil, text, true)}
		got, _ := p.match(s, view{})
		if want := naiveGlob(tokens(text, true), s) == yes; got != want {
			t.Fatalf("%q matches %q: %v", text, s, got)
		}
		if got {
			matched++
		}
	}
	if matched < *rounds {
		t.Errorf("only %d matched", matched)
	}
}

// TestPrintingIsStable parses what a policy prints.
func TestPrintingIsStable(t *testing.T) {
	d := newDice(t)
	for range *rounds {
		p := parse(t, document(pick(d, version2008, version2012), d.statements(4)...))
		printed := p.AppendJSON(nil)
		again := parse(t, string(printed))
		if second := again.AppendJSON(nil); string(second) != string(printed) {
			t.Fatalf("first  %s\nsecond %s", printed, second)
		}
		r := d.request()
		if a, b := Evaluate([]*Policy{p}, r), Evaluate([]*Policy{again}, r); a != b {
			t.Fatalf("%+v, printed and parsed again %+v: %s", a, b, printed)
		}
	}
}
