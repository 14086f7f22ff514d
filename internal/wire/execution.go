package wire

import "time"

// The string shapes of executions.
var (
	executionFilterKey = &rule{enum: []string{"ExecutionId", "Status", "CreatedTime"}}
	executionOperator  = &rule{enum: []string{"EQUAL", "LESS_THAN", "GREATER_THAN"}}
	executionTargetKey = &rule{enum: []string{"Status", "ResourceId", "ResourceType"}}
)

// mostEffective is the largest page of DescribeEffectiveInstanceAssociations, whose rows hold whole documents.
const mostEffective = 5

// DescribeAssociationExecutionsRequest asks for the executions of an association.
type DescribeAssociationExecutionsRequest struct {
	AssociationId *string // required
	Filters       []ExecutionFilter
	MaxResults    *int32 // 1 to 50
	NextToken     string // "" is absent
}

// Decode reads body; its error is a *DecodeError.
func (r *DescribeAssociationExecutionsRequest) Decode(body []byte) error {
	*r = DescribeAssociationExecutionsRequest{}
	return decode(body, table{r})
}

func (r *DescribeAssociationExecutionsRequest) members() []member {
	return []member{
		requiredText("AssociationId", &r.AssociationId, associationID),
		structuresMember("Filters", &r.Filters, 1, listFilters),
		numberMember("MaxResults", &r.MaxResults, 1, mostResults),
		textMember("NextToken", &r.NextToken),
	}
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *DescribeAssociationExecutionsRequest) Validate() error { return validate(table{r}) }

// AppendJSON appends the request to dst.
func (r *DescribeAssociationExecutionsRequest) AppendJSON(dst []byte) []byte {
	return table{r}.append(dst)
}

// An ExecutionFilter compares one property of an execution.
type ExecutionFilter struct {
	Key   *string // required
	Value *string // required
	Type  *string // required
}

func (f *ExecutionFilter) members() []member {
	return []member{
		requiredText("Key", &f.Key, executionFilterKey),
		requiredText("Value", &f.Value, filterText),
		requiredText("Type", &f.Type, executionOperator),
	}
}

// DescribeAssociationExecutionsResponse is one page of them, the newest first.
type DescribeAssociationExecutionsResponse struct {
	AssociationExecutions []AssociationExecution // never absent
	NextToken             string                 // absent when empty: on the last page
}

// Decode reads body; its error is a *DecodeError.
func (r *DescribeAssociationExecutionsResponse) Decode(body []byte) error {
	*r = DescribeAssociationExecutionsResponse{}
	return decode(body, table{r})
}

func (r *DescribeAssociationExecutionsResponse) members() []member {
	return []member{
		presentStructures("AssociationExecutions", &r.AssociationExecutions),
		textMember("NextToken", &r.NextToken),
	}
}

// AppendJSON appends the response to dst.
func (r *DescribeAssociationExecutionsResponse) AppendJSON(dst []byte) []byte {
	return table{r}.append(dst)
}

// An AssociationExecution is the runs of one period together.
type AssociationExecution struct {
	AssociationId         string
	AssociationVersion    string
	ExecutionId           string
	Status                string
	DetailedStatus        string
	CreatedTime           time.Time
	LastExecutionDate     time.Time
	ResourceCountByStatus string // {Success=1, Failed=2}
}

func (e *AssociationExecution) members() []member {
	return []member{
		textMember("AssociationId", &e.AssociationId),
		textMember("AssociationVersion", &e.AssociationVersion),
		textMember("ExecutionId", &e.ExecutionId),
		textMember("Status", &e.Status),
		textMember("DetailedStatus", &e.DetailedStatus),
		momentMember("CreatedTime", &e.CreatedTime),
		momentMember("LastExecutionDate", &e.LastExecutionDate),
		textMember("ResourceCountByStatus", &e.ResourceCountByStatus),
	}
}

// DescribeAssociationExecutionTargetsRequest asks for the nodes of an execution.
type DescribeAssociationExecutionTargetsRequest struct {
	AssociationId *string // required
	ExecutionId   *string // required
	Filters       []ExecutionTargetFilter
	MaxResults    *int32 // 1 to 50
	NextToken     string // "" is absent
}

// Decode reads body; its error is a *DecodeError.
func (r *DescribeAssociationExecutionTargetsRequest) Decode(body []byte) error {
	*r = DescribeAssociationExecutionTargetsRequest{}
	return decode(body, table{r})
}

