package iam

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"stocktake/internal/iam/policy"
	"stocktake/internal/store"
)

// ErrUnknownKey is the error of an access key that no user has, or that is disabled.
var ErrUnknownKey = errors.New("unknown access key")

// CacheTime is how long a server of several goes by what it read of users and roles: so long may another server's change
// take to be heeded. A server that has its store to itself heeds every change at once.
const CacheTime = 5 * time.Second

const (
	mostCached  = 20_000
	changeTries = 100
)

// Options is what Identities are made of. Store is required.
type Options struct {
	Store store.Store
	// SecretKey is what secrets are sealed under beside the store's own key; empty: nothing.
	SecretKey string
	// Declared are the users and roles of the configuration; nil: there are none.
	Declared *Directory
	// Shared says that other servers may serve the same store.
	Shared bool
	// Log gets what fails and is nobody's answer; nil: slog.Default().
	Log *slog.Logger
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Identities are the users and roles of a store. Every method may be called by many goroutines at once. An error that is
// no [*Error] and not ErrUnknownKey is the store's.
type Identities struct {
	store    store.Store
	vault    vault
	declared *Directory
	fresh    time.Duration // what was read so lately is gone by
	log      *slog.Logger
	now      func() time.Time

	owners *cache[owner]
	users  *cache[user]
	roles  *cache[role]
	uses   *uses

	creating sync.Mutex // held while a user or role is made
}

// Open gives the users and roles of a store. Close them before it, where requests are verified by them.
func Open(o Options) (*Identities, error) {
	v, err := newVault(o.Store.Identity(), o.SecretKey)
	if err != nil {
		return nil, err
	}
	d := &Identities{
		store: o.Store, vault: v, declared: o.Declared, log: o.Log, now: o.Now,
		owners: newCache(parseOwner), uses: newUses(),
	}
	d.users, d.roles = newCache(parseUser), newCache(parseRole)
	if o.Shared {
		d.fresh = CacheTime
	}
	if d.log == nil {
		d.log = slog.Default()
	}
	if d.now == nil {
		d.now = time.Now
	}
	return d, nil
}

// Key gives the secret and the principal of an access key of a user, or ErrUnknownKey.
func (d *Identities) Key(ctx context.Context, id string) (secret string, p *Principal, err error) {
	if !keyID.MatchString(id) {
		return "", nil, ErrUnknownKey
	}
	// Whose a key is never changes.
	o, _, err := d.owners.read(ctx, d, ownerKey(id), time.Hour)
	if err != nil {
		return "", nil, unknown(err)
	}
	if d.declared.user(o.Account, o.User) != nil || d.declared.names(o.Account, o.User) { // who has the name now
		return "", nil, ErrUnknownKey
	}
	u, _, err := d.users.read(ctx, d, userKey(o.Account, o.User), d.fresh)
	if err != nil {
		return "", nil, unknown(err)
	}
	k := u.key(id)
	if u.ID != o.UserID || k == nil || k.Status != Active {
		return "", nil, ErrUnknownKey
	}
	if secret, err = d.vault.open(o.Account, id, k.Sealed); err != nil {
		return "", nil, fmt.Errorf("access key %s: %w", id, err)
	}
	return secret, &Principal{
		Account: o.Account, AccessKeyID: id, ARN: policy.UserARN(o.Account, u.Path[1:]+u.Name),
		judged: true, policies: u.policies, user: u.Name, id: u.ID,
	}, nil
}

// Strange reports whether Key would look an id up in the store that it has not found there before.
func (d *Identities) Strange(id string) bool {
	return keyID.MatchString(id) && !d.owners.has(ownerKey(id))
}

func ownerKey(id string) string { return store.Key("accesskey", id) }

// unknown tells what is not there from a store that does not say.
func unknown(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return ErrUnknownKey
	}
	return err
}

// An owner says whose an access key is.
type owner struct{ Account, User, UserID string }

func parseOwner(value []byte) (*owner, error) {
	o := &owner{}
	return o, json.Unmarshal(value, o)
}

// record reads a record; revision 0: there is none.
func (d *Identities) record(ctx context.Context, key string, v any) (revision uint64, err error) {
	r, err := d.store.Record(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(r.Value, v); err != nil {
		return 0, fmt.Errorf("%w: record %s: %w", store.ErrCorrupt, key, err)
	}
	return r.Revision, nil
}

func (d *Identities) put(ctx context.Context, key string, v any, revision uint64) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = d.store.PutRecord(ctx, store.Record{Key: key, Value: text, Revision: revision})
	return err
}

// retry does what a racing change may have undone, until it did not.
func retry(ctx context.Context, f func() error) error {
	for try := 0; ; try++ {
		err := f()
		if !errors.Is(err, store.ErrConflict) || try == changeTries-1 || ctx.Err() != nil {
			return err
		}
	}
}

// folded is how names are told apart: not by case.
func folded(name string) string { return strings.ToLower(name) }

// A cache holds records as they were parsed, by their keys.
type cache[T any] struct {
	parse func(value []byte) (*T, error)

	mu      sync.Mutex
	entries map[string]cached[T]
}

type cached[T any] struct {
	value    *T
	text     []byte // it was parsed from
	revision uint64
	at       time.Time
}

func newCache[T any](parse func([]byte) (*T, error)) *cache[T] {
	return &cache[T]{parse: parse, entries: map[string]cached[T]{}}
}

// read gives a record as parsed, and its revision. It reads the store unless it did so lately. The value is shared.
func (c *cache[T]) read(ctx context.Context, d *Identities, key string, fresh time.Duration) (*T, uint64, error) {
	c.mu.Lock()
	e, ok := c.entries[key]
	c.mu.Unlock()
	now := time.Now() // monotonic, whatever the clock is told
	if ok && now.Sub(e.at) < fresh {
		return e.value, e.revision, nil
	}
	r, err := d.store.Record(ctx, key)
	if err != nil {
		if errors.Is(err, store.ErrNotFound) {
			c.forget(key)
		}
		return nil, 0, err
	}
	if !ok || !bytes.Equal(e.text, r.Value) { // of a store that went back in history a revision says nothing
		if e.value, err = c.parse(r.Value); err != nil {
			return nil, 0, fmt.Errorf("%w: record %s: %w", store.ErrCorrupt, key, err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.entries) >= mostCached {
		clear(c.entries)
	}
	c.entries[key] = cached[T]{e.value, r.Value, r.Revision, now}
	return e.value, r.Revision, nil
}

// has reports whether a record was found before, however long ago.
func (c *cache[T]) has(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.entries[key]
	return ok
}

// forget has the next read ask the store.
func (c *cache[T]) forget(key string) {
	c.mu.Lock()
	delete(c.entries, key)
	c.mu.Unlock()
}
