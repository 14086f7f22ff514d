package sigv4

import (
	"slices"
	"strings"
)

// Authorization is the value of an Authorization header, taken apart. The signature is kept as it came: hexadecimal for a
// shared secret, base64 where a node signs with its own key pair.
type Authorization struct {
	AccessKeyID   string
	Date          string // the day of the scope, YYYYMMDD; not checked to be a day
	Region        string // not empty; its form is not checked
	Service       string
	SignedHeaders []string // lower case, sorted, each once, never empty
	Signature     string
}

// String gives the header in the form clients usually send it. parseAuthorization of it gives a again.
func (a Authorization) String() string {
	return Algorithm + " Credential=" + a.AccessKeyID + "/" + a.scope() +
		", SignedHeaders=" + strings.Join(a.SignedHeaders, ";") + ", Signature=" + a.Signature
}

func (a *Authorization) scope() string { return string(a.appendScope(nil)) }

func (a *Authorization) appendScope(dst []byte) []byte {
	for _, element := range [...]string{a.Date, a.Region, a.Service} {
		dst = append(append(dst, element...), '/')
	}
	return append(dst, terminator...)
}

// parts are the three parts of the header.
type parts struct{ credential, headers, signature part }

type part struct {
	value string
	given bool
}

const (
	partCredential = "Credential"
	partHeaders    = "SignedHeaders"
	partSignature  = "Signature"
)

// named gives the place of the part with a name, or nil.
func (p *parts) named(name string) *part {
	switch name {
	case partCredential:
		return &p.credential
	case partHeaders:
		return &p.headers
	case partSignature:
		return &p.signature
	}
	return nil
}

// parseAuthorization takes an Authorization header apart: the algorithm, then Credential, SignedHeaders and Signature,
// each once, in any order, separated by commas with or without spaces. The error is an [*Error].
func parseAuthorization(header string) (Authorization, error) {
	algorithm, rest, _ := strings.Cut(strings.Trim(header, " \t"), " ")
	if !strings.HasPrefix(algorithm, "AWS4-") {
		return Authorization{}, &Error{CodeMissingToken, messageMissing}
	}
	if algorithm != Algorithm {
		return Authorization{}, incomplete("Unsupported AWS 'algorithm': %s.", quote(algorithm))
	}
	parts, err := authorizationParts(rest)
	if err != nil {
		return Authorization{}, err
	}
	a := Authorization{Signature: parts.signature.value}
	if err := a.setCredential(parts.credential.value); err != nil {
		return Authorization{}, err
	}
	if err := a.setSignedHeaders(parts.headers.value); err != nil {
		return Authorization{}, err
	}
	return a, nil
}

// authorizationParts gives the value of each of the three parts; none is empty, and each is printable ASCII.
func authorizationParts(rest string) (parts, error) {
	var all parts
	for text := range strings.SplitSeq(rest, ",") {
		text = strings.Trim(text, " \t")
		if text == "" && rest == "" {
			break
		}
		name, value, found := strings.Cut(text, "=")
		if !found {
			return parts{}, incomplete("An element of the Authorization header is not a key=value pair (missing equal-sign).")
		}
		place := all.named(name)
		if place == nil {
			return parts{}, incomplete("Authorization header has an unknown parameter %s.", quote(name))
		}
		if place.given {
			return parts{}, incomplete("Authorization header has the parameter '%s' twice.", name)
		}
		if strings.ContainsFunc(value, func(c rune) bool { return c <= ' ' || c > '~' }) {
			return parts{}, incomplete("Authorization header has a space or a character that is not ASCII in its '%s' parameter.", name)
		}
		place.value, place.given = value, true
	}
	var missing []string
	for _, name := range []string{partCredential, partSignature, partHeaders} {
		if all.named(name).value == "" {
			missing = append(missing, "Authorization header requires '"+name+"' parameter.")
		}
	}
	if missing != nil {
		return parts{}, incomplete("%s", strings.Join(missing, " "))
	}
	return all, nil
}

func (a *Authorization) setCredential(credential string) error {
	elements := strings.Split(credential, "/")
	if len(elements) != 5 || slices.Contains(elements, "") {
		return incomplete("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got %s.",
			quote(credential))
	}
	if elements[4] != terminator {
		return invalid("Credential should be scoped with a valid terminator: '%s', not %s.", terminator, quote(elements[4]))
	}
	a.AccessKeyID, a.Date, a.Region, a.Service = elements[0], elements[1], elements[2], elements[3]
	return nil
}

func (a *Authorization) setSignedHeaders(list string) error {
	a.SignedHeaders = strings.Split(list, ";")
	for i, name := range a.SignedHeaders {
		if !isHeaderName(name) {
			return invalid("SignedHeaders must be lower-case header names separated by ';', got %s.", quote(name))
		}
		if i > 0 && a.SignedHeaders[i-1] >= name {
			return invalid("SignedHeaders must be sorted and name each header once, got %s after %s.",
				quote(name), quote(a.SignedHeaders[i-1]))
		}
	}
	return nil
}

// isHeaderName says whether name is an HTTP token (RFC 9110, 5.6.2) without upper-case letters.
func isHeaderName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return name != ""
}
