package iam

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

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

// ErrSecretKey is the error of a store whose secrets were sealed under another secret key.
var ErrSecretKey = errors.New("the secrets of users' access keys were sealed under another secret_key, or under none")

// checkKey is where a text lies that only the secret key opens which the secrets beside it were sealed under.
var checkKey = store.Key("secretkeycheck")

// checkText is what is sealed there: what it says plays no part.
const checkText = "opened"

// A check is its record.
type check struct{ Sealed []byte }

// Examine looks whether the secrets of the store open, and logs what users and roles of the store lie idle because the
// configuration has others of their names. It changes nothing. ErrSecretKey: they do not open.
func (d *Identities) Examine(ctx context.Context) error {
	if err := d.shadowed(ctx); err != nil {
		return err
	}
	_, _, err := d.opens(ctx)
	return err
}

// opens reports whether there is a check that opens, and the revision of the one there is. A check that does not open is of no
// account where no secret is sealed; beside one, and without a check, the secrets themselves are tried: one that opens will
// do, as any may be damaged.
func (d *Identities) opens(ctx context.Context) (checked bool, revision uint64, err error) {
	var c check
	if revision, err = d.record(ctx, checkKey, &c); err != nil {
		return false, 0, err
	}
	if revision != 0 {
		if text, err := d.vault.open("", "", c.Sealed); err == nil && text == checkText {
			return true, revision, nil
		}
	}
	closed, opened := "", false
	err = d.list(ctx, store.Key("user")+"/", "", 1, func(value []byte) (bool, error) {
		u := user{}
		if err := json.Unmarshal(value, &u); err != nil {
			return false, err
		}
		for _, k := range u.Keys {
			if _, err := d.vault.open(u.Account, k.ID, k.Sealed); err == nil {
				opened = true
			} else if closed == "" {
				closed = fmt.Sprintf("access key %s of user %s in account %s", k.ID, u.Name, u.Account)
			}
		}
		return opened, nil
	})
	if err == nil && closed != "" && !opened {
		err = fmt.Errorf("%w: %s does not open", ErrSecretKey, closed)
	}
	return false, revision, err
}

// ensureCheck sees to it, before a secret is sealed, that the next start can tell whether it opens, and that no two servers
// seal under different keys.
func (d *Identities) ensureCheck(ctx context.Context) error {
	return retry(ctx, func() error {
		checked, revision, err := d.opens(ctx)
		if err != nil || checked {
			return err
		}
		return d.put(ctx, checkKey, check{d.vault.seal("", "", checkText)}, revision)
	})
}

// shadowed logs the users and roles of the store whose names the configuration has.
func (d *Identities) shadowed(ctx context.Context) error {
	if d.declared == nil {
		return nil
	}
	keys := make([]string, 0, len(d.declared.users)+len(d.declared.roles))
	for key := range d.declared.users {
		keys = append(keys, key)
	}
	for key := range d.declared.roles {
		keys = append(keys, key)
	}
	for _, key := range keys {
		_, err := d.store.Record(ctx, key)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		parts := store.KeyParts(key)
		d.log.Warn("what the store has lies idle, with its keys: the configuration has one of this name",
			"kind", parts[0], "account", parts[1], "name", parts[2])
	}
	return nil
}
