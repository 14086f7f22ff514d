package query

import (
	"fmt"
	"net/http"
)

// A Code names a kind of error, as clients know it.
type Code string

// The codes: those that the model has for the actions here, and those that every action has.
const (
	ConcurrentModification  Code = "ConcurrentModification"
	DeleteConflict          Code = "DeleteConflict"
	EntityAlreadyExists     Code = "EntityAlreadyExists"
	InvalidInput            Code = "InvalidInput"
	LimitExceeded           Code = "LimitExceeded"
	MalformedPolicyDocument Code = "MalformedPolicyDocument"
	NoSuchEntity            Code = "NoSuchEntity"
	PolicyNotAttachable     Code = "PolicyNotAttachable"
	ServiceFailure          Code = "ServiceFailure"
	UnmodifiableEntity      Code = "UnmodifiableEntity"

	AccessDenied               Code = "AccessDenied"
	ExpiredToken               Code = "ExpiredTokenException"
	IncompleteSignature        Code = "IncompleteSignature"
	InternalFailure            Code = "InternalFailure"
	InvalidAction              Code = "InvalidAction"
	InvalidClientTokenID       Code = "InvalidClientTokenId"
	MalformedQueryString       Code = "MalformedQueryString"
	MissingAction              Code = "MissingAction"
	MissingAuthenticationToken Code = "MissingAuthenticationToken"
	RequestExpired             Code = "RequestExpired"
	RequestTimeout             Code = "RequestTimeoutException"
	SignatureDoesNotMatch      Code = "SignatureDoesNotMatch"
	Throttling                 Code = "Throttling"
	ValidationError            Code = "ValidationError"
)

// Status gives the HTTP status of an error; 500 for a code that is not among those above.
func (c Code) Status() int {
	switch c {
	case ConcurrentModification, DeleteConflict, EntityAlreadyExists, LimitExceeded:
		return http.StatusConflict
	case NoSuchEntity:
		return http.StatusNotFound
	case RequestTimeout:
		return http.StatusRequestTimeout
	case AccessDenied, InvalidClientTokenID, MissingAuthenticationToken, SignatureDoesNotMatch:
		return http.StatusForbidden
	case InvalidInput, MalformedPolicyDocument, PolicyNotAttachable, UnmodifiableEntity, ExpiredToken, IncompleteSignature,
		InvalidAction, MalformedQueryString, MissingAction, RequestExpired, Throttling, ValidationError:
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

// An Error is what a client is told.
type Error struct {
	Code    Code
	Message string
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

func fail(code Code, format string, args ...any) *Error {
	return &Error{code, fmt.Sprintf(format, args...)}
}
