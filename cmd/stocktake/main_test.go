package main

import (
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"stocktake": main})
}

// TestScripts runs testdata: the command line as people type it.
func TestScripts(t *testing.T) {
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
