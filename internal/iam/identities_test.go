package iam

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"stocktake/internal/store"
	"stocktake/internal/store/memory"
)

const tenant = "111122223333"

func newStore(t *testing.T) store.Store {
	t.Helper()
	s, err := memory.New(2)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func open(t *testing.T, o Options) *Identities {
	t.Helper()
	d, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func reasonOf(err error) Reason {
	var e *Error
	errors.As(err, &e)
	if e == nil {
		return 0
	}
	return e.Reason
}

func TestAccessKeyLife(t *testing.T) {
	ctx := t.Context()
	d := open(t, Options{Store: newStore(t)})
	u := must(d.CreateUser(ctx, tenant, "Alice", "/ops/", nil))(t)
	k := must(d.CreateAccessKey(ctx, tenant, "alice"))(t) // ignoring case
	secret, p, err := d.Key(ctx, k.ID)
	if err != nil || secret != k.Secret || p.Account != tenant || p.ARN != "arn:aws:iam::111122223333:user/ops/Alice" ||
		p.User() != "Alice" || p.UserID() != u.ID || !p.Judged() || p.MayAct("ssm:GetInventory") || p.MayReach("i-12345678") {
		t.Fatalf("key is %q, %+v, %v", secret, p, err)
	}
	second := must(d.CreateAccessKey(ctx, tenant, "Alice"))(t)
	if _, err := d.CreateAccessKey(ctx, tenant, "Alice"); reasonOf(err) != LimitExceeded {
		t.Errorf("a third key: %v", err)
	}
	for name, c := range map[string]struct {
		err  error
		want Reason
	}{
		"the name again":              {failed(d.CreateUser(ctx, tenant, "ALICE", "/", nil)), AlreadyExists},
		"the user still has keys":     {d.DeleteUser(ctx, tenant, "Alice"), InUse},
		"a key of nobody":             {d.DeleteAccessKey(ctx, tenant, "Alice", "AKIA0000000000000000"), NoSuchEntity},
		"a user of another account":   {d.DeleteUser(ctx, RootAccount, "Alice"), NoSuchEntity},
		"a key of another account's":  {d.UpdateAccessKey(ctx, RootAccount, "Alice", k.ID, Inactive), NoSuchEntity},
		"a policy that is none":       {d.PutUserPolicy(ctx, tenant, "Alice", "p", `{"Statement":[]}`), MalformedPolicy},
		"a policy that is not there":  {d.DeleteUserPolicy(ctx, tenant, "Alice", "p"), NoSuchEntity},
		"a built-in that is none":     {d.AttachUserPolicy(ctx, tenant, "Alice", "arn:aws:iam::aws:policy/AdministratorAccess"), NoSuchEntity},
		"a built-in not attached":     {d.DetachUserPolicy(ctx, tenant, "Alice", "arn:aws:iam::aws:policy/AmazonSSMFullAccess"), NoSuchEntity},
		"more policies than may be":   {d.PutUserPolicy(ctx, tenant, "Alice", "p", bigPolicy()), LimitExceeded},
		"another user's access key":   {d.DeleteAccessKey(ctx, tenant, "bob", k.ID), NoSuchEntity},
		"the use of a foreign's key":  {failedUse(d.LastUsed(ctx, RootAccount, k.ID)), NoSuchEntity},
		"the policies of no user":     {failed(d.UserPolicies(ctx, tenant, "bob")), NoSuchEntity},
		"the built-ins of no user":    {failed(d.AttachedUserPolicies(ctx, tenant, "bob")), NoSuchEntity},
		"a policy not among a user's": {failed(d.UserPolicy(ctx, tenant, "Alice", "p")), NoSuchEntity},
	} {
		if reasonOf(c.err) != c.want {
			t.Errorf("%s: %v", name, c.err)
		}
	}
	for _, id := range []string{k.ID, second.ID} {
		if err := d.DeleteAccessKey(ctx, tenant, "Alice", id); err != nil {
			t.Fatal(err)
		}
		if _, _, err := d.Key(ctx, id); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("a deleted key: %v", err)
		}
	}
	if err := d.DeleteUser(ctx, tenant, "Alice"); err != nil {
		t.Fatal(err)
	}
	if left := must(d.store.ListRecords(ctx, "", "", 10))(t); len(left) != 1 || left[0].Key != checkKey {
		t.Errorf("records are left: %+v", left)
	}
}

func failed[T any](_ T, err error) error { return err }

func failedUse[A, B, C, D any](_ A, _ B, _ C, _ D, err error) error { return err }

// bigPolicy has more characters than all of a user's policies may have together.
func bigPolicy() string {
	return `{"Statement":{"Effect":"Allow","Action":["` + strings.Repeat(`ssm:Get*","`, 300) + `ssm:*"],"Resource":"*"}}`
}

// TestTwoKeysHoweverMany has many ask for keys of one user at once, at two servers.
func TestTwoKeysHoweverMany(t *testing.T) {
	ctx := t.Context()
	s := newStore(t)
	servers := []*Identities{open(t, Options{Store: s, Shared: true}), open(t, Options{Store: s, Shared: true})}
	must(servers[0].CreateUser(ctx, tenant, "alice", "/", nil))(t)
	var made, refused sync.Map
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			k, err := servers[i%2].CreateAccessKey(ctx, tenant, "alice")
			if err == nil {
				made.Store(k.ID, k.Secret)
			} else {
				refused.Store(i, reasonOf(err))
			}
		})
	}
	wg.Wait()
	count := 0
	made.Range(func(id, secret any) bool {
		count++
		if got, _, err := servers[0].Key(ctx, id.(string)); err != nil || got != secret {
			t.Errorf("key %v: %v", id, err)
		}
		return true
	})
	refused.Range(func(_, reason any) bool {
		if reason != LimitExceeded {
			t.Errorf("refused for reason %v", reason)
		}
		return true
	})
	if records := must(s.ListRecords(ctx, "accesskey/", "", 100))(t); count != 2 || len(records) != 2 {
		t.Errorf("%d keys were made, %d records kept", count, len(records))
	}
}

