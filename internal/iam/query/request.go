package query

// A Request is a shape of this package that a call is decoded into.
type Request interface{ decode(r *reader) }

// A Tag is a tag of a user or role.
type Tag struct {
	Key   string
	Value string
}

// A Page is which part of a listing is asked for.
type Page struct {
	Marker   string // of the answer before; empty at the beginning
	MaxItems int    // 1 to 1,000
}

// CreateUserRequest makes a user.
type CreateUserRequest struct {
	Path     string // "/" if the request has none
	UserName string
	Tags     []Tag
}

func (q *CreateUserRequest) decode(r *reader) {
	q.Path = r.optional("Path", path, "/")
	q.UserName = r.required("UserName", userName)
	q.Tags = r.tags()
}

// GetUserRequest asks for a user.
type GetUserRequest struct{ UserName string } // empty: who asks

func (q *GetUserRequest) decode(r *reader) { q.UserName = r.optional("UserName", existingName, "") }

// ListUsersRequest lists users.
type ListUsersRequest struct {
	PathPrefix string // "/", which all have, if the request has none
	Page       Page
}

func (q *ListUsersRequest) decode(r *reader) {
	q.PathPrefix = r.optional("PathPrefix", pathPrefix, "/")
	q.Page = r.page()
}

// DeleteUserRequest deletes a user.
type DeleteUserRequest struct{ UserName string }

func (q *DeleteUserRequest) decode(r *reader) { q.UserName = r.required("UserName", existingName) }

// CreateAccessKeyRequest makes an access key of a user.
type CreateAccessKeyRequest struct{ UserName string } // empty: who asks

func (q *CreateAccessKeyRequest) decode(r *reader) {
	q.UserName = r.optional("UserName", existingName, "")
}

// ListAccessKeysRequest lists a user's access keys.
type ListAccessKeysRequest struct {
	UserName string // empty: who asks
	Page     Page
}

func (q *ListAccessKeysRequest) decode(r *reader) {
	q.UserName = r.optional("UserName", existingName, "")
	q.Page = r.page()
}

// UpdateAccessKeyRequest enables or disables an access key.
type UpdateAccessKeyRequest struct {
	UserName    string // empty: who asks
	AccessKeyID string
	Status      string // Active or Inactive
}

func (q *UpdateAccessKeyRequest) decode(r *reader) {
	q.UserName = r.optional("UserName", existingName, "")
	q.AccessKeyID = r.required("AccessKeyId", accessKeyID)
	q.Status = r.required("Status", keyStatus)
}

// DeleteAccessKeyRequest deletes an access key.
type DeleteAccessKeyRequest struct {
	UserName    string // empty: who asks
	AccessKeyID string
}

func (q *DeleteAccessKeyRequest) decode(r *reader) {
	q.UserName = r.optional("UserName", existingName, "")
	q.AccessKeyID = r.required("AccessKeyId", accessKeyID)
}

// GetAccessKeyLastUsedRequest asks when an access key was used last.
type GetAccessKeyLastUsedRequest struct{ AccessKeyID string }

func (q *GetAccessKeyLastUsedRequest) decode(r *reader) {
	q.AccessKeyID = r.required("AccessKeyId", accessKeyID)
}

// PutUserPolicyRequest stores an inline policy of a user.
type PutUserPolicyRequest struct {
	UserName       string
	PolicyName     string
	PolicyDocument string
}

func (q *PutUserPolicyRequest) decode(r *reader) {
	q.UserName = r.required("UserName", existingName)
	q.PolicyName = r.required("PolicyName", policyName)
	q.PolicyDocument = r.required("PolicyDocument", document)
}

// GetUserPolicyRequest asks for an inline policy of a user.
type GetUserPolicyRequest struct{ UserName, PolicyName string }

func (q *GetUserPolicyRequest) decode(r *reader) {
	q.UserName = r.required("UserName", existingName)
	q.PolicyName = r.required("PolicyName", policyName)
}

// ListUserPoliciesRequest lists the names of a user's inline policies.
type ListUserPoliciesRequest struct {
	UserName string
	Page     Page
}

