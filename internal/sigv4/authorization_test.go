package sigv4

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	goodCredential = "Credential=AK/20260301/eu-west-1/ssm/aws4_request"
	goodHeaders    = "SignedHeaders=host;x-amz-date"
	goodSignature  = "Signature=c2ln+/bmF0dXJl=="
)

func TestParseAuthorizationOrderAndSpacing(t *testing.T) {
	want := Authorization{
		AccessKeyID: "AK", Date: "20260301", Region: "eu-west-1", Service: "ssm",
		SignedHeaders: []string{"host", "x-amz-date"}, Signature: "c2ln+/bmF0dXJl==",
	}
	for _, header := range []string{
		goodCredential + ", " + goodHeaders + ", " + goodSignature,
		goodCredential + "," + goodHeaders + "," + goodSignature,
		goodSignature + " ,\t" + goodHeaders + "  ,  " + goodCredential + "  ",
		"   " + goodHeaders + "," + goodSignature + ", " + goodCredential,
	} {
		got, err := parseAuthorization("AWS4-HMAC-SHA256 " + header)
		if err != nil {
			t.Errorf("%q: %v", header, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", header, diff)
		}
	}
}

// malformed gives headers that are refused. C, H and S stand for a good part each, A for the algorithm.
var malformed = []struct {
	header string
	code   Code
	text   string
}{
	{"", CodeMissingToken, "Missing Authentication Token"},
	{"Basic dXNlcjpwYXNz", CodeMissingToken, "Missing Authentication Token"},
	{"aws4-hmac-sha256 C, H, S", CodeMissingToken, "Missing Authentication Token"},
	{"AWS4-ECDSA-P256-SHA256 C, H, S", CodeIncomplete, "Unsupported AWS 'algorithm': 'AWS4-ECDSA-P256-SHA256'"},
	{"AWS4-HMAC-SHA256,C, H, S", CodeIncomplete, "Unsupported AWS 'algorithm'"},
	{"A", CodeIncomplete, "requires 'Credential' parameter. Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter."},
	{"A H, S", CodeIncomplete, "Authorization header requires 'Credential' parameter."},
	{"A C, H", CodeIncomplete, "Authorization header requires 'Signature' parameter."},
	{"A C, S", CodeIncomplete, "Authorization header requires 'SignedHeaders' parameter."},
	{"A C, H, Signature=", CodeIncomplete, "Authorization header requires 'Signature' parameter."},
	{"A C, SignedHeaders=, S", CodeIncomplete, "Authorization header requires 'SignedHeaders' parameter."},
	{"A Credential=, H, S", CodeIncomplete, "Authorization header requires 'Credential' parameter."},
	{"A C, C, H, S", CodeIncomplete, "the parameter 'Credential' twice"},
	{"A C, H, S, S", CodeIncomplete, "the parameter 'Signature' twice"},
	{"A C, H, H, S", CodeIncomplete, "the parameter 'SignedHeaders' twice"},
	{"A C, H, S, Extra=1", CodeIncomplete, "unknown parameter 'Extra'"},
	{"A C, H, S, credential=1", CodeIncomplete, "unknown parameter 'credential'"},
	{"A C, H, S,", CodeIncomplete, "missing equal-sign"},
	{"A C,, H, S", CodeIncomplete, "missing equal-sign"},
	{"A C, H, Signature", CodeIncomplete, "missing equal-sign"},
	{"A C H S", CodeIncomplete, "a space"},
	{"A C, H, Signature=a b", CodeIncomplete, "a space"},
	{"A C, H, Signature=\u00e4", CodeIncomplete, "not ASCII"},
	{"A C, H, Signature=\x00", CodeIncomplete, "not ASCII"},
	{"A Credential =x, H, S", CodeIncomplete, "unknown parameter 'Credential '"},
	{"A Credential=AK, H, S", CodeIncomplete, "exactly 5 slash-delimited elements"},
	{"A Credential=AK/20260301/eu-west-1/ssm, H, S", CodeIncomplete, "exactly 5 slash-delimited elements"},
	{"A Credential=AK/20260301/eu-west-1/ssm/aws4_request/, H, S", CodeIncomplete, "exactly 5 slash-delimited elements"},
	{"A Credential=/20260301/eu-west-1/ssm/aws4_request, H, S", CodeIncomplete, "exactly 5 slash-delimited elements"},
	{"A Credential=AK//eu-west-1/ssm/aws4_request, H, S", CodeIncomplete, "exactly 5 slash-delimited elements"},
	{"A Credential=AK/20260301/eu-west-1/ssm/aws5_request, H, S", CodeInvalidSignature, "valid terminator: 'aws4_request', not 'aws5_request'"},
	{"A C, SignedHeaders=Host;x-amz-date, S", CodeInvalidSignature, "lower-case header names"},
	{"A C, SignedHeaders=host;, S", CodeInvalidSignature, "lower-case header names"},
	{"A C, SignedHeaders=;host, S", CodeInvalidSignature, "lower-case header names"},
	{"A C, SignedHeaders=host;x(y, S", CodeInvalidSignature, "lower-case header names"},
	{"A C, SignedHeaders=x-amz-date;host, S", CodeInvalidSignature, "sorted"},
	{"A C, SignedHeaders=host;host;x-amz-date, S", CodeInvalidSignature, "sorted"},
}

func TestParseAuthorizationMalformed(t *testing.T) {
	for _, m := range malformed {
		t.Run(m.header, func(t *testing.T) {
			_, err := parseAuthorization(expandParts(m.header))
			wantError(t, err, m.code, m.text)
		})
	}
}

// expandParts puts the algorithm and the good parts in place of the lone letters.
func expandParts(header string) string {
	words := strings.Split(header, " ")
	for i, word := range words {
		letter, comma := strings.TrimRight(word, ","), strings.Repeat(",", strings.Count(word, ","))
		switch letter {
		case "A":
			words[i] = Algorithm
		case "C":
			words[i] = goodCredential + comma
		case "H":
			words[i] = goodHeaders + comma
		case "S":
			words[i] = goodSignature + comma
		}
	}
	return strings.Join(words, " ")
}

func TestErrorsRepeatLittleOfTheRequest(t *testing.T) {
	_, err := parseAuthorization(Algorithm + " Credential=" + strings.Repeat("x", 1<<20) + ", " + goodHeaders + ", " + goodSignature)
	if err == nil || len(err.Error()) > 300 {
		t.Errorf("an error of %d bytes", len(err.Error()))
	}
}

func FuzzAuthorization(f *testing.F) {
	f.Add(Algorithm + " " + goodCredential + ", " + goodHeaders + ", " + goodSignature)
	for _, m := range malformed {
		f.Add(expandParts(m.header))
	}
	f.Fuzz(func(t *testing.T, header string) {
		a, err := parseAuthorization(header)
		if err != nil {
			if len(err.Error()) > 400 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		again, err := parseAuthorization(a.String())
		if err != nil {
			t.Fatalf("%q came out as %q, which is refused: %v", header, a, err)
		}
		if diff := cmp.Diff(a, again); diff != "" {
			t.Fatalf("%q came out as another one (-first +second):\n%s", header, diff)
		}
	})
}
