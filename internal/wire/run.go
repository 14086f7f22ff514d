package wire

import "time"

// The shapes below are of actions that only agents call: no public model has them, and their constraints are no more than
// what keeps records bounded.
var (
	runStatus  = &rule{enum: []string{"Pending", "InProgress", "Success", "Failed", "TimedOut", "Skipped"}}
	runSummary = &rule{most: 4096}
	runError   = &rule{most: 64}
	outputURL  = &rule{most: 4096}
)

// ListInstanceAssociationsRequest is a node asking what it is to carry out.
type ListInstanceAssociationsRequest struct {
	InstanceId *string // required
	MaxResults *int32  // 1 to 50
	NextToken  string  // "" is absent
}

// Decode reads body; its error is a *DecodeError.
func (r *ListInstanceAssociationsRequest) Decode(body []byte) error {
	*r = ListInstanceAssociationsRequest{}
	return decode(body, table{r})
}

func (r *ListInstanceAssociationsRequest) members() []member {
	return []member{
		requiredText("InstanceId", &r.InstanceId, nodeID),
		numberMember("MaxResults", &r.MaxResults, 1, mostResults),
		textMember("NextToken", &r.NextToken),
	}
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *ListInstanceAssociationsRequest) Validate() error { return validate(table{r}) }

// AppendJSON appends the request to dst.
func (r *ListInstanceAssociationsRequest) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// ListInstanceAssociationsResponse is one page of it.
type ListInstanceAssociationsResponse struct {
	Associations []InstanceAssociationSummary // never absent
	NextToken    string                       // absent when empty: on the last page
}

// Decode reads body; its error is a *DecodeError.
func (r *ListInstanceAssociationsResponse) Decode(body []byte) error {
	*r = ListInstanceAssociationsResponse{}
	return decode(body, table{r})
}

func (r *ListInstanceAssociationsResponse) members() []member {
	return []member{
		presentStructures("Associations", &r.Associations),
		textMember("NextToken", &r.NextToken),
	}
}

// AppendJSON appends the response to dst.
func (r *ListInstanceAssociationsResponse) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// An InstanceAssociationSummary is one association of a node. Agents read most of its texts without looking whether they
// are there, so those are never absent.
type InstanceAssociationSummary struct {
	AssociationId      string
	Name               string
	DocumentVersion    string
	AssociationVersion string
	InstanceId         string
	Checksum           string // moves with the text of the document
	Parameters         []Parameter
	ScheduleExpression string
	Status             string
	DetailedStatus     string
	LastExecutionDate  time.Time // absent when zero
	OutputLocation     *OutputLocation
	Targets            []Target
}

func (s *InstanceAssociationSummary) members() []member {
	return []member{
		presentMember("AssociationId", &s.AssociationId),
		presentMember("Name", &s.Name),
		presentMember("DocumentVersion", &s.DocumentVersion),
		presentMember("AssociationVersion", &s.AssociationVersion),
		presentMember("InstanceId", &s.InstanceId),
		presentMember("Checksum", &s.Checksum),
		parametersMember("Parameters", &s.Parameters),
		presentMember("ScheduleExpression", &s.ScheduleExpression),
		presentMember("Status", &s.Status),
		presentMember("DetailedStatus", &s.DetailedStatus),
		momentMember("LastExecutionDate", &s.LastExecutionDate),
		structureMember("OutputLocation", &s.OutputLocation),
		structuresMember("Targets", &s.Targets, 0, maxTargets),
	}
}

// UpdateInstanceAssociationStatusRequest is a node saying how far it is with an association.
type UpdateInstanceAssociationStatusRequest struct {
	AssociationId   *string          // required
	InstanceId      *string          // required
	ExecutionResult *ExecutionResult // required
}

// Decode reads body; its error is a *DecodeError.
func (r *UpdateInstanceAssociationStatusRequest) Decode(body []byte) error {
	*r = UpdateInstanceAssociationStatusRequest{}
	return decode(body, table{r})
}

func (r *UpdateInstanceAssociationStatusRequest) members() []member {
	result := structureMember("ExecutionResult", &r.ExecutionResult)
	return []member{
		requiredText("AssociationId", &r.AssociationId, associationID),
		requiredText("InstanceId", &r.InstanceId, nodeID),
		result.required(func() bool { return r.ExecutionResult == nil }),
	}
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *UpdateInstanceAssociationStatusRequest) Validate() error { return validate(table{r}) }

// AppendJSON appends the request to dst.
func (r *UpdateInstanceAssociationStatusRequest) AppendJSON(dst []byte) []byte {
	return table{r}.append(dst)
}

// An ExecutionResult is one step of a run.
type ExecutionResult struct {
	Status           *string // required
	ErrorCode        *string
	ExecutionDate    *time.Time // required, by the node's clock
	ExecutionSummary *string
	OutputUrl        *OutputURL
}

func (e *ExecutionResult) members() []member {
	return []member{
		requiredText("Status", &e.Status, runStatus),
		optionalText("ErrorCode", &e.ErrorCode, runError),
		requiredMoment("ExecutionDate", &e.ExecutionDate),
		optionalText("ExecutionSummary", &e.ExecutionSummary, runSummary),
		structureMember("OutputUrl", &e.OutputUrl),
	}
}

// An OutputURL is where the output of a run is.
type OutputURL struct {
	S3OutputUrl *S3OutputURL
}

func (u *OutputURL) members() []member {
	return []member{
		structureMember("S3OutputUrl", &u.S3OutputUrl),
	}
}

// An S3OutputURL is an address in a bucket.
type S3OutputURL struct {
	OutputUrl *string
}

func (u *S3OutputURL) members() []member {
	return []member{
		optionalText("OutputUrl", &u.OutputUrl, outputURL),
	}
}
