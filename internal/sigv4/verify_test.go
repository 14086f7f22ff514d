package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// resign computes the signature over whatever the request's headers now claim, so that only the changed claim is judged.
func resign(t *testing.T, r *http.Request, body string, c Credentials, change func(*Authorization)) {
	t.Helper()
	a, err := parseAuthorization(r.Header.Get("Authorization"))
	if err != nil {
		t.Fatal(err)
	}
	change(&a)
	head, fault := canonicalHead(r, a.SignedHeaders)
	if fault != nil {
		t.Fatal(fault)
	}
	text := appendStringToSign(nil, head, sha256.Sum256([]byte(body)), r.Header.Get(dateHeader), &a)
	a.Signature = hex.EncodeToString(hmacSHA256(deriveKey(c.SecretAccessKey, a.Date, a.Region, a.Service), text))
	r.Header.Set("Authorization", a.String())
}

// refusals change a good request, signed with the permanent key, into one that must be refused.
var refusals = []struct {
	name   string
	change func(t *testing.T, r *http.Request)
	code   Code
	text   string
}{
	{"no header", func(_ *testing.T, r *http.Request) { r.Header.Del("Authorization") }, CodeMissingToken, "Missing Authentication Token"},
	{"two headers", func(_ *testing.T, r *http.Request) { r.Header.Add("Authorization", r.Header.Get("Authorization")) }, CodeIncomplete, "exactly one Authorization header"},
	{"no date", func(_ *testing.T, r *http.Request) { r.Header.Del(dateHeader) }, CodeIncomplete, "existence of a 'X-Amz-Date' header"},
	{"two dates", func(_ *testing.T, r *http.Request) { r.Header.Add(dateHeader, r.Header.Get(dateHeader)) }, CodeIncomplete, "must be one date"},
	{"date in another form", func(_ *testing.T, r *http.Request) { r.Header.Set(dateHeader, "2026-03-01T12:00:00Z") }, CodeIncomplete, "must be one date"},
	{"date with a fraction", func(_ *testing.T, r *http.Request) { r.Header.Set(dateHeader, "20260301T120000.5Z") }, CodeIncomplete, "must be one date"},
	{"date that is none", func(_ *testing.T, r *http.Request) { r.Header.Set(dateHeader, "20260230T120000Z") }, CodeIncomplete, "must be one date"},
	{"other method", func(_ *testing.T, r *http.Request) { r.Method = http.MethodPut }, CodeInvalidSignature, "does not match the signature"},
	{"other host", func(_ *testing.T, r *http.Request) { r.Host = "127.0.0.1:7541" }, CodeInvalidSignature, "does not match the signature"},
	{"no host", func(_ *testing.T, r *http.Request) { r.Host, r.URL.Host = "", "" }, CodeInvalidSignature, "'host' is not in the request"},
	{"other target", func(_ *testing.T, r *http.Request) { r.Header.Set("X-Amz-Target", "AmazonSSM.DeleteInventory") }, CodeInvalidSignature, "does not match the signature"},
	{"doubled target", func(_ *testing.T, r *http.Request) { r.Header.Add("X-Amz-Target", "AmazonSSM.PutInventory") }, CodeInvalidSignature, "does not match the signature"},
	{"other content type", func(_ *testing.T, r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, CodeInvalidSignature, "does not match the signature"},
	{"removed header", func(_ *testing.T, r *http.Request) { r.Header.Del("X-Amz-Target") }, CodeInvalidSignature, "'x-amz-target' is not in the request"},
	{"added header", func(_ *testing.T, r *http.Request) { r.Header.Set("X-Amz-Meta", "1") }, CodeInvalidSignature, "'x-amz-meta' must be a 'SignedHeader'"},
	{"upper-case signature", func(t *testing.T, r *http.Request) {
		editSignature(t, r, strings.ToUpper)
	}, CodeInvalidSignature, "does not match the signature"},
	{"longer signature", func(t *testing.T, r *http.Request) {
		editSignature(t, r, func(s string) string { return s + "00" })
	}, CodeInvalidSignature, "does not match the signature"},
	{"signature that is no hexadecimal", func(t *testing.T, r *http.Request) {
		editSignature(t, r, func(s string) string { return "g" + s[1:] })
	}, CodeInvalidSignature, "does not match the signature"},
	{"unsigned payload", func(_ *testing.T, r *http.Request) { r.Header.Set(contentHeader, "UNSIGNED-PAYLOAD") }, CodeInvalidSignature, "'x-amz-content-sha256' header must be"},
	{"streaming payload", func(_ *testing.T, r *http.Request) {
		r.Header.Set(contentHeader, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
	}, CodeInvalidSignature, "'x-amz-content-sha256' header must be"},
	{"streaming trailer", func(_ *testing.T, r *http.Request) { r.Header.Set(contentHeader, "STREAMING-UNSIGNED-PAYLOAD-TRAILER") }, CodeInvalidSignature, "'x-amz-content-sha256' header must be"},
	{"hash of another body", func(_ *testing.T, r *http.Request) { r.Header.Set(contentHeader, strings.Repeat("0", 64)) }, CodeInvalidSignature, "does not match the SHA-256 hash of the body"},
	{"two hashes", func(_ *testing.T, r *http.Request) {
		hash := sha256.Sum256([]byte("body"))
		r.Header[contentHeader] = []string{hex.EncodeToString(hash[:]), hex.EncodeToString(hash[:])}
	}, CodeInvalidSignature, "'x-amz-content-sha256' header must be"},
	{"query string", func(_ *testing.T, r *http.Request) { r.URL.RawQuery = "a=b" }, CodeInvalidSignature, "must not have a query string"},
	{"empty query string", func(_ *testing.T, r *http.Request) { r.URL.ForceQuery = true }, CodeInvalidSignature, "must not have a query string"},
	{"signed by query", func(_ *testing.T, r *http.Request) {
		r.Header.Del("Authorization")
		r.URL.RawQuery = "X-Amz-Algorithm=AWS4-HMAC-SHA256"
	}, CodeIncomplete, "by query string is not supported"},
	{"other path", func(_ *testing.T, r *http.Request) { r.URL.Path = "/x" }, CodeInvalidSignature, "must have the path '/', not '/x'"},
	{"encoded path", func(t *testing.T, r *http.Request) { r.URL = mustURL(t, "/%2f") }, CodeInvalidSignature, "must have the path '/', not '/%2f'"},
	{"dotted path", func(t *testing.T, r *http.Request) { r.URL = mustURL(t, "/./") }, CodeInvalidSignature, "must have the path '/', not '/./'"},
	{"no path", func(_ *testing.T, r *http.Request) { r.URL = &url.URL{Opaque: "*"} }, CodeInvalidSignature, "must have the path '/'"},
	{"superfluous token", func(t *testing.T, r *http.Request) {
		r.Header.Set(tokenHeader, "token")
		resign(t, r, "body", permanent, func(a *Authorization) {
			a.SignedHeaders = []string{"content-type", "host", "x-amz-date", "x-amz-security-token", "x-amz-target"}
		})
	}, CodeUnrecognized, "The security token included in the request is invalid."},
	{"empty token", func(t *testing.T, r *http.Request) {
		r.Header.Set(tokenHeader, "")
		resign(t, r, "body", permanent, func(a *Authorization) {
			a.SignedHeaders = []string{"content-type", "host", "x-amz-date", "x-amz-security-token", "x-amz-target"}
		})
	}, CodeUnrecognized, "The security token included in the request is invalid."},
	{"other day in the scope", func(t *testing.T, r *http.Request) {
		resign(t, r, "body", permanent, func(a *Authorization) { a.Date = "20260302" })
	}, CodeInvalidSignature, "'20260302' != '20260301', from '20260301T120000Z'"},
	{"other service", func(t *testing.T, r *http.Request) {
		resign(t, r, "body", permanent, func(a *Authorization) { a.Service = "s3" })
	}, CodeInvalidSignature, "correct service: 'ssm', not 's3'"},
	{"region with a dot", func(t *testing.T, r *http.Request) {
		resign(t, r, "body", permanent, func(a *Authorization) { a.Region = "eu.west" })
	}, CodeInvalidSignature, "valid region, not 'eu.west'"},
	{"region too long", func(t *testing.T, r *http.Request) {
		resign(t, r, "body", permanent, func(a *Authorization) { a.Region = strings.Repeat("r", 101) })
	}, CodeInvalidSignature, "valid region"},
	{"host not signed", func(t *testing.T, r *http.Request) {
		resign(t, r, "body", permanent, func(a *Authorization) { a.SignedHeaders = []string{"x-amz-date", "x-amz-target"} })
	}, CodeInvalidSignature, "'host' must be a 'SignedHeader'"},
	{"date not signed", func(t *testing.T, r *http.Request) {
		resign(t, r, "body", permanent, func(a *Authorization) { a.SignedHeaders = []string{"host", "x-amz-target"} })
	}, CodeInvalidSignature, "'x-amz-date' must be a 'SignedHeader'"},
	{"unknown key", func(t *testing.T, r *http.Request) {
		resign(t, r, "body", permanent, func(a *Authorization) { a.AccessKeyID = "AKIDNOBODY" })
	}, CodeUnrecognized, "The security token included in the request is invalid."},
	{"key of another", func(t *testing.T, r *http.Request) {
		resign(t, r, "body", Credentials{SecretAccessKey: "wrong"}, func(*Authorization) {})
	}, CodeInvalidSignature, messageMismatch},
}

func editSignature(t *testing.T, r *http.Request, edit func(string) string) {
	t.Helper()
	a, err := parseAuthorization(r.Header.Get("Authorization"))
	if err != nil {
		t.Fatal(err)
	}
	a.Signature = edit(a.Signature)
	r.Header.Set("Authorization", a.String())
}

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.ParseRequestURI(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestVerifyRefuses(t *testing.T) {
	for _, refusal := range refusals {
		t.Run(refusal.name, func(t *testing.T) {
			r := newRequest("body")
			mustSign(t, r, "body", permanent)
			v := testVerifier()
			if err := verify(v, r, "body", testTime); err != nil {
				t.Fatalf("before the change: %v", err)
			}
			refusal.change(t, r)
			wantError(t, verify(v, r, "body", testTime), refusal.code, refusal.text)
		})
	}
}

func TestVerifyRefusesAnotherBody(t *testing.T) {
	r := newRequest("body")
	mustSign(t, r, "body", permanent)
	wantError(t, verify(testVerifier(), r, "bodY", testTime), CodeInvalidSignature, messageMismatch)
}

func TestVerifyRefusesEachChangedDigit(t *testing.T) {
	v := testVerifier()
	r := newRequest("body")
	mustSign(t, r, "body", permanent)
	header := r.Header.Get("Authorization")
	for i := len(header) - 64; i < len(header); i++ {
		digit := byte('0')
		if header[i] == '0' {
			digit = '1'
		}
		r.Header.Set("Authorization", header[:i]+string(digit)+header[i+1:])
		wantError(t, verify(v, r, "body", testTime), CodeInvalidSignature, messageMismatch)
	}
}

func TestVerifyAcceptsRespacedAndUnsignedExtras(t *testing.T) {
	for name, change := range map[string]func(r *http.Request){
		"spaces at the ends":  func(r *http.Request) { r.Header.Set("X-Amz-Target", "  AmazonSSM.PutInventory ") },
		"unsigned user agent": func(r *http.Request) { r.Header.Set("User-Agent", "curl") },
		"unsigned trace":      func(r *http.Request) { r.Header.Set("X-Amzn-Trace-Id", "Root=1") },
		"unsigned equal hash": func(r *http.Request) { setContentHash(r, "body") },
		"longest region":      func(r *http.Request) { signFor(r, strings.Repeat("R", 100)) },
		"shortest region":     func(r *http.Request) { signFor(r, "0") },
		"doubled, joined":     func(r *http.Request) { r.Header["X-Amz-Meta"] = []string{"a  b", " c "}; signFor(r, "eu-west-1") },
		"empty signed header": func(r *http.Request) { r.Header.Set("X-Amz-Meta", ""); signFor(r, "eu-west-1") },
		"signed equal hash":   func(r *http.Request) { setContentHash(r, "body"); signFor(r, "eu-west-1") },
		"spaces around":       func(r *http.Request) { r.Header.Set("Authorization", " "+r.Header.Get("Authorization")+" ") },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRequest("body")
			mustSign(t, r, "body", permanent)
			change(r)
			if err := verify(testVerifier(), r, "body", testTime); err != nil {
				t.Error(err)
			}
		})
	}
}

func setContentHash(r *http.Request, body string) {
	hash := sha256.Sum256([]byte(body))
	r.Header.Set(contentHeader, hex.EncodeToString(hash[:]))
}

func signFor(r *http.Request, region string) {
	if err := Sign(r, sha256.Sum256([]byte("body")), permanent, region, "ssm", testTime); err != nil {
		panic(err)
	}
}

func TestVerifyTimeWindow(t *testing.T) {
	for _, c := range []struct {
		now  time.Duration // the server's clock against the signature's time
		skew time.Duration
		text string // empty: accepted
	}{
		{0, 0, ""},
		{5 * time.Minute, 0, ""},
		{-5 * time.Minute, 0, ""},
		{5*time.Minute + 999*time.Millisecond, 0, ""},
		{5*time.Minute + time.Second, 0, "Signature expired: 20260301T120000Z is now earlier than 20260301T120001Z (20260301T120501Z - 5 min.)"},
		{-5*time.Minute - time.Second, 0, "Signature not yet current: 20260301T120000Z is still later than 20260301T115959Z (20260301T115459Z + 5 min.)"},
		{15 * time.Minute, 15 * time.Minute, ""},
		{15*time.Minute + time.Second, 15 * time.Minute, "(20260301T121501Z - 15 min.)"},
		{365 * 24 * time.Hour, 0, "Signature expired"},
		{-365 * 24 * time.Hour, 0, "Signature not yet current"},
	} {
		v := testVerifier()
		v.Skew = c.skew
		r := newRequest("body")
		mustSign(t, r, "body", permanent)
		err := verify(v, r, "body", testTime.Add(c.now).In(time.FixedZone("", 3600)))
		if c.text == "" && err != nil {
			t.Errorf("clock at %v: %v", c.now, err)
		}
		if c.text != "" {
			wantError(t, err, CodeInvalidSignature, c.text)
		}
	}
}

func TestVerifySessionTokens(t *testing.T) {
	for _, c := range []struct {
		name   string
		key    Credentials
		token  string
		now    time.Time
		code   Code // empty: accepted
		answer string
	}{
		{"good", session, session.SessionToken, testTime, "", ""},
		{"missing", session, "", testTime, CodeUnrecognized, messageUnrecognized},
		{"bogus", session, "token", testTime, CodeUnrecognized, messageUnrecognized},
		{"of another session", session, ended.SessionToken, testTime, CodeUnrecognized, messageUnrecognized},
		{"a moment before the end", ended, ended.SessionToken, testTime.Add(-1), "", ""},
		{"ended", ended, ended.SessionToken, testTime, CodeExpiredToken, messageExpired},
		{"ended and bogus", ended, "token", testTime, CodeUnrecognized, messageUnrecognized},
		{"on a permanent key", permanent, session.SessionToken, testTime, CodeUnrecognized, messageUnrecognized},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRequest("body")
			c.key.SessionToken = c.token
			mustSign(t, r, "body", c.key)
			err := verify(testVerifier(), r, "body", c.now)
			if c.code == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantError(t, err, c.code, c.answer)
		})
	}
}

