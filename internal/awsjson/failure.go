package awsjson

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"stocktake/internal/inventory"
	"stocktake/internal/sigv4"
	"stocktake/internal/wire"
)

// A failure is an answer that is not 200.
type failure struct {
	name   string
	status int
	body   wire.ErrorBody
	xml    bool // the body is the bare name as an XML element
	hangUp bool // the connection ends with the answer
}

func (f *failure) Error() string { return f.name + ": " + f.body.Text() }

// frontEnd is a refusal before any action is reached. Its text is the member message.
func frontEnd(name, text string) *failure {
	return &failure{name: name, status: http.StatusBadRequest, body: wire.ErrorBody{Type: name, LowerMessage: text}}
}

var (
	// notThisProtocol and unknownOperation are what the same front end was observed to answer, without a text.
	notThisProtocol  = &failure{name: wire.UnknownOperationException, status: http.StatusNotFound, xml: true}
	unknownOperation = frontEnd(wire.UnknownOperationException, "")
)

func wrongRegion(region string) *failure {
	return frontEnd(wire.InvalidSignatureException, "Credential should be scoped to a valid region, not '"+region+"'.")
}

// needsKeyPair is the refusal of an access key where a node has to sign with its key pair.
func needsKeyPair(row Row) *failure {
	return frontEnd(wire.AccessDeniedException, row.Action+" is called by a managed node that signs with its own key pair; an access key can't call it.")
}

// notByKeyPair is the refusal of a key pair's signature where none is taken.
func notByKeyPair() error {
	return frontEnd(wire.InvalidSignatureException,
		"The signature is not one of an access key. A key pair signs only the calls for a role token and for a new key pair.")
}

// unknownNode is the refusal of a key pair's signature for a node that has none registered. The stock agent stops asking
// for half an hour on this code, where it would ask on and on otherwise.
func unknownNode(node string) *failure {
	return frontEnd(wire.AccessDeniedException, "The node "+clipped(node)+" is not registered here, or no longer. Register its agent anew with an activation.")
}

// clipped keeps what an answer repeats of a header short and readable.
func clipped(s string) string { return strings.ToValidUTF8(s[:min(len(s), 32)], "\uFFFD") }

// members says which members an error's body has beside __type.
type members uint8

const (
	none           members = iota
	message                // Message: errors modelled by the API
	typeAndMessage         // TypeName and Message: the four modelled so
	lowerMessage           // message: errors of the front end
	fixedText              // message, of a text that is always the same
)

// An errorRow is how one code of the domain is answered.
type errorRow struct {
	name    string
	status  int
	members members
	text    string // of fixedText
}

