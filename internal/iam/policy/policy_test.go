package policy

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestPolicies shows what Parse makes of a text: the policy as it prints, or the error.
func TestPolicies(t *testing.T) {
	datadriven.Walk(t, "testdata/policies", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			p, err := Parse([]byte(d.Input))
			if err != nil {
				return err.Error() + "\n"
			}
			return string(p.AppendJSON(nil)) + "\n"
		})
	})
}

// TestDecisions keeps policies by name ("policy") and asks them ("decide", with the names as arguments). Of a question's
// lines "action" and "resource" give those, "tag KEY VALUE" a tag of the last resource, and any other a condition key and
// its values, with | between them. The second, naive evaluator must answer the same.
func TestDecisions(t *testing.T) {
	datadriven.Walk(t, "testdata/decisions", func(t *testing.T, path string) {
		texts := map[string]string{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "policy" {
				texts[d.CmdArgs[0].Key] = d.Input
				if _, err := Parse([]byte(d.Input)); err != nil {
					d.Fatalf(t, "%v", err)
				}
				return ""
			}
			var policies []*Policy
			var named []string
			for _, arg := range d.CmdArgs {
				p, err := Parse([]byte(texts[arg.Key]))
				if err != nil {
					d.Fatalf(t, "%s: %v", arg.Key, err)
				}
				policies, named = append(policies, p), append(named, texts[arg.Key])
			}
			request := question(t, d)
			decision := Evaluate(policies, request)
			if want := naive(named, request); decision.Outcome != want {
				d.Fatalf(t, "%s, and the naive evaluator says %s", decision.Outcome, want)
			}
			return told(d, policies, decision)
		})
	})
}

func question(t *testing.T, d *datadriven.TestData) *Request {
	t.Helper()
	r := &Request{}
	for line := range strings.Lines(d.Input) {
		name, rest, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
		switch name {
		case "action":
			r.Action = rest
		case "resource":
			r.Resources = append(r.Resources, Resource{ARN: rest})
		case "tag":
			key, value, _ := strings.Cut(rest, " ")
			r.Resources[len(r.Resources)-1].Tags.Add(key, value)
		default:
			if _, ok := keyNamed(name); !ok {
				d.Fatalf(t, "%s is no condition key", name)
			}
			r.Context.Add(name, strings.Split(rest, "|")...)
		}
	}
	return r
}

// told says a decision in words.
func told(d *datadriven.TestData, policies []*Policy, decision Decision) string {
	out := decision.Outcome.String()
	if decision.Policy >= 0 {
		out += fmt.Sprintf(" by %s, statement %d", d.CmdArgs[decision.Policy].Key, decision.Statement)
		if sid := policies[decision.Policy].statements[decision.Statement].sid; sid != "" {
			out += " (" + sid + ")"
		}
	}
	if decision.Resource > 0 {
		out += fmt.Sprintf(", for resource %d", decision.Resource)
	}
	return out + "\n"
}

