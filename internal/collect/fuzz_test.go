package collect

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"stocktake/internal/inventory"
)

func FuzzListings(f *testing.F) {
	f.Add("a\x1fb\x1f1\x1fs\x1famd64\x1fu\x1fd\x1e", "Name Version Rev Tracking Publisher Notes\na 1 2 s p -\n")
	f.Add("n\x1fv\x1f1\x1f2\x1f(none)\x1f0\x1fg\x1fx86_64\x1fu\x1fs\x1fa-1:b\x1e", "\n")
	f.Add("\xff\x1e\x1f\x1e", "€ 1 2 3 4 5")
	f.Fuzz(func(t *testing.T, records, table string) {
		dpkg, _ := parseDpkg(records, nil)
		rpm, _ := parseRPM(records)
		snap, _ := parseSnap(table)
		for _, all := range [][]application{dpkg, rpm, snap} {
			for _, a := range all {
				if !utf8.ValidString(a.Summary) || strings.ContainsAny(a.Name, "\n\r") || utf8.RuneCountInString(a.PackageId) > clipBytes {
					t.Errorf("field not clipped: %+v", a)
				}
			}
			item, err := newItem(typeApplication, "1.1", "now", all)
			if err != nil || len(item.Content) != len(all) {
				t.Errorf("%d entries of %d packages, error %v", len(item.Content), len(all), err)
			}
		}
	})
}

func FuzzSystem(f *testing.F) {
	f.Add("CPU(s): 2\nSocket(s): 1\nCore(s) per socket: 2\nCPU MHz: 2400.9\n")
	f.Add("processor : 0\nphysical id: 0\ncore id: 0\n\nprocessor: 1\n")
	f.Add("NAME=\"a\\\"b\"\nVERSION_ID='12\n=\n")
	f.Add("CPU MHz: 1e400\nThread(s) per core: NaN\nCPU MHz: -1")
	f.Fuzz(func(t *testing.T, text string) {
		for _, p := range []processor{parseLscpu(text), parseCPUInfo(text)} {
			if strings.HasPrefix(p.CPUSpeedMHz, "-") {
				t.Errorf("a processor of %s MHz", p.CPUSpeedMHz)
			}
		}
		for name, value := range parseOSRelease(text) {
			if len(value) > len(text) || strings.Contains(name, "\n") {
				t.Errorf("%q is %q", name, value)
			}
		}
	})
}

// What parseCustom takes, it takes again from its own wire form, with the same hash.
func FuzzCustom(f *testing.F) {
	f.Add([]byte(`{"TypeName":"Custom:A","SchemaVersion":"1.0","Content":{"A":"b"}}`))
	f.Add([]byte(`{"TypeName":"Custom:A","SchemaVersion":"1.0","Content":[{"A":"<&>"},{}]}`))
	f.Add([]byte(`{"TypeName":"Custom:A","SchemaVersion":"1.0","Content":{}},{}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		item, err := parseCustom(text, "now")
		if err != nil {
			return
		}
		wire, err := Marshal([]inventory.Item{item})
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseCustom(wire[1:len(wire)-1], "now")
		if err != nil || again.ContentHash != item.ContentHash {
			t.Errorf("%s: %v; hash %s, then %s", wire, err, item.ContentHash, again.ContentHash)
		}
	})
}

func FuzzFileFilters(f *testing.F) {
	f.Add(`[{"Path":"/etc","Pattern":["*.conf"],"Recursive":true,"DirScanLimit":1000}]`)
	f.Add(`[{"Path":"$HOME\\x","Pattern":["[a-"]}]`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, text string) {
		filters, err := parseFileFilters(text)
		if err != nil {
			return
		}
		if !json.Valid([]byte(strings.ReplaceAll(text, `\`, `/`))) {
			t.Errorf("%q is no JSON and passed", text)
		}
		for _, filter := range filters {
			matches(filter.Pattern, "name.conf")
		}
	})
}
