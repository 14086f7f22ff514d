package iam

import "fmt"

// A Reason says why a change of users or roles was refused.
type Reason uint8

// The reasons.
const (
	NoSuchEntity Reason = iota + 1
	AlreadyExists
	LimitExceeded
	InUse           // what is to be deleted has parts that must go first
	MalformedPolicy // a policy or a trust document
	InvalidInput
	Denied
	Declared // it is in the configuration, which alone can change it
)

// An Error is the caller's to mend.
type Error struct {
	Reason  Reason
	Message string
}

func (e *Error) Error() string { return e.Message }

func refuse(reason Reason, format string, args ...any) error {
	return &Error{reason, fmt.Sprintf(format, args...)}
}
