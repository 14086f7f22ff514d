package collect

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestParse runs every parser of a foreign format over recorded input.
func TestParse(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata/parse", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			parse, ok := parsers[d.Cmd]
			if !ok {
				t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
			}
			return parse(strings.NewReplacer("␟", fieldEnd, "␞", recordEnd).Replace(d.Input))
		})
	})
}

var parsers = map[string]func(string) string{
	"dpkg": func(in string) string {
		found, bad := parseDpkg(in, map[string]time.Time{
			"adduser.list":     time.Date(2025, 6, 24, 10, 0, 0, 900, time.UTC),
			"libc6:amd64.list": time.Date(2025, 6, 24, 12, 30, 0, 0, time.FixedZone("", 7200)),
		})
		return printed(found, bad)
	},
	"rpm":  func(in string) string { return printed(parseRPM(in)) },
	"snap": func(in string) string { return printed(parseSnap(in)) },
	"sort": func(in string) string {
		all := named(in)
		slices.SortStableFunc(all, compareApplications)
		return names(all)
	},
	"components": func(in string) string { return names(components(named(in))) },
	"lscpu":      func(in string) string { return printed([]processor{parseLscpu(in)}, 0) },
	"cpuinfo":    func(in string) string { return printed([]processor{parseCPUInfo(in)}, 0) },
	"os-release": func(in string) string {
		values := parseOSRelease(in)
		var b strings.Builder
		for _, name := range slices.Sorted(maps.Keys(values)) {
			fmt.Fprintf(&b, "%s: %s\n", name, values[name])
		}
		return b.String()
	},
	"custom": func(in string) string {
		item, err := parseCustom([]byte(in), "2026-01-02T03:04:05Z")
		if err != nil {
			return fmt.Sprintf("%s: %v\n", item.Type, err)
		}
		return fmt.Sprintf("%s %s %s\n%s", item.Type, item.SchemaVersion, item.ContentHash, printed(item.Content, 0))
	},
	"conflict": func(in string) string {
		var f [3]fingerprint
		for i, line := range strings.Split(strings.TrimSpace(in), "\n") {
			if fields := strings.Fields(line); fields[0] != "-" {
				f[i] = fingerprint{Name: fields[0], MACs: fields[1:]}
			}
		}
		if reason := conflict(f[0], f[1], f[2]); reason != "" {
			return reason + "\n"
		}
		return "the same machine\n"
	},
}

func printed[T any](rows []T, bad int) string {
	var b strings.Builder
	for _, row := range rows {
		text, err := json.Marshal(row)
		if err != nil {
			return err.Error()
		}
		b.Write(text)
		b.WriteByte('\n')
	}
	if bad > 0 {
		fmt.Fprintf(&b, "passed over: %d\n", bad)
	}
	return b.String()
}

func named(in string) []application {
	var all []application
	for line := range strings.Lines(in) {
		name, version, _ := strings.Cut(strings.TrimSpace(line), " ")
		all = append(all, application{Name: name, Version: version})
	}
	return all
}

func names(all []application) string {
	var b strings.Builder
	for _, a := range all {
		fmt.Fprintf(&b, "%s %s\n", a.Name, a.Version)
	}
	return b.String()
}