func parse(t testing.TB, text string) *Policy {
	t.Helper()
	p, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestSizesAreBounded(t *testing.T) {
	policy := func(fill int, white string) string {
		return `{"Version":"2012-10-17","Id":"` + strings.Repeat("x", fill) + `",` + white +
			`"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
	}
	frame := parse(t, policy(0, "")).Size()
	if frame != len(policy(0, "")) {
		t.Errorf("%d characters, and the text has %d", frame, len(policy(0, "")))
	}
	if got := parse(t, policy(10, " \n\t ")).Size(); got != frame+10 {
		t.Errorf("white space counts: %d, want %d", got, frame+10)
	}
	if got := parse(t, strings.Replace(policy(0, ""), `"Id":"`, `"Id":"é`, 1)).Size(); got != frame+1 {
		t.Errorf("bytes count, not characters: %d, want %d", got, frame+1)
	}
	if got := parse(t, policy(MaxRoleSize-frame, "\n")).Size(); got != MaxRoleSize {
		t.Errorf("the largest has %d", got)
	}
	if _, err := Parse([]byte(policy(MaxRoleSize-frame+1, ""))); err == nil || !strings.Contains(err.Error(), "10241 characters") {
		t.Errorf("one character more: %v", err)
	}
	if _, err := Parse([]byte(policy(0, strings.Repeat(" ", maxText)))); err == nil || !strings.Contains(err.Error(), "more than 131072") {
		t.Errorf("white space without end: %v", err)
	}
	if _, err := Parse([]byte(strings.Repeat("[", 5000) + strings.Repeat("]", 5000))); err == nil || !strings.Contains(err.Error(), "nested deeper") {
		t.Errorf("deep: %v", err)
	}
}

// swollen are texts that say little in many bytes: white space counts for no policy's size, and may stand in names.
func swollen() map[string]string {
	const room = maxText - 100
	long := strings.Repeat(" ", room-MaxRoleSize)
	list := "[" + strings.TrimSuffix(strings.Repeat("0,", MaxRoleSize/2-100), ",") + "]"
	deep, ends := "", ""
	for range maxDepth - 1 {
		deep, ends = deep+`{"`+long[:len(long)/maxDepth]+`":`, ends+"}"
	}
	var members strings.Builder
	for i := range MaxRoleSize / 16 {
		fmt.Fprintf(&members, `"%d":{"a":[0]},`, i)
	}
	within := strings.TrimSuffix(members.String(), ",")
	return map[string]string{
		"a long name over a list":      `{"` + long + `":` + list + `}`,
		"long names one in the other":  deep + list + ends,
		"a long name over many others": `{"` + long + `":{` + within + `}}`,
		"a long operator":              `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"` + long + `":{"aws:username":` + list + `}}}}`,
		"a long condition key":         `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"` + long + `":` + list + `}}}}`,
		"a long value":                 `{"Statement":{"Effect":"Allow","Action":"` + long + `","Resource":` + list + `}}`,
	}
}

// TestPoliciesTakeMemoryInProportion reads texts that are within the bounds and hold as many values as they can.
func TestPoliciesTakeMemoryInProportion(t *testing.T) {
	for name, text := range swollen() {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Parse([]byte(text))
		runtime.ReadMemStats(&after)
		if err == nil || strings.Contains(err.Error(), "characters") || strings.Contains(err.Error(), "bytes") {
			t.Errorf("%s: it was not read: %.100v", name, err)
		}
		took := after.TotalAlloc - before.TotalAlloc
		t.Logf("%s: %d bytes of text took %d of memory", name, len(text), took)
		if took > 16<<20 {
			t.Errorf("%s: that is more than %d", name, 16<<20)
		}
	}
}

func TestTagsAreAskedForOnlyWhereRead(t *testing.T) {
	rows := []struct {
		condition string
		reads     bool
	}{
		{`{"StringEquals":{"aws:username":"a"}}`, false},
		{`{"StringEquals":{"aws:RequestTag/env":"a"}}`, false},
		{`{"StringEquals":{"aws:ResourceTag/env":"a"}}`, true},
		{`{"Null":{"ssm:ResourceTag/env":"true"}}`, true},
		{`{"StringEquals":{"aws:username":"${ssm:resourceTag/owner}"}}`, true},
	}
	for _, row := range rows {
		p := parse(t, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":`+row.condition+`}}`)
		if p.ReadsResourceTags() != row.reads {
			t.Errorf("%s: %v", row.condition, !row.reads)
		}
	}
	p := parse(t, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","NotResource":"arn:aws:ssm:*:*:document/${aws:ResourceTag/a}"}}`)
	if !p.ReadsResourceTags() {
		t.Error("a variable of a resource is not seen")
	}
}

func TestNothingIsAllowedWithoutResource(t *testing.T) {
	p := parse(t, `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)
	if d := Evaluate([]*Policy{p}, &Request{Action: "ssm:GetInventory"}); d != (Decision{NotAllowed, 0, -1, -1}) {
		t.Errorf("%+v", d)
	}
}
