package wire

import "time"

// associationFilterKey is what associations are listed by.
var associationFilterKey = &rule{enum: []string{
	"InstanceId", "Name", "AssociationId", "AssociationStatusName", "LastExecutedBefore", "LastExecutedAfter", "AssociationName", "ResourceGroupName",
}}

// filterText is any text but none.
var filterText = &rule{least: 1}

// listFilters bounds the filters of one listing; the model does not.
const listFilters = 100

// ListAssociationsRequest asks for associations.
type ListAssociationsRequest struct {
	AssociationFilterList []AssociationFilter
	MaxResults            *int32 // 1 to 50
	NextToken             string // "" is absent
}

// Decode reads body; its error is a *DecodeError.
func (r *ListAssociationsRequest) Decode(body []byte) error {
	*r = ListAssociationsRequest{}
	return decode(body, table{r})
}

func (r *ListAssociationsRequest) members() []member {
	return []member{
		structuresMember("AssociationFilterList", &r.AssociationFilterList, 1, listFilters),
		numberMember("MaxResults", &r.MaxResults, 1, mostResults),
		textMember("NextToken", &r.NextToken),
	}
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *ListAssociationsRequest) Validate() error { return validate(table{r}) }

// AppendJSON appends the request to dst.
func (r *ListAssociationsRequest) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// An AssociationFilter asks for one property. Its members are written in lower case.
type AssociationFilter struct {
	Key   *string // required
	Value *string // required
}

func (f *AssociationFilter) members() []member {
	return []member{
		requiredText("key", &f.Key, associationFilterKey),
		requiredText("value", &f.Value, filterText),
	}
}

// ListAssociationsResponse is one page of them.
type ListAssociationsResponse struct {
	Associations []Association // never absent
	NextToken    string        // absent when empty: on the last page
}

// Decode reads body; its error is a *DecodeError.
func (r *ListAssociationsResponse) Decode(body []byte) error {
	*r = ListAssociationsResponse{}
	return decode(body, table{r})
}

func (r *ListAssociationsResponse) members() []member {
	return []member{
		presentStructures("Associations", &r.Associations),
		textMember("NextToken", &r.NextToken),
	}
}

// AppendJSON appends the response to dst.
func (r *ListAssociationsResponse) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// An Association is one line of a listing.
type Association struct {
	Name               string
	InstanceId         string // of one made for a single node
	AssociationId      string
	AssociationVersion string
	DocumentVersion    string
	Targets            []Target
	LastExecutionDate  time.Time
	Overview           *AssociationOverview
	ScheduleExpression string
	AssociationName    string
	ScheduleOffset     *int32
	Duration           *int32
}

func (a *Association) members() []member {
	return []member{
		textMember("Name", &a.Name),
		textMember("InstanceId", &a.InstanceId),
		textMember("AssociationId", &a.AssociationId),
		textMember("AssociationVersion", &a.AssociationVersion),
		textMember("DocumentVersion", &a.DocumentVersion),
		structuresMember("Targets", &a.Targets, 0, maxTargets),
		momentMember("LastExecutionDate", &a.LastExecutionDate),
		structureMember("Overview", &a.Overview),
		textMember("ScheduleExpression", &a.ScheduleExpression),
		textMember("AssociationName", &a.AssociationName),
		numberMember("ScheduleOffset", &a.ScheduleOffset, 1, 6),
		numberMember("Duration", &a.Duration, 1, 24),
	}
}

// ListAssociationVersionsRequest asks for the versions of an association.
type ListAssociationVersionsRequest struct {
	AssociationId *string // required
	MaxResults    *int32  // 1 to 50
	NextToken     string  // "" is absent
}

// Decode reads body; its error is a *DecodeError.
func (r *ListAssociationVersionsRequest) Decode(body []byte) error {
	*r = ListAssociationVersionsRequest{}
	return decode(body, table{r})
}

func (r *ListAssociationVersionsRequest) members() []member {
	return []member{
		requiredText("AssociationId", &r.AssociationId, associationID),
		numberMember("MaxResults", &r.MaxResults, 1, mostResults),
		textMember("NextToken", &r.NextToken),
	}
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *ListAssociationVersionsRequest) Validate() error { return validate(table{r}) }

// AppendJSON appends the request to dst.
func (r *ListAssociationVersionsRequest) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// ListAssociationVersionsResponse is one page of them.
type ListAssociationVersionsResponse struct {
	AssociationVersions []AssociationVersionInfo // never absent
	NextToken           string                   // absent when empty: on the last page
}

// Decode reads body; its error is a *DecodeError.
func (r *ListAssociationVersionsResponse) Decode(body []byte) error {
	*r = ListAssociationVersionsResponse{}
	return decode(body, table{r})
}

func (r *ListAssociationVersionsResponse) members() []member {
	return []member{
		presentStructures("AssociationVersions", &r.AssociationVersions),
		textMember("NextToken", &r.NextToken),
	}
}

// AppendJSON appends the response to dst.
func (r *ListAssociationVersionsResponse) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// An AssociationVersionInfo is an association as it was at one version.
type AssociationVersionInfo struct {
	AssociationSettings
	AssociationId      string
	AssociationVersion string
	CreatedDate        time.Time
}

func (i *AssociationVersionInfo) members() []member {
	return append(
		i.AssociationSettings.members(),
		textMember("AssociationId", &i.AssociationId),
		textMember("AssociationVersion", &i.AssociationVersion),
		momentMember("CreatedDate", &i.CreatedDate),
	)
}