// TestSecretsAreSealed looks for a secret wherever it could have gone, and opens it with the right keys alone.
func TestSecretsAreSealed(t *testing.T) {
	ctx := t.Context()
	s := newStore(t)
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	const outside = "a key that is kept outside of the store"
	d := open(t, Options{Store: s, SecretKey: outside, Log: logger})
	must(d.CreateUser(ctx, tenant, "alice", "/", nil))(t)
	k := must(d.CreateAccessKey(ctx, tenant, "alice"))(t)
	_, p, err := d.Key(ctx, k.ID)
	if err != nil {
		t.Fatal(err)
	}
	logger.Info("all", "key", k, "principal", p)
	shown := fmt.Sprintf("%v %+v %#v %s", k, k, k, log.String())
	for _, r := range must(s.ListRecords(ctx, "", "", 100))(t) {
		shown += string(r.Value)
	}
	if strings.Contains(shown, k.Secret) {
		t.Errorf("the secret is in %s", shown)
	}
	if got, _, err := open(t, Options{Store: s, SecretKey: outside}).Key(ctx, k.ID); err != nil || got != k.Secret {
		t.Errorf("after a restart: %v", err)
	}
	for _, wrong := range []string{"", "another key that is kept outside"} {
		if _, _, err := open(t, Options{Store: s, SecretKey: wrong}).Key(ctx, k.ID); !errors.Is(err, errSealed) || errors.Is(err, ErrUnknownKey) {
			t.Errorf("with the secret key %q: %v", wrong, err)
		}
	}
	moved := must(s.Record(ctx, userKey(tenant, "alice")))(t)
	moved.Key, moved.Revision = userKey(tenant, "mallory"), 0
	moved.Value = bytes.ReplaceAll(moved.Value, []byte(k.ID), []byte("AKIAMALLORY000000000"))
	must(s.PutRecord(ctx, moved))(t)
	u := must(d.User(ctx, tenant, "mallory"))(t)
	if err := d.put(ctx, store.Key("accesskey", "AKIAMALLORY000000000"), owner{tenant, "mallory", u.ID}, 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.Key(ctx, "AKIAMALLORY000000000"); !errors.Is(err, errSealed) {
		t.Errorf("a sealed secret in another key's place: %v", err)
	}
}

// TestOtherServersHeedChanges has one server disable a key that another goes by.
func TestOtherServersHeedChanges(t *testing.T) {
	s := newStore(t)
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		one, two := open(t, Options{Store: s, Shared: true}), open(t, Options{Store: s, Shared: true})
		must(one.CreateUser(ctx, tenant, "alice", "/", nil))(t)
		k := must(one.CreateAccessKey(ctx, tenant, "alice"))(t)
		if _, _, err := two.Key(ctx, k.ID); err != nil {
			t.Fatal(err)
		}
		if err := one.UpdateAccessKey(ctx, tenant, "alice", k.ID, Inactive); err != nil {
			t.Fatal(err)
		}
		if _, _, err := one.Key(ctx, k.ID); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("where it was disabled: %v", err)
		}
		time.Sleep(CacheTime)
		if _, _, err := two.Key(ctx, k.ID); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("elsewhere, %s later: %v", CacheTime, err)
		}
	})
}

