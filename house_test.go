// Package house holds no code: its tests keep the shape of the project. The table below says which room may import which,
// and which third-party module belongs to which room; house_size_test.go bounds files and functions and asks every
// package for its comment, house_tags_test.go has them hold for the tests that are built with tags. A new room, or a new arrow, begins with a row here and in ARCHITECTURE.md.
package house

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "stocktake"

// room is a row of the import table. Names are paths below internal/, but for those that begin with a folder of the root.
type room struct {
	name string
	// imports are the rooms its code may import; tests are those its tests may import besides.
	imports []string
	tests   []string
	// testing marks a room that is test code as a whole: third parties meant for tests may be imported by its code.
	testing bool
}

// rooms is the import table. No arrow goes up, and none runs sideways between rooms of one height.
var rooms = []room{
	{name: "inventory"},
	{name: "wire"},
	{name: "sigv4"},
	{name: "rate"},
	{name: "durable"},
	{name: "httpd", imports: []string{"durable", "rate"}},
	{name: "seal"},
	{name: "index", imports: []string{"inventory"}, tests: []string{"index/indextest", "simulate"}},
	{name: "index/indextest", imports: []string{"inventory"}, testing: true},
	{name: "store", imports: []string{"inventory"}},
	{name: "store/storetest", imports: []string{"store", "store/memory", "index", "inventory"}, testing: true},
	{name: "store/storetest/stores", imports: []string{"pgtest", "pgcluster", "store", "store/storetest", "store/memory", "store/pebble", "store/postgres"}, testing: true},
	{name: "store/memory", imports: []string{"store", "inventory"}},
	{name: "store/pebble", imports: []string{"store", "inventory"}, tests: []string{"store/storetest", "store/memory"}},
	{name: "store/postgres", imports: []string{"store", "inventory"}, tests: []string{"store/storetest", "pgtest", "pgcluster"}},
	{name: "replica", imports: []string{"durable", "store", "index", "inventory"}, tests: []string{"store/memory", "store/pebble", "store/storetest", "index/indextest"}},
	{name: "transfer", imports: []string{"store", "inventory"}, tests: []string{"store/storetest", "store/storetest/stores"}},
	{name: "verify", imports: []string{"transfer", "index", "store", "inventory"}, tests: []string{"backup", "replica", "store/memory", "store/storetest", "store/storetest/stores"}},
	{name: "backup", imports: []string{"transfer", "store", "inventory"}, tests: []string{"store/memory", "store/storetest", "store/storetest/stores"}},
	{name: "audit", imports: []string{"rate", "store"}, tests: []string{"store/memory", "store/storetest", "store/storetest/stores"}},
	{name: "backup/bucket", tests: []string{"backup/buckettest"}},
	{name: "backup/buckettest", testing: true},
	{name: "iam", imports: []string{"iam/policy", "seal", "store", "inventory"}, tests: []string{"store/memory"}},
	{name: "iam/policy", imports: []string{"inventory"}},
	{name: "iam/endpoint", imports: []string{"awsjson", "wire", "iam", "iam/policy", "iam/query"}},
	{name: "iam/query", tests: []string{"iam/policy"}},
	{name: "ssm", imports: []string{"store", "seal", "replica", "index", "inventory"}, tests: []string{"store/memory", "store/pebble", "index/indextest", "simulate"}},
	{name: "awsjson", imports: []string{"rate", "wire", "sigv4", "iam", "iam/policy", "inventory"}, tests: []string{"store", "store/memory"}},
	{name: "api", imports: []string{"awsjson", "wire", "ssm", "inventory"}, tests: []string{"agent", "store", "store/storetest", "store/storetest/stores", "replica", "index", "iam", "sigv4"}},
	{name: "agent", imports: []string{"awsjson", "rate", "wire", "sigv4", "iam", "ssm", "inventory"}, tests: []string{"iam/endpoint", "iam/policy", "iam/query", "api", "store", "store/storetest", "store/storetest/stores", "replica"}},
	{name: "client", imports: []string{"durable", "wire", "sigv4"}},
	{name: "collect", imports: []string{"durable", "client", "inventory"}, tests: []string{"wire", "sigv4"}},
	{name: "pgcluster"},
	{name: "pgtest", imports: []string{"pgcluster"}, testing: true},
	{name: "simulate", imports: []string{"inventory", "wire"}},
	{name: "simulate/agent", imports: []string{"simulate", "inventory", "sigv4"}, tests: []string{"agent", "api", "awsjson", "client", "httpd", "iam", "pgtest", "replica", "ssm", "store", "store/storetest", "store/storetest/stores"}},
	{name: "bench", imports: []string{"client", "simulate", "simulate/agent", "wire", "inventory"}, tests: []string{"sigv4"}},
	{name: "bench/baseline", imports: []string{"wire"}, tests: []string{"pgtest", "pgcluster", "simulate"}},
	{name: "bench/front", imports: []string{"sigv4"}, tests: []string{"client"}},
	{name: "cmd/stocktake", imports: []string{anyRoom}},
	{name: "e2e", tests: []string{anyRoom}, testing: true},
	{name: root, testing: true},
}

const (
	anyRoom = "*"
	root    = "."
)

