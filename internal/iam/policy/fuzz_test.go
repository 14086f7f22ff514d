package policy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// seeds are the policies of testdata.
func seeds(f *testing.F) []string {
	f.Helper()
	var all []string
	files, err := filepath.Glob("testdata/*/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatalf("no testdata: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for block := range strings.SplitSeq(string(text), "\n----\n") {
			if at := strings.Index(block, "\n{"); at >= 0 {
				all = append(all, block[at+1:])
			}
		}
	}
	return all
}

// FuzzParse holds that nothing makes Parse panic, that its errors say where, and that what it takes prints as itself.
func FuzzParse(f *testing.F) {
	for _, text := range seeds(f) {
		f.Add(text)
	}
	for _, text := range swollen() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse([]byte(text))
		if err != nil {
			if err.Error() == "" {
				t.Error("the error says nothing")
			}
			return
		}
		printed := p.AppendJSON(nil)
		again, err := Parse(printed)
		if err != nil {
			if p.Size() > MaxRoleSize/2 {
				return // lists and a version make it longer
			}
			t.Fatalf("it prints what is refused: %v\n%s", err, printed)
		}
		if second := again.AppendJSON(nil); string(second) != string(printed) {
			t.Fatalf("first  %s\nsecond %s", printed, second)
		}
	})
}

// FuzzEvaluate holds that nothing makes Evaluate panic, and that the naive evaluator agrees.
func FuzzEvaluate(f *testing.F) {
	for _, text := range seeds(f) {
		f.Add(text, "ssm:GetInventory", "arn:aws:ssm:eu-1:1:managed-instance/mi-1", "aws:username", "alice", "env", "prod")
	}
	f.Fuzz(func(t *testing.T, text, action, resource, key, value, tag, tagValue string) {
		p, err := Parse([]byte(text))
		if err != nil {
			return
		}
		r := &Request{Action: action, Resources: []Resource{{ARN: resource}}}
		r.Context.Add(key, value)
		r.Resources[0].Tags.Add(tag, tagValue)
		got := Evaluate([]*Policy{p}, r)
		if strings.Count(text, "*") > 8 || len(action)+len(resource)+len(value)+len(tagValue) > 200 {
			return // the naive one would take for ever
		}
		if want := naive([]string{text}, r); got.Outcome != want {
			t.Fatalf("%s, the naive evaluator says %s", got.Outcome, want)
		}
	})
}
