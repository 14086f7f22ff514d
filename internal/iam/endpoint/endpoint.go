// Package endpoint answers the APIs of IAM and STS at the service's own endpoint, so that `aws iam` and `aws sts` manage
// who may do what.
//
// Call [New] with the users and roles of the store and hand it to awsjson, which authenticates and calls it. Each action
// is asked of the caller's policies before anything of the request is judged, with the user or role as it is stored: by
// its own path and in its own case, however the request spells the name.
//
// Promises: an account sees and changes its own users and roles alone; a secret is in the one answer that makes it, and in
// no log; a store that does not answer is a fault of the server's, never a refusal.
//
// It keeps no state and knows no rule of policies; what a change means is decided in iam.
package endpoint

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"stocktake/internal/awsjson"
	"stocktake/internal/iam"
	"stocktake/internal/iam/policy"
	"stocktake/internal/iam/query"
	"stocktake/internal/wire"
)

// An Endpoint answers requests of IAM and STS. It implements awsjson.Forms.
type Endpoint struct{ users *iam.Identities }

// New makes an Endpoint over the users and roles of a store.
func New(users *iam.Identities) *Endpoint { return &Endpoint{users} }

// Answer implements awsjson.Forms.
func (e *Endpoint) Answer(ctx context.Context, c awsjson.Caller, service string, body []byte) awsjson.Formed {
	call, err := query.Parse(body)
	if err != nil {
		return refused(&query.Call{Service: serviceNamed(service)}, c.RequestID, err)
	}
	if call.Service.Name != service {
		return refused(call, c.RequestID, &query.Error{
			Code:    query.SignatureDoesNotMatch,
			Message: "Credential should be scoped to correct service: '" + call.Service.Name + "'.",
		})
	}
	result, err := e.call(ctx, c, call)
	if err != nil {
		return refused(call, c.RequestID, err)
	}
	text, err := call.AppendAnswer(nil, c.RequestID, result)
	if err != nil {
		return refused(call, c.RequestID, err)
	}
	return awsjson.Formed{Status: http.StatusOK, Media: query.Media, Body: text, Action: call.Action}
}

func serviceNamed(name string) query.Service {
	if name == query.STS.Name {
		return query.STS
	}
	return query.IAM
}

// call asks whether the caller may, and then does what is asked.
func (e *Endpoint) call(ctx context.Context, c awsjson.Caller, call *query.Call) (query.Result, error) {
	account := c.Principal.Account
	// Without a policy of its own: it tells callers who they are.
	if call.Action == "GetCallerIdentity" {
		if _, err := call.Decode(); err != nil {
			return nil, err
		}
		if err := c.BeginForm(ctx, awsjson.Question, call.Action, call.Permission()); err != nil {
			return nil, err
		}
		return query.GetCallerIdentityResult{ARN: c.Principal.ARN, UserID: c.Principal.UserID(), Account: account}, nil
	}
	arn, err := e.subject(ctx, c, call)
	if err != nil {
		return nil, err
	}
	if err := c.Permit(ctx, call.Permission(), awsjson.Subject{ARNs: []string{arn}, Shown: e.asked(c, call)}); err != nil {
		return nil, err
	}
	request, err := call.Decode()
	if err != nil {
		return nil, err
	}
	if err := c.BeginForm(ctx, awsjson.ByAccess, call.Action, call.Permission(), arn); err != nil {
		return nil, err
	}
	r := &requested{e.users, c.Principal, account}
	return r.do(ctx, request)
}

// asked gives the ARN of what a request is done to as the request names it. A refusal says no more: neither whether there is
// such a user or role, nor its path or case, nor whose a key is.
func (e *Endpoint) asked(c awsjson.Caller, call *query.Call) string {
	account, path := c.Principal.Account, strings.TrimPrefix(call.Parameter("Path"), "/")
	name := call.Parameter("UserName")
	arn := ""
	switch call.Action {
	case "AssumeRole":
		arn = call.Parameter("RoleArn")
	case "CreateRole", "ListRoles", "PutRolePolicy", "DeleteRole":
		arn = policy.RoleARN(account, path+call.Parameter("RoleName"))
	case "ListUsers", "CreateUser", "GetAccessKeyLastUsed":
		arn = policy.UserARN(account, path+name)
	default:
		if name == "" {
			name = c.Principal.User()
		}
		arn = policy.UserARN(account, name)
	}
	const most = 2048
	return strings.ToValidUTF8(arn[:min(len(arn), most)], "\uFFFD")
}

