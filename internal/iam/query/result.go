package query

import (
	"net/url"
	"strings"
	"time"
)

// A Result is a shape of this package that answers a call. Actions that answer nothing have none.
type Result interface{ answers() }

// A Time is written in whole seconds of UTC.
type Time time.Time

// MarshalText writes the time as IAM does: 2026-01-02T03:04:05Z.
func (t Time) MarshalText() ([]byte, error) {
	return time.Time(t).UTC().AppendFormat(nil, "2006-01-02T15:04:05Z"), nil
}

// A Document is the text of a policy, as it was stored. On the wire it is percent-encoded.
type Document string

// MarshalText percent-encodes everything but letters, digits and - . _ ~.
func (d Document) MarshalText() ([]byte, error) {
	return []byte(strings.ReplaceAll(url.QueryEscape(string(d)), "+", "%20")), nil
}

// A Listing is a list as XML has it: an element that stands there even if empty.
type Listing[T any] struct {
	Members []T `xml:"member"`
}

// A Truncation ends a page of a listing: whether there is more, and the marker to ask for it with.
type Truncation struct {
	IsTruncated bool
	Marker      string `xml:",omitempty"`
}

// A User is a user as it is shown.
type User struct {
	Path       string
	UserName   string
	UserID     string `xml:"UserId"` // AIDA...
	ARN        string `xml:"Arn"`
	CreateDate Time
	Tags       *Listing[Tag] // nil in listings, which have no tags
}

// CreateUserResult answers CreateUser.
type CreateUserResult struct{ User User }

func (CreateUserResult) answers() {}

// GetUserResult answers GetUser.
type GetUserResult struct{ User User }

func (GetUserResult) answers() {}

// ListUsersResult answers ListUsers.
type ListUsersResult struct {
	Users Listing[User]
	Truncation
}

func (ListUsersResult) answers() {}

// An AccessKey is an access key as it is shown once, with its secret.
type AccessKey struct {
	UserName        string
	AccessKeyID     string `xml:"AccessKeyId"`
	Status          string
	SecretAccessKey string
	CreateDate      Time
}

// String keeps the secret out of logs.
func (k AccessKey) String() string { return "access key " + k.AccessKeyID }

// GoString keeps the secret out of %#v.
func (k AccessKey) GoString() string { return k.String() }

// CreateAccessKeyResult answers CreateAccessKey.
type CreateAccessKeyResult struct{ AccessKey AccessKey }

func (CreateAccessKeyResult) answers() {}

// AccessKeyMetadata is an access key as it is listed.
type AccessKeyMetadata struct {
	UserName    string
	AccessKeyID string `xml:"AccessKeyId"`
	Status      string
	CreateDate  Time
}

// ListAccessKeysResult answers ListAccessKeys.
type ListAccessKeysResult struct {
	AccessKeyMetadata Listing[AccessKeyMetadata]
	Truncation
}

func (ListAccessKeysResult) answers() {}

// GetAccessKeyLastUsedResult answers GetAccessKeyLastUsed.
type GetAccessKeyLastUsedResult struct {
	UserName          string
	AccessKeyLastUsed AccessKeyLastUsed
}

func (GetAccessKeyLastUsedResult) answers() {}

// AccessKeyLastUsed is when and for what an access key was used; without a date and N/A elsewhere: never.
type AccessKeyLastUsed struct {
	LastUsedDate *Time `xml:",omitempty"`
	ServiceName  string
	Region       string
}

// GetUserPolicyResult answers GetUserPolicy.
type GetUserPolicyResult struct {
	UserName       string
	PolicyName     string
	PolicyDocument Document
}

func (GetUserPolicyResult) answers() {}

// ListUserPoliciesResult answers ListUserPolicies.
type ListUserPoliciesResult struct {
	PolicyNames Listing[string]
	Truncation
}

func (ListUserPoliciesResult) answers() {}

// An AttachedPolicy is a managed policy that a user has.
type AttachedPolicy struct {
	PolicyName string
	PolicyARN  string `xml:"PolicyArn"`
}

// ListAttachedUserPoliciesResult answers ListAttachedUserPolicies.
type ListAttachedUserPoliciesResult struct {
	AttachedPolicies Listing[AttachedPolicy]
	Truncation
}

func (ListAttachedUserPoliciesResult) answers() {}

// A Role is a role as it is shown.
type Role struct {
	Path                     string
	RoleName                 string
	RoleID                   string `xml:"RoleId"` // AROA...
	ARN                      string `xml:"Arn"`
	CreateDate               Time
	AssumeRolePolicyDocument Document
	Description              string `xml:",omitempty"`
	MaxSessionDuration       int
	Tags                     *Listing[Tag] // nil in listings, which have no tags
}

// CreateRoleResult answers CreateRole.
type CreateRoleResult struct{ Role Role }

func (CreateRoleResult) answers() {}

// ListRolesResult answers ListRoles.
type ListRolesResult struct {
	Roles Listing[Role]
	Truncation
}

func (ListRolesResult) answers() {}

// GetCallerIdentityResult answers GetCallerIdentity.
type GetCallerIdentityResult struct {
	ARN     string `xml:"Arn"`
	UserID  string `xml:"UserId"`
	Account string
}

func (GetCallerIdentityResult) answers() {}

// Credentials are those of a role's session.
type Credentials struct {
	AccessKeyID     string `xml:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string
	Expiration      Time
}

// String keeps the secrets out of logs.
func (c Credentials) String() string { return "credentials " + c.AccessKeyID }

// GoString keeps the secrets out of %#v.
func (c Credentials) GoString() string { return c.String() }

// AssumedRoleUser names a role's session.
type AssumedRoleUser struct {
	AssumedRoleID string `xml:"AssumedRoleId"` // AROA...:SESSION
	ARN           string `xml:"Arn"`           // arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION
}

// AssumeRoleResult answers AssumeRole.
type AssumeRoleResult struct {
	Credentials     Credentials
	AssumedRoleUser AssumedRoleUser
}

func (AssumeRoleResult) answers() {}
