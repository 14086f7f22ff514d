package iam

import (
	"fmt"
	"testing"

	"stocktake/internal/store"
)

// TestUsersAndRolesStopAtTheQuota fills an account but for one place, of which another account knows nothing.
func TestUsersAndRolesStopAtTheQuota(t *testing.T) {
	const trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":%q},"Action":"sts:AssumeRole"}]}`
	st := newStore(t)
	d := open(t, Options{Store: st})
	for name, c := range map[string]struct {
		most   int
		key    func(account, name string) string
		create func(account, name string) error
		remove func(name string) error
	}{
		"UsersPerAccount: 5000": {
			5000, userKey,
			func(account, name string) error {
				_, err := d.CreateUser(t.Context(), account, name, "/", nil)
				return err
			},
			func(name string) error { return d.DeleteUser(t.Context(), tenant, name) },
		},
		"RolesPerAccount: 1000": {
			1000, roleKey,
			func(account, name string) error {
				_, err := d.CreateRole(t.Context(), Role{Account: account, Name: name, Path: "/", Trust: fmt.Sprintf(trust, account)})
				return err
			},
			func(name string) error { return d.DeleteRole(t.Context(), tenant, name) },
		},
	} {
		for n := range c.most - 1 {
			if _, err := st.PutRecord(t.Context(), store.Record{Key: c.key(tenant, fmt.Sprintf("filler-%d", n)), Value: []byte("{}")}); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.create(tenant, "last"); err != nil {
			t.Errorf("%s: the last: %v", name, err)
		}
		if err := c.create(tenant, "over"); reasonOf(err) != LimitExceeded || err.Error() != "Cannot exceed quota for "+name {
			t.Errorf("%s: one more: %v", name, err)
		}
		if err := c.create(tenant, "Last"); reasonOf(err) != AlreadyExists {
			t.Errorf("%s: one that is there: %v", name, err)
		}
		if err := c.create("444455556666", "first"); err != nil {
			t.Errorf("%s: another account: %v", name, err)
		}
		if err := c.remove("last"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := c.create(tenant, "over"); err != nil {
			t.Errorf("%s: after one was deleted: %v", name, err)
		}
	}
}