// modules gives each third-party module, by its import path, the one room that imports it. Those of anyTest may be
// imported by tests alone, of any room.
var modules = map[string][]string{
	"github.com/RoaringBitmap/roaring/v2":     {"index"},
	"github.com/Shopify/toxiproxy/v2":         {"pgtest"},
	"github.com/alecthomas/kong":              {"cmd/stocktake"},
	"github.com/anishathalye/porcupine":       {anyTest},
	"github.com/aws/aws-sdk-go-v2":            {"backup/bucket", anyTest},
	"github.com/aws/aws-sdk-go-v2/config":     {"client", "backup/bucket", anyTest},
	"github.com/aws/aws-sdk-go-v2/service/s3": {"backup/bucket"},
	"github.com/aws/smithy-go":                {"backup/bucket", anyTest},
	"github.com/cockroachdb/datadriven":       {anyTest},
	"github.com/cockroachdb/pebble/v2":        {"store/pebble"},
	"github.com/dchest/siphash":               {"inventory"},
	"github.com/google/go-cmp":                {anyTest},
	"github.com/hashicorp/cronexpr":           {"ssm"},
	"github.com/jackc/pgx/v5":                 {"store/postgres", "bench/baseline"},  // the baseline is what others build on it
	"github.com/klauspost/compress":           {"index", "store/postgres", "backup"}, // no more than an encoding
	"github.com/pressly/goose/v3":             {"store/postgres"},
	"github.com/prometheus/client_golang":     {"httpd"},
	"github.com/rogpeppe/go-internal":         {anyTest},
	"github.com/schollz/progressbar/v3":       {"cmd/stocktake"},
	"go.uber.org/goleak":                      {anyTest},
	"go.yaml.in/yaml/v3":                      {"cmd/stocktake"},
	"golang.org/x/crypto":                     {"httpd"}, // acme and acme/autocert alone
}

const anyTest = "tests"

// listed is what the test reads of `go list -json`.
type listed struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	// IgnoredGoFiles are those of other systems, and of tags that were not given.
	IgnoredGoFiles []string
	TestGoFiles    []string
	XTestGoFiles   []string
	Imports        []string
	TestImports    []string
	XTestImports   []string
}

// name gives the room a package is, as the table writes it.
func (p listed) name() string {
	if p.ImportPath == module {
		return root
	}
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module+"/"), "internal/")
}

func packages(t *testing.T) []listed {
	t.Helper()
	all, err := list()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// list asks go for the packages once, those of tests with tags included.
var list = sync.OnceValues(func() (all []listed, err error) {
	tags, err := buildTags()
	if err != nil {
		return nil, err
	}
	out, err := exec.Command("go", "list", "-e", "-tags", strings.Join(tags, ","), "-json", "./...").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w\n%s", err, exit.Stderr)
		}
		return nil, fmt.Errorf("go list: %w", err)
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
})

func TestEveryPackageIsARoom(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range packages(t) {
		seen[p.name()] = true
		if rowOf(p.name()) == nil {
			t.Errorf("%s has no row in the import table: a room is added with its row here and in ARCHITECTURE.md", p.ImportPath)
		}
	}
	for _, r := range rooms {
		if !seen[r.name] {
			t.Errorf("the import table has a row for %s, and there is no such package", r.name)
		}
	}
}

func TestArrowsFollowTheTable(t *testing.T) {
	for _, p := range packages(t) {
		row := rowOf(p.name())
		if row == nil {
			continue
		}
		for _, imported := range p.Imports {
			judge(t, p, *row, imported, false)
		}
		for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
			judge(t, p, *row, imported, true)
		}
	}
}

// judge fails the test if the room may not import the package.
func judge(t *testing.T, p listed, r room, imported string, fromTest bool) {
	t.Helper()
	from := "code"
	if fromTest {
		from = "tests"
	}
	if rest, ours := strings.CutPrefix(imported, module+"/"); ours {
		name := strings.TrimPrefix(rest, "internal/")
		if !mayImport(r, name, fromTest) {
			t.Errorf("%s of %s imports the room %s: the table has no such arrow", from, p.name(), name)
		}
		return
	}
	first, _, _ := strings.Cut(imported, "/")
	if !strings.Contains(first, ".") {
		return // the standard library
	}
	owners, known := ownersOf(imported)
	switch {
	case !known:
		t.Errorf("%s of %s imports %s: give the module its room in the table, and its line of why in go.mod", from, p.name(), imported)
	case slices.Contains(owners, r.name):
	case slices.Contains(owners, anyTest) && (fromTest || r.testing):
	default:
		t.Errorf("%s of %s imports %s, which belongs to %v alone", from, p.name(), imported, owners)
	}
}

func mayImport(r room, name string, fromTest bool) bool {
	if name == r.name && fromTest {
		return true // an external test of the room itself
	}
	allowed := r.imports
	if fromTest {
		allowed = slices.Concat(r.imports, r.tests)
	}
	return slices.Contains(allowed, name) || slices.Contains(allowed, anyRoom)
}

func rowOf(name string) *room {
	for i := range rooms {
		if rooms[i].name == name {
			return &rooms[i]
		}
	}
	return nil
}

// ownersOf finds the module an import path belongs to.
func ownersOf(imported string) ([]string, bool) {
	for at := imported; at != "."; at = path.Dir(at) {
		if owners, ok := modules[at]; ok {
			return owners, true
		}
	}
	return nil, false
}

func TestEveryModuleIsImported(t *testing.T) {
	used := map[string]bool{}
	for _, p := range packages(t) {
		for _, imported := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			for at := imported; at != "."; at = path.Dir(at) {
				used[at] = true
			}
		}
	}
	for name := range modules {
		if !used[name] {
			t.Errorf("the table gives %s a room, and nothing imports it", name)
		}
	}
}
