package sigv4

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// DefaultSkew is how far a request's time may lie from the server's, as AWS allows.
const DefaultSkew = 5 * time.Minute

// ErrUnknownKey is what a lookup returns, alone or wrapped, for an access key id that it does not know.
var ErrUnknownKey = errors.New("unknown access key")

// Key is what a lookup knows of an access key.
type Key struct {
	SecretAccessKey string
	SessionToken    string    // empty: a permanent key, which must come without a token
	Expires         time.Time // when the session ends; zero: never
	Identity        any       // whose key it is: handed on in [Claim], never looked at
}

// String keeps the secret out of logs.
func (k Key) String() string { return "key" }

// GoString keeps the secret out of %#v.
func (k Key) GoString() string { return k.String() }

// Verifier verifies requests. It may be used by many goroutines at once, and must not be copied or changed after its first
// use.
type Verifier struct {
	// Service is the service of the scope, "ssm".
	Service string
	// Skew is how far a request's time may lie from now, either way. Zero: [DefaultSkew]. AWS never allows more than 15 minutes.
	Skew time.Duration
	// Lookup finds a key by its id and the session token that came with the request, empty without one: keys that are kept
	// nowhere are made from it. An unknown one is [ErrUnknownKey]; any other error is the server's own fault, and is
	// returned by Headers as it is. Whether a permanent key came without a token is judged afterwards, from what it gives.
	Lookup func(ctx context.Context, accessKeyID, token string) (Key, error)

	keys keyCache
	// strangers are of keys that are not known, by day and region: who knows no key pushes out none that is in use.
	strangers keyCache
}

// Claim is what a request says of itself: who signed it, for which region, when. It is worth nothing until Verify has
// returned nil.
type Claim struct {
	Authorization
	Time     time.Time // X-Amz-Date, UTC
	Identity any       // of the key, from the lookup

	amzDate     string
	head        []byte
	contentHash string  // the value of x-amz-content-sha256; empty when absent
	signer      *signer // nil: none, and no signature is right
}

// String keeps the signature, good for a replay, out of logs.
func (c *Claim) String() string {
	return "claim of access key " + c.AccessKeyID + " for " + c.Authorization.scope()
}

// Headers judges everything about a signed request but the signature itself, and so needs no body: the form of the
// Authorization header, the scope, the signed headers, the time, the key and its session token. Refusals are [*Error];
// any other error is the lookup's.
func (v *Verifier) Headers(r *http.Request, now time.Time) (*Claim, error) {
	c, err := v.Claim(r, now)
	if err != nil {
		return nil, err
	}
	token := r.Header[tokenHeader]
	if len(token) > 1 {
		return nil, &Error{CodeUnrecognized, messageUnrecognized}
	}
	key, err := v.Lookup(r.Context(), c.AccessKeyID, strings.Join(token, ""))
	if errors.Is(err, ErrUnknownKey) {
		c.lookStrange(&v.strangers)
		return nil, &Error{CodeUnrecognized, messageUnrecognized}
	}
	if err != nil {
		return nil, err
	}
	c.signer = v.keys.signer(c, c.AccessKeyID, key.SecretAccessKey)
	if err := checkToken(token, key, now); err != nil {
		return nil, err
	}
	c.Identity = key.Identity
	return c, nil
}

// lookStrange does the work of a known key with a wrong signature, so that the time of the answer says no more than its text.
func (c *Claim) lookStrange(strangers *keyCache) {
	c.signer = strangers.signer(c, "", "unknown")
	_ = c.Verify(sha256.Sum256(nil)) // it is refused whatever this says
}

// Claim is Headers without the key: for requests signed by a key pair, which [Claim.VerifyPSS] verifies. Verify of such a
// claim always fails. The error is an [*Error].
func (v *Verifier) Claim(r *http.Request, now time.Time) (*Claim, error) {
	a, err := authorization(r)
	if err != nil {
		return nil, err
	}
	c := &Claim{Authorization: a}
	if err := c.setTime(r); err != nil {
		return nil, err
	}
	if err := v.checkScope(c); err != nil {
		return nil, err
	}
	if err := checkSigned(r, a.SignedHeaders); err != nil {
		return nil, err
	}
	if err := c.setContentHash(r.Header[contentHeader]); err != nil {
		return nil, err
	}
	head, fault := canonicalHead(r, a.SignedHeaders)
	if fault != nil {
		return nil, fault
	}
	c.head = head
	if err := v.checkTime(c, now); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Claim) checkContentHash(bodyHash [sha256.Size]byte) error {
	var digits [2 * sha256.Size]byte
	hex.Encode(digits[:], bodyHash[:])
	if c.contentHash != "" && c.contentHash != string(digits[:]) {
		return invalid("The value of the 'x-amz-content-sha256' header does not match the SHA-256 hash of the body.")
	}
	return nil
}

// Verify returns nil when the request was signed with the key of the claim, over a body with the given SHA-256, and an
// [*Error] otherwise.
func (c *Claim) Verify(bodyHash [sha256.Size]byte) error {
	if err := c.checkContentHash(bodyHash); err != nil {
		return err
	}
	got, ok := decodeSignature(c.Signature)
	if !ok || c.signer == nil || !c.signer.made(got, c, bodyHash) {
		return &Error{CodeInvalidSignature, messageMismatch}
	}
	return nil
}

