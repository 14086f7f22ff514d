package wire

import (
	"math/bits"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// quoted reads the string whose opening quote is at hand. A string without escapes is a part of the text; one with
// escapes is built anew.
func (d *decoder) quoted() string {
	s := d.json
	start := d.pos + 1
	n, high := plain(s[start:])
	d.high |= high
	if i := start + n; i < len(s) {
		switch s[i] {
		case '"':
			d.pos = i + 1
			return s[start:i]
		case '\\':
			return d.unescape(start, i)
		}
	}
	d.malformed()
	return ""
}

const ones, tops = 0x0101010101010101, 0x8080808080808080

// plain gives the length of the longest prefix of s that holds no quote, backslash or control character. high has a top
// bit set if the prefix is not all ASCII, and perhaps if what stands near it is not.
func plain(s string) (n int, high uint64) {
	i := 0
	for ; i+8 <= len(s); i += 8 {
		w := uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
			uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
		// The top bit of x-ones&^x is set in a byte of x that is zero, and perhaps in ones above it: the lowest is right.
		quote, slash := w^ones*'"', w^ones*'\\'
		high |= w
		if found := ((w-ones*' ')&^w | (quote-ones)&^quote | (slash-ones)&^slash) & tops; found != 0 {
			return i + bits.TrailingZeros64(found)/8, high
		}
	}
	for ; i < len(s); i++ {
		c := s[i]
		if c == '"' || c == '\\' || c < ' ' {
			break
		}
		high |= uint64(c)
	}
	return i, high
}

// unescape reads on from the first backslash of the string that began at start.
func (d *decoder) unescape(start, slash int) string {
	s := d.json
	d.high = tops // what follows is not looked at
	out := append(make([]byte, 0, slash-start+32), s[start:slash]...)
	for i := slash; i < len(s); {
		switch c := s[i]; {
		case c == '"':
			d.pos = i + 1
			return string(out)
		case c == '\\':
			d.pos = i
			out = d.escape(out)
			if d.err != nil {
				return ""
			}
			i = d.pos
		case c < ' ':
			d.malformed()
			return ""
		default:
			out = append(out, c)
			i++
		}
	}
	d.malformed()
	return ""
}

// escape appends what the escape at hand stands for.
func (d *decoder) escape(out []byte) []byte {
	if d.pos+1 >= len(d.json) {
		d.malformed()
		return out
	}
	c := d.json[d.pos+1]
	d.pos += 2
	switch c {
	case '"', '\\', '/':
		return append(out, c)
	case 'b':
		return append(out, '\b')
	case 'f':
		return append(out, '\f')
	case 'n':
		return append(out, '\n')
	case 'r':
		return append(out, '\r')
	case 't':
		return append(out, '\t')
	case 'u':
		return utf8.AppendRune(out, d.unicode())
	}
	d.malformed()
	return out
}

// unicode reads the four digits after \u, and those of the second half of a surrogate pair.
func (d *decoder) unicode() rune {
	high := d.hex()
	if !utf16.IsSurrogate(high) {
		return high
	}
	if d.pos+1 < len(d.json) && d.json[d.pos] == '\\' && d.json[d.pos+1] == 'u' {
		d.pos += 2
		if r := utf16.DecodeRune(high, d.hex()); r != utf8.RuneError {
			return r
		}
	}
	d.fail("Surrogate without its partner found in a string")
	return 0
}

func (d *decoder) hex() rune {
	if d.pos+4 > len(d.json) {
		d.malformed()
		return 0
	}
	digits := d.json[d.pos : d.pos+4]
	for i := range 4 {
		c := digits[i] | 0x20
		if !isDigit(digits[i]) && (c < 'a' || c > 'f') {
			d.malformed()
			return 0
		}
	}
	n, err := strconv.ParseUint(digits, 16, 32)
	if err != nil {
		d.malformed()
		return 0
	}
	d.pos += 4
	return rune(n)
}

// number reads over one number of the JSON grammar.
func (d *decoder) number() {
	if d.at('-') {
		d.pos++
	}
	switch {
	case d.at('0'):
		d.pos++
	default:
		d.digits()
	}
	if d.at('.') {
		d.pos++
		d.digits()
	}
	if d.at('e') || d.at('E') {
		d.pos++
		if d.at('+') || d.at('-') {
			d.pos++
		}
		d.digits()
	}
}

func (d *decoder) digits() {
	start := d.pos
	for d.pos < len(d.json) && isDigit(d.json[d.pos]) {
		d.pos++
	}
	if d.pos == start {
		d.malformed()
	}
}

func (d *decoder) at(c byte) bool { return d.pos < len(d.json) && d.json[d.pos] == c }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
