package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// The sizes of the house, in lines. Table data in tests does not count towards a function.
const (
	maxFile     = 500
	maxFunction = 60
	maxMain     = 15
	maxRun      = 120
)

// banned are package names that say nothing of what is inside.
var banned = []string{"utils", "util", "common", "helpers", "models", "handlers", "services", "pkg"}

// source is one parsed Go file.
type source struct {
	path  string
	lines int
	fset  *token.FileSet
	file  *ast.File
}

func (s source) test() bool { return strings.HasSuffix(s.path, "_test.go") }

// span gives the lines a node covers.
func (s source) span(n ast.Node) int {
	return s.fset.Position(n.End()).Line - s.fset.Position(n.Pos()).Line + 1
}

func sources(t *testing.T) []source {
	t.Helper()
	all, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// parsed reads all files once.
var parsed = sync.OnceValues(func() (all []source, err error) {
	listed, err := list()
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	for _, p := range listed {
		for _, name := range slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles, p.IgnoredGoFiles) {
			full := filepath.Join(p.Dir, name)
			text, err := os.ReadFile(full)
			if err != nil {
				return nil, err
			}
			file, err := parser.ParseFile(fset, full, text, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				return nil, err
			}
			short := filepath.Join(strings.TrimPrefix(p.ImportPath, module+"/"), name)
			all = append(all, source{path: short, lines: strings.Count(string(text), "\n"), fset: fset, file: file})
		}
	}
	return all, nil
})

func TestFilesAndFunctionsAreSmall(t *testing.T) {
	for _, s := range sources(t) {
		if s.lines > maxFile {
			t.Errorf("%s has %d lines, more than %d: give a part of its subject a file of its own", s.path, s.lines, maxFile)
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n, most := functionLines(s, f), bound(s, f); n > most {
				t.Errorf("%s: %s has %d lines, more than %d", s.path, f.Name.Name, n, most)
			}
		}
	}
}

// bound is how many lines a function may have.
func bound(s source, f *ast.FuncDecl) int {
	if s.file.Name.Name == "main" && f.Recv == nil {
		switch f.Name.Name {
		case "main":
			return maxMain
		case "run":
			return maxRun
		}
	}
	return maxFunction
}

// functionLines counts a function's lines; in tests, without the rows of the tables in it.
func functionLines(s source, f *ast.FuncDecl) int {
	n := s.span(f)
	if !s.test() {
		return n
	}
	ast.Inspect(f, func(node ast.Node) bool {
		table, ok := node.(*ast.CompositeLit)
		if !ok {
			return true
		}
		switch table.Type.(type) {
		case *ast.ArrayType, *ast.MapType:
			n -= s.span(table) - 1
			return false
		}
		return true
	})
	return n
}

func TestEveryPackageHasItsComment(t *testing.T) {
	commented := map[string]bool{}
	for _, s := range sources(t) {
		dir := filepath.Dir(s.path)
		text := s.file.Doc.Text()
		begins := strings.HasPrefix(text, "Package "+s.file.Name.Name+" ") || s.file.Name.Name == "main" && strings.HasPrefix(text, "Command ")
		commented[dir] = commented[dir] || begins
		if slices.Contains(banned, s.file.Name.Name) {
			t.Errorf("%s: the package name %s says nothing of what is inside", s.path, s.file.Name.Name)
		}
	}
	for dir, ok := range commented {
		if !ok {
			t.Errorf("%s has no package comment that says what it is for and where to begin", dir)
		}
	}
}

func TestHabitsOfTheHouse(t *testing.T) {
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if f.Name.Name == "init" && f.Recv == nil {
				t.Errorf("%s: init runs before anyone asked: build it where it is wired", s.path)
			}
			if s.test() && strings.HasPrefix(f.Name.Name, "Test") {
				judgeTest(t, s, f)
			}
		}
		for _, group := range s.file.Comments {
			if strings.Contains(group.Text(), "TO"+"DO") {
				t.Errorf("%s:%d: finish it or leave it out", s.path, s.fset.Position(group.Pos()).Line)
			}
		}
	}
}

// judgeTest holds a test to its name, and to running. Benchmarks may skip their long forms, and fuzz targets inputs of no
// interest.
func judgeTest(t *testing.T, s source, f *ast.FuncDecl) {
	t.Helper()
	if strings.Contains(f.Name.Name, "_") {
		t.Errorf("%s: %s: a test is named for the behaviour, without underscores", s.path, f.Name.Name)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.SelectorExpr)
		switch {
		case ok && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, call.Sel.Name):
			t.Errorf("%s:%d: a test that skips proves nothing: install what it needs, or fail with its name",
				s.path, s.fset.Position(n.Pos()).Line)
		case ok && call.Sel.Name == "LookPath":
			t.Errorf("%s:%d: a test that looks whether a program is there can end without it: have a function fail that finds it, as tool of e2e does",
				s.path, s.fset.Position(n.Pos()).Line)
		}
		return true
	})
}

// ownFiles are the files that write what nobody misses after a crash, or that do more than keep it whole.
var ownFiles = []string{
	"internal/bench/floor.go",
	"internal/backup/file.go",
	"internal/pgcluster/cluster.go",
	"internal/pgcluster/replicated.go",
	"internal/pgtest/pgtest.go",
	"cmd/stocktake/bench.go",
	"cmd/stocktake/bench_child.go",
	"cmd/stocktake/demo.go",
}

// TestFilesAreKeptDurably holds that what is kept in files is written by the room that syncs them.
func TestFilesAreKeptDurably(t *testing.T) {
	writers := map[string]bool{}
	for _, s := range sources(t) {
		if s.test() || strings.HasPrefix(s.path, "internal/durable/") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			selector, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			of, ok := selector.X.(*ast.Ident)
			if !ok || of.Name != "os" || !slices.Contains([]string{"Create", "CreateTemp", "Rename", "WriteFile", "O_CREATE"}, selector.Sel.Name) {
				return true
			}
			writers[s.path] = true
			if !slices.Contains(ownFiles, s.path) {
				t.Errorf("%s:%d: os.%s leaves half a file, or none, when the power fails: see the room durable",
					s.path, s.fset.Position(n.Pos()).Line, selector.Sel.Name)
			}
			return true
		})
	}
	for _, own := range ownFiles {
		if !writers[own] {
			t.Errorf("%s may write files in its own way, and writes none", own)
		}
	}
}
