package iam

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"stocktake/internal/iam/policy"
	"stocktake/internal/seal"
	"stocktake/internal/store"
)

// The states of an access key.
const (
	Active   = "Active"
	Inactive = "Inactive"
)

// The most a user may have.
const (
	mostKeys     = 2
	mostAttached = 10
)

// nameForm is the form of names of users and roles: nothing else is looked up.
var nameForm = regexp.MustCompile(`^[\w+=,.@-]{1,128}$`)

// A Tag is a tag of a user or role.
type Tag struct{ Key, Value string }

// A User is a user as it is shown.
type User struct {
	Account, Name, Path, ID string
	Created                 time.Time
	Tags                    []Tag
}

// ARN names the user.
func (u User) ARN() string { return policy.UserARN(u.Account, u.Path[1:]+u.Name) }

// An AccessKey is an access key of a user as it is shown. Secret is there only of one that was just made.
type AccessKey struct {
	User, ID, Status string
	Secret           string `json:"-"`
	Created          time.Time
}

// String keeps the secret out of logs.
func (k AccessKey) String() string { return "access key " + k.ID }

// GoString keeps the secret out of %#v.
func (k AccessKey) GoString() string { return k.String() }

// user is the record of a user, and its policies parsed.
type user struct {
	User
	Inline   map[string]string `json:",omitempty"` // texts of policies by their names
	Attached []string          `json:",omitempty"` // ARNs
	Keys     []accessKey       `json:",omitempty"`

	policies []*policy.Policy
}

type accessKey struct {
	ID, Status string
	Created    time.Time
	Sealed     []byte
}

func parseUser(value []byte) (*user, error) {
	u := &user{}
	if err := json.Unmarshal(value, u); err != nil {
		return nil, err
	}
	var err error
	u.policies, err = parsePolicies(u.Inline, u.Attached)
	return u, err
}

