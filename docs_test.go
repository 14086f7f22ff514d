package house

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

var (
	declaredTest = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	namedTest    = regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w+`)
	quoted       = regexp.MustCompile("`[^`]*`")
)

// TestDocumentsNameTestsThatAreThere holds the pages that say which test stands for which promise to the tests there are.
// What is quoted are commands, which may name many by their beginning.
func TestDocumentsNameTestsThatAreThere(t *testing.T) {
	declared := map[string]bool{}
	files, err := filepath.Glob("internal/*/*_test.go")
	for _, pattern := range []string{"internal/*/*/*_test.go", "internal/*/*/*/*_test.go", "cmd/*/*_test.go", "e2e/*_test.go", "*_test.go"} {
		more, fault := filepath.Glob(pattern)
		if fault != nil {
			err = fault
		}
		files = append(files, more...)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range declaredTest.FindAllSubmatch(text, -1) {
			declared[string(m[1])] = true
		}
	}
	for _, page := range []string{"docs/reliability.md", "docs/security.md", "docs/threat-model.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		names := namedTest.FindAllString(quoted.ReplaceAllString(string(text), ""), -1)
		if len(names) < 20 {
			t.Errorf("%s names %d tests: is it still written so?", page, len(names))
		}
		for _, name := range names {
			if !declared[name] {
				t.Errorf("%s names %s, which is no test", page, name)
			}
		}
	}
}
