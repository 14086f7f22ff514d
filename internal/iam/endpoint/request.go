package endpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"stocktake/internal/iam"
	"stocktake/internal/iam/query"
)

// requested is a request that is allowed: who asks, in which account.
type requested struct {
	users   *iam.Identities
	caller  *iam.Principal
	account string
}

// do does what a request asks.
func (r *requested) do(ctx context.Context, request query.Request) (query.Result, error) {
	if result, err := r.user(ctx, request); result != nil || !errors.Is(err, errOther) {
		return result, err
	}
	if result, err := r.policy(ctx, request); result != nil || !errors.Is(err, errOther) {
		return result, err
	}
	return r.role(ctx, request)
}

// errOther is the error of a request of another kind.
var errOther = errors.New("a request of another kind")

// user does what is done to users and their keys.
func (r *requested) user(ctx context.Context, request query.Request) (query.Result, error) {
	switch q := request.(type) {
	case *query.CreateUserRequest:
		u, err := r.users.CreateUser(ctx, r.account, q.UserName, q.Path, tagsOf(q.Tags))
		return query.CreateUserResult{User: shownUser(u, true)}, err
	case *query.GetUserRequest:
		return r.getUser(ctx, q.UserName)
	case *query.ListUsersRequest:
		all, err := r.users.Users(ctx, r.account, q.PathPrefix, q.Page.Marker, q.Page.MaxItems+1)
		page, truncation := cut(all, q.Page, func(u iam.User) string { return u.Name })
		answer := query.ListUsersResult{Truncation: truncation}
		for _, u := range page {
			answer.Users.Members = append(answer.Users.Members, shownUser(u, false))
		}
		return answer, err
	case *query.DeleteUserRequest:
		return nil, r.users.DeleteUser(ctx, r.account, q.UserName)
	case *query.CreateAccessKeyRequest:
		name, err := r.named(q.UserName)
		if err != nil {
			return nil, err
		}
		k, err := r.users.CreateAccessKey(ctx, r.account, name)
		return query.CreateAccessKeyResult{AccessKey: query.AccessKey{
			UserName: k.User, AccessKeyID: k.ID, Status: k.Status, SecretAccessKey: k.Secret, CreateDate: query.Time(k.Created),
		}}, err
	case *query.ListAccessKeysRequest:
		return r.listAccessKeys(ctx, q)
	case *query.UpdateAccessKeyRequest:
		name, err := r.named(q.UserName)
		if err == nil {
			err = r.users.UpdateAccessKey(ctx, r.account, name, q.AccessKeyID, q.Status)
		}
		return nil, err
	case *query.DeleteAccessKeyRequest:
		name, err := r.named(q.UserName)
		if err == nil {
			err = r.users.DeleteAccessKey(ctx, r.account, name, q.AccessKeyID)
		}
		return nil, err
	case *query.GetAccessKeyLastUsedRequest:
		return r.lastUsed(ctx, q.AccessKeyID)
	}
	return nil, errOther
}

// named gives the user a request is about: who asks, where it names none.
func (r *requested) named(name string) (string, error) {
	if name == "" {
		name = r.caller.User()
	}
	if name == "" {
		return "", &query.Error{Code: query.ValidationError, Message: "Must specify userName when calling with non-User credentials"}
	}
	return name, nil
}

func (r *requested) getUser(ctx context.Context, name string) (query.Result, error) {
	name, err := r.named(name)
	if err != nil {
		return nil, err
	}
	u, err := r.users.User(ctx, r.account, name)
	return query.GetUserResult{User: shownUser(u, true)}, err
}

func (r *requested) listAccessKeys(ctx context.Context, q *query.ListAccessKeysRequest) (query.Result, error) {
	name, err := r.named(q.UserName)
	if err != nil {
		return nil, err
	}
	all, err := r.users.AccessKeys(ctx, r.account, name)
	page, truncation := after(all, q.Page, func(k iam.AccessKey) string { return k.ID })
	answer := query.ListAccessKeysResult{Truncation: truncation}
	for _, k := range page {
		answer.AccessKeyMetadata.Members = append(answer.AccessKeyMetadata.Members, query.AccessKeyMetadata{
			UserName: k.User, AccessKeyID: k.ID, Status: k.Status, CreateDate: query.Time(k.Created),
		})
	}
	return answer, err
}

func (r *requested) lastUsed(ctx context.Context, id string) (query.Result, error) {
	name, at, service, region, err := r.users.LastUsed(ctx, r.account, id)
	answer := query.GetAccessKeyLastUsedResult{UserName: name, AccessKeyLastUsed: query.AccessKeyLastUsed{ServiceName: "N/A", Region: "N/A"}}
	if !at.IsZero() {
		date := query.Time(at)
		answer.AccessKeyLastUsed = query.AccessKeyLastUsed{LastUsedDate: &date, ServiceName: service, Region: region}
	}
	return answer, err
}

