// Package query is what AWS's IAM and STS speak on the wire: requests as forms (Action=CreateUser&Version=2010-05-08&...),
// answers and errors as XML.
//
// Call [Parse] with the body of a request; it finds the action, which is enough to ask whether the caller may. Then
// [Call.Decode] reads the parameters, and [Call.AppendAnswer] or [Call.AppendError] writes what the method gave.
//
// Promises: every constraint of the API's model is held, and all that are violated are named in one answer. A parameter
// that an action does not have, and one of AWS's that would change what is allowed and is not kept here (permissions
// boundaries, session policies), is refused, never passed over. An error never has a secret in it.
//
// The package has the shapes and no logic: it knows no users and no roles, verifies no signature and does no I/O.
package query

import (
	"net/url"
	"slices"
	"strings"
)

// Media is the type of an answer's body.
const Media = "text/xml"

// A Service is one of the two that speak so.
type Service struct {
	Name      string // as IAM and signatures name it
	Version   string // as requests name it
	namespace string
}

// The services.
var (
	IAM = Service{"iam", "2010-05-08", "https://iam.amazonaws.com/doc/2010-05-08/"}
	STS = Service{"sts", "2011-06-15", "https://sts.amazonaws.com/doc/2011-06-15/"}
)

// maxParameters is the most parameters a request may have. The largest that is of use has 50 tags, of two each.
const maxParameters = 200

// A Call is a request whose action is known. One of no action writes the errors from before that.
type Call struct {
	Service Service
	Action  string // CreateUser

	parameters map[string]string
}

// An operation is an action and how its request is made.
type operation struct {
	service Service
	name    string
	request func() Request
}

var operations = []operation{
	{IAM, "CreateUser", func() Request { return &CreateUserRequest{} }},
	{IAM, "GetUser", func() Request { return &GetUserRequest{} }},
	{IAM, "ListUsers", func() Request { return &ListUsersRequest{} }},
	{IAM, "DeleteUser", func() Request { return &DeleteUserRequest{} }},
	{IAM, "CreateAccessKey", func() Request { return &CreateAccessKeyRequest{} }},
	{IAM, "ListAccessKeys", func() Request { return &ListAccessKeysRequest{} }},
	{IAM, "UpdateAccessKey", func() Request { return &UpdateAccessKeyRequest{} }},
	{IAM, "DeleteAccessKey", func() Request { return &DeleteAccessKeyRequest{} }},
	{IAM, "GetAccessKeyLastUsed", func() Request { return &GetAccessKeyLastUsedRequest{} }},
	{IAM, "PutUserPolicy", func() Request { return &PutUserPolicyRequest{} }},
	{IAM, "GetUserPolicy", func() Request { return &GetUserPolicyRequest{} }},
	{IAM, "ListUserPolicies", func() Request { return &ListUserPoliciesRequest{} }},
	{IAM, "DeleteUserPolicy", func() Request { return &DeleteUserPolicyRequest{} }},
	{IAM, "AttachUserPolicy", func() Request { return &AttachUserPolicyRequest{} }},
	{IAM, "DetachUserPolicy", func() Request { return &DetachUserPolicyRequest{} }},
	{IAM, "ListAttachedUserPolicies", func() Request { return &ListAttachedUserPoliciesRequest{} }},
	{IAM, "CreateRole", func() Request { return &CreateRoleRequest{} }},
	{IAM, "PutRolePolicy", func() Request { return &PutRolePolicyRequest{} }},
	{IAM, "ListRoles", func() Request { return &ListRolesRequest{} }},
	{IAM, "DeleteRole", func() Request { return &DeleteRoleRequest{} }},
	{STS, "GetCallerIdentity", func() Request { return &GetCallerIdentityRequest{} }},
	{STS, "AssumeRole", func() Request { return &AssumeRoleRequest{} }},
}

// Permissions lists every action as policies name it: iam:CreateUser.
func Permissions() []string {
	all := make([]string, len(operations))
	for i, o := range operations {
		all[i] = o.service.Name + ":" + o.name
	}
	return all
}

// Parse reads a body of type application/x-www-form-urlencoded and finds its action. Its error is an [*Error].
func Parse(body []byte) (*Call, error) {
	c := &Call{Service: IAM, parameters: map[string]string{}}
	for field := range strings.SplitSeq(string(body), "&") {
		if field == "" {
			continue
		}
		name, value, err := unescape(field)
		if err != nil {
			return nil, fail(MalformedQueryString, "The body is no form: %v", err)
		}
		if _, twice := c.parameters[name]; twice {
			return nil, fail(MalformedQueryString, "The parameter %s is given twice", clip(name))
		}
		if len(c.parameters) == maxParameters {
			return nil, fail(MalformedQueryString, "The request has more than %d parameters", maxParameters)
		}
		c.parameters[name] = value
	}
	action, version := c.parameters["Action"], c.parameters["Version"]
	delete(c.parameters, "Action")
	delete(c.parameters, "Version")
	if action == "" {
		return nil, fail(MissingAction, "The request has no Action")
	}
	for _, o := range operations {
		if o.name == action && o.service.Version == version {
			c.Service, c.Action = o.service, action
			return c, nil
		}
	}
	if version == "" {
		version = "NO_VERSION_SPECIFIED"
	}
	return nil, fail(InvalidAction, "Could not find operation %s for version %s", clip(action), clip(version))
}

func unescape(field string) (name, value string, err error) {
	name, value, _ = strings.Cut(field, "=")
	if name, err = url.QueryUnescape(name); err == nil {
		value, err = url.QueryUnescape(value)
	}
	return name, value, err
}

// clip shortens what a caller sent for an error's text.
func clip(s string) string {
	const most = 128
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

// Permission is the action as policies name it: iam:CreateUser.
func (c *Call) Permission() string { return c.Service.Name + ":" + c.Action }

// Parameter gives a parameter as it was sent, before it is judged: what the action would be done to, for the policies to
// be asked. Empty where there is none.
func (c *Call) Parameter(name string) string { return c.parameters[name] }

// Decode reads the parameters into the action's request, as a pointer to its shape: *CreateUserRequest. Its error is an
// [*Error] that names everything that is wrong.
func (c *Call) Decode() (Request, error) {
	at := slices.IndexFunc(operations, func(o operation) bool { return o.name == c.Action && o.service == c.Service })
	if at < 0 {
		return nil, fail(InvalidAction, "Could not find operation %s", clip(c.Action))
	}
	request := operations[at].request()
	r := reader{parameters: c.parameters, read: map[string]bool{}}
	request.decode(&r)
	r.rest()
	if err := r.err(); err != nil {
		return nil, err
	}
	return request, nil
}
