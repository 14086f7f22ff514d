package house

import (
	"go/ast"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	declaredTest = regexp.MustCompile(`^(?:Test|Fuzz)[A-Z]`)
	namedTest    = regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w+`)
	quoted       = regexp.MustCompile("`[^`]*`")
	ofMake       = regexp.MustCompile(`\./(\S+)(?: -\w+)* -run '([^']+)'`)
	ofChaos      = regexp.MustCompile(`(?m)\b(e2e|pebble) '([^']+)'`)
	word         = regexp.MustCompile(`[\w.*]+`)
)

// declaredTests gives the names of the tests in each folder.
func declaredTests(t *testing.T) map[string][]string {
	t.Helper()
	folders := map[string][]string{}
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && s.test() && declaredTest.MatchString(f.Name.Name) {
				folders[filepath.Dir(s.path)] = append(folders[filepath.Dir(s.path)], f.Name.Name)
			}
		}
	}
	return folders
}

// TestDocumentsNameTestsThatAreThere holds the pages that say which test stands for which promise to the tests there are.
// What is quoted are commands, which may name many by their beginning.
func TestDocumentsNameTestsThatAreThere(t *testing.T) {
	declared := slices.Concat(slices.Collect(maps.Values(declaredTests(t)))...)
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
			if !slices.Contains(declared, name) {
				t.Errorf("%s names %s, which is no test", page, name)
			}
		}
	}
}

// TestTargetsRunTestsThatAreThere holds the patterns by which make and scripts/chaos choose tests: each word of one finds a
// test that the others do not. A test that is renamed would else be left out without a word.
func TestTargetsRunTestsThatAreThere(t *testing.T) {
	declared, checked := declaredTests(t), 0
	for file, command := range map[string]*regexp.Regexp{"Makefile": ofMake, "scripts/chaos": ofChaos} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range command.FindAllStringSubmatch(string(text), -1) {
			folder, pattern := found[1], strings.ReplaceAll(found[2], "$$", "$")
			if folder == "pebble" {
				folder = "internal/store/pebble"
			}
			all := matching(t, declared[folder], pattern)
			for _, at := range word.FindAllStringIndex(pattern, -1) {
				checked++
				if without := matching(t, declared[folder], pattern[:at[0]]+"=+"+pattern[at[1]:]); len(without) == len(all) {
					t.Errorf("%s runs '%s' of %s, and no test is there for %q", file, pattern, folder, pattern[at[0]:at[1]])
				}
			}
		}
	}
	if checked < 80 {
		t.Errorf("%d words were checked: are tests still chosen so?", checked)
	}
}

var rowOfPage = regexp.MustCompile("(?m)^\\| `([a-z0-9/]+)` \\| (.*) \\| (.*) \\|$")

// TestArchitectureHasTheTable holds the page's table of rooms to the one that the code is held to. A room without a row is
// named in that of the room it is below.
func TestArchitectureHasTheTable(t *testing.T) {
	text, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	about := map[string]string{}
	for _, row := range rowOfPage.FindAllStringSubmatch(string(text), -1) {
		name, imports := row[1], row[3]
		about[name] = row[2]
		r := rowOf(name)
		if r == nil {
			t.Errorf("ARCHITECTURE.md has a row for %s, which is no room", name)
			continue
		}
		if want := importsInWords(*r); imports != want {
			t.Errorf("ARCHITECTURE.md says that %s imports %s: it may import %s", name, imports, want)
		}
	}
	for _, r := range rooms {
		above := r.name
		for above != "." && about[above] == "" {
			above = path.Dir(above)
		}
		if below := strings.TrimPrefix(r.name, above+"/"); above != r.name && !strings.Contains(about[above], "`"+below+"`") {
			t.Errorf("ARCHITECTURE.md has no row for %s, and none of the rooms above names it", r.name)
		}
	}
}

// importsInWords gives what a room may import as the page writes it; of one that is tests alone, what those may.
func importsInWords(r room) string {
	imports := r.imports
	if r.name == "e2e" {
		imports = r.tests
	}
	switch {
	case len(imports) == 0:
		return "–"
	case slices.Contains(imports, anyRoom):
		return "any"
	}
	return strings.Join(imports, ", ")
}

func matching(t *testing.T, names []string, pattern string) []string {
	t.Helper()
	chosen, err := regexp.Compile(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !chosen.MatchString(name) })
}