// policy does what is done to the policies of users.
func (r *requested) policy(ctx context.Context, request query.Request) (query.Result, error) {
	switch q := request.(type) {
	case *query.PutUserPolicyRequest:
		return nil, r.users.PutUserPolicy(ctx, r.account, q.UserName, q.PolicyName, q.PolicyDocument)
	case *query.GetUserPolicyRequest:
		text, err := r.users.UserPolicy(ctx, r.account, q.UserName, q.PolicyName)
		return query.GetUserPolicyResult{UserName: q.UserName, PolicyName: q.PolicyName, PolicyDocument: query.Document(text)}, err
	case *query.ListUserPoliciesRequest:
		all, err := r.users.UserPolicies(ctx, r.account, q.UserName)
		page, truncation := after(all, q.Page, func(name string) string { return name })
		return query.ListUserPoliciesResult{PolicyNames: query.Listing[string]{Members: page}, Truncation: truncation}, err
	case *query.DeleteUserPolicyRequest:
		return nil, r.users.DeleteUserPolicy(ctx, r.account, q.UserName, q.PolicyName)
	case *query.AttachUserPolicyRequest:
		return nil, r.users.AttachUserPolicy(ctx, r.account, q.UserName, q.PolicyARN)
	case *query.DetachUserPolicyRequest:
		return nil, r.users.DetachUserPolicy(ctx, r.account, q.UserName, q.PolicyARN)
	case *query.ListAttachedUserPoliciesRequest:
		all, err := r.users.AttachedUserPolicies(ctx, r.account, q.UserName)
		if q.PathPrefix != "/" { // all are there
			all = nil
		}
		page, truncation := after(all, q.Page, func(arn string) string { return arn })
		answer := query.ListAttachedUserPoliciesResult{Truncation: truncation}
		for _, arn := range page {
			answer.AttachedPolicies.Members = append(answer.AttachedPolicies.Members,
				query.AttachedPolicy{PolicyName: arn[strings.LastIndexByte(arn, '/')+1:], PolicyARN: arn})
		}
		return answer, err
	}
	return nil, errOther
}

// role does what is done to roles.
func (r *requested) role(ctx context.Context, request query.Request) (query.Result, error) {
	switch q := request.(type) {
	case *query.CreateRoleRequest:
		made, err := r.users.CreateRole(ctx, iam.Role{
			Account: r.account, Name: q.RoleName, Path: q.Path, Trust: q.AssumeRolePolicyDocument, Description: q.Description,
			MaxSession: time.Duration(q.MaxSessionDuration) * time.Second, Tags: tagsOf(q.Tags),
		})
		return query.CreateRoleResult{Role: shownRole(made, true)}, err
	case *query.PutRolePolicyRequest:
		return nil, r.users.PutRolePolicy(ctx, r.account, q.RoleName, q.PolicyName, q.PolicyDocument)
	case *query.ListRolesRequest:
		all, err := r.users.Roles(ctx, r.account, q.PathPrefix, q.Page.Marker, q.Page.MaxItems+1)
		page, truncation := cut(all, q.Page, func(role iam.Role) string { return role.Name })
		answer := query.ListRolesResult{Truncation: truncation}
		for _, role := range page {
			answer.Roles.Members = append(answer.Roles.Members, shownRole(role, false))
		}
		return answer, err
	case *query.DeleteRoleRequest:
		return nil, r.users.DeleteRole(ctx, r.account, q.RoleName)
	case *query.AssumeRoleRequest:
		return r.assume(ctx, q)
	}
	return nil, fmt.Errorf("there is no method for %T", request)
}

func (r *requested) assume(ctx context.Context, q *query.AssumeRoleRequest) (query.Result, error) {
	s, err := r.users.AssumeRole(ctx, r.caller, q.RoleARN, q.RoleSessionName, time.Duration(q.DurationSeconds)*time.Second)
	if errors.Is(err, iam.ErrNotTrusted) {
		return nil, &query.Error{
			Code:    query.AccessDenied,
			Message: "User: " + r.caller.ARN + " is not authorized to perform: sts:AssumeRole on resource: " + q.RoleARN,
		}
	}
	if err != nil {
		return nil, err
	}
	return query.AssumeRoleResult{
		Credentials:     query.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.Secret, SessionToken: s.SessionToken, Expiration: query.Time(s.Expires)},
		AssumedRoleUser: query.AssumedRoleUser{AssumedRoleID: s.RoleID, ARN: s.ARN},
	}, nil
}

// cut ends a page that has one member more than was asked for if there is more.
func cut[T any](all []T, p query.Page, name func(T) string) ([]T, query.Truncation) {
	if len(all) <= p.MaxItems {
		return all, query.Truncation{}
	}
	all = all[:p.MaxItems]
	return all, query.Truncation{IsTruncated: true, Marker: name(all[len(all)-1])}
}

// after gives the page of a short list that begins behind the member that the marker names.
func after[T any](all []T, p query.Page, name func(T) string) ([]T, query.Truncation) {
	if p.Marker != "" {
		all = all[slices.IndexFunc(all, func(v T) bool { return name(v) == p.Marker })+1:]
	}
	return cut(all, p, name)
}

func tagsOf(tags []query.Tag) []iam.Tag {
	var all []iam.Tag
	for _, t := range tags {
		all = append(all, iam.Tag(t))
	}
	return all
}

func shownTags(tags []iam.Tag) *query.Listing[query.Tag] {
	if len(tags) == 0 {
		return nil
	}
	all := &query.Listing[query.Tag]{}
	for _, t := range tags {
		all.Members = append(all.Members, query.Tag(t))
	}
	return all
}

func shownUser(u iam.User, tagged bool) query.User {
	if u.ID == "" {
		return query.User{}
	}
	shown := query.User{Path: u.Path, UserName: u.Name, UserID: u.ID, ARN: u.ARN(), CreateDate: query.Time(u.Created)}
	if tagged {
		shown.Tags = shownTags(u.Tags)
	}
	return shown
}

func shownRole(r iam.Role, tagged bool) query.Role {
	if r.ID == "" {
		return query.Role{}
	}
	shown := query.Role{
		Path: r.Path, RoleName: r.Name, RoleID: r.ID, ARN: r.ARN(), CreateDate: query.Time(r.Created),
		AssumeRolePolicyDocument: query.Document(r.Trust), Description: r.Description, MaxSessionDuration: int(r.MaxSession / time.Second),
	}
	if tagged {
		shown.Tags = shownTags(r.Tags)
	}
	return shown
}