// decodeSignature accepts 64 lower-case hexadecimal digits and nothing else.
func decodeSignature(s string) (signature [sha256.Size]byte, ok bool) {
	if len(s) != hex.EncodedLen(len(signature)) || s != strings.ToLower(s) {
		return signature, false
	}
	_, err := hex.Decode(signature[:], []byte(s))
	return signature, err == nil
}

func authorization(r *http.Request) (Authorization, error) {
	if err := checkTarget(r); err != nil {
		return Authorization{}, err
	}
	switch headers := r.Header["Authorization"]; len(headers) {
	case 0:
		return Authorization{}, &Error{CodeMissingToken, messageMissing}
	case 1:
		return parseAuthorization(headers[0])
	default:
		return Authorization{}, incomplete("The request must have exactly one Authorization header.")
	}
}

func (c *Claim) setTime(r *http.Request) error {
	values := r.Header[dateHeader]
	if len(values) == 0 {
		return incomplete("Authorization header requires existence of a 'X-Amz-Date' header.")
	}
	c.amzDate = values[0]
	t, err := time.Parse(timeLayout, c.amzDate)
	// Parse also accepts fractions of a second; only what formats to itself is of the basic ISO 8601 form.
	var again [len(timeLayout)]byte
	if len(values) > 1 || err != nil || string(t.AppendFormat(again[:0], timeLayout)) != c.amzDate {
		return incomplete("The 'X-Amz-Date' header must be one date of the form 20060102T150405Z, got %s.",
			quote(strings.Join(values, ",")))
	}
	c.Time = t
	return nil
}

func (v *Verifier) checkScope(c *Claim) error {
	if day := c.amzDate[:8]; c.Date != day {
		return invalid("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: %s != '%s', from '%s'.",
			quote(c.Date), day, c.amzDate)
	}
	if !isRegion(c.Region) {
		return invalid("Credential should be scoped to a valid region, not %s.", quote(c.Region))
	}
	if c.Service != v.Service {
		return invalid("Credential should be scoped to correct service: '%s', not %s.", v.Service, quote(c.Service))
	}
	return nil
}

// isRegion allows what AWS agents accept as the name of a region: [A-Za-z0-9-]{1,100}.
func isRegion(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= 100
}

// checkSigned wants host and every x-amz-* header among the signed ones. x-amz-content-sha256 may be left out (the stock
// agent does so), for it is compared with the hash that is signed.
func checkSigned(r *http.Request, signed []string) error {
	if amzSigned(r, signed) {
		return nil
	}
	for _, name := range append(amzHeaders(r), "host") {
		if _, found := slices.BinarySearch(signed, name); !found && name != "x-amz-content-sha256" {
			return invalid("The header %s must be a 'SignedHeader' in the AWS Authorization.", quote(name))
		}
	}
	return nil
}

// amzSigned reports whether host and all x-amz-* headers are plainly among the signed ones, without writing their names
// anew; false says nothing.
func amzSigned(r *http.Request, signed []string) bool {
	for name := range r.Header {
		if isAmz(name) && name != contentHeader && !slices.ContainsFunc(signed, func(s string) bool { return strings.EqualFold(s, name) && len(s) == len(name) }) {
			return false
		}
	}
	return slices.Contains(signed, "host")
}

// setContentHash keeps the x-amz-content-sha256 header, which must be a hash: UNSIGNED-PAYLOAD and the STREAMING- forms
// would leave the body outside the signature.
func (c *Claim) setContentHash(values []string) error {
	if len(values) == 0 {
		return nil
	}
	if _, ok := decodeSignature(values[0]); !ok || len(values) > 1 {
		return invalid("The 'x-amz-content-sha256' header must be the SHA-256 hash of the body, 64 lower-case hexadecimal digits, got %s.",
			quote(strings.Join(values, ",")))
	}
	c.contentHash = values[0]
	return nil
}

func (v *Verifier) checkTime(c *Claim, now time.Time) error {
	skew := v.Skew
	if skew == 0 {
		skew = DefaultSkew
	}
	now = now.UTC().Truncate(time.Second)
	if earliest := now.Add(-skew); c.Time.Before(earliest) {
		return invalid("Signature expired: %s is now earlier than %s (%s - %s min.)",
			c.amzDate, earliest.Format(timeLayout), now.Format(timeLayout), minutes(skew))
	}
	if latest := now.Add(skew); c.Time.After(latest) {
		return invalid("Signature not yet current: %s is still later than %s (%s + %s min.)",
			c.amzDate, latest.Format(timeLayout), now.Format(timeLayout), minutes(skew))
	}
	return nil
}

func minutes(d time.Duration) string { return strconv.FormatFloat(d.Minutes(), 'f', -1, 64) }

// checkToken wants the key's own session token, of which there is one at most, and none for a permanent key.
func checkToken(values []string, key Key, now time.Time) error {
	token := strings.Join(values, "")
	given, kept := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(key.SessionToken))
	if subtle.ConstantTimeCompare(given[:], kept[:]) != 1 || (len(values) == 1 && token == "") {
		return &Error{CodeUnrecognized, messageUnrecognized}
	}
	if !key.Expires.IsZero() && !now.Before(key.Expires) {
		return &Error{CodeExpiredToken, messageExpired}
	}
	return nil
}