// parsePolicies parses the policies of a user or role.
func parsePolicies(inline map[string]string, attached []string) ([]*policy.Policy, error) {
	var all []*policy.Policy
	for _, name := range slices.Sorted(maps.Keys(inline)) {
		p, err := policy.Parse([]byte(inline[name]))
		if err != nil {
			return nil, fmt.Errorf("policy %s: %w", name, err)
		}
		all = append(all, p)
	}
	for _, arn := range attached {
		p, err := policy.Managed(arn)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

func (u *user) key(id string) *accessKey {
	at := slices.IndexFunc(u.Keys, func(k accessKey) bool { return k.ID == id })
	if at < 0 {
		return nil
	}
	return &u.Keys[at]
}

func userKey(account, name string) string { return store.Key("user", account, folded(name)) }

func noUser(name string) error {
	return refuse(NoSuchEntity, "The user with name %s cannot be found.", name)
}

// CreateUser makes a user without keys and policies, who may do nothing yet. Names are told apart ignoring case.
func (d *Identities) CreateUser(ctx context.Context, account, name, path string, tags []Tag) (User, error) {
	if d.declared.taken(account, name) {
		return User{}, refuse(AlreadyExists, "User with name %s already exists.", name)
	}
	u := user{User: User{Account: account, Name: name, Path: path, ID: seal.NewID("AIDA"), Created: d.second(), Tags: tags}}
	err := d.create(ctx, userKey(account, ""), userKey(account, name), u, "UsersPerAccount", mostUsers)
	if errors.Is(err, store.ErrConflict) {
		err = refuse(AlreadyExists, "User with name %s already exists.", name)
	}
	return u.User, err
}

// second is the time as it is kept.
func (d *Identities) second() time.Time { return d.now().UTC().Truncate(time.Second) }

// readUser gives a user: of the configuration, or as it is in the store. It is not to be changed.
func (d *Identities) readUser(ctx context.Context, account, name string) (*user, error) {
	if u := d.declared.user(account, name); u != nil {
		return u, nil
	}
	u, _, err := d.storedUser(ctx, account, name)
	return u, err
}

// storedUser reads a user from the store, to be changed; one of the configuration is refused.
func (d *Identities) storedUser(ctx context.Context, account, name string) (*user, uint64, error) {
	if u := d.declared.user(account, name); u != nil {
		return nil, 0, declared("user", u.Name)
	}
	u := &user{}
	revision, err := d.record(ctx, userKey(account, name), u)
	if err == nil && revision == 0 {
		err = noUser(name)
	}
	return u, revision, err
}

// User gives a user.
func (d *Identities) User(ctx context.Context, account, name string) (User, error) {
	u, err := d.readUser(ctx, account, name)
	return u.User, err
}

// Users gives up to limit users whose path begins with a prefix and whose names, folded, come after another.
func (d *Identities) Users(ctx context.Context, account, prefix, after string, limit int) ([]User, error) {
	var all []*user
	err := d.list(ctx, userKey(account, ""), after, limit, func(value []byte) (bool, error) {
		u := &user{}
		err := json.Unmarshal(value, u)
		if err != nil || !strings.HasPrefix(u.Path, prefix) || d.declared.user(account, u.Name) != nil {
			return false, err
		}
		all = append(all, u)
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	all = among(all, d.declared.userMap(), userKey(account, ""), after, limit,
		func(u *user) string { return userKey(account, u.Name) }, func(u *user) bool { return strings.HasPrefix(u.Path, prefix) })
	users := make([]User, len(all))
	for i, u := range all {
		users[i] = u.User
	}
	return users, nil
}

// list walks records below a prefix, after one, until limit of them were taken.
func (d *Identities) list(ctx context.Context, prefix, after string, limit int, take func(value []byte) (bool, error)) error {
	const batch = 500
	if after != "" {
		after = prefix + store.Key(folded(after))
	}
	for {
		records, err := d.store.ListRecords(ctx, prefix, after, batch)
		if err != nil {
			return err
		}
		for _, r := range records {
			taken, err := take(r.Value)
			if err != nil {
				return fmt.Errorf("%w: record %s: %w", store.ErrCorrupt, r.Key, err)
			}
			if taken {
				limit--
			}
			if limit == 0 {
				return nil
			}
			after = r.Key
		}
		if len(records) < batch {
			return nil
		}
	}
}

// change has f change a user.
func (d *Identities) change(ctx context.Context, account, name string, f func(u *user) error) error {
	defer d.users.forget(userKey(account, name))
	return retry(ctx, func() error {
		u, revision, err := d.storedUser(ctx, account, name)
		if err != nil {
			return err
		}
		if err := f(u); err != nil {
			return err
		}
		return d.put(ctx, userKey(account, name), u, revision)
	})
}

// DeleteUser deletes a user that has neither keys nor policies any more.
func (d *Identities) DeleteUser(ctx context.Context, account, name string) error {
	defer d.users.forget(userKey(account, name))
	return retry(ctx, func() error {
		u, revision, err := d.storedUser(ctx, account, name)
		switch {
		case err != nil:
			return err
		case len(u.Keys) > 0:
			return refuse(InUse, "Cannot delete entity, must delete access keys first.")
		case len(u.Inline) > 0:
			return refuse(InUse, "Cannot delete entity, must delete policies first.")
		case len(u.Attached) > 0:
			return refuse(InUse, "Cannot delete entity, must detach all policies first.")
		}
		return d.store.DeleteRecord(ctx, userKey(account, name), revision)
	})
}

// CreateAccessKey makes an access key of a user, who may have two. Its secret is given this once.
func (d *Identities) CreateAccessKey(ctx context.Context, account, name string) (AccessKey, error) {
	var random [30]byte
	_, _ = rand.Read(random[:]) // it never fails
	k := AccessKey{ID: seal.NewID("AKIA"), Secret: base64.StdEncoding.EncodeToString(random[:]), Status: Active, Created: d.second()}
	u, _, err := d.storedUser(ctx, account, name)
	if err != nil {
		return AccessKey{}, err
	}
	if err := d.ensureCheck(ctx); err != nil {
		return AccessKey{}, err
	}
	// Whose it is comes first: without the user's record, which counts, it is nobody's.
	owned := ownerKey(k.ID)
	if err := d.put(ctx, owned, owner{account, u.Name, u.ID}, 0); err != nil {
		return AccessKey{}, err
	}
	err = d.change(ctx, account, name, func(now *user) error {
		if now.ID != u.ID {
			return noUser(name)
		}
		if len(now.Keys) >= mostKeys {
			return refuse(LimitExceeded, "Cannot exceed quota for AccessKeysPerUser: %d", mostKeys)
		}
		k.User = now.Name
		now.Keys = append(now.Keys, accessKey{k.ID, k.Status, k.Created, d.vault.seal(account, k.ID, k.Secret)})
		return nil
	})
	if err != nil {
		d.drop(ctx, owned)
		return AccessKey{}, err
	}
	return k, nil
}

// drop deletes a record that nothing reads any more; where that fails it lies there and does no harm.
func (d *Identities) drop(ctx context.Context, key string) {
	r, err := d.store.Record(ctx, key)
	if err == nil {
		err = d.store.DeleteRecord(ctx, key, r.Revision)
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		d.log.Warn("a record that is of no use any more is still there", "key", key, "error", err)
	}
}

// AccessKeys gives a user's access keys, the oldest first.
func (d *Identities) AccessKeys(ctx context.Context, account, name string) ([]AccessKey, error) {
	u, err := d.readUser(ctx, account, name)
	if err != nil {
		return nil, err
	}
	all := make([]AccessKey, len(u.Keys))
	for i, k := range u.Keys {
		all[i] = AccessKey{User: u.Name, ID: k.ID, Status: k.Status, Created: k.Created}
	}
	return all, nil
}

func noKey(id string) error {
	return refuse(NoSuchEntity, "The Access Key with id %s cannot be found.", id)
}

// UpdateAccessKey makes a key Active or Inactive.
func (d *Identities) UpdateAccessKey(ctx context.Context, account, name, id, status string) error {
	return d.change(ctx, account, name, func(u *user) error {
		k := u.key(id)
		if k == nil {
			return noKey(id)
		}
		k.Status = status
		return nil
	})
}

// DeleteAccessKey deletes a key.
func (d *Identities) DeleteAccessKey(ctx context.Context, account, name, id string) error {
	err := d.change(ctx, account, name, func(u *user) error {
		if u.key(id) == nil {
			return noKey(id)
		}
		u.Keys = slices.DeleteFunc(u.Keys, func(k accessKey) bool { return k.ID == id })
		return nil
	})
	if err == nil {
		d.drop(ctx, ownerKey(id))
		d.uses.forget(id)
		d.drop(ctx, useKey(id))
	}
	return err
}

// LastUsed gives whose an access key of an account is, and when and for what it was used last; the zero time: never.
func (d *Identities) LastUsed(ctx context.Context, account, id string) (name string, at time.Time, service, region string, err error) {
	if !keyID.MatchString(id) {
		return "", time.Time{}, "", "", noKey(id)
	}
	var o owner
	if p := d.declared.userOf(id); p != nil {
		o = owner{p.Account, p.user, p.id}
	} else if _, err = d.record(ctx, ownerKey(id), &o); err != nil {
		return "", time.Time{}, "", "", err
	}
	if o.Account != account {
		return "", time.Time{}, "", "", noKey(id)
	}
	last, err := d.lastUse(ctx, id)
	return o.User, last.Time, last.Service, last.Region, err
}

// UserARN names a user as it is stored, whatever the case it is asked for in; where there is none, as it would be.
func (d *Identities) UserARN(ctx context.Context, account, name string) (string, error) {
	if !nameForm.MatchString(name) {
		return policy.UserARN(account, name), nil
	}
	u, err := d.User(ctx, account, name)
	if e := (*Error)(nil); errors.As(err, &e) {
		return policy.UserARN(account, name), nil
	}
	if err != nil {
		return "", err
	}
	return u.ARN(), nil
}
