package iam

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"errors"

	"stocktake/internal/store"
)

// errSealed is the error of a secret that does not open.
var errSealed = errors.New("the secret of an access key does not open: the record is damaged, or secret_key is not the one it was sealed under")

// A vault seals secrets by AES-256-GCM.
type vault struct{ aead cipher.AEAD }

// newVault makes the vault of a store, under a key derived from the store's own or, where there is one, from a key the
// operator keeps elsewhere as well, so that neither opens anything alone.
func newVault(identity store.Identity, secretKey string) (vault, error) {
	var outside [sha256.Size]byte
	if secretKey != "" {
		outside = sha256.Sum256([]byte(secretKey))
	}
	key := identity.Derive("access key secrets", outside[:])
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return vault{}, err
	}
	aead, err := cipher.NewGCM(block)
	return vault{aead}, err
}

// seal seals the secret of one access key; elsewhere it does not open.
func (v vault) seal(account, id, secret string) []byte {
	nonce := make([]byte, v.aead.NonceSize(), v.aead.NonceSize()+len(secret)+v.aead.Overhead())
	_, _ = rand.Read(nonce) // it never fails
	return v.aead.Seal(nonce, nonce, []byte(secret), []byte(account+"/"+id))
}

func (v vault) open(account, id string, sealed []byte) (string, error) {
	n := v.aead.NonceSize()
	if len(sealed) < n {
		return "", errSealed
	}
	secret, err := v.aead.Open(nil, sealed[:n], sealed[n:], []byte(account+"/"+id))
	if err != nil {
		return "", errSealed
	}
	return string(secret), nil
}
