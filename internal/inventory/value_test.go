package inventory

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// naturalOrder is values in order; those of one line are of equal rank.
var naturalOrder = [][]string{
	{"~", "~"},
	{"~a"},
	{""},
	{"\x01"},
	{" "},
	{"-"},
	{".5"},
	{"0", "00", "000"},
	{"0a"},
	{"1~rc1", "1~rc01", "01~rc1"},
	{"1~rc2"},
	{"1~rc10"},
	{"1", "01", "0001"},
	{"1.0~rc1"},
	{"1.0", "1.00", "01.0"},
	{"1.0-1"},
	{"1.0-1ubuntu2"},
	{"1.0-1ubuntu10"},
	{"1.9"},
	{"1.10", "1.010"},
	{"1:0"},
	{"2"},
	{"9"},
	{"10"},
	{"99999999999999999999999999999998"},
	{"99999999999999999999999999999999", "0099999999999999999999999999999999"},
	{"a~"},
	{"a"},
	{"a1"},
	{"a1b"},
	{"a2"},
	{"a10"},
	{"aa"},
	{"é"},
}

func TestNaturalOrder(t *testing.T) {
	for i, rank := range naturalOrder {
		for j, other := range naturalOrder {
			for _, a := range rank {
				for _, b := range other {
					if got, want := sign(CompareNatural(a, b)), sign(i-j); got != want {
						t.Errorf("CompareNatural(%q, %q) = %d, want %d", a, b, got, want)
					}
				}
			}
		}
	}
}

func sign(n int) int { return max(-1, min(1, n)) }

// checkWeakOrder holds three values to the laws of a strict weak order.
func checkWeakOrder(t *testing.T, a, b, c string) {
	t.Helper()
	ab, ba, bc, ac := sign(CompareNatural(a, b)), sign(CompareNatural(b, a)), sign(CompareNatural(b, c)), sign(CompareNatural(a, c))
	if CompareNatural(a, a) != 0 {
		t.Errorf("%q is not of its own rank", a)
	}
	if ab != -ba {
		t.Errorf("%q and %q compare as %d and %d", a, b, ab, ba)
	}
	if ab <= 0 && bc <= 0 && ac != min(ab, bc) {
		t.Errorf("%q, %q, %q compare as %d, %d and, the outer ones, %d", a, b, c, ab, bc, ac)
	}
}

func TestNaturalOrderIsStrictWeakOrder(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	text := func() string {
		const letters = "~~.-:/ 000112 9aé\x00\xff"
		b := make([]byte, random.IntN(7))
		for i := range b {
			b[i] = letters[random.IntN(len(letters))]
		}
		return string(b)
	}
	for range 200_000 {
		checkWeakOrder(t, text(), text(), text())
	}
}

func FuzzCompareNatural(f *testing.F) {
	f.Add("1.0~rc1", "1.0", "1.00")
	f.Add("01", "1", "1a")
	f.Add("", "~", "a")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		three := []string{a, b, c}
		for _, order := range [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
			checkWeakOrder(t, three[order[0]], three[order[1]], three[order[2]])
		}
	})
}

func TestFoldIsIdempotentForEveryRune(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		s := string(r)
		if once := Fold(s); Fold(once) != once {
			t.Errorf("Fold of %U gives %q, and of that %q", r, once, Fold(once))
		}
	}
}

func TestFoldIgnoresCase(t *testing.T) {
	for _, same := range [][]string{
		{"libc6", "LibC6", "LIBC6"},
		{"ΣΊΣΥΦΟΣ", "σίσυφος", "ςίςυφοσ"},
		{"Ünïcode", "üNÏCODE"},
		{"ǅ", "ǆ", "Ǆ"},
		{"k", "K", "\u212a"},
	} {
		for _, s := range same {
			if Fold(s) != Fold(same[0]) {
				t.Errorf("Fold(%q) = %q, Fold(%q) = %q", s, Fold(s), same[0], Fold(same[0]))
			}
		}
	}
	if Fold("a") == Fold("b") || Fold("ß") == Fold("s") {
		t.Error("different letters fold together")
	}
}

func FuzzFold(f *testing.F) {
	f.Add("Straße\x00\xff")
	f.Add("İıſK")
	f.Fuzz(func(t *testing.T, s string) {
		once := Fold(s)
		if Fold(once) != once {
			t.Errorf("Fold(%q) = %q, folded again %q", s, once, Fold(once))
		}
		if utf8.ValidString(s) && utf8.RuneCountInString(s) != utf8.RuneCountInString(once) {
			t.Errorf("Fold(%q) = %q has another number of characters", s, once)
		}
	})
}

func TestParseNumber(t *testing.T) {
	for s, want := range map[string]float64{
		"0": 0, "1": 1, "-1": -1, "+3": 3, "007": 7, "2.5": 2.5, "-0.25": -0.25, "123456789012345678": 123456789012345678,
	} {
		if got, ok := ParseNumber(s); !ok || got != want {
			t.Errorf("ParseNumber(%q) = %v, %v; want %v", s, got, ok, want)
		}
	}
	for _, s := range []string{"", " 1", "1 ", "1e3", ".5", "5.", "--1", "+-1", "1.2.3", "0x10", "1_000", "inf", "NaN", "many", "１"} {
		if got, ok := ParseNumber(s); ok {
			t.Errorf("ParseNumber(%q) = %v, want no number", s, got)
		}
	}
}

func TestSortByNaturalOrder(t *testing.T) {
	got := []string{"1.10", "1.9", "2:1.0", "1.0", "1.0~rc1", "10", "9"}
	slices.SortFunc(got, CompareNatural)
	want := []string{"1.0~rc1", "1.0", "1.9", "1.10", "2:1.0", "9", "10"}
	if !slices.Equal(got, want) {
		t.Errorf("sorted %q, want %q", got, want)
	}
}
