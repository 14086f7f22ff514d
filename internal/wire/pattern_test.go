package wire

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// patterns are the rules whose pattern is applied by code, with texts that satisfy it.
var patterns = map[*rule][]string{
	nodeID:      {"i-0123456789abcdef0", "i-01234567", "mi-0123456789abcdef0", "i-________", "i-AZaz09__"},
	typeName:    {"AWS:Application", "Custom:", "Custom:a b", "AWS:\u00e9\u2027"},
	version:     {"1.0", "999999.123456", "0.0"},
	captureTime: {"2026-01-02T03:04:05Z", "2099-12-31T23:59:59Z", "2000-10-19T19:00:00Z", "2026-02-30T20:10:30Z"},
}

// compiled gives each pattern as the model means it: its `.` matches no line terminator.
func compiled(r *rule) *regexp.Regexp {
	return regexp.MustCompile(strings.ReplaceAll(r.pattern, `.*`, `[^\n\r\x{85}\x{2028}\x{2029}]*`))
}

var tries = flag.Int("tries", 5_000, "random texts a reader is held to another by")

func TestPatternsAreThoseOfTheModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	strange := []rune("0123456789 ai-mzAZ_:.TZ\n\r\u0085\u2028\u2029\u00e9\x00@[`{/")
	for r, texts := range patterns {
		want := compiled(r)
		for _, text := range texts {
			if !r.match(text) || !want.MatchString(text) {
				t.Errorf("%s: %q is refused", r.pattern, text)
			}
			for range *tries {
				changed := change(random, []rune(text), strange)
				if got, want := r.match(changed), want.MatchString(changed); got != want {
					t.Fatalf("%s: %q matches: %v, want %v", r.pattern, changed, got, want)
				}
			}
		}
	}
}

// change puts in, takes out and replaces up to three characters.
func change(random *rand.Rand, text, by []rune) string {
	for range 1 + random.IntN(3) {
		at, c := random.IntN(len(text)+1), by[random.IntN(len(by))]
		switch random.IntN(3) {
		case 0:
			text = append(text[:at:at], append([]rune{c}, text[at:]...)...)
		case 1:
			if at < len(text) {
				text = append(text[:at:at], text[at+1:]...)
			}
		default:
			if at < len(text) {
				text = append(append(text[:at:at], c), text[at+1:]...)
			}
		}
	}
	return string(text)
}

func TestEntriesAlikeAreReadAsOthers(t *testing.T) {
	// Names that begin alike, that need escapes, that stand in another order than in the entry before.
	names := []string{`"A"`, `"AB"`, `"a\\"`, `"a\""`, `"\u0041"`, `"B" `, ` "C"`, `"C":"x","C2"`, `"\n"`, `"Z"`, `""`, `"` + strings.Repeat("N", 65) + `"`}
	values := []string{`"1"`, `"AB"`, `"\\"`, `"\":\""`, `null`, ` "2" `, `""`, `"` + strings.Repeat("v", 4097) + `"`}
	random := rand.New(rand.NewPCG(3, 4))
	for range *tries {
		text := "["
		for e := range 1 + random.IntN(6) {
			if e > 0 {
				text += ","
			}
			text += "{"
			for i, n := range random.Perm(len(names))[:random.IntN(6)] {
				if i > 0 {
					text += ","
				}
				if random.IntN(4) > 0 {
					n = i // mostly the same in the same order
				}
				value := values[0]
				if random.IntN(8) == 0 {
					value = values[random.IntN(len(values))]
				}
				text += names[n] + ":" + value
			}
			text += "}"
		}
		judgeEntries(t, text+"]")
	}
}

func TestPlainEndsWhereAStringDoes(t *testing.T) {
	for c := range 256 {
		for at := range 20 {
			text := []byte(strings.Repeat("a", 26))
			text[at] = byte(c)
			want := len(text)
			if c < ' ' || c == '"' || c == '\\' {
				want = at
			}
			if n, high := plain(string(text)); n != want || c >= 0x80 != (high&tops != 0) {
				t.Fatalf("%q: plain up to %d, which is other than ASCII: %v", text, n, high&tops != 0)
			}
		}
	}
}

// judgeEntries holds a list of entries against encoding/json.
func judgeEntries(t *testing.T, text string) {
	t.Helper()
	var want []map[string]*string
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	d := decoder{json: text}
	got, fit := d.entryList(maxEntries)
	if item := (Item{Content: got}); fit && d.err == nil {
		c := checker{}
		if item.validateContent(&c); c.count > 0 {
			t.Fatalf("%s: taken for valid, but: %s", text, c.text)
		}
	}
	if twice := len(want) > 0 && repeats(text); twice != (d.err != nil) {
		t.Fatalf("%s: %v, though names given twice: %v", text, d.err, twice)
	} else if twice {
		return
	}
	for i, e := range got {
		plain := map[string]string{}
		for name, value := range want[i] {
			if value != nil {
				plain[name] = *value
			}
		}
		read := map[string]string{}
		for at, p := range e {
			if read[p.Name] = p.Value; at > 0 && e[at-1].Name >= p.Name {
				t.Fatalf("%s: entry %d is not sorted: %v", text, i, e)
			}
		}
		if fmt.Sprint(plain) != fmt.Sprint(read) {
			t.Fatalf("%s: entry %d is %v, want %v", text, i, read, plain)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%s: %d entries, want %d", text, len(got), len(want))
	}
}

// repeats reports whether an entry names an attribute twice.
func repeats(text string) bool {
	d := json.NewDecoder(strings.NewReader(text))
	var names map[string]bool
	name := false
	for {
		token, err := d.Token()
		switch token := token.(type) {
		case json.Delim:
			names, name = map[string]bool{}, token == '{'
		case string:
			if name && names[token] {
				return true
			}
			if name {
				names[token] = true
			}
			name = !name
		case nil:
			if err != nil {
				return false
			}
			name = !name // a value that is null
		}
	}
}