func (r *DescribeAssociationExecutionTargetsRequest) members() []member {
	return []member{
		requiredText("AssociationId", &r.AssociationId, associationID),
		requiredText("ExecutionId", &r.ExecutionId, associationID),
		structuresMember("Filters", &r.Filters, 1, listFilters),
		numberMember("MaxResults", &r.MaxResults, 1, mostResults),
		textMember("NextToken", &r.NextToken),
	}
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *DescribeAssociationExecutionTargetsRequest) Validate() error { return validate(table{r}) }

// AppendJSON appends the request to dst.
func (r *DescribeAssociationExecutionTargetsRequest) AppendJSON(dst []byte) []byte {
	return table{r}.append(dst)
}

// An ExecutionTargetFilter asks for one property of a node in an execution.
type ExecutionTargetFilter struct {
	Key   *string // required
	Value *string // required
}

func (f *ExecutionTargetFilter) members() []member {
	return []member{
		requiredText("Key", &f.Key, executionTargetKey),
		requiredText("Value", &f.Value, filterText),
	}
}

// DescribeAssociationExecutionTargetsResponse is one page of them, by node.
type DescribeAssociationExecutionTargetsResponse struct {
	AssociationExecutionTargets []AssociationExecutionTarget // never absent
	NextToken                   string                       // absent when empty: on the last page
}

// Decode reads body; its error is a *DecodeError.
func (r *DescribeAssociationExecutionTargetsResponse) Decode(body []byte) error {
	*r = DescribeAssociationExecutionTargetsResponse{}
	return decode(body, table{r})
}

func (r *DescribeAssociationExecutionTargetsResponse) members() []member {
	return []member{
		presentStructures("AssociationExecutionTargets", &r.AssociationExecutionTargets),
		textMember("NextToken", &r.NextToken),
	}
}

// AppendJSON appends the response to dst.
func (r *DescribeAssociationExecutionTargetsResponse) AppendJSON(dst []byte) []byte {
	return table{r}.append(dst)
}

// An AssociationExecutionTarget is one node in an execution.
type AssociationExecutionTarget struct {
	AssociationId      string
	AssociationVersion string
	ExecutionId        string
	ResourceId         string
	ResourceType       string
	Status             string
	DetailedStatus     string
	LastExecutionDate  time.Time
}

func (t *AssociationExecutionTarget) members() []member {
	return []member{
		textMember("AssociationId", &t.AssociationId),
		textMember("AssociationVersion", &t.AssociationVersion),
		textMember("ExecutionId", &t.ExecutionId),
		textMember("ResourceId", &t.ResourceId),
		textMember("ResourceType", &t.ResourceType),
		textMember("Status", &t.Status),
		textMember("DetailedStatus", &t.DetailedStatus),
		momentMember("LastExecutionDate", &t.LastExecutionDate),
	}
}

// DescribeEffectiveInstanceAssociationsRequest asks for what a node is to carry out.
type DescribeEffectiveInstanceAssociationsRequest struct {
	InstanceId *string // required
	MaxResults *int32  // 1 to 5
	NextToken  string  // "" is absent
}

// Decode reads body; its error is a *DecodeError.
func (r *DescribeEffectiveInstanceAssociationsRequest) Decode(body []byte) error {
	*r = DescribeEffectiveInstanceAssociationsRequest{}
	return decode(body, table{r})
}

func (r *DescribeEffectiveInstanceAssociationsRequest) members() []member {
	return []member{
		requiredText("InstanceId", &r.InstanceId, nodeID),
		numberMember("MaxResults", &r.MaxResults, 1, mostEffective),
		textMember("NextToken", &r.NextToken),
	}
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *DescribeEffectiveInstanceAssociationsRequest) Validate() error { return validate(table{r}) }

// AppendJSON appends the request to dst.
func (r *DescribeEffectiveInstanceAssociationsRequest) AppendJSON(dst []byte) []byte {
	return table{r}.append(dst)
}

// DescribeEffectiveInstanceAssociationsResponse is one page of it.
type DescribeEffectiveInstanceAssociationsResponse struct {
	Associations []InstanceAssociation // never absent
	NextToken    string                // absent when empty: on the last page
}