// subject gives the ARN of what a request is done to, as it is stored where it is.
func (e *Endpoint) subject(ctx context.Context, c awsjson.Caller, call *query.Call) (arn string, err error) {
	account, name := c.Principal.Account, call.Parameter("UserName")
	path := strings.TrimPrefix(call.Parameter("Path"), "/")
	switch call.Action {
	case "AssumeRole":
		return call.Parameter("RoleArn"), nil
	case "ListRoles":
		return policy.RoleARN(account, ""), nil
	case "CreateRole":
		return policy.RoleARN(account, path+call.Parameter("RoleName")), nil
	case "PutRolePolicy", "DeleteRole":
		return e.users.RoleARN(ctx, account, call.Parameter("RoleName"))
	case "ListUsers":
		return policy.UserARN(account, ""), nil
	case "CreateUser":
		return policy.UserARN(account, path+name), nil
	case "GetAccessKeyLastUsed":
		if name, _, _, _, err = e.users.LastUsed(ctx, account, call.Parameter("AccessKeyId")); reasonOf(err) == iam.NoSuchEntity {
			return policy.UserARN(account, ""), nil // it is asked before it is told that there is none
		} else if err != nil {
			return "", err
		}
	}
	if name == "" {
		name = c.Principal.User()
	}
	return e.users.UserARN(ctx, account, name)
}

func reasonOf(err error) iam.Reason {
	var e *iam.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return 0
}

// Refuse implements awsjson.Forms.
func (e *Endpoint) Refuse(requestID, name, text string, status int) awsjson.Formed {
	code, ok := codes[name]
	switch {
	case ok:
	case status >= http.StatusInternalServerError:
		code = query.InternalFailure
	default:
		code = query.ValidationError
	}
	f := written(&query.Call{Service: query.IAM}, requestID, &query.Error{Code: code, Message: text})
	if !ok && status < http.StatusInternalServerError {
		f.Status = status
	}
	return f
}

// codes gives what the front end's refusals are called here.
var codes = map[string]query.Code{
	wire.AccessDeniedException: query.AccessDenied,
	wire.ThrottlingException:   query.Throttling,

	"RequestTimeoutException":             query.RequestTimeout,
	"MissingAuthenticationTokenException": query.MissingAuthenticationToken,
	"IncompleteSignatureException":        query.IncompleteSignature,
	"InvalidSignatureException":           query.SignatureDoesNotMatch,
	"UnrecognizedClientException":         query.InvalidClientTokenID,
	"ExpiredTokenException":               query.ExpiredToken,
}

// reasons gives what the refusals of iam are called.
var reasons = map[iam.Reason]query.Code{
	iam.NoSuchEntity:    query.NoSuchEntity,
	iam.AlreadyExists:   query.EntityAlreadyExists,
	iam.LimitExceeded:   query.LimitExceeded,
	iam.InUse:           query.DeleteConflict,
	iam.MalformedPolicy: query.MalformedPolicyDocument,
	iam.InvalidInput:    query.ValidationError,
	iam.Denied:          query.AccessDenied,
	iam.Declared:        query.UnmodifiableEntity,
}

// refused gives the answer to an error of any step. What is the server's own fault is told as no more than that.
func refused(call *query.Call, requestID string, err error) awsjson.Formed {
	var told *query.Error
	if errors.As(err, &told) {
		return written(call, requestID, told)
	}
	if code, ok := reasons[reasonOf(err)]; ok {
		return written(call, requestID, &query.Error{Code: code, Message: err.Error()})
	}
	if name, text, fault := awsjson.Refusal(err); !fault {
		return written(call, requestID, &query.Error{Code: codes[name], Message: text})
	}
	f := written(call, requestID, &query.Error{Code: query.InternalFailure, Message: "The request failed for a reason of the server's own. Try again."})
	f.Fault = err
	return f
}

func written(call *query.Call, requestID string, e *query.Error) awsjson.Formed {
	return awsjson.Formed{
		Status: e.Code.Status(), Media: query.Media, Body: call.AppendError(nil, requestID, e),
		Action: call.Action, Code: string(e.Code), Text: e.Message,
	}
}