// errorTable is the one table from codes to answers, in the order of the codes.
var errorTable = [...]errorRow{
	inventory.Internal:                              {wire.InternalServerError, http.StatusInternalServerError, none, ""},
	inventory.InvalidInstanceID:                     {wire.InvalidInstanceId, http.StatusBadRequest, message, ""},
	inventory.InvalidTypeName:                       {wire.InvalidTypeNameException, http.StatusBadRequest, message, ""},
	inventory.InvalidItemContent:                    {wire.InvalidItemContentException, http.StatusBadRequest, typeAndMessage, ""},
	inventory.TotalSizeLimitExceeded:                {wire.TotalSizeLimitExceededException, http.StatusBadRequest, message, ""},
	inventory.ItemSizeLimitExceeded:                 {wire.ItemSizeLimitExceededException, http.StatusBadRequest, typeAndMessage, ""},
	inventory.ItemContentMismatch:                   {wire.ItemContentMismatchException, http.StatusBadRequest, typeAndMessage, ""},
	inventory.CustomSchemaCountLimitExceeded:        {wire.CustomSchemaCountLimitExceededException, http.StatusBadRequest, message, ""},
	inventory.UnsupportedInventorySchemaVersion:     {wire.UnsupportedInventorySchemaVersionException, http.StatusBadRequest, message, ""},
	inventory.UnsupportedInventoryItemContext:       {wire.UnsupportedInventoryItemContextException, http.StatusBadRequest, typeAndMessage, ""},
	inventory.InvalidInventoryItemContext:           {wire.InvalidInventoryItemContextException, http.StatusBadRequest, message, ""},
	inventory.SubTypeCountLimitExceeded:             {wire.SubTypeCountLimitExceededException, http.StatusBadRequest, message, ""},
	inventory.InvalidFilter:                         {wire.InvalidFilter, http.StatusBadRequest, message, ""},
	inventory.InvalidInventoryGroup:                 {wire.InvalidInventoryGroupException, http.StatusBadRequest, message, ""},
	inventory.InvalidNextToken:                      {wire.InvalidNextToken, http.StatusBadRequest, message, ""},
	inventory.InvalidAggregator:                     {wire.InvalidAggregatorException, http.StatusBadRequest, message, ""},
	inventory.InvalidResultAttribute:                {wire.InvalidResultAttributeException, http.StatusBadRequest, message, ""},
	inventory.InvalidOption:                         {wire.InvalidOptionException, http.StatusBadRequest, message, ""},
	inventory.InvalidDeleteInventoryParameters:      {wire.InvalidDeleteInventoryParametersException, http.StatusBadRequest, message, ""},
	inventory.InvalidInventoryRequest:               {wire.InvalidInventoryRequestException, http.StatusBadRequest, message, ""},
	inventory.InvalidDeletionID:                     {wire.InvalidDeletionIdException, http.StatusBadRequest, message, ""},
	inventory.InvalidResourceType:                   {wire.InvalidResourceType, http.StatusBadRequest, message, ""},
	inventory.InvalidResourceID:                     {wire.InvalidResourceId, http.StatusBadRequest, message, ""},
	inventory.TooManyTags:                           {wire.TooManyTagsError, http.StatusBadRequest, message, ""},
	inventory.InvalidActivation:                     {wire.InvalidActivation, http.StatusBadRequest, message, ""},
	inventory.InvalidActivationID:                   {wire.InvalidActivationId, http.StatusBadRequest, message, ""},
	inventory.ActivationExpired:                     {wire.ActivationExpired, http.StatusBadRequest, message, ""},
	inventory.RegistrationLimitExceeded:             {wire.RegistrationLimitExceeded, http.StatusBadRequest, message, ""},
	inventory.InvalidPublicKey:                      {wire.InvalidPublicKey, http.StatusBadRequest, message, ""},
	inventory.InstanceAlreadyRegistered:             {wire.InstanceAlreadyRegistered, http.StatusBadRequest, message, ""},
	inventory.MachineFingerprintMismatch:            {wire.MachineFingerprintDoesNotMatch, http.StatusBadRequest, message, ""},
	inventory.TooManyUpdates:                        {wire.TooManyUpdates, http.StatusBadRequest, message, ""},
	inventory.InvalidParameters:                     {wire.InvalidParameters, http.StatusBadRequest, message, ""},
	inventory.InvalidFilterKey:                      {wire.InvalidFilterKey, http.StatusBadRequest, message, ""},
	inventory.InvalidInstanceInformationFilterValue: {wire.InvalidInstanceInformationFilterValue, http.StatusBadRequest, message, ""},
	inventory.InvalidInstancePropertyFilterValue:    {wire.InvalidInstancePropertyFilterValue, http.StatusBadRequest, message, ""},
	inventory.ResourceDataSyncNotFound:              {wire.ResourceDataSyncNotFoundException, http.StatusBadRequest, message, ""},
	inventory.AssociationAlreadyExists:              {wire.AssociationAlreadyExists, http.StatusBadRequest, message, ""},
	inventory.AssociationDoesNotExist:               {wire.AssociationDoesNotExist, http.StatusBadRequest, message, ""},
	inventory.AssociationExecutionDoesNotExist:      {wire.AssociationExecutionDoesNotExist, http.StatusBadRequest, message, ""},
	inventory.AssociationLimitExceeded:              {wire.AssociationLimitExceeded, http.StatusBadRequest, message, ""},
	inventory.AssociationVersionLimitExceeded:       {wire.AssociationVersionLimitExceeded, http.StatusBadRequest, message, ""},
	inventory.InvalidAssociation:                    {wire.InvalidAssociation, http.StatusBadRequest, message, ""},
	inventory.InvalidAssociationVersion:             {wire.InvalidAssociationVersion, http.StatusBadRequest, message, ""},
	inventory.InvalidDocument:                       {wire.InvalidDocument, http.StatusBadRequest, message, ""},
	inventory.InvalidDocumentVersion:                {wire.InvalidDocumentVersion, http.StatusBadRequest, message, ""},
	inventory.InvalidOutputLocation:                 {wire.InvalidOutputLocation, http.StatusBadRequest, message, ""},
	inventory.InvalidSchedule:                       {wire.InvalidSchedule, http.StatusBadRequest, message, ""},
	inventory.InvalidTarget:                         {wire.InvalidTarget, http.StatusBadRequest, message, ""},
	inventory.InvalidTargetMaps:                     {wire.InvalidTargetMaps, http.StatusBadRequest, message, ""},
	inventory.InvalidUpdate:                         {wire.InvalidUpdate, http.StatusBadRequest, message, ""},
	inventory.DuplicateNode:                         {wire.DuplicateInstanceId, http.StatusBadRequest, message, ""},
	inventory.StatusUnchanged:                       {wire.StatusUnchanged, http.StatusBadRequest, message, ""},
	inventory.ComplianceTypeCountLimitExceeded:      {wire.ComplianceTypeCountLimitExceededException, http.StatusBadRequest, message, ""},
	inventory.InvalidRequest:                        {wire.ValidationException, http.StatusBadRequest, lowerMessage, ""},
	inventory.AccessDenied:                          {wire.AccessDeniedException, http.StatusBadRequest, lowerMessage, ""},
	inventory.Throttling:                            {wire.ThrottlingException, http.StatusBadRequest, fixedText, "Rate exceeded"},
}

