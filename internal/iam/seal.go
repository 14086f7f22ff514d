package iam

import (
	"crypto/sha256"
	"errors"

	"stocktake/internal/seal"
	"stocktake/internal/store"
)

// errSealed is the error of a secret that does not open.
var errSealed = errors.New("the secret of an access key does not open: the record is damaged, or secret_key is not the one it was sealed under")

// A vault seals secrets.
type vault struct{ box seal.Box }

// newVault makes the vault of a store, under a key derived from the store's own or, where there is one, from a key the
// operator keeps elsewhere as well, so that neither opens anything alone.
func newVault(identity store.Identity, secretKey string) (vault, error) {
	var outside [sha256.Size]byte
	if secretKey != "" {
		outside = sha256.Sum256([]byte(secretKey))
	}
	box, err := seal.New(identity.Derive("access key secrets", outside[:]))
	return vault{box}, err
}

// seal seals the secret of one access key; elsewhere it does not open.
func (v vault) seal(account, id, secret string) []byte {
	return v.box.Seal([]byte(secret), []byte(account+"/"+id))
}

func (v vault) open(account, id string, sealed []byte) (string, error) {
	secret, err := v.box.Open(sealed, []byte(account+"/"+id))
	if err != nil {
		return "", errSealed
	}
	return string(secret), nil
}
