package iam

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"stocktake/internal/iam/policy"
	"stocktake/internal/seal"
	"stocktake/internal/store"
)

// A Role is a role as it is shown.
type Role struct {
	Account, Name, Path, ID string
	Created                 time.Time
	Trust                   string // who may assume it, as a policy's text
	Description             string
	MaxSession              time.Duration
	Tags                    []Tag
}

// ARN names the role.
func (r Role) ARN() string { return policy.RoleARN(r.Account, r.Path[1:]+r.Name) }

// role is the record of a role, its policies and its trust parsed.
type role struct {
	Role
	Inline map[string]string `json:",omitempty"`

	policies []*policy.Policy
	trusted  []string
}

func parseRole(value []byte) (*role, error) {
	r := &role{}
	if err := json.Unmarshal(value, r); err != nil {
		return nil, err
	}
	var err error
	if r.policies, err = parsePolicies(r.Inline, nil); err != nil {
		return nil, err
	}
	r.trusted, err = parseTrust(r.Account, r.Trust)
	return r, err
}

func roleKey(account, name string) string { return store.Key("role", account, folded(name)) }

func noRole(name string) error {
	return refuse(NoSuchEntity, "The role with name %s cannot be found.", name)
}

// CreateRole makes a role without policies. ID and Created of what is given are the role's own to choose.
func (d *Identities) CreateRole(ctx context.Context, r Role) (Role, error) {
	if _, err := parseTrust(r.Account, r.Trust); err != nil {
		return Role{}, refuse(MalformedPolicy, "%s", err)
	}
	if d.declared.role(r.Account, r.Name) != nil {
		return Role{}, refuse(AlreadyExists, "Role with name %s already exists.", r.Name)
	}
	r.ID, r.Created = seal.NewID("AROA"), d.second()
	err := d.create(ctx, roleKey(r.Account, ""), roleKey(r.Account, r.Name), role{Role: r}, "RolesPerAccount", mostRoles)
	if errors.Is(err, store.ErrConflict) {
		err = refuse(AlreadyExists, "Role with name %s already exists.", r.Name)
	}
	return r, err
}

// storedRole reads a role from the store, to be changed; one of the configuration is refused.
func (d *Identities) storedRole(ctx context.Context, account, name string) (*role, uint64, error) {
	if r := d.declared.role(account, name); r != nil {
		return nil, 0, declared("role", r.Name)
	}
	r := &role{}
	revision, err := d.record(ctx, roleKey(account, name), r)
	if err == nil && revision == 0 {
		err = noRole(name)
	}
	return r, revision, err
}

// PutRolePolicy stores an inline policy of a role, in the place of one of the same name.
func (d *Identities) PutRolePolicy(ctx context.Context, account, name, policyName, text string) error {
	defer d.roles.forget(roleKey(account, name))
	return retry(ctx, func() error {
		r, revision, err := d.storedRole(ctx, account, name)
		if err != nil {
			return err
		}
		if r.Inline == nil {
			r.Inline = map[string]string{}
		}
		if err := putPolicy(r.Inline, policyName, text, policy.MaxRoleSize); err != nil {
			return err
		}
		return d.put(ctx, roleKey(account, name), r, revision)
	})
}

// Roles gives up to limit roles whose path begins with a prefix and whose names, folded, come after another.
func (d *Identities) Roles(ctx context.Context, account, prefix, after string, limit int) ([]Role, error) {
	var all []*role
	err := d.list(ctx, roleKey(account, ""), after, limit, func(value []byte) (bool, error) {
		r := &role{}
		err := json.Unmarshal(value, r)
		if err != nil || !strings.HasPrefix(r.Path, prefix) || d.declared.role(account, r.Name) != nil {
			return false, err
		}
		all = append(all, r)
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	all = among(all, d.declared.roleMap(), roleKey(account, ""), after, limit,
		func(r *role) string { return roleKey(account, r.Name) }, func(r *role) bool { return strings.HasPrefix(r.Path, prefix) })
	roles := make([]Role, len(all))
	for i, r := range all {
		roles[i] = r.Role
	}
	return roles, nil
}

// DeleteRole deletes a role; there is no way to delete a role's policies but with the role.
func (d *Identities) DeleteRole(ctx context.Context, account, name string) error {
	defer d.roles.forget(roleKey(account, name))
	return retry(ctx, func() error {
		_, revision, err := d.storedRole(ctx, account, name)
		if err != nil {
			return err
		}
		return d.store.DeleteRecord(ctx, roleKey(account, name), revision)
	})
}

// RoleARN names a role as it is stored, whatever the case it is asked for in; where there is none, as it would be.
func (d *Identities) RoleARN(ctx context.Context, account, name string) (string, error) {
	if !nameForm.MatchString(name) {
		return policy.RoleARN(account, name), nil
	}
	if r := d.declared.role(account, name); r != nil {
		return r.ARN(), nil
	}
	r, _, err := d.storedRole(ctx, account, name)
	if e := (*Error)(nil); errors.As(err, &e) {
		return policy.RoleARN(account, name), nil
	}
	if err != nil {
		return "", err
	}
	return r.ARN(), nil
}
