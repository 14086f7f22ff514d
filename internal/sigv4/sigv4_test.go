package sigv4

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

var (
	testTime  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	permanent = Credentials{AccessKeyID: "AKIDPERMANENT", SecretAccessKey: "permanent/secret+"}
	session   = Credentials{AccessKeyID: "ASIDSESSION", SecretAccessKey: "session secret", SessionToken: "token//="}
	ended     = Credentials{AccessKeyID: "ASIDENDED", SecretAccessKey: "ended secret", SessionToken: "ended token"}
)

var errLookup = errors.New("disk on fire")

func testVerifier() *Verifier {
	keys := map[string]Key{
		permanent.AccessKeyID: {SecretAccessKey: permanent.SecretAccessKey, Identity: "perma"},
		session.AccessKeyID: {
			SecretAccessKey: session.SecretAccessKey, SessionToken: session.SessionToken, Expires: testTime.Add(time.Hour),
		},
		ended.AccessKeyID: {SecretAccessKey: ended.SecretAccessKey, SessionToken: ended.SessionToken, Expires: testTime},
	}
	return &Verifier{Service: "ssm", Lookup: func(_ context.Context, id, _ string) (Key, error) {
		if id == "BROKEN" {
			return Key{}, errLookup
		}
		key, ok := keys[id]
		if !ok {
			return Key{}, fmt.Errorf("%q: %w", id, ErrUnknownKey)
		}
		return key, nil
	}}
}

func newRequest(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Host = "127.0.0.1:7540"
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "AmazonSSM.PutInventory")
	return r
}

func mustSign(t testing.TB, r *http.Request, body string, c Credentials) {
	t.Helper()
	if err := Sign(r, sha256.Sum256([]byte(body)), c, "eu-west-1", "ssm", testTime); err != nil {
		t.Fatal(err)
	}
}

// verify runs both stages.
func verify(v *Verifier, r *http.Request, body string, now time.Time) error {
	c, err := v.Headers(r, now)
	if err != nil {
		return err
	}
	return c.Verify(sha256.Sum256([]byte(body)))
}

func wantError(t *testing.T, err error, code Code, text string) {
	t.Helper()
	var got *Error
	if !errors.As(err, &got) {
		t.Fatalf("got error %v, want %s %q", err, code, text)
	}
	if got.Code != code || !strings.Contains(got.Message, text) {
		t.Errorf("got  %s %q\nwant %s %q", got.Code, got.Message, code, text)
	}
}

// The vectors are AWS's own published test suite for Signature Version 4.
func TestSignKnownVectors(t *testing.T) {
	c := Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
	at := time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)
	for method, signature := range map[string]string{
		"GET":  "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
		"POST": "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
	} {
		r := httptest.NewRequest(method, "http://example.amazonaws.com/", nil)
		if err := Sign(r, sha256.Sum256(nil), c, "us-east-1", "service", at); err != nil {
			t.Fatal(err)
		}
		want := "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, " +
			"SignedHeaders=host;x-amz-date, Signature=" + signature
		if got := r.Header.Get("Authorization"); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", method, got, want)
		}
	}
}

func TestSignThenVerify(t *testing.T) {
	for _, c := range []Credentials{permanent, session} {
		r := newRequest("body")
		mustSign(t, r, "body", c)
		claim, err := testVerifier().Headers(r, testTime)
		if err != nil {
			t.Fatal(err)
		}
		if err := claim.Verify(sha256.Sum256([]byte("body"))); err != nil {
			t.Error(err)
		}
		if claim.AccessKeyID != c.AccessKeyID || claim.Region != "eu-west-1" || !claim.Time.Equal(testTime) {
			t.Errorf("claim is of %s, %s, %s", claim.AccessKeyID, claim.Region, claim.Time)
		}
		if c == permanent && claim.Identity != "perma" {
			t.Errorf("identity is %v", claim.Identity)
		}
	}
}

func TestSignAgainReplacesTheSignature(t *testing.T) {
	r := newRequest("body")
	mustSign(t, r, "other", session)
	mustSign(t, r, "body", permanent)
	if err := verify(testVerifier(), r, "body", testTime); err != nil {
		t.Error(err)
	}
}

func TestSignRefusesOtherTargets(t *testing.T) {
	for _, target := range []string{"/x", "/?a=b", "/?", "//", "/."} {
		r := httptest.NewRequest(http.MethodPost, target, nil)
		if err := Sign(r, sha256.Sum256(nil), permanent, "eu-west-1", "ssm", testTime); err == nil {
			t.Errorf("%s: signed", target)
		}
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	r := newRequest("")
	mustSign(t, r, "", session)
	claim, err := testVerifier().Headers(r, testTime)
	if err != nil {
		t.Fatal(err)
	}
	key := Key{SecretAccessKey: session.SecretAccessKey, SessionToken: session.SessionToken}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, value := range []any{session, key, []Key{key}} {
			text := fmt.Sprintf(verb, value)
			if strings.Contains(text, session.SecretAccessKey) || strings.Contains(text, session.SessionToken) {
				t.Errorf("%s of %T prints a secret: %s", verb, value, text)
			}
		}
	}
	if text := fmt.Sprint(claim); strings.Contains(text, claim.Signature) || !strings.Contains(text, session.AccessKeyID) {
		t.Errorf("a claim prints as %s", text)
	}
}