func TestHeadersGivesBackTheLookupsFault(t *testing.T) {
	r := newRequest("")
	mustSign(t, r, "", Credentials{AccessKeyID: "BROKEN"})
	if _, err := testVerifier().Headers(r, testTime); !errors.Is(err, errLookup) {
		t.Errorf("got %v", err)
	}
}

func TestClaimWithoutKeyNeverVerifies(t *testing.T) {
	r := newRequest("body")
	mustSign(t, r, "body", Credentials{AccessKeyID: "mi-0123456789abcdef0"})
	c, err := testVerifier().Claim(r, testTime)
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256([]byte("body"))
	wantError(t, c.Verify(hash), CodeInvalidSignature, messageMismatch)
	// Nor does it when the signature was made with no key at all.
	text := appendStringToSign(nil, c.head, hash, c.amzDate, &c.Authorization)
	c.Signature = hex.EncodeToString(hmacSHA256(nil, text))
	wantError(t, c.Verify(hash), CodeInvalidSignature, messageMismatch)
}

func TestKeyCacheFollowsTheSecret(t *testing.T) {
	v := testVerifier()
	claim := &Claim{Authorization: Authorization{AccessKeyID: "a", Date: "d", Region: "r", Service: "ssm"}}
	first := v.keys.signer(claim, claim.AccessKeyID, "secret").key
	second := v.keys.signer(claim, claim.AccessKeyID, "rotated").key
	if string(first) == string(second) {
		t.Error("the key of a rotated secret is the old one")
	}
	if string(v.keys.signer(claim, claim.AccessKeyID, "secret").key) != string(first) {
		t.Error("the key of a secret changed")
	}
}

