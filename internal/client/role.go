package client

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"net/http"
	"time"

	"stocktake/internal/sigv4"
	"stocktake/internal/wire"
)

// refresh asks for credentials, with the pair that the service may have taken when it refuses the one it had.
func (n *Node) refresh(ctx context.Context) error {
	rotate, err := n.request(ctx, n.identity.Key)
	if n.identity.Next != nil && isRefusal(err) {
		if rotate, err = n.request(ctx, n.identity.Next); err == nil {
			n.settle()
		}
	}
	if err != nil {
		return &RoleError{Node: n.identity.Node, Refused: isRefusal(err), Err: err}
	}
	if rotate || n.identity.Next != nil {
		if err := n.rotate(ctx); err != nil {
			n.log.Warn("the key pair was not changed; it is tried again with the next credentials", "error", err)
		}
	}
	return nil
}

// roleToken is the answer of RequestManagedInstanceRoleToken.
type roleToken struct {
	AccessKeyId         string //nolint:revive,staticcheck // the member's name on the wire
	SecretAccessKey     string
	SessionToken        string
	TokenExpirationDate float64 // seconds since 1970
	UpdateKeyPair       bool
}

// request asks for credentials with one of the node's keys, and says whether the service wants another pair.
func (n *Node) request(ctx context.Context, key *rsa.PrivateKey) (rotate bool, err error) {
	var t roleToken
	request := struct{ Fingerprint string }{n.identity.Fingerprint}
	if err := n.client.ask(ctx, "RequestManagedInstanceRoleToken", request, &t, n.by(key)); err != nil {
		return false, err
	}
	now, expires := n.client.now(), time.UnixMilli(int64(t.TokenExpirationDate*1000))
	if t.AccessKeyId == "" || t.SecretAccessKey == "" || t.SessionToken == "" || !now.Before(expires) {
		return false, errors.New("RequestManagedInstanceRoleToken: the answer holds no credentials that are good now; is the clock right?")
	}
	n.role = role{
		credentials: sigv4.Credentials{AccessKeyID: t.AccessKeyId, SecretAccessKey: t.SecretAccessKey, SessionToken: t.SessionToken},
		renew:       now.Add(expires.Sub(now) / 2), expires: expires,
	}
	return t.UpdateKeyPair, nil
}

// by signs as the node itself, with a key of it.
func (n *Node) by(key *rsa.PrivateKey) signer {
	return func(_ context.Context, r *http.Request, bodyHash [sha256.Size]byte) error {
		return sigv4.SignPSS(r, bodyHash, n.identity.Node, n.identity.Region, service, n.client.now(), key)
	}
}

// rotate hands the service another key pair. It is kept before the call, and offered again for as long as it is not known
// what became of it: of two pairs, one is always the one that the service has.
func (n *Node) rotate(ctx context.Context) error {
	if n.identity.Next == nil {
		next, err := n.newKey()
		if err != nil {
			return err
		}
		kept := n.identity
		kept.Next = next
		if err := n.keep(kept); err != nil {
			return err
		}
		n.identity = kept
	}
	public, err := publicKey(n.identity.Next)
	if err != nil {
		return err
	}
	request := struct{ NewPublicKey, NewPublicKeyType string }{public, keyType}
	err = n.client.ask(ctx, "UpdateManagedInstancePublicKey", request, nil, n.by(n.identity.Key))
	switch {
	case err == nil:
		n.settle()
	case codeOf(err) == wire.InvalidPublicKey:
		n.identity.Next = nil // which it will never take
		return errors.Join(err, n.keep(n.identity))
	}
	return err
}

// settle makes the pair the service took the node's.
func (n *Node) settle() {
	n.identity.Key, n.identity.Next = n.identity.Next, nil
	if err := n.keep(n.identity); err != nil {
		// What was kept before the call holds both pairs: the next start finds out which is good.
		n.log.Warn("the change of the key pair was not kept; it is settled again at the next start", "error", err)
	}
	n.log.Info("the key pair was changed", "node", n.identity.Node)
}
