package iam

import (
	"context"
	"maps"
	"slices"

	"stocktake/internal/iam/policy"
)

// putPolicy puts an inline policy among others, whose sizes are bounded together.
func putPolicy(inline map[string]string, name, text string, most int) error {
	added, err := policy.Parse([]byte(text))
	if err != nil {
		return refuse(MalformedPolicy, "%s", err)
	}
	size := added.Size()
	for other, text := range inline {
		if other == name {
			continue
		}
		p, err := policy.Parse([]byte(text))
		if err != nil {
			return err
		}
		size += p.Size()
	}
	if size > most {
		return refuse(LimitExceeded, "The inline policies would have %d characters together, more than %d.", size, most)
	}
	inline[name] = text
	return nil
}

func noPolicy(name string) error {
	return refuse(NoSuchEntity, "The policy with name %s cannot be found.", name)
}

// PutUserPolicy stores an inline policy of a user, in the place of one of the same name.
func (d *Identities) PutUserPolicy(ctx context.Context, account, name, policyName, text string) error {
	return d.change(ctx, account, name, func(u *user) error {
		if u.Inline == nil {
			u.Inline = map[string]string{}
		}
		return putPolicy(u.Inline, policyName, text, policy.MaxUserSize)
	})
}

// UserPolicy gives the text of an inline policy of a user.
func (d *Identities) UserPolicy(ctx context.Context, account, name, policyName string) (text string, err error) {
	u, err := d.readUser(ctx, account, name)
	if err != nil {
		return "", err
	}
	text, ok := u.Inline[policyName]
	if !ok {
		return "", noPolicy(policyName)
	}
	return text, nil
}

// UserPolicies gives the names of a user's inline policies, in order.
func (d *Identities) UserPolicies(ctx context.Context, account, name string) ([]string, error) {
	u, err := d.readUser(ctx, account, name)
	return slices.Sorted(maps.Keys(u.Inline)), err
}

// DeleteUserPolicy deletes an inline policy of a user.
func (d *Identities) DeleteUserPolicy(ctx context.Context, account, name, policyName string) error {
	return d.change(ctx, account, name, func(u *user) error {
		if _, ok := u.Inline[policyName]; !ok {
			return noPolicy(policyName)
		}
		delete(u.Inline, policyName)
		return nil
	})
}

// AttachUserPolicy gives a user a built-in policy; one the user has already is no error.
func (d *Identities) AttachUserPolicy(ctx context.Context, account, name, arn string) error {
	if _, err := policy.Managed(arn); err != nil {
		return refuse(NoSuchEntity, "%s", err)
	}
	return d.change(ctx, account, name, func(u *user) error {
		switch {
		case slices.Contains(u.Attached, arn):
			return nil
		case len(u.Attached) >= mostAttached:
			return refuse(LimitExceeded, "Cannot exceed quota for PoliciesPerUser: %d", mostAttached)
		}
		u.Attached = append(u.Attached, arn)
		return nil
	})
}

// DetachUserPolicy takes a built-in policy from a user.
func (d *Identities) DetachUserPolicy(ctx context.Context, account, name, arn string) error {
	return d.change(ctx, account, name, func(u *user) error {
		if !slices.Contains(u.Attached, arn) {
			return refuse(NoSuchEntity, "Policy %s was not found.", arn)
		}
		u.Attached = slices.DeleteFunc(u.Attached, func(a string) bool { return a == arn })
		return nil
	})
}

// AttachedUserPolicies gives the ARNs of the built-in policies a user was given, in order.
func (d *Identities) AttachedUserPolicies(ctx context.Context, account, name string) ([]string, error) {
	u, err := d.readUser(ctx, account, name)
	return slices.Sorted(slices.Values(u.Attached)), err
}