// failure gives the answer to an error of any check or method. What is nobody else's fault is logged.
func (h *Handler) failure(w http.ResponseWriter, r *http.Request, err error, o Observation) *failure {
	var (
		f          *failure
		signature  *sigv4.Error
		decode     *wire.DecodeError
		validation *wire.ValidationError
		domain     *inventory.Error
	)
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &signature):
		// It may repeat bytes of a header, and those need not be UTF-8.
		return frontEnd(string(signature.Code), strings.ToValidUTF8(signature.Message, "\uFFFD"))
	case errors.As(err, &decode):
		f := frontEnd(wire.SerializationException, "")
		f.body.Message = decode.Message // in capital, as observed
		return f
	case errors.As(err, &validation):
		return frontEnd(wire.ValidationException, validation.Error())
	case errors.As(err, &domain) && domain.Code != inventory.Internal && int(domain.Code) < len(errorTable):
		return errorTable[domain.Code].failure(domain)
	}
	h.logInternal(w, r, err, o)
	return errorTable[inventory.Internal].failure(&inventory.Error{})
}

func (e errorRow) failure(err *inventory.Error) *failure {
	f := &failure{name: e.name, status: e.status, body: wire.ErrorBody{Type: e.name}}
	switch e.members {
	case typeAndMessage:
		f.body.TypeName, f.body.Message = string(err.Type), err.Message
	case message:
		f.body.Message = err.Message
	case lowerMessage:
		f.body.LowerMessage = err.Message
	case fixedText:
		f.body.LowerMessage = e.text
	}
	return f
}

// logInternal keeps the reason that the caller is not told. A caller that went away is no fault of the server.
func (h *Handler) logInternal(w http.ResponseWriter, r *http.Request, err error, o Observation) {
	level := slog.LevelError
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		level = slog.LevelInfo
	}
	h.config.Log.LogAttrs(r.Context(), level, "internal error",
		slog.String("request_id", w.Header().Get(requestIDHeader)),
		slog.String("action", o.Action),
		slog.String("account", o.Partition.Account),
		slog.String("region", o.Partition.Region),
		slog.Any("error", err))
}

func (f *failure) write(w http.ResponseWriter) {
	if f.hangUp {
		w.Header().Set("Connection", "close")
	}
	if f.xml {
		write(w, f.status, "application/xml", []byte("<"+f.name+"/>"))
		return
	}
	write(w, f.status, contentType, f.body.AppendJSON(nil))
}
