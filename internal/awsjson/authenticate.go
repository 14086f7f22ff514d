package awsjson

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"stocktake/internal/iam"
	"stocktake/internal/inventory"
	"stocktake/internal/sigv4"
)

// lookup finds an access key: one of the configuration, one of a user of the store, or that of a session, of a node or
// of a role, which its session token makes known.
func (h *Handler) lookup(ctx context.Context, accessKeyID, token string) (sigv4.Key, error) {
	if secret, principal, ok := h.config.Keys.Key(accessKeyID); ok {
		return sigv4.Key{SecretAccessKey: secret, Identity: principal}, nil
	}
	if token == "" {
		return h.userKey(ctx, accessKeyID)
	}
	if h.config.Nodes != nil {
		key, err := h.config.Nodes.Session(ctx, accessKeyID, token)
		if !errors.Is(err, sigv4.ErrUnknownKey) {
			return key, err
		}
	}
	return h.roleKey(ctx, accessKeyID, token)
}

// roleKey finds the key of a session of a role of the store, which its token makes known.
func (h *Handler) roleKey(ctx context.Context, accessKeyID, token string) (sigv4.Key, error) {
	if h.config.Identities == nil {
		return sigv4.Key{}, sigv4.ErrUnknownKey
	}
	session, err := h.config.Identities.Session(ctx, accessKeyID, token)
	if errors.Is(err, iam.ErrUnknownKey) {
		err = sigv4.ErrUnknownKey
	}
	if err != nil {
		return sigv4.Key{}, err
	}
	return sigv4.Key{SecretAccessKey: session.Secret, SessionToken: token, Expires: session.Expires, Identity: session.Principal}, nil
}

// authenticate verifies the signature of a request for a row, the zero row where there is none, and leaves the body in the
// buffer.
func (h *Handler) authenticate(w http.ResponseWriter, r *http.Request, row Row, buffer *[]byte) (Caller, error) {
	c := Caller{Source: sourceOf(r), RequestID: w.Header().Get(requestIDHeader)}
	c.asking = asking{r, h.config.Now, h.config.Tags, h.bounds}
	header := r.Header["Authorization"]
	if row.Auth == Anonymous && len(header) == 0 {
		return c, h.readBody(w, r, maxOpenBody, buffer)
	}
	verifier := &h.verifier
	if targets := r.Header[targetHeader]; len(targets) == 1 && strings.HasPrefix(targets[0], messageTargetPrefix) {
		verifier = &h.messages
	}
	var err error
	if len(header) == 1 && sigv4.ByKeyPair(header[0]) {
		err = h.authenticateNode(w, r, row, buffer, &c)
	} else {
		err = h.authenticateKey(w, r, verifier, buffer, &c)
	}
	if err != nil {
		return Caller{}, err
	}
	h.firstUse(c)
	return c, nil
}

// authenticateKey verifies a signature made with an access key.
func (h *Handler) authenticateKey(w http.ResponseWriter, r *http.Request, verifier *sigv4.Verifier, buffer *[]byte, c *Caller) error {
	claim, err := verifier.Headers(r, h.config.Now())
	if err != nil {
		return err
	}
	principal, ok := claim.Identity.(*iam.Principal)
	if !ok {
		return fmt.Errorf("identity of access key %s is a %T", claim.AccessKeyID, claim.Identity)
	}
	if err := h.settle(claim, principal, c); err != nil {
		return err
	}
	most := h.config.MaxBody
	if form(claim) {
		most = maxForm
	}
	if err := h.readBody(w, r, most, buffer); err != nil {
		return err
	}
	if err := claim.Verify(sha256.Sum256(*buffer)); err != nil {
		return err
	}
	if principal.Judged() && h.config.Identities != nil {
		h.config.Identities.Used(principal, verifier.Service, claim.Region)
	}
	return nil
}

// authenticateNode verifies a signature made with the key pair of a managed node, whose id is the credential's.
func (h *Handler) authenticateNode(w http.ResponseWriter, r *http.Request, row Row, buffer *[]byte, c *Caller) error {
	claim, err := h.verifier.Claim(r, h.config.Now())
	if err != nil {
		return err
	}
	if row.Auth != ByKeyPair || len(r.Header["X-Amz-Security-Token"]) > 0 {
		return notByKeyPair()
	}
	if h.config.Nodes == nil {
		return unknownNode(claim.AccessKeyID)
	}
	keys, principal, err := h.publicKeys(r.Context(), inventory.NodeID(claim.AccessKeyID))
	if errors.Is(err, sigv4.ErrUnknownKey) {
		return unknownNode(claim.AccessKeyID)
	}
	if err != nil {
		return err
	}
	if err := h.settle(claim, principal, c); err != nil {
		return err
	}
	if err := h.readBody(w, r, maxOpenBody, buffer); err != nil {
		return err
	}
	c.PublicKey, err = madeBy(claim, sha256.Sum256(*buffer), keys)
	return err
}

// madeBy gives the key of several that a request was signed with; the refusal where it was none.
func madeBy(claim *sigv4.Claim, bodyHash [sha256.Size]byte, keys []*rsa.PublicKey) (*rsa.PublicKey, error) {
	err := errors.New("a node without a public key")
	for _, key := range keys {
		if err = claim.VerifyPSS(bodyHash, key); err == nil {
			return key, nil
		}
	}
	return nil, err
}

// settle puts into the caller who a claim says it is and where, if that region is served and the principal's own.
func (h *Handler) settle(claim *sigv4.Claim, principal *iam.Principal, c *Caller) error {
	if len(h.config.Regions) > 0 && !form(claim) && !slices.Contains(h.config.Regions, claim.Region) {
		return wrongRegion(claim.Region)
	}
	if node := principal.Node(); node.Node != "" && node.Region != claim.Region {
		return wrongRegion(claim.Region)
	}
	c.Partition = inventory.Partition{Account: principal.Account, Region: claim.Region}
	c.Principal = principal
	return nil
}

// form reports whether a request was signed for a service of forms, which are of every region.
func form(claim *sigv4.Claim) bool { return claim.Service == iamService || claim.Service == stsService }

// readBody reads the body into the buffer, if it has at most so many bytes. One that is announced to have more is not touched:
// the first read of a body takes memory from all for as much as is announced.
func (h *Handler) readBody(w http.ResponseWriter, r *http.Request, most int64, buffer *[]byte) error {
	most = min(most, h.config.MaxBody)
	if r.ContentLength > most {
		return bodyTooLarge(most)
	}
	body, err := readBody(http.MaxBytesReader(w, r.Body, most), r.ContentLength, (*buffer)[:0])
	if err != nil {
		return bodyFailure(err)
	}
	*buffer = body
	return nil
}

// sourceOf gives the host of a connection's other end.
func sourceOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
