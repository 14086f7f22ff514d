package iam

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"stocktake/internal/iam/policy"
	"stocktake/internal/store"
)

const (
	mayRead     = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ssm:Get*","Resource":"*"}}`
	trustTenant = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"sts:AssumeRole"}}`
)

func declaredAccount() Account {
	return Account{
		ID: tenant, Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Keys: []Key{{ID: "AKIAPLAIN", Secret: secret}},
		Users: []DeclaredUser{
			{Name: "Carol", Path: "/ops/", Policies: map[string]string{"read": mayRead}, Attached: []string{"AmazonSSMReadOnlyAccess"}, Keys: []Key{{ID: "AKIACAROL", Secret: secret}}},
			{Name: "erin"},
		},
		Roles: []DeclaredRole{{Name: "Oncall", Trust: trustTenant, MaxSession: 2 * time.Hour, Attached: []string{"arn:aws:iam::aws:policy/AmazonSSMFullAccess"}}},
	}
}

func TestDeclaredUserIsAsGoodAsAStoredOne(t *testing.T) {
	ctx := t.Context()
	dir := directory(t, declaredAccount())
	d := open(t, Options{Store: newStore(t), Declared: dir})
	got, p, ok := dir.Key("AKIACAROL")
	if !ok || got != secret || p.ARN != "arn:aws:iam::111122223333:user/ops/Carol" || p.User() != "Carol" || !p.Judged() || p.Account != tenant {
		t.Fatalf("the key is %+v, %v", p, ok)
	}
	u := must(d.User(ctx, tenant, "CAROL"))(t)
	if u.ARN() != p.ARN || u.ID != p.UserID() || !strings.HasPrefix(u.ID, "AIDA") || len(u.ID) != 20 || u.Created.Year() != 2026 {
		t.Errorf("the user is %+v", u)
	}
	for action, want := range map[string]policy.Outcome{"ssm:GetInventory": policy.Allowed, "ssm:ListNodes": policy.Allowed, "ssm:DeleteInventory": policy.NotAllowed} {
		if got := p.Judge(&policy.Request{Action: action, Resources: []policy.Resource{{ARN: "arn:aws:ssm:r:111122223333:*"}}}); got.Outcome != want {
			t.Errorf("%s: %v", action, got.Outcome)
		}
	}
	if keys := must(d.AccessKeys(ctx, tenant, "carol"))(t); len(keys) != 1 || keys[0].ID != "AKIACAROL" || keys[0].Status != Active || keys[0].Secret != "" {
		t.Errorf("keys are %+v", keys)
	}
	if text := must(d.UserPolicy(ctx, tenant, "carol", "read"))(t); text != mayRead {
		t.Errorf("the policy is %s", text)
	}
	if all := must(d.AttachedUserPolicies(ctx, tenant, "carol"))(t); len(all) != 1 || all[0] != policy.ManagedARN("AmazonSSMReadOnlyAccess") {
		t.Errorf("attached are %v", all)
	}
	d.Used(p, "ssm", "eu-west-1")
	if name, at, _, region, err := d.LastUsed(ctx, tenant, "AKIACAROL"); err != nil || name != "Carol" || at.IsZero() || region != "eu-west-1" {
		t.Errorf("last used by %s at %s in %s, %v", name, at, region, err)
	}
	if _, _, _, _, err := d.LastUsed(ctx, RootAccount, "AKIACAROL"); reasonOf(err) != NoSuchEntity {
		t.Errorf("asked by another account: %v", err)
	}
	if _, err := d.User(ctx, RootAccount, "Carol"); reasonOf(err) != NoSuchEntity {
		t.Errorf("seen by another account: %v", err)
	}
	if again := directory(t, declaredAccount()); again.user(tenant, "carol").ID != u.ID {
		t.Error("another server gives another id")
	}
}

// TestDeclaredIsChangedInItsFileAlone has every change of a declared user or role refused, and one of the store not.
func TestDeclaredIsChangedInItsFileAlone(t *testing.T) {
	ctx := t.Context()
	d := open(t, Options{Store: newStore(t), Declared: directory(t, declaredAccount())})
	must(d.CreateUser(ctx, tenant, "dave", "/", nil))(t)
	for name, c := range map[string]struct {
		err  error
		want Reason
	}{
		"CreateUser":           {failed(d.CreateUser(ctx, tenant, "carol", "/", nil)), AlreadyExists},
		"CreateUser of a key":  {failed(d.CreateUser(ctx, tenant, "akiaplain", "/", nil)), AlreadyExists},
		"DeleteUser":           {d.DeleteUser(ctx, tenant, "carol"), Declared},
		"CreateAccessKey":      {failed(d.CreateAccessKey(ctx, tenant, "carol")), Declared},
		"UpdateAccessKey":      {d.UpdateAccessKey(ctx, tenant, "carol", "AKIACAROL", Inactive), Declared},
		"DeleteAccessKey":      {d.DeleteAccessKey(ctx, tenant, "carol", "AKIACAROL"), Declared},
		"PutUserPolicy":        {d.PutUserPolicy(ctx, tenant, "carol", "p", mayRead), Declared},
		"DeleteUserPolicy":     {d.DeleteUserPolicy(ctx, tenant, "carol", "read"), Declared},
		"AttachUserPolicy":     {d.AttachUserPolicy(ctx, tenant, "carol", policy.ManagedARN("AmazonSSMFullAccess")), Declared},
		"DetachUserPolicy":     {d.DetachUserPolicy(ctx, tenant, "carol", policy.ManagedARN("AmazonSSMReadOnlyAccess")), Declared},
		"CreateRole":           {failed(d.CreateRole(ctx, Role{Account: tenant, Name: "oncall", Path: "/", Trust: trustTenant})), AlreadyExists},
		"PutRolePolicy":        {d.PutRolePolicy(ctx, tenant, "oncall", "p", mayRead), Declared},
		"DeleteRole":           {d.DeleteRole(ctx, tenant, "oncall"), Declared},
		"another user's":       {d.PutUserPolicy(ctx, tenant, "dave", "p", mayRead), 0},
		"of another account":   {d.DeleteUser(ctx, RootAccount, "carol"), NoSuchEntity},
		"its name there":       {failed(d.CreateUser(ctx, RootAccount, "carol", "/", nil)), 0},
		"a role's name there":  {failed(d.CreateRole(ctx, Role{Account: RootAccount, Name: "oncall", Path: "/", Trust: strings.ReplaceAll(trustTenant, tenant, RootAccount)})), 0},
		"a user of the name":   {failed(d.CreateUser(ctx, tenant, "oncall", "/", nil)), 0},
		"deleted of the store": {d.DeleteUser(ctx, tenant, "oncall"), 0},
	} {
		if reasonOf(c.err) != c.want || (c.want == 0 && c.err != nil) {
			t.Errorf("%s: %v", name, c.err)
		}
	}
}

// TestDeclaredHasTheNameOfAStoredOne has the configuration declare users that the store has: the store's are idle.
func TestDeclaredHasTheNameOfAStoredOne(t *testing.T) {
	ctx := t.Context()
	s := newStore(t)
	before := open(t, Options{Store: s})
	for _, name := range []string{"bob", "carol", "zoe"} {
		must(before.CreateUser(ctx, tenant, name, "/", nil))(t)
	}
	idle, live := must(before.CreateAccessKey(ctx, tenant, "carol"))(t), must(before.CreateAccessKey(ctx, tenant, "bob"))(t)
	must(before.CreateRole(ctx, Role{Account: tenant, Name: "oncall", Path: "/", Trust: trustTenant, MaxSession: time.Hour}))(t)
	bob := &Principal{Account: tenant, ARN: "arn:aws:iam::111122223333:user/bob"}
	stale := must(before.AssumeRole(ctx, bob, "arn:aws:iam::111122223333:role/oncall", "night", time.Hour))(t)

	var log bytes.Buffer
	d := open(t, Options{Store: s, Declared: directory(t, declaredAccount()), Log: slog.New(slog.NewJSONHandler(&log, nil))})
	if err := d.Examine(ctx); err != nil || strings.Count(log.String(), "lies idle") != 2 || !strings.Contains(log.String(), "carol") || !strings.Contains(log.String(), "oncall") {
		t.Errorf("examined: %v\n%s", err, log.String())
	}
	if _, _, err := d.Key(ctx, idle.ID); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("the stored user's key: %v", err)
	}
	if _, _, err := d.Key(ctx, live.ID); err != nil {
		t.Errorf("another user's key: %v", err)
	}
	if _, err := d.Session(ctx, stale.AccessKeyID, stale.SessionToken); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("a session of the stored role: %v", err)
	}
	fresh := must(d.AssumeRole(ctx, bob, "arn:aws:iam::111122223333:role/Oncall", "night", 2*time.Hour))(t)
	if got := must(d.Session(ctx, fresh.AccessKeyID, fresh.SessionToken))(t); got.Secret != fresh.Secret || !got.Principal.MayAct("ssm:DeleteInventory") {
		t.Errorf("a session of the declared role is %+v", got)
	}
	var names []string
	for after := ""; ; {
		page := must(d.Users(ctx, tenant, "/", after, 2))(t)
		if len(page) == 0 {
			break
		}
		for _, u := range page {
			names = append(names, u.Name)
			after = u.Name
		}
	}
	if strings.Join(names, " ") != "bob Carol erin zoe" {
		t.Errorf("users are %q", names)
	}
	if ops := must(d.Users(ctx, tenant, "/ops/", "", 10))(t); len(ops) != 1 || ops[0].Name != "Carol" {
		t.Errorf("users of a path are %+v", ops)
	}
	if roles := must(d.Roles(ctx, tenant, "/", "", 10))(t); len(roles) != 1 || roles[0].Name != "Oncall" || roles[0].MaxSession != 2*time.Hour {
		t.Errorf("roles are %+v", roles)
	}
	if other := must(d.Users(ctx, "111122223334", "/", "", 10))(t); len(other) != 0 {
		t.Errorf("another account sees %+v", other)
	}
}

// TestConfiguredKeyTakesTheNameOfAUser: refusals and the audit name a configured key as they would name a user of its id.
func TestConfiguredKeyTakesTheNameOfAUser(t *testing.T) {
	ctx := t.Context()
	s := newStore(t)
	before := open(t, Options{Store: s})
	const other = "111122223334"
	keys := map[string]AccessKey{}
	for _, u := range []struct{ account, name string }{{tenant, "AKIAPLAIN"}, {tenant, "AKIAOTHER"}, {other, "AKIAPLAIN"}, {tenant, "AKIACAROL"}} {
		must(before.CreateUser(ctx, u.account, u.name, "/", nil))(t)
		keys[u.account+" "+u.name] = must(before.CreateAccessKey(ctx, u.account, u.name))(t)
	}
	dir := directory(t, declaredAccount())
	_, plain, _ := dir.Key("AKIAPLAIN")
	if _, p, err := before.Key(ctx, keys[tenant+" AKIAPLAIN"].ID); err != nil || p.ARN != plain.ARN {
		t.Fatalf("the user is %+v, the configured key %+v, %v: there is nothing to tell apart", p, plain, err)
	}
	d := open(t, Options{Store: s, Declared: dir})
	for who, key := range keys {
		_, _, err := d.Key(ctx, key.ID)
		if taken := who == tenant+" AKIAPLAIN"; errors.Is(err, ErrUnknownKey) != taken || !taken && err != nil {
			t.Errorf("the key of %s: %v", who, err)
		}
	}
}

func TestDeclaredMistakesAreNamed(t *testing.T) {
	for want, change := range map[string]func(a *Account){
		`name: "a b" is no name`:                          func(a *Account) { a.Users[0].Name = "a b" },
		`name: "" is no name`:                             func(a *Account) { a.Roles[0].Name = "" },
		`path: "ops" is no path`:                          func(a *Account) { a.Users[0].Path = "ops" },
		"policies.read: Statement.Foo: unknown element":   func(a *Account) { a.Users[0].Policies["read"] = `{"Statement":{"Foo":1}}` },
		`policies: "a/b" is no name`:                      func(a *Account) { a.Users[0].Policies = map[string]string{"a/b": mayRead} },
		"attached_policies: there is no policy":           func(a *Account) { a.Users[0].Attached = []string{"AdministratorAccess"} },
		"attached_policies: AmazonSSMReadOnlyAccess is":   func(a *Account) { a.Users[0].Attached = append(a.Users[0].Attached, "AmazonSSMReadOnlyAccess") },
		"the secret is too short":                         func(a *Account) { a.Users[0].Keys[0].Secret = "short" },
		"AKIACAROL has patterns":                          func(a *Account) { a.Users[0].Keys[0].Nodes = []string{"*"} },
		"3 are given, and a user may have 2":              func(a *Account) { a.Users[1].Keys = make([]Key, 3) },
		"access key AKIACAROL is given twice":             func(a *Account) { a.Users[1].Keys = a.Users[0].Keys },
		"user CAROL is given twice":                       func(a *Account) { a.Users[1].Name = "CAROL" },
		"user AkiaPlain is given twice, or has the name ": func(a *Account) { a.Users[1].Name = "AkiaPlain" },
		"role ONCALL is given twice":                      func(a *Account) { a.Roles = append(a.Roles, DeclaredRole{Name: "ONCALL", Trust: trustTenant}) },
		"trust: trust policy: it has no Statement":        func(a *Account) { a.Roles[0].Trust = `{"Statement":[]}` },
		"max_session: it must be between 1h and 12h":      func(a *Account) { a.Roles[0].MaxSession = 13 * time.Hour },
	} {
		a := declaredAccount()
		change(&a)
		_, err := New(Key{ID: "AKIAROOT", Secret: secret}, []Account{a})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "short\"") {
			t.Errorf("%v, want %q in it", err, want)
		}
	}
}

// TestSecretKeyIsNoticedAtTheStart examines a store as servers with other secret keys do.
func TestSecretKeyIsNoticedAtTheStart(t *testing.T) {
	ctx := t.Context()
	const right, wrong = "the secret key that secrets are sealed under", "another secret key that they are not under"
	for name, c := range map[string]struct {
		make    func(t *testing.T, d *Identities)
		refused bool
	}{
		"an empty store":           {func(*testing.T, *Identities) {}, false},
		"a user without a key":     {func(t *testing.T, d *Identities) { must(d.CreateUser(ctx, tenant, "alice", "/", nil))(t) }, false},
		"a key":                    {withKey, true},
		"a key that is gone again": {withoutKeys, false},
		"a key of an earlier release": {func(t *testing.T, d *Identities) {
			withKey(t, d)
			dropCheck(t, d)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			c.make(t, open(t, Options{Store: s, SecretKey: right}))
			if err := open(t, Options{Store: s, SecretKey: right}).Examine(ctx); err != nil {
				t.Errorf("under the right key: %v", err)
			}
			for _, key := range []string{wrong, ""} {
				if err := open(t, Options{Store: s, SecretKey: key}).Examine(ctx); errors.Is(err, ErrSecretKey) != c.refused || (err != nil) != c.refused {
					t.Errorf("under %q: %v", key, err)
				}
			}
			other := open(t, Options{Store: s, SecretKey: wrong})
			must(other.CreateUser(ctx, tenant, "bob", "/", nil))(t)
			_, err := other.CreateAccessKey(ctx, tenant, "bob")
			if errors.Is(err, ErrSecretKey) != c.refused || (err != nil) != c.refused {
				t.Errorf("a key made under another: %v", err)
			}
			if err := open(t, Options{Store: s, SecretKey: right}).Examine(ctx); errors.Is(err, ErrSecretKey) == c.refused {
				t.Errorf("afterwards, under the first key: %v", err)
			}
		})
	}
}

func withKey(t *testing.T, d *Identities) {
	t.Helper()
	must(d.CreateUser(context.Background(), tenant, "alice", "/", nil))(t)
	must(d.CreateAccessKey(context.Background(), tenant, "alice"))(t)
}

func withoutKeys(t *testing.T, d *Identities) {
	t.Helper()
	ctx := context.Background()
	withKey(t, d)
	for _, k := range must(d.AccessKeys(ctx, tenant, "alice"))(t) {
		if err := d.DeleteAccessKey(ctx, tenant, "alice", k.ID); err != nil {
			t.Fatal(err)
		}
	}
}

func dropCheck(t *testing.T, d *Identities) {
	t.Helper()
	r := must(d.store.Record(context.Background(), checkKey))(t)
	if err := d.store.DeleteRecord(context.Background(), checkKey, r.Revision); err != nil {
		t.Fatal(err)
	}
	if _, err := d.store.Record(context.Background(), checkKey); !errors.Is(err, store.ErrNotFound) {
		t.Fatal("the check is still there")
	}
}
