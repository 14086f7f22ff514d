package sigv4

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"time"
)

// leastPSS is the least length of a key pair's signature, that of 1024 bits in base64. Everything shorter is taken for
// one made with a secret, which has 64 digits.
const leastPSS = 172

// pss is how managed nodes sign: RSASSA-PSS with SHA-256, which its mask generation uses too, and a salt as long as a hash.
var pss = rsa.PSSOptions{SaltLength: sha256.Size, Hash: crypto.SHA256}

// ByKeyPair reports whether an Authorization header carries a signature of the form a key pair makes, rather than a
// secret; its credential is then the node's id. It does not say that the header is of a right form otherwise.
func ByKeyPair(header string) bool {
	_, after, _ := strings.Cut(header, partSignature+"=")
	signature, _, _ := strings.Cut(after, ",")
	return len(signature) >= leastPSS
}

// VerifyPSS returns nil when the request was signed with the key pair of a public key, over a body with the given SHA-256,
// and an [*Error] otherwise.
func (c *Claim) VerifyPSS(bodyHash [sha256.Size]byte, key *rsa.PublicKey) error {
	if err := c.checkContentHash(bodyHash); err != nil {
		return err
	}
	signature, err := base64.StdEncoding.Strict().DecodeString(c.Signature)
	if err != nil {
		return &Error{CodeInvalidSignature, messageKeyPair}
	}
	digest := sha256.Sum256(appendStringToSign(nil, c.head, bodyHash, c.amzDate, &c.Authorization))
	if rsa.VerifyPSS(key, crypto.SHA256, digest[:], signature, &pss) != nil {
		return &Error{CodeInvalidSignature, messageKeyPair}
	}
	return nil
}

// SignPSS signs r as of the time at with a node's key pair, as the stock agent signs the calls by which it gets its
// credentials: the host, the content type, the date and the other x-amz-* headers are signed, and x-amz-content-sha256 is
// sent beside them. Everything else is as in [Sign].
func SignPSS(r *http.Request, bodyHash [sha256.Size]byte, node, region, service string, at time.Time, key *rsa.PrivateKey) error {
	if r.URL.Path == "" {
		r.URL.Path = "/"
	}
	if err := checkTarget(r); err != nil {
		return err
	}
	amzDate := at.UTC().Format(timeLayout)
	r.Header.Set(dateHeader, amzDate)
	r.Header.Set(contentHeader, hexOf(bodyHash))
	r.Header.Del(tokenHeader)
	signed := slices.DeleteFunc(append(amzHeaders(r), "host"), func(name string) bool { return name == "x-amz-content-sha256" })
	if r.Header.Get("Content-Type") != "" {
		signed = append(signed, "content-type")
	}
	slices.Sort(signed)
	head, fault := canonicalHead(r, signed)
	if fault != nil {
		return fault
	}
	a := Authorization{AccessKeyID: node, Date: amzDate[:8], Region: region, Service: service, SignedHeaders: signed}
	digest := sha256.Sum256(appendStringToSign(nil, head, bodyHash, amzDate, &a))
	signature, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest[:], &pss)
	if err != nil {
		return err
	}
	a.Signature = base64.StdEncoding.EncodeToString(signature)
	r.Header.Set("Authorization", a.String())
	return nil
}
