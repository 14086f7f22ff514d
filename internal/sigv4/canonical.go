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

// canonicalHead is the canonical request up to the line of the body's hash, with room for that.
// It fails when a header of the list is not in the request.
func canonicalHead(r *http.Request, signed []string) ([]byte, *Error) {
	b := make([]byte, 0, 512)
	b = append(append(b, r.Method...), "\n/\n\n"...)
	for _, name := range signed {
		if name == "host" {
			if host := requestHost(r); host != "" {
				b = append(appendCollapsed(append(b, "host:"...), host), '\n')
				continue
			}
		}
		values := headerValues(r, name)
		if len(values) == 0 {
			return nil, invalid("The signed header %s is not in the request.", quote(name))
		}
		b = append(append(b, name...), ':')
		for i, value := range values {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendCollapsed(b, value)
		}
		b = append(b, '\n')
	}
	b = append(b, '\n')
	for i, name := range signed {
		if i > 0 {
			b = append(b, ';')
		}
		b = append(b, name...)
	}
	return append(b, '\n'), nil
}

// headerKey is http.CanonicalHeaderKey, which has to make the keys that are not of HTTP's own.
func headerKey(name string) string {
	switch name {
	case "x-amz-date":
		return dateHeader
	case "x-amz-target":
		return "X-Amz-Target"
	case "x-amz-content-sha256":
		return contentHeader
	case "x-amz-security-token":
		return tokenHeader
	}
	return http.CanonicalHeaderKey(name)
}

// headerValues gives the values of a header by its lower-case name, in the order received, and none when it is absent.
// net/http keeps Host outside the header map, and so it does with the Content-Length of a request about to be sent.
func headerValues(r *http.Request, name string) []string {
	if name == "host" {
		return nil
	}
	values := r.Header[headerKey(name)]
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

// appendCollapsed appends value without spaces at its ends and with one space for each run of them inside.
func appendCollapsed(b []byte, value string) []byte {
	value = strings.TrimSpace(value)
	if !strings.Contains(value, "  ") {
		return append(b, value...)
	}
	var last byte
	for i := range len(value) {
		if c := value[i]; c != ' ' || last != ' ' {
			b = append(b, c)
		}
		last = value[i]
	}
	return b
}

// appendStringToSign joins the time, the scope and the hash of the canonical request.
func appendStringToSign(dst, head []byte, bodyHash [sha256.Size]byte, amzDate string, a *Authorization) []byte {
	request := sha256.Sum256(hex.AppendEncode(head[:len(head):cap(head)], bodyHash[:]))
	dst = append(append(append(dst, Algorithm...), '\n'), amzDate...)
	dst = append(a.appendScope(append(dst, '\n')), '\n')
	return hex.AppendEncode(dst, request[:])
}

// isAmz reports whether a header's name, in any case, begins as those of AWS do.
func isAmz(name string) bool {
	const prefix = "x-amz-"
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}

// amzHeaders lists, lower-case and sorted, the x-amz-* headers of the request.
func amzHeaders(r *http.Request) []string {
	var names []string
	for name := range r.Header {
		if isAmz(name) {
			names = append(names, strings.ToLower(name))
		}
	}
	slices.Sort(names)
	return names
}
