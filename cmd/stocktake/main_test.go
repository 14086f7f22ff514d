package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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

// TestPagesNameTheFileTheUnitReads has one configuration file on all pages, in the help and in the packages: an
// administrator's settings in another one would be those of nothing.
func TestPagesNameTheFileTheUnitReads(t *testing.T) {
	unit, err := os.ReadFile("../../packaging/stocktake.service")
	if err != nil {
		t.Fatal(err)
	}
	read := regexp.MustCompile(`(?m)^ExecStart=/usr/bin/stocktake serve --config (\S+)$`).FindSubmatch(unit)
	if read == nil {
		t.Fatal("the unit names no configuration file")
	}
	named := regexp.MustCompile(`/etc/[\w./-]*stocktake[\w./-]*\.yaml`)
	times := 0
	for _, pattern := range []string{"*.go", "../../README.md", "../../docs/*.md", "../../packaging/*"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if info, err := os.Stat(file); err != nil || info.IsDir() {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range named.FindAll(text, -1) {
				times++
				if !bytes.Equal(name, read[1]) {
					t.Errorf("%s names %s, and the unit reads %s", file, name, read[1])
				}
			}
		}
	}
	if times < 5 {
		t.Errorf("the file is named %d times: is it still written so?", times)
	}
}

func TestEverySettingIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	all, err := kong.New(&commands{}, defaults())
	if err != nil {
		t.Fatal(err)
	}
	shown, err := kong.New(&configPrintCommand{}, defaults())
	if err != nil {
		t.Fatal(err)
	}
	printed := map[string]bool{}
	for _, f := range shown.Model.Flags {
		if !isSetting(f) {
			continue
		}
		printed[keyOf(f.Name)] = true
		if row := "| `" + keyOf(f.Name) + "` | `" + f.Default + "` |"; f.Default != "" && !strings.Contains(string(text), row) {
			t.Errorf("docs/configuration.md has no row that begins %s", row)
		}
	}
	for _, key := range settingKeys(all.Model.Leaves(false)) {
		if !printed[strings.TrimSuffix(key, "_file")] {
			t.Errorf("config print does not show %s", key)
		}
	}
	for _, key := range append([]string{keyRootID, keyRootSecret, keySecretKey}, slices.Sorted(maps.Keys(printed))...) {
		if !strings.Contains(string(text), "| `"+key+"` |") {
			t.Errorf("docs/configuration.md has no row for %s", key)
		}
	}
}
