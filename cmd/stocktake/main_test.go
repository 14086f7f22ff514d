package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/rogpeppe/go-internal/testscript"
)

// Scripts, and whoever asks one question after the other, have the program as `make build` compiles it, without the race
// detector: a start of it takes a sixth of the time. Tests of what goes on at once call run in this process, which has the
// detector when the tests have, or are of package e2e.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "stocktake-program-")
	if err == nil {
		program.path = filepath.Join(dir, "stocktake")
		err = os.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// program is that stocktake, in a folder that leads the PATH.
var program struct {
	path  string
	build sync.Once
	err   error
}

// builtProgram builds the program when a test first asks for it, and gives its path.
func builtProgram(t *testing.T) string {
	t.Helper()
	program.build.Do(func() {
		build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", program.path, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if said, err := build.CombinedOutput(); err != nil {
			program.err = fmt.Errorf("building the program: %w\n%s", err, said)
		}
	})
	if program.err != nil {
		t.Fatal(program.err)
	}
	return program.path
}

// TestScripts runs testdata: the command line as people type it.
func TestScripts(t *testing.T) {
	t.Parallel()
	builtProgram(t)
	testscript.Run(t, testscript.Params{Dir: "testdata"})
}

func TestEverySettingIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	var command configPrintCommand
	parser, err := kong.New(&command, defaults())
	if err != nil {
		t.Fatal(err)
	}
	keys := []string{keyRootID, keyRootSecret, keySecretKey}
	for _, f := range parser.Model.Flags {
		if isSetting(f) {
			keys = append(keys, keyOf(f.Name))
			if row := "| `" + keyOf(f.Name) + "` | `" + f.Default + "` |"; f.Default != "" && !strings.Contains(string(text), row) {
				t.Errorf("docs/configuration.md has no row that begins %s", row)
			}
		}
	}
	for _, key := range keys {
		if !strings.Contains(string(text), "| `"+key+"` |") {
			t.Errorf("docs/configuration.md has no row for %s", key)
		}
	}
}
