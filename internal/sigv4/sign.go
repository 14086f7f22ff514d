package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"time"
)

// Credentials is an access key. SessionToken is empty for a permanent key.
type Credentials struct {
	AccessKeyID, SecretAccessKey, SessionToken string
}

// String keeps the secret out of logs.
func (c Credentials) String() string { return "access key " + c.AccessKeyID }

// GoString keeps the secret out of %#v.
func (c Credentials) GoString() string { return c.String() }

// Sign signs r as of the time at, by setting its X-Amz-Date, X-Amz-Security-Token and Authorization headers. bodyHash is
// the SHA-256 of the body as it will be sent. Signed are the host, the content type and every x-amz-* header, so that set
// those first; a header added later makes the request invalid if its name begins with x-amz-.
//
// It fails when the request has a path other than "/", or a query string. A request may be signed again: the headers of
// the earlier signature are replaced.
func Sign(r *http.Request, bodyHash [sha256.Size]byte, c Credentials, region, service string, at time.Time) error {
	if r.URL.Path == "" {
		r.URL.Path = "/"
	}
	if err := checkTarget(r); err != nil {
		return err
	}
	amzDate := at.UTC().Format(timeLayout)
	r.Header.Set(dateHeader, amzDate)
	if c.SessionToken != "" {
		r.Header.Set(tokenHeader, c.SessionToken)
	} else {
		r.Header.Del(tokenHeader)
	}
	signed := append(amzHeaders(r), "host")
	if r.Header.Get("Content-Type") != "" {
		signed = append(signed, "content-type")
	}
	slices.Sort(signed)
	head, err := canonicalHead(r, signed)
	if err != nil {
		return err
	}
	a := Authorization{
		AccessKeyID: c.AccessKeyID, Date: amzDate[:8], Region: region, Service: service, SignedHeaders: signed,
	}
	key := deriveKey(c.SecretAccessKey, a.Date, region, service)
	a.Signature = hex.EncodeToString(hmacSHA256(key, appendStringToSign(nil, head, bodyHash, amzDate, &a)))
	r.Header.Set("Authorization", a.String())
	return nil
}
