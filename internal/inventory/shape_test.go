package inventory

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestShapeTextRoundTrip(t *testing.T) {
	for _, e := range []Entry{
		nil,
		entry("", ""),
		entry("Name", ""),
		entry("A", "1", "B", "2", "C", string(make([]byte, 300))),
		entry("A", "\x00\xff", "a", "ä"),
	} {
		got, err := ParseShapeText(string(AppendShapeText(nil, e)))
		if err != nil || !slices.Equal(got, e) {
			t.Errorf("%v comes back as %v, %v", e, got, err)
		}
	}
}

func FuzzParseShapeText(f *testing.F) {
	f.Add("")
	f.Add(string(AppendShapeText(nil, entry("Name", "bash", "Version", "5.2"))))
	f.Add("\x01B\x00\x01A\x00")
	f.Add("\x80\x00\x00")
	f.Add("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
	f.Fuzz(func(t *testing.T, text string) {
		e, err := ParseShapeText(text)
		if err != nil {
			return
		}
		// The encoding is canonical: what parses is what the entry is written as.
		if again := string(AppendShapeText(nil, e)); again != text {
			t.Errorf("%q parses as %v, which is written %q", text, e, again)
		}
	})
}

func TestShapeIDs(t *testing.T) {
	text := AppendShapeText(nil, entry("Name", "bash"))
	id := HashKey{1}.ShapeIDOf("AWS:Application", text)
	if id != (HashKey{1}).ShapeIDOf("AWS:Application", text) {
		t.Error("the same shape has two ids")
	}
	for what, other := range map[string]ShapeID{
		"another key":  HashKey{2}.ShapeIDOf("AWS:Application", text),
		"another type": HashKey{1}.ShapeIDOf("AWS:Service", text),
		"another text": HashKey{1}.ShapeIDOf("AWS:Application", nil),
	} {
		if id == other {
			t.Errorf("%s gives the same id", what)
		}
	}
}

func TestCut(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	names := []string{"A", "B", "C", "D", "E"}
	for i := range 2 * maxCutNames {
		names = append(names, fmt.Sprintf("F%03d", i))
	}
	var s Split
	var cutter *Cutter
	for i := range 2000 {
		some := names[:5+random.IntN(1+i%100)]
		if i%10 == 0 { // a cutter meets several entries
			s = Split{}
			for _, name := range names {
				if random.IntN(3) == 0 {
					s.Volatile = append(s.Volatile, name)
				}
			}
			cutter = s.Cutter()
		}
		var e Entry
		for _, name := range some {
			if random.IntN(3) > 0 {
				e = append(e, Attribute{Name: name, Value: "v"})
			}
		}
		shape, volatile := s.Cut(e)
		if !slices.Equal(shape.Merge(volatile), e) {
			t.Fatalf("%v cut by %v gives %v and %v", e, s.Volatile, shape, volatile)
		}
		text, beside := cutter.Append([]byte("before"), Entry{{Name: "before"}}, e)
		if string(text) != "before"+string(AppendShapeText(nil, shape)) || !slices.Equal(beside[1:], volatile) {
			t.Fatalf("%v cut by %v gives %q and %v at once", e, s.Volatile, text, beside)
		}
		for _, a := range shape {
			if s.IsVolatile(a.Name) {
				t.Fatalf("%v cut by %v leaves %v", e, s.Volatile, shape)
			}
		}
		for _, a := range volatile {
			if !s.IsVolatile(a.Name) {
				t.Fatalf("%v cut by %v takes %v", e, s.Volatile, volatile)
			}
		}
		// Appending to one half does not write into the other.
		_ = append(volatile, Attribute{Name: "Z"})
		if !slices.Equal(shape.Merge(volatile), e) {
			t.Fatal("the halves share what lies behind them")
		}
	}
}

// BenchmarkShapeID names the shape of one application.
func BenchmarkShapeID(b *testing.B) {
	text := AppendShapeText(nil, entry("ApplicationType", "admin", "Architecture", "amd64", "Name", "libexample-dev", "Publisher",
		"Some Maintainers <some-maintainers@lists.example.org>", "Summary", "a library that stands for others, with its headers",
		"URL", "https://example.org/libexample", "Version", "1.22.333-4+deb12u5"))
	var key HashKey
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		key.ShapeIDOf("AWS:Application", text)
	}
}
