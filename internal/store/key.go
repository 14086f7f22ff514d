package store

import "strings"

// Key makes a record's key from its parts: they are joined by `/`, and a `/` or `%` within a part is escaped, so that no
// two lists of parts make the same key and a prefix made of whole parts and a final "/" selects just what lies below.
func Key(parts ...string) string {
	var b strings.Builder
	for i, p := range parts {
		if i > 0 {
			b.WriteByte('/')
		}
		b.WriteString(keyEscaper.Replace(p))
	}
	return b.String()
}

// KeyParts undoes Key.
func KeyParts(key string) []string {
	parts := strings.Split(key, "/")
	for i, p := range parts {
		parts[i] = keyUnescaper.Replace(p)
	}
	return parts
}

var (
	keyEscaper   = strings.NewReplacer("%", "%25", "/", "%2F")
	keyUnescaper = strings.NewReplacer("%2F", "/", "%25", "%")
)