func TestKeyCacheIsBounded(t *testing.T) {
	v := testVerifier()
	c := &Claim{Authorization: Authorization{AccessKeyID: "a", Date: "d", Service: "ssm"}}
	for i := range 3 * keyCacheSize {
		c.Region = time.Duration(i).String()
		v.keys.signer(c, c.AccessKeyID, "secret")
	}
	if n := len(v.keys.now) + len(v.keys.old); n > 2*keyCacheSize {
		t.Errorf("%d keys are kept", n)
	}
}

// TestUnknownKeysPushOutNone: what their dummy work keeps is theirs.
func TestUnknownKeysPushOutNone(t *testing.T) {
	v := testVerifier()
	good := newRequest("")
	mustSign(t, good, "", permanent)
	if err := verify(v, good, "", testTime); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		r := newRequest("")
		if err := Sign(r, sha256.Sum256(nil), Credentials{AccessKeyID: "NOBODY", SecretAccessKey: "s"}, "region-"+strconv.Itoa(i), "ssm", testTime); err != nil {
			t.Fatal(err)
		}
		wantError(t, verify(v, r, "", testTime), CodeUnrecognized, messageUnrecognized)
	}
	if len(v.keys.now) != 1 || len(v.keys.old) != 0 {
		t.Errorf("%d and %d known keys are kept, not the one in use", len(v.keys.now), len(v.keys.old))
	}
	if n := len(v.strangers.now); n != 50 {
		t.Errorf("%d are kept of a key that is not known, in 50 regions", n)
	}
}

func BenchmarkVerify(b *testing.B) {
	v := testVerifier()
	r := newRequest("body")
	mustSign(b, r, "body", session)
	hash := sha256.Sum256([]byte("body"))
	b.ReportAllocs()
	for b.Loop() {
		c, err := v.Headers(r, testTime)
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Verify(hash); err != nil {
			b.Fatal(err)
		}
	}
}
