package wire

// The names of the errors, as `__type` carries them, without a namespace.
const (
	// Modelled by one action or another; their body's text is the member Message.
	InternalServerError                        = "InternalServerError"
	InvalidInstanceId                          = "InvalidInstanceId"
	InvalidTypeNameException                   = "InvalidTypeNameException"
	InvalidItemContentException                = "InvalidItemContentException"
	TotalSizeLimitExceededException            = "TotalSizeLimitExceededException"
	ItemSizeLimitExceededException             = "ItemSizeLimitExceededException"
	ItemContentMismatchException               = "ItemContentMismatchException"
	CustomSchemaCountLimitExceededException    = "CustomSchemaCountLimitExceededException"
	UnsupportedInventorySchemaVersionException = "UnsupportedInventorySchemaVersionException"
	UnsupportedInventoryItemContextException   = "UnsupportedInventoryItemContextException"
	InvalidInventoryItemContextException       = "InvalidInventoryItemContextException"
	SubTypeCountLimitExceededException         = "SubTypeCountLimitExceededException"
	InvalidFilter                              = "InvalidFilter"
	InvalidInventoryGroupException             = "InvalidInventoryGroupException"
	InvalidNextToken                           = "InvalidNextToken"
	InvalidAggregatorException                 = "InvalidAggregatorException"
	InvalidResultAttributeException            = "InvalidResultAttributeException"
	InvalidOptionException                     = "InvalidOptionException"
	InvalidDeleteInventoryParametersException  = "InvalidDeleteInventoryParametersException"
	InvalidInventoryRequestException           = "InvalidInventoryRequestException"
	InvalidDeletionIdException                 = "InvalidDeletionIdException"
	InvalidResourceType                        = "InvalidResourceType"
	InvalidResourceId                          = "InvalidResourceId"
	TooManyTagsError                           = "TooManyTagsError"

	// Modelled by the actions on managed nodes and their associations, those that only agents call included.
	InvalidActivation                         = "InvalidActivation"
	InvalidActivationId                       = "InvalidActivationId"
	ActivationExpired                         = "ActivationExpired"
	RegistrationLimitExceeded                 = "RegistrationLimitExceeded"
	InvalidPublicKey                          = "InvalidPublicKey"
	InstanceAlreadyRegistered                 = "InstanceAlreadyRegistered"
	MachineFingerprintDoesNotMatch            = "MachineFingerprintDoesNotMatch"
	TooManyUpdates                            = "TooManyUpdates"
	InvalidParameters                         = "InvalidParameters"
	InvalidFilterKey                          = "InvalidFilterKey"
	InvalidInstanceInformationFilterValue     = "InvalidInstanceInformationFilterValue"
	InvalidInstancePropertyFilterValue        = "InvalidInstancePropertyFilterValue"
	ResourceDataSyncNotFoundException         = "ResourceDataSyncNotFoundException"
	AssociationAlreadyExists                  = "AssociationAlreadyExists"
	AssociationDoesNotExist                   = "AssociationDoesNotExist"
	AssociationExecutionDoesNotExist          = "AssociationExecutionDoesNotExist"
	AssociationLimitExceeded                  = "AssociationLimitExceeded"
	AssociationVersionLimitExceeded           = "AssociationVersionLimitExceeded"
	InvalidAssociation                        = "InvalidAssociation"
	InvalidAssociationVersion                 = "InvalidAssociationVersion"
	InvalidDocument                           = "InvalidDocument"
	InvalidDocumentVersion                    = "InvalidDocumentVersion"
	InvalidOutputLocation                     = "InvalidOutputLocation"
	InvalidSchedule                           = "InvalidSchedule"
	InvalidTarget                             = "InvalidTarget"
	InvalidTargetMaps                         = "InvalidTargetMaps"
	InvalidUpdate                             = "InvalidUpdate"
	DuplicateInstanceId                       = "DuplicateInstanceId"
	StatusUnchanged                           = "StatusUnchanged"
	ComplianceTypeCountLimitExceededException = "ComplianceTypeCountLimitExceededException"

	// Of the front end, before any action is reached; their body's text is the member message.
	SerializationException              = "SerializationException"
	ValidationException                 = "ValidationException"
	UnknownOperationException           = "UnknownOperationException"
	AccessDeniedException               = "AccessDeniedException"
	ThrottlingException                 = "ThrottlingException"
	UnrecognizedClientException         = "UnrecognizedClientException"
	InvalidSignatureException           = "InvalidSignatureException"
	ExpiredTokenException               = "ExpiredTokenException"
	MissingAuthenticationTokenException = "MissingAuthenticationTokenException"
	IncompleteSignatureException        = "IncompleteSignatureException"
	RequestEntityTooLargeException      = "RequestEntityTooLargeException"
)

// ErrorBody is the body of an answer that is not 200. The text goes in Message or in LowerMessage, by the kind of
// error; empty members are left out.
type ErrorBody struct {
	Type         string // __type
	TypeName     string // the type of the item at fault, for the errors whose shape has it
	Message      string // Message, of modelled errors and of type errors
	LowerMessage string // message, of the front end's errors
}

// Text gives the text under whichever of the two spellings it came.
func (e *ErrorBody) Text() string {
	if e.Message != "" {
		return e.Message
	}
	return e.LowerMessage
}

// Decode reads an error's body.
func (e *ErrorBody) Decode(body []byte) error { return decode(body, e) }

func (e *ErrorBody) decode(d *decoder) {
	for name := range d.members {
		switch name {
		case "__type":
			d.text(&e.Type)
		case "TypeName":
			d.text(&e.TypeName)
		case "Message":
			d.text(&e.Message)
		case "message":
			d.text(&e.LowerMessage)
		default:
			d.skip()
		}
	}
}

// AppendJSON appends the body to dst.
func (e *ErrorBody) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	dst = optionalMember(dst, "__type", e.Type)
	dst = optionalMember(dst, "TypeName", e.TypeName)
	dst = optionalMember(dst, "Message", e.Message)
	dst = optionalMember(dst, "message", e.LowerMessage)
	return closeObject(dst)
}

// A DecodeError says why a body is not a request of its action: to be answered as SerializationException.
type DecodeError struct {
	// Message is the text of the answer; empty for malformed JSON, which is answered without one.
	Message string
	// Offset is the byte of the body at which reading stopped, for the log.
	Offset int
}

func (e *DecodeError) Error() string {
	if e.Message == "" {
		return "malformed JSON"
	}
	return e.Message
}

// A ValidationError lists what a request violates of its model: to be answered as ValidationException with Error as the
// text.
type ValidationError struct {
	Count int // all violations, also those the text leaves out; at least 1
	text  string
}

func (e *ValidationError) Error() string { return e.text }
