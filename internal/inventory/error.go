package inventory

import (
	"errors"
	"fmt"
)

// Code says what kind of refusal an Error is. The set is closed: awsjson holds one row for each code (its wire name,
// its HTTP status and the members of its body), and a test there fails on a code without a row.
type Code uint8

// The codes. Those of the first block are modelled by the API for one operation or another; callers act on them (the
// stock agent re-sends a report in full on ItemContentMismatch and InvalidItemContent, and on nothing else).
const (
	// Internal is everything that is not the caller's fault. Its text stays in the log.
	Internal Code = iota
	InvalidInstanceID
	InvalidTypeName
	InvalidItemContent
	TotalSizeLimitExceeded
	ItemSizeLimitExceeded
	ItemContentMismatch
	CustomSchemaCountLimitExceeded
	UnsupportedInventorySchemaVersion
	UnsupportedInventoryItemContext
	InvalidInventoryItemContext
	SubTypeCountLimitExceeded
	InvalidFilter
	InvalidInventoryGroup
	InvalidNextToken
	InvalidAggregator
	InvalidResultAttribute
	InvalidOption
	InvalidDeleteInventoryParameters
	InvalidInventoryRequest
	InvalidDeletionID
	InvalidResourceType
	InvalidResourceID
	TooManyTags
	// What managed nodes and their associations are refused for.
	InvalidActivation
	InvalidActivationID
	ActivationExpired
	RegistrationLimitExceeded
	InvalidPublicKey
	InstanceAlreadyRegistered
	MachineFingerprintMismatch
	TooManyUpdates
	InvalidParameters
	InvalidFilterKey
	InvalidInstanceInformationFilterValue
	InvalidInstancePropertyFilterValue
	ResourceDataSyncNotFound
	AssociationAlreadyExists
	AssociationDoesNotExist
	AssociationExecutionDoesNotExist
	AssociationLimitExceeded
	AssociationVersionLimitExceeded
	InvalidAssociation
	InvalidAssociationVersion
	InvalidDocument
	InvalidDocumentVersion
	InvalidOutputLocation
	InvalidSchedule
	InvalidTarget
	InvalidTargetMaps
	InvalidUpdate
	DuplicateNode
	StatusUnchanged
	ComplianceTypeCountLimitExceeded
	// InvalidRequest is of a request whose members do not go together, which the model's constraints cannot say.
	InvalidRequest
	// AccessDenied is the answer to a principal that may not do what it asked.
	AccessDenied
	// Throttling is the answer when a bound on work in flight is reached; the caller may try again.
	Throttling

	codeCount
)

// Codes lists every Code, for the test that holds the wire's error table complete.
func Codes() []Code {
	all := make([]Code, 0, codeCount)
	for c := Internal; c < codeCount; c++ {
		all = append(all, c)
	}
	return all
}

// Error is a refusal with a Code, a text for people that says what to do next, and for the four codes whose wire shape
// carries it, the type of the item at fault. Any error that is not an *Error is Internal.
type Error struct {
	Code    Code
	Type    TypeName
	Message string
}

func (e *Error) Error() string { return e.Message }

// Errorf makes an Error with a formatted message.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// ItemErrorf makes an Error about an item of the given type.
func ItemErrorf(code Code, item TypeName, format string, args ...any) *Error {
	return &Error{Code: code, Type: item, Message: fmt.Sprintf(format, args...)}
}

// CodeOf gives the code of the first *Error in err's chain, and Internal where there is none.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}
