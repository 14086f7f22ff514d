package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// checkTarget refuses what the canonical form below does not carry: every path but "/", every query string.
func checkTarget(r *http.Request) *Error {
	u := r.URL
	if u.RawQuery != "" || u.ForceQuery {
		if strings.Contains(strings.ToLower(u.RawQuery), "x-amz-") {
			return incomplete("Authentication by query string is not supported. Sign the request with an Authorization header.")
		}
		return invalid("The request must not have a query string.")
	}
	if u.Path != "/" || u.RawPath != "" || u.Opaque != "" {
		return invalid("The request must have the path '/', not %s.", quote(u.EscapedPath()))
	}
	return nil
}

// canonicalHead is the canonical request up to the line of the body's hash.
// It fails when a header of the list is not in the request.
func canonicalHead(r *http.Request, signed []string) (string, *Error) {
	var b strings.Builder
	b.Grow(512)
	b.WriteString(r.Method)
	b.WriteString("\n/\n\n")
	for _, name := range signed {
		values := headerValues(r, name)
		if len(values) == 0 {
			return "", invalid("The signed header %s is not in the request.", quote(name))
		}
		b.WriteString(name)
		b.WriteByte(':')
		for i, value := range values {
			if i > 0 {
				b.WriteByte(',')
			}
			writeCollapsed(&b, value)
		}
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	for i, name := range signed {
		if i > 0 {
			b.WriteByte(';')
		}
		b.WriteString(name)
	}
	b.WriteByte('\n')
	return b.String(), nil
}

// headerValues gives the values of a header by its lower-case name, in the order received, and none when it is absent.
// net/http keeps Host outside the header map, and so it does with the Content-Length of a request about to be sent.
func headerValues(r *http.Request, name string) []string {
	if name == "host" {
		if host := requestHost(r); host != "" {
			return []string{host}
		}
		return nil
	}
	values := r.Header[http.CanonicalHeaderKey(name)]
	if name == "content-length" && len(values) == 0 && r.ContentLength > 0 {
		return []string{strconv.FormatInt(r.ContentLength, 10)}
	}
	return values
}

func requestHost(r *http.Request) string {
	if r.Host != "" {
		return r.Host
	}
	return r.URL.Host
}

// writeCollapsed writes value without spaces at its ends and with one space for each run of them inside.
func writeCollapsed(b *strings.Builder, value string) {
	value = strings.TrimSpace(value)
	if !strings.Contains(value, "  ") {
		b.WriteString(value)
		return
	}
	var last byte
	for i := range len(value) {
		if c := value[i]; c != ' ' || last != ' ' {
			b.WriteByte(c)
		}
		last = value[i]
	}
}

// stringToSign joins the time, the scope and the hash of the canonical request.
func stringToSign(head string, bodyHash [sha256.Size]byte, amzDate, scope string) string {
	h := sha256.New()
	h.Write([]byte(head))
	h.Write([]byte(hex.EncodeToString(bodyHash[:])))
	return Algorithm + "\n" + amzDate + "\n" + scope + "\n" + hex.EncodeToString(h.Sum(nil))
}

// amzHeaders lists, lower-case and sorted, the x-amz-* headers of the request.
func amzHeaders(r *http.Request) []string {
	var names []string
	for name := range r.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-amz-") {
			names = append(names, lower)
		}
	}
	slices.Sort(names)
	return names
}
