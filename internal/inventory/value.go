package inventory

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Fold gives the form of a value in which case is ignored. It is the only fold in the program: filters match, orders
// compare and aggregates count folded values, and aggregates show them (lower case, as the live service does).
// Fold(Fold(s)) == Fold(s).
func Fold(s string) string {
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			return strings.Map(foldRune, s)
		}
	}
	return s
}

// foldRune goes through upper case first so that letters with two lower-case forms (Greek sigma) fold together.
func foldRune(r rune) rune {
	if r < utf8.RuneSelf {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}
	return unicode.ToLower(unicode.ToUpper(r))
}

// CompareNatural orders two folded values the way people order versions: runs of ASCII digits compare as numbers of any
// length, `~` comes before everything, the end of the value included (1.0~rc1 < 1.0), other bytes compare as they are.
// It is a strict weak order: values of equal rank, such as "1" and "01", are neither less nor greater than each other.
func CompareNatural(a, b string) int {
	for {
		ra, rb := naturalRank(a), naturalRank(b)
		if ra != rb {
			return ra - rb
		}
		switch {
		case ra == rankEnd:
			return 0
		case ra == rankDigits:
			na, nb := digitRun(a), digitRun(b)
			if c := compareDigits(a[:na], b[:nb]); c != 0 {
				return c
			}
			a, b = a[na:], b[nb:]
		default:
			a, b = a[1:], b[1:]
		}
	}
}

// The ranks of what can stand at one place of a value. A run of digits takes the rank of '0': no other byte lies between
// '0' and '9', so every byte that is no digit is wholly below or wholly above all runs.
const (
	rankTilde  = -2
	rankEnd    = -1
	rankDigits = '0'
)

func naturalRank(s string) int {
	switch {
	case s == "":
		return rankEnd
	case s[0] == '~':
		return rankTilde
	case isDigit(s[0]):
		return rankDigits
	default:
		return int(s[0])
	}
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func digitRun(s string) int {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return n
}

func compareDigits(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// ParseNumber reads a value of a NUMBER attribute: an optional sign, digits, optionally a fraction. Anything else,
// exponents and spaces included, is no number and matches no comparison.
func ParseNumber(s string) (float64, bool) {
	digits := strings.TrimLeft(s, "+-")
	if len(s)-len(digits) > 1 || digits == "" || !isDigit(digits[0]) || !isDigit(digits[len(digits)-1]) {
		return 0, false
	}
	if strings.Trim(digits, "0123456789.") != "" || strings.Count(digits, ".") > 1 {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}