// Decode reads body; its error is a *DecodeError.
func (r *DescribeEffectiveInstanceAssociationsResponse) Decode(body []byte) error {
	*r = DescribeEffectiveInstanceAssociationsResponse{}
	return decode(body, table{r})
}

func (r *DescribeEffectiveInstanceAssociationsResponse) members() []member {
	return []member{
		presentStructures("Associations", &r.Associations),
		textMember("NextToken", &r.NextToken),
	}
}

// AppendJSON appends the response to dst.
func (r *DescribeEffectiveInstanceAssociationsResponse) AppendJSON(dst []byte) []byte {
	return table{r}.append(dst)
}

// An InstanceAssociation is an association of a node with the text of its document.
type InstanceAssociation struct {
	AssociationId      string
	InstanceId         string
	Content            string
	AssociationVersion string
}

func (a *InstanceAssociation) members() []member {
	return []member{
		textMember("AssociationId", &a.AssociationId),
		textMember("InstanceId", &a.InstanceId),
		textMember("Content", &a.Content),
		textMember("AssociationVersion", &a.AssociationVersion),
	}
}

// DescribeInstanceAssociationsStatusRequest asks how the associations of a node stand.
type DescribeInstanceAssociationsStatusRequest struct {
	InstanceId *string // required
	MaxResults *int32  // 1 to 50
	NextToken  string  // "" is absent
}

// Decode reads body; its error is a *DecodeError.
func (r *DescribeInstanceAssociationsStatusRequest) Decode(body []byte) error {
	*r = DescribeInstanceAssociationsStatusRequest{}
	return decode(body, table{r})
}

func (r *DescribeInstanceAssociationsStatusRequest) members() []member {
	return []member{
		requiredText("InstanceId", &r.InstanceId, nodeID),
		numberMember("MaxResults", &r.MaxResults, 1, mostResults),
		textMember("NextToken", &r.NextToken),
	}
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *DescribeInstanceAssociationsStatusRequest) Validate() error { return validate(table{r}) }

// AppendJSON appends the request to dst.
func (r *DescribeInstanceAssociationsStatusRequest) AppendJSON(dst []byte) []byte {
	return table{r}.append(dst)
}

// DescribeInstanceAssociationsStatusResponse is one page of it.
type DescribeInstanceAssociationsStatusResponse struct {
	InstanceAssociationStatusInfos []InstanceAssociationStatusInfo // never absent
	NextToken                      string                          // absent when empty: on the last page
}

// Decode reads body; its error is a *DecodeError.
func (r *DescribeInstanceAssociationsStatusResponse) Decode(body []byte) error {
	*r = DescribeInstanceAssociationsStatusResponse{}
	return decode(body, table{r})
}

func (r *DescribeInstanceAssociationsStatusResponse) members() []member {
	return []member{
		presentStructures("InstanceAssociationStatusInfos", &r.InstanceAssociationStatusInfos),
		textMember("NextToken", &r.NextToken),
	}
}

// AppendJSON appends the response to dst.
func (r *DescribeInstanceAssociationsStatusResponse) AppendJSON(dst []byte) []byte {
	return table{r}.append(dst)
}

// An InstanceAssociationStatusInfo is how one association of a node stands.
type InstanceAssociationStatusInfo struct {
	AssociationId      string
	Name               string
	DocumentVersion    string
	AssociationVersion string
	InstanceId         string
	ExecutionDate      time.Time
	Status             string
	DetailedStatus     string
	ExecutionSummary   string
	ErrorCode          string
	OutputUrl          *OutputURL
	AssociationName    string
}

func (i *InstanceAssociationStatusInfo) members() []member {
	return []member{
		textMember("AssociationId", &i.AssociationId),
		textMember("Name", &i.Name),
		textMember("DocumentVersion", &i.DocumentVersion),
		textMember("AssociationVersion", &i.AssociationVersion),
		textMember("InstanceId", &i.InstanceId),
		momentMember("ExecutionDate", &i.ExecutionDate),
		textMember("Status", &i.Status),
		textMember("DetailedStatus", &i.DetailedStatus),
		textMember("ExecutionSummary", &i.ExecutionSummary),
		textMember("ErrorCode", &i.ErrorCode),
		structureMember("OutputUrl", &i.OutputUrl),
		textMember("AssociationName", &i.AssociationName),
	}
}
