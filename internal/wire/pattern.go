package wire

import "strings"

// The patterns that every report meets many times, as code: a test holds each against the model's regular expression.

func isNodeID(s string) bool {
	rest, activated := strings.CutPrefix(s, "mi-")
	if !activated {
		var ok bool
		if rest, ok = strings.CutPrefix(s, "i-"); !ok || len(rest) != 8 && len(rest) != 17 {
			return false
		}
	}
	return (!activated || len(rest) == 17) && all(rest, isWord)
}

func isWord(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_'
}

// isTypeName keeps `.` from every line terminator, as the model's regular expressions do and Go's do from \n alone.
func isTypeName(s string) bool {
	rest, ok := strings.CutPrefix(s, "AWS:")
	if !ok {
		rest, ok = strings.CutPrefix(s, "Custom:")
	}
	return ok && !strings.ContainsAny(rest, "\n\r\u0085\u2028\u2029")
}

func isVersion(s string) bool {
	major, minor, ok := strings.Cut(s, ".")
	return ok && isShortNumber(major) && isShortNumber(minor)
}

func isShortNumber(s string) bool { return 1 <= len(s) && len(s) <= 6 && all(s, isDigit) }

// isCaptureTime checks 20YY-MM-DDThh:mm:ssZ, each field within its range but the day not against the month.
func isCaptureTime(s string) bool {
	const form = "20dd-dd-ddTdd:dd:ddZ"
	if len(s) != len(form) {
		return false
	}
	for i := range len(form) {
		if form[i] == 'd' && !isDigit(s[i]) || form[i] != 'd' && s[i] != form[i] {
			return false
		}
	}
	month, day := s[5:7], s[8:10]
	return "01" <= month && month <= "12" && "01" <= day && day <= "31" && s[11:13] <= "23" && s[14] <= '5' && s[17] <= '5'
}

func all(s string, is func(byte) bool) bool {
	for i := range len(s) {
		if !is(s[i]) {
			return false
		}
	}
	return true
}
