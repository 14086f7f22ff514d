package wire

import (
	"math"
	"strconv"
	"time"
)

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string. Only what JSON demands is escaped: quotes, backslashes, control characters.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	clean := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[clean:i]...)
		clean = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	dst = append(dst, s[clean:]...)
	return append(dst, '"')
}

// Each member ends in a comma; closeObject and closeList put the closing sign in place of the last one.

func closeObject(dst []byte) []byte { return closeWith(dst, '}') }
func closeList(dst []byte) []byte   { return closeWith(dst, ']') }

func closeWith(dst []byte, sign byte) []byte {
	if dst[len(dst)-1] == ',' {
		dst[len(dst)-1] = sign
		return dst
	}
	return append(dst, sign)
}

// nameMember appends a member's name, which is one of ours and needs no escapes, and its colon.
func nameMember(dst []byte, name string) []byte {
	dst = append(dst, '"')
	dst = append(dst, name...)
	return append(dst, '"', ':')
}

func stringMember(dst []byte, name, s string) []byte {
	return append(appendString(nameMember(dst, name), s), ',')
}

// optionalMember leaves out an empty string.
func optionalMember(dst []byte, name, s string) []byte {
	if s == "" {
		return dst
	}
	return stringMember(dst, name, s)
}

func pointerMember(dst []byte, name string, s *string) []byte {
	if s == nil {
		return dst
	}
	return stringMember(dst, name, *s)
}

// trueMember leaves out false.
func trueMember(dst []byte, name string, v bool) []byte {
	if !v {
		return dst
	}
	return append(nameMember(dst, name), "true,"...)
}

func integerMember(dst []byte, name string, n int32) []byte {
	return append(strconv.AppendInt(nameMember(dst, name), int64(n), 10), ',')
}

func integerPointerMember(dst []byte, name string, n *int32) []byte {
	if n == nil {
		return dst
	}
	return integerMember(dst, name, *n)
}

// timeMember appends seconds since 1970 with at least one and at most three decimals, as the live service's samples
// show them (1550254911.0); the zero time is left out.
func timeMember(dst []byte, name string, t time.Time) []byte {
	if t.IsZero() {
		return dst
	}
	dst = nameMember(dst, name)
	ms := t.UnixMilli()
	if ms%1000 == 0 {
		return append(strconv.AppendInt(dst, ms/1000, 10), ".0,"...)
	}
	return append(strconv.AppendFloat(dst, float64(ms)/1000, 'f', -1, 64), ',')
}

// Times are of the years 1 to 9999, as text and JSON write them. In seconds since 1970: from earliest, before latest.
const (
	earliest = -62135596800
	latest   = 253402300800
)

// time reads a time as seconds since 1970.
func (d *decoder) time(v *time.Time) {
	seconds, ok := d.float()
	if !ok {
		return
	}
	if seconds = math.Round(seconds*1000) / 1000; seconds < earliest || seconds >= latest {
		d.fail("NUMBER_VALUE can not be converted to a Timestamp")
		return
	}
	*v = time.UnixMilli(int64(math.Round(seconds * 1000))).UTC()
}

// listMember leaves out a list that is nil.
func listMember[T any](dst []byte, name string, list []T, element func(dst []byte, v *T) []byte) []byte {
	if list == nil {
		return dst
	}
	return requiredList(dst, name, list, element)
}

// requiredList appends a nil list as [].
func requiredList[T any](dst []byte, name string, list []T, element func(dst []byte, v *T) []byte) []byte {
	dst = append(nameMember(dst, name), '[')
	for i := range list {
		dst = append(element(dst, &list[i]), ',')
	}
	return append(closeList(dst), ',')
}

func appendValue(dst []byte, v *string) []byte { return appendString(dst, *v) }
func appendEntry(dst []byte, v *Entry) []byte  { return v.AppendJSON(dst) }