// counted counts the writes of a store.
type counted struct {
	store.Store
	writes int
}

func (c *counted) PutRecord(ctx context.Context, r store.Record) (uint64, error) {
	c.writes++
	return c.Store.PutRecord(ctx, r)
}

func TestUseIsWrittenOnceAnHour(t *testing.T) {
	ctx := t.Context()
	s := &counted{Store: newStore(t)}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	clock := func() time.Time { return now }
	one, two := open(t, Options{Store: s, Now: clock}), open(t, Options{Store: s, Now: clock})
	must(one.CreateUser(ctx, tenant, "alice", "/", nil))(t)
	k := must(one.CreateAccessKey(ctx, tenant, "alice"))(t)
	_, p, err := one.Key(ctx, k.ID)
	if err != nil {
		t.Fatal(err)
	}
	s.writes = 0
	for range 3 {
		one.Used(p, "ssm", "eu-west-1")
		one.uses.writers.Wait()
		two.Used(p, "ssm", "eu-west-2")
		two.uses.writers.Wait()
		now = now.Add(19 * time.Minute)
	}
	if s.writes != 1 {
		t.Errorf("%d writes within an hour", s.writes)
	}
	now = now.Add(time.Hour)
	two.Used(p, "iam", "eu-west-2")
	two.uses.writers.Wait()
	name, at, service, region, err := one.LastUsed(ctx, tenant, k.ID)
	if err != nil || name != "alice" || !at.Equal(now) || service != "iam" || region != "eu-west-2" || s.writes != 2 {
		t.Errorf("last used by %s at %s for %s in %s, %v, after %d writes", name, at, service, region, err, s.writes)
	}
}

func TestListingsStayInTheAccount(t *testing.T) {
	ctx := t.Context()
	d := open(t, Options{Store: newStore(t)})
	for _, account := range []string{tenant, "111122223334"} {
		for i := range 5 {
			must(d.CreateUser(ctx, account, fmt.Sprintf("u%d", i), []string{"/", "/ops/"}[i%2], nil))(t)
		}
	}
	var got []string
	for after := ""; ; {
		page := must(d.Users(ctx, tenant, "/", after, 2))(t)
		if len(page) == 0 {
			break
		}
		for _, u := range page {
			if u.Account != tenant {
				t.Errorf("user %+v", u)
			}
			got = append(got, u.Name)
			after = u.Name
		}
	}
	if strings.Join(got, " ") != "u0 u1 u2 u3 u4" {
		t.Errorf("users are %q", got)
	}
	if ops := must(d.Users(ctx, tenant, "/ops/", "", 10))(t); len(ops) != 2 {
		t.Errorf("users of a path are %+v", ops)
	}
}
