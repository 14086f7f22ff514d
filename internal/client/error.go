package client

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"stocktake/internal/wire"
)

// Error is what the service answered in the place of a result.
type Error struct {
	Action    string
	Status    int    // of HTTP
	Code      string // the name of the error, bare; "" when what answered does not speak the protocol
	Message   string // may be empty
	TypeName  string // the inventory type at fault, for the errors that name it
	RequestID string // to be found in the service's log; "" when not given
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: ", e.Action)
	if e.Code != "" {
		b.WriteString(e.Code)
	} else {
		fmt.Fprintf(&b, "HTTP status %d", e.Status)
	}
	if e.TypeName != "" {
		fmt.Fprintf(&b, " (%s)", e.TypeName)
	}
	if e.Message != "" {
		fmt.Fprintf(&b, ": %s", e.Message)
	}
	if e.RequestID != "" {
		fmt.Fprintf(&b, " (request %s)", e.RequestID)
	}
	return b.String()
}

// ErrorCode gives the name of the error, under the method that the AWS SDKs use too.
func (e *Error) ErrorCode() string { return e.Code }

func newError(action string, answer *http.Response, text []byte) *Error {
	e := &Error{Action: action, Status: answer.StatusCode, RequestID: answer.Header.Get("X-Amzn-RequestId")}
	var body wire.ErrorBody
	if err := body.Decode(text); err != nil || body.Type == "" {
		e.Message = fmt.Sprintf("the answer is not one of the service: %q", text[:min(len(text), 200)])
		return e
	}
	// Other servers of the protocol put a namespace before the name, or a link behind it.
	code := body.Type[strings.LastIndexByte(body.Type, '#')+1:]
	e.Code, _, _ = strings.Cut(code, ":")
	e.Message, e.TypeName = body.Text(), body.TypeName
	return e
}

// credentialsError keeps a failure to get credentials apart from a failure of the service.
type credentialsError struct{ err error }

func (e *credentialsError) Error() string {
	var role *RoleError
	if errors.As(e.err, &role) {
		return role.Error()
	}
	return fmt.Sprintf("no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE: %v", e.err)
}

func (e *credentialsError) Unwrap() error { return e.err }

// RoleError says why a managed node has no credentials of its role.
type RoleError struct {
	Node string
	// Refused is set when the service does not take the node's key: it was deregistered, terminated, or registered anew
	// elsewhere. Nothing that the node can do changes that.
	Refused bool
	Err     error
}

func (e *RoleError) Error() string {
	if e.Refused {
		return fmt.Sprintf("the service refuses managed node %s: %v", e.Node, e.Err)
	}
	return fmt.Sprintf("managed node %s got no credentials: %v", e.Node, e.Err)
}

func (e *RoleError) Unwrap() error { return e.Err }
