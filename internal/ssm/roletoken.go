package ssm

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"stocktake/internal/inventory"
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
	t := RoleToken{AccessKeyID: newAccessKeyID(), Expires: now.Add(s.cfg.RoleTokenTTL).Truncate(time.Millisecond)}
	t.UpdateKeyPair = s.cfg.KeyRotation > 0 && now.Sub(i.KeySince) >= s.cfg.KeyRotation
	plain, err := json.Marshal(tokenBody{
		Account: key.Account, Region: key.Region, Node: key.Node, Role: m.Role,
		Expires: t.Expires.UnixMilli(), Registered: i.Registered.UnixNano(),
	})
	if err != nil {
		return RoleToken{}, err
	}
	seal, err := s.tokenSeal(t.AccessKeyID)
	if err != nil {
		return RoleToken{}, err
	}
	nonce := make([]byte, seal.NonceSize(), seal.NonceSize()+len(plain)+seal.Overhead())
	_, _ = rand.Read(nonce) // it never fails
	t.SessionToken = base64.RawURLEncoding.EncodeToString(seal.Seal(nonce, nonce, plain, nil))
	t.Secret = s.tokenSecret(t.AccessKeyID, t.SessionToken)
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

// accessKeyIDLength is how long the access key id of every role token is.
const accessKeyIDLength = 20

func newAccessKeyID() string {
	var random [10]byte         // 16 characters
	_, _ = rand.Read(random[:]) // it never fails
	return "ASIA" + base32.StdEncoding.EncodeToString(random[:])
}

// tokenSeal gives the seal of one role token: each has a key of its own, so that one seals a single message.
func (s *Service) tokenSeal(accessKeyID string) (cipher.AEAD, error) {
	return newSeal([32]byte(s.derived("role token seal", []byte(accessKeyID))))
}

func (s *Service) tokenSecret(accessKeyID, sessionToken string) string {
	return base64.StdEncoding.EncodeToString(s.derived("role token secret", []byte(accessKeyID), []byte(sessionToken)))[:40]
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

// mostToken bounds what is taken for a session token.
const mostToken = 4096

// OpenRoleToken undoes RequestRoleToken. ErrNotManaged: the token is none of this service's, or its node's registration has
// ended. One that is over is given with its end.
func (s *Service) OpenRoleToken(ctx context.Context, accessKeyID, sessionToken string) (RoleSession, error) {
	if len(sessionToken) > mostToken || len(accessKeyID) != accessKeyIDLength {
		return RoleSession{}, ErrNotManaged
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(sessionToken)
	if err != nil || strings.ContainsAny(sessionToken, "\r\n") { // which the decoder passes over
		return RoleSession{}, ErrNotManaged
	}
	seal, err := s.tokenSeal(accessKeyID)
	if err != nil {
		return RoleSession{}, err
	}
	n := seal.NonceSize()
	if len(raw) < n {
		return RoleSession{}, ErrNotManaged
	}
	plain, err := seal.Open(nil, raw[:n], raw[n:], nil)
	if err != nil {
		return RoleSession{}, ErrNotManaged
	}
	var t tokenBody
	if err := json.Unmarshal(plain, &t); err != nil {
		return RoleSession{}, ErrNotManaged
	}
	key := inventory.NodeKey{Partition: inventory.Partition{Account: t.Account, Region: t.Region}, Node: t.Node}
	session := RoleSession{Node: key, Role: t.Role, Secret: s.tokenSecret(accessKeyID, sessionToken), Expires: time.UnixMilli(t.Expires)}
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