func (q *ListUserPoliciesRequest) decode(r *reader) {
	q.UserName = r.required("UserName", existingName)
	q.Page = r.page()
}

// DeleteUserPolicyRequest deletes an inline policy of a user.
type DeleteUserPolicyRequest struct{ UserName, PolicyName string }

func (q *DeleteUserPolicyRequest) decode(r *reader) {
	q.UserName = r.required("UserName", existingName)
	q.PolicyName = r.required("PolicyName", policyName)
}

// AttachUserPolicyRequest gives a user a managed policy.
type AttachUserPolicyRequest struct{ UserName, PolicyARN string }

func (q *AttachUserPolicyRequest) decode(r *reader) {
	q.UserName = r.required("UserName", userName)
	q.PolicyARN = r.required("PolicyArn", arn)
}

// DetachUserPolicyRequest takes a managed policy from a user.
type DetachUserPolicyRequest struct{ UserName, PolicyARN string }

func (q *DetachUserPolicyRequest) decode(r *reader) {
	q.UserName = r.required("UserName", userName)
	q.PolicyARN = r.required("PolicyArn", arn)
}

// ListAttachedUserPoliciesRequest lists the managed policies a user has.
type ListAttachedUserPoliciesRequest struct {
	UserName   string
	PathPrefix string // "/", which all have, if the request has none
	Page       Page
}

func (q *ListAttachedUserPoliciesRequest) decode(r *reader) {
	q.UserName = r.required("UserName", userName)
	q.PathPrefix = r.optional("PathPrefix", pathPrefix, "/")
	q.Page = r.page()
}

// CreateRoleRequest makes a role.
type CreateRoleRequest struct {
	Path                     string // "/" if the request has none
	RoleName                 string
	AssumeRolePolicyDocument string
	Description              string
	MaxSessionDuration       int // in seconds; 3,600 if the request has none
	Tags                     []Tag
}

func (q *CreateRoleRequest) decode(r *reader) {
	q.Path = r.optional("Path", path, "/")
	q.RoleName = r.required("RoleName", roleName)
	q.AssumeRolePolicyDocument = r.required("AssumeRolePolicyDocument", document)
	q.Description = r.optional("Description", roleDescription, "")
	q.MaxSessionDuration = r.number("MaxSessionDuration", 3600, 43_200, 3600)
	q.Tags = r.tags()
}

// PutRolePolicyRequest stores an inline policy of a role.
type PutRolePolicyRequest struct {
	RoleName       string
	PolicyName     string
	PolicyDocument string
}

func (q *PutRolePolicyRequest) decode(r *reader) {
	q.RoleName = r.required("RoleName", roleName)
	q.PolicyName = r.required("PolicyName", policyName)
	q.PolicyDocument = r.required("PolicyDocument", document)
}

// ListRolesRequest lists roles.
type ListRolesRequest struct {
	PathPrefix string // "/", which all have, if the request has none
	Page       Page
}

func (q *ListRolesRequest) decode(r *reader) {
	q.PathPrefix = r.optional("PathPrefix", pathPrefix, "/")
	q.Page = r.page()
}

// DeleteRoleRequest deletes a role.
type DeleteRoleRequest struct{ RoleName string }

func (q *DeleteRoleRequest) decode(r *reader) { q.RoleName = r.required("RoleName", roleName) }

// GetCallerIdentityRequest asks who the caller is.
type GetCallerIdentityRequest struct{}

func (*GetCallerIdentityRequest) decode(*reader) {}

// AssumeRoleRequest asks for credentials of a role. Session policies, session tags, source identities and tokens of MFA
// devices are refused: the session would not be what the caller believes.
type AssumeRoleRequest struct {
	RoleARN         string
	RoleSessionName string
	DurationSeconds int // 900 to 43,200; 3,600 if the request has none
	ExternalID      string
}

func (q *AssumeRoleRequest) decode(r *reader) {
	q.RoleARN = r.required("RoleArn", arn)
	q.RoleSessionName = r.required("RoleSessionName", sessionName)
	q.DurationSeconds = r.number("DurationSeconds", 900, 43_200, 3600)
	q.ExternalID = r.optional("ExternalId", externalID, "")
}
