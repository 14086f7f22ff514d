package ssm

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/seal"
	"stocktake/internal/store"
)

// DefaultRoleTokenTTL is how long a role token is good for, unless Config says otherwise.
const DefaultRoleTokenTTL = time.Hour

// ErrFormerKey is the error of a request signed with the key a node had before.
var ErrFormerKey = errors.New("signed with the node's former key")

// RoleToken is a short-lived access key of a managed node.
type RoleToken struct {
	AccessKeyID, Secret, SessionToken string
	Expires                           time.Time
	// UpdateKeyPair asks the node to change its key pair.
	UpdateKeyPair bool
}

// String keeps the secret out of logs.
func (t RoleToken) String() string { return "role token " + t.AccessKeyID }

// GoString keeps the secret out of %#v.
func (t RoleToken) GoString() string { return t.String() }

// roleTokens is the kind of session that a role token is.
const roleTokens = "role token"

// tokenBody is what a session token says, sealed. Nothing is kept of a token: any server opens it, also after a restart.
type tokenBody struct {
	Account    string           `json:"a"`
	Region     string           `json:"r"`
	Node       inventory.NodeID `json:"n"`
	Role       string           `json:"o"`
	Expires    int64            `json:"e"` // milliseconds since 1970
	Registered int64            `json:"t"` // of the identity, nanoseconds
}

// RequestRoleToken makes a role token for a managed node, which signed with the key given. ErrFormerKey: with one it has
// no longer.
func (s *Service) RequestRoleToken(ctx context.Context, key inventory.NodeKey, signedWith *rsa.PublicKey, fingerprint string) (RoleToken, error) {
	i, _, err := s.ownIdentity(ctx, key)
	if err != nil {
		return RoleToken{}, err
	}
	der, err := x509.MarshalPKIXPublicKey(signedWith)
	if err != nil {
		return RoleToken{}, err
	}
	if !bytes.Equal(der, i.PublicKey) {
		return RoleToken{}, ErrFormerKey
	}
	if fingerprint != i.Fingerprint {
		return RoleToken{}, inventory.Errorf(inventory.MachineFingerprintMismatch,
			"The machine isn't the one that registered as %s. Register it anew with an activation.", key.Node)
	}
	m, _, err := s.managedNode(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		err = endedIdentity(key.Node)
	}
	if err != nil {
		return RoleToken{}, err
	}
	now := time.Now()
	t := RoleToken{Expires: now.Add(s.cfg.RoleTokenTTL).Truncate(time.Millisecond)}
	t.UpdateKeyPair = s.cfg.KeyRotation > 0 && now.Sub(i.KeySince) >= s.cfg.KeyRotation
	made, err := seal.NewSession(s.store.Identity().Derive, roleTokens, tokenBody{
		Account: key.Account, Region: key.Region, Node: key.Node, Role: m.Role,
		Expires: t.Expires.UnixMilli(), Registered: i.Registered.UnixNano(),
	})
	if err != nil {
		return RoleToken{}, err
	}
	t.AccessKeyID, t.Secret, t.SessionToken = made.AccessKeyID, made.Secret, made.Token
	return t, nil
}

// ownIdentity gives the identity of a node that has authenticated by it: what is missing now went in between.
func (s *Service) ownIdentity(ctx context.Context, key inventory.NodeKey) (identity, uint64, error) {
	i, revision, err := s.identity(ctx, key.Node)
	if err == nil && (revision == 0 || !i.valid() || i.Partition != key.Partition) {
		err = endedIdentity(key.Node)
	}
	return i, revision, err
}

func endedIdentity(id inventory.NodeID) error {
	return inventory.Errorf(inventory.AccessDenied, "The node %s is not registered here any longer. Register its agent anew with an activation.", id)
}

// RoleSession is what a role token stands for.
type RoleSession struct {
	Node    inventory.NodeKey
	Role    string
	Secret  string
	Expires time.Time
}

// String keeps the secret out of logs.
func (r RoleSession) String() string { return "role session of " + string(r.Node.Node) }

// GoString keeps the secret out of %#v.
func (r RoleSession) GoString() string { return r.String() }

// OpenRoleToken undoes RequestRoleToken. ErrNotManaged: the token is none of this service's, or its node's registration has
// ended. One that is over is given with its end.
func (s *Service) OpenRoleToken(ctx context.Context, accessKeyID, sessionToken string) (RoleSession, error) {
	var t tokenBody
	secret, err := seal.OpenSession(s.store.Identity().Derive, roleTokens, accessKeyID, sessionToken, &t)
	if errors.Is(err, seal.ErrClosed) {
		err = ErrNotManaged
	}
	if err != nil {
		return RoleSession{}, err
	}
	key := inventory.NodeKey{Partition: inventory.Partition{Account: t.Account, Region: t.Region}, Node: t.Node}
	session := RoleSession{Node: key, Role: t.Role, Secret: secret, Expires: time.UnixMilli(t.Expires)}
	if !time.Now().Before(session.Expires) {
		return session, nil
	}
	i, revision, err := s.identity(ctx, key.Node)
	if err == nil && (revision == 0 || !i.valid() || i.Partition != key.Partition || i.Registered.UnixNano() != t.Registered) {
		err = ErrNotManaged
	}
	return session, err
}

// UpdatePublicKey has a managed node sign with another key from here on; the request for it was signed with the key given.
// Asked again for the key it has, by that or by the one before, it changes nothing.
func (s *Service) UpdatePublicKey(ctx context.Context, key inventory.NodeKey, signedWith *rsa.PublicKey, keyType, newKey string) error {
	next, err := parsePublicKey(keyType, newKey)
	if err != nil {
		return err
	}
	signer, err := x509.MarshalPKIXPublicKey(signedWith)
	if err != nil {
		return err
	}
	return retry(ctx, func() error {
		i, revision, err := s.ownIdentity(ctx, key)
		if err != nil {
			return err
		}
		if bytes.Equal(next, i.PublicKey) {
			return nil
		}
		if !bytes.Equal(signer, i.PublicKey) {
			return ErrFormerKey
		}
		i.Former, i.PublicKey, i.KeySince = i.PublicKey, next, time.Now().UTC()
		err = s.swapRecord(ctx, identityKey(key.Node), i, revision)
		return err
	})
}
