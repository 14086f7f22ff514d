package house

import (
	"errors"
	"go/ast"
	"go/build/constraint"
	"go/token"
	"go/types"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var tagsOfLint = regexp.MustCompile(`(?m)^  build-tags: \[(.*)\]$`)

// buildTags gives the tags of tests that need more than others do. The linters have the list: no other check compiles
// these tests.
func buildTags() ([]string, error) {
	text, err := os.ReadFile(".golangci.yml")
	if err != nil {
		return nil, err
	}
	found := tagsOfLint.FindSubmatch(text)
	if found == nil {
		return nil, errors.New(".golangci.yml has no line build-tags: [TAG, ...]")
	}
	return strings.Split(string(found[1]), ", "), nil
}

// tagOf gives the tag that a file is built with alone, empty for one that has none.
func tagOf(t *testing.T, s source) string {
	t.Helper()
	for _, group := range s.file.Comments {
		for _, line := range group.List {
			if !constraint.IsGoBuild(line.Text) || group.Pos() > s.file.Package {
				continue
			}
			expression, err := constraint.Parse(line.Text)
			if err != nil {
				t.Fatalf("%s: %v", s.path, err)
			}
			return expression.String()
		}
	}
	return ""
}

// The detector builds with race by itself, once so and once without.
var ofTheDetector = []string{"race", "!race"}

// TestTaggedFilesAreChecked holds that what is built with a tag alone is compiled by the linters, and measured as the
// rest: otherwise a name that is changed elsewhere breaks it, and a release is the first to see it.
func TestTaggedFilesAreChecked(t *testing.T) {
	tags, err := buildTags()
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, s := range sources(t) {
		tag := tagOf(t, s)
		used[tag] = true
		if tag != "" && !slices.Contains(tags, tag) && !slices.Contains(ofTheDetector, tag) {
			t.Errorf("%s is built with %s, which is none of build-tags in .golangci.yml: nothing else compiles it", s.path, tag)
		}
	}
	for _, tag := range tags {
		if !used[tag] {
			t.Errorf(".golangci.yml has %s among its build-tags, and no file is built with it", tag)
		}
	}
}

// TestTaggedFilesStandAlone holds that files of a tag use nothing of the files of another. The linters, who see all of
// them at once, would not notice.
func TestTaggedFilesStandAlone(t *testing.T) {
	folders, tags := map[string][]source{}, map[string]string{}
	for _, s := range sources(t) {
		folders[filepath.Dir(s.path)] = append(folders[filepath.Dir(s.path)], s)
		tags[s.path] = tagOf(t, s)
	}
	judged := 0
	for _, files := range folders {
		if !slices.ContainsFunc(files, func(s source) bool { return tags[s.path] != "" }) {
			continue
		}
		for _, use := range uses(files) {
			judged++
			if of, in := tags[use.declared.path], tags[use.by.path]; of != "" && of != in && !slices.Contains(ofTheDetector, of) {
				t.Errorf("%s uses %s of %s: it does not build without the tag %s", use.by.path, use.name, use.declared.path, of)
			}
		}
	}
	if judged < 1000 {
		t.Errorf("%d uses were judged: are there no tagged files any more?", judged)
	}
}

// use is a name of one file in another.
type use struct {
	name         string
	by, declared source
}

// uses gives the names that files of a package use of each other. What they import is nothing to them.
func uses(files []source) (all []use) {
	of, parsed := map[*token.File]source{}, []*ast.File{}
	fset := files[0].fset
	for _, s := range files {
		of[fset.File(s.file.Pos())] = s
		parsed = append(parsed, s.file)
	}
	found := types.Info{Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: nothing{}, Error: func(error) {}} // all that is imported is missing
	_, _ = config.Check(module, fset, parsed, &found)
	for name, object := range found.Uses {
		by := of[fset.File(name.Pos())]
		if declared, ok := of[fset.File(object.Pos())]; ok && object.Pos().IsValid() && declared.path != by.path {
			all = append(all, use{name: name.Name, by: by, declared: declared})
		}
	}
	return all
}

// nothing imports packages without anything in them.
type nothing struct{}

func (nothing) Import(of string) (*types.Package, error) {
	empty := types.NewPackage(of, path.Base(of))
	empty.MarkComplete()
	return empty, nil
}
