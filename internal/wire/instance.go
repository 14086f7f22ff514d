package wire

import "time"

// The string shapes of questions about nodes.
var (
	filterValue         = &rule{least: 1}
	propertyText        = &rule{least: 1, most: 100_000, pattern: `^.{1,100000}$`, match: func(s string) bool { return isOneLine(s) }}
	informationFilter   = &rule{enum: []string{"InstanceIds", "AgentVersion", "PingStatus", "PlatformTypes", "ActivationIds", "IamRole", "ResourceType", "AssociationStatus"}}
	informationKey      = &rule{least: 1}
	propertyFilter      = &rule{enum: []string{"InstanceIds", "AgentVersion", "PingStatus", "PlatformTypes", "DocumentName", "ActivationIds", "IamRole", "ResourceType", "AssociationStatus"}}
	propertyOperator    = &rule{enum: []string{"Equal", "NotEqual", "BeginWith", "LessThan", "GreaterThan"}}
	maxInformation      = 1000 // filters; the model has no bound
	maxInformationValue = 100
	maxProperty         = 40
)

func isOneLine(s string) bool {
	for _, c := range s {
		switch c {
		case '\n', '\r', '\u0085', '\u2028', '\u2029':
			return false
		}
	}
	return true
}

// An InstanceInformationFilter is a condition on nodes in the older style. Values are alternatives.
type InstanceInformationFilter struct {
	Key      *string  // required
	ValueSet []string // required; 1 to 100
}

func (f *InstanceInformationFilter) members() []member {
	return []member{
		requiredText("key", &f.Key, informationFilter),
		textsMember("valueSet", &f.ValueSet, 1, maxInformationValue, filterValue).required(func() bool { return f.ValueSet == nil }),
	}
}

// An InstanceInformationStringFilter is a condition on nodes in the newer style. Values are alternatives.
type InstanceInformationStringFilter struct {
	Key    *string  // required
	Values []string // required; 1 to 100
}

func (f *InstanceInformationStringFilter) members() []member {
	return []member{
		requiredText("Key", &f.Key, informationKey),
		textsMember("Values", &f.Values, 1, maxInformationValue, filterValue).required(func() bool { return f.Values == nil }),
	}
}

// DescribeInstanceInformationRequest asks for managed nodes, with filters of one style or the other.
type DescribeInstanceInformationRequest struct {
	InstanceInformationFilterList []InstanceInformationFilter
	Filters                       []InstanceInformationStringFilter
	MaxResults                    *int32 // 5 to 50
	NextToken                     string
}

// Decode reads body; its error is a *DecodeError.
func (r *DescribeInstanceInformationRequest) Decode(body []byte) error {
	*r = DescribeInstanceInformationRequest{}
	return decode(body, table{r})
}

func (r *DescribeInstanceInformationRequest) members() []member {
	return []member{
		structuresMember("InstanceInformationFilterList", &r.InstanceInformationFilterList, 0, maxInformation),
		structuresMember("Filters", &r.Filters, 0, maxInformation),
		numberMember("MaxResults", &r.MaxResults, 5, 50),
		textMember("NextToken", &r.NextToken),
	}
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *DescribeInstanceInformationRequest) Validate() error { return validate(table{r}) }

// AppendJSON appends the request to dst.
func (r *DescribeInstanceInformationRequest) AppendJSON(dst []byte) []byte {
	return table{r}.append(dst)
}

// DescribeInstanceInformationResponse is one page of managed nodes.
type DescribeInstanceInformationResponse struct {
	InstanceInformationList []InstanceInformation
	NextToken               string
}

// Decode reads body; its error is a *DecodeError.
func (r *DescribeInstanceInformationResponse) Decode(body []byte) error {
	*r = DescribeInstanceInformationResponse{}
	return decode(body, table{r})
}

func (r *DescribeInstanceInformationResponse) members() []member {
	return []member{
		presentStructures("InstanceInformationList", &r.InstanceInformationList),
		textMember("NextToken", &r.NextToken),
	}
}

// AppendJSON appends the response to dst.
func (r *DescribeInstanceInformationResponse) AppendJSON(dst []byte) []byte {
	return table{r}.append(dst)
}

// InstanceInformation is what DescribeInstanceInformation tells of a node. Empty members are absent.
type InstanceInformation struct {
	InstanceId                             string
	PingStatus                             string
	LastPingDateTime                       time.Time
	AgentVersion                           string
	IsLatestVersion                        *bool
	PlatformType                           string
	PlatformName                           string
	PlatformVersion                        string
	ActivationId                           string
	IamRole                                string
	RegistrationDate                       time.Time
	ResourceType                           string
	Name                                   string
	IPAddress                              string
	ComputerName                           string
	AssociationStatus                      string
	LastAssociationExecutionDate           time.Time
	LastSuccessfulAssociationExecutionDate time.Time
	AssociationOverview                    *InstanceAssociationOverview
	SourceId                               string
	SourceType                             string
}

func (i *InstanceInformation) members() []member {
	return []member{
		textMember("InstanceId", &i.InstanceId),
		textMember("PingStatus", &i.PingStatus),
		momentMember("LastPingDateTime", &i.LastPingDateTime),
		textMember("AgentVersion", &i.AgentVersion),
		booleanMember("IsLatestVersion", &i.IsLatestVersion),
		textMember("PlatformType", &i.PlatformType),
		textMember("PlatformName", &i.PlatformName),
		textMember("PlatformVersion", &i.PlatformVersion),
		textMember("ActivationId", &i.ActivationId),
		textMember("IamRole", &i.IamRole),
		momentMember("RegistrationDate", &i.RegistrationDate),
		textMember("ResourceType", &i.ResourceType),
		textMember("Name", &i.Name),
		textMember("IPAddress", &i.IPAddress),
		textMember("ComputerName", &i.ComputerName),
		textMember("AssociationStatus", &i.AssociationStatus),
		momentMember("LastAssociationExecutionDate", &i.LastAssociationExecutionDate),
		momentMember("LastSuccessfulAssociationExecutionDate", &i.LastSuccessfulAssociationExecutionDate),
		structureMember("AssociationOverview", &i.AssociationOverview),
		textMember("SourceId", &i.SourceId),
		textMember("SourceType", &i.SourceType),
	}
}

// An InstanceAssociationOverview counts a node's associations by their status.
type InstanceAssociationOverview struct {
	DetailedStatus                           string
	InstanceAssociationStatusAggregatedCount []Count
}

func (o *InstanceAssociationOverview) members() []member {
	return []member{
		textMember("DetailedStatus", &o.DetailedStatus),
		countsMember("InstanceAssociationStatusAggregatedCount", &o.InstanceAssociationStatusAggregatedCount),
	}
}

// An InstancePropertyFilter is a condition on nodes in the older style. Values are alternatives.
type InstancePropertyFilter struct {
	Key      *string  // required
	ValueSet []string // required; 1 to 40
}

func (f *InstancePropertyFilter) members() []member {
	return []member{
		requiredText("key", &f.Key, propertyFilter),
		textsMember("valueSet", &f.ValueSet, 1, maxProperty, propertyText).required(func() bool { return f.ValueSet == nil }),
	}
}

// An InstancePropertyStringFilter is a condition on nodes with an operator, Equal where there is none.
type InstancePropertyStringFilter struct {
	Key      *string  // required
	Values   []string // required; 1 to 40
	Operator *string
}

func (f *InstancePropertyStringFilter) members() []member {
	return []member{
		requiredText("Key", &f.Key, propertyText),
		textsMember("Values", &f.Values, 1, maxProperty, propertyText).required(func() bool { return f.Values == nil }),
		optionalText("Operator", &f.Operator, propertyOperator),
	}
}

// DescribeInstancePropertiesRequest asks for nodes, stopped ones too.
type DescribeInstancePropertiesRequest struct {
	InstancePropertyFilterList []InstancePropertyFilter       // 1 to 40
	FiltersWithOperator        []InstancePropertyStringFilter // 1 to 40
	MaxResults                 *int32                         // 5 to 1000
	NextToken                  string
}

// Decode reads body; its error is a *DecodeError.
func (r *DescribeInstancePropertiesRequest) Decode(body []byte) error {
	*r = DescribeInstancePropertiesRequest{}
	return decode(body, table{r})
}

func (r *DescribeInstancePropertiesRequest) members() []member {
	return []member{
		structuresMember("InstancePropertyFilterList", &r.InstancePropertyFilterList, 1, maxProperty),
		structuresMember("FiltersWithOperator", &r.FiltersWithOperator, 1, maxProperty),
		numberMember("MaxResults", &r.MaxResults, 5, 1000),
		textMember("NextToken", &r.NextToken),
	}
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *DescribeInstancePropertiesRequest) Validate() error { return validate(table{r}) }

// AppendJSON appends the request to dst.
func (r *DescribeInstancePropertiesRequest) AppendJSON(dst []byte) []byte {
	return table{r}.append(dst)
}

// DescribeInstancePropertiesResponse is one page of nodes.
type DescribeInstancePropertiesResponse struct {
	InstanceProperties []InstanceProperty
	NextToken          string
}

// Decode reads body; its error is a *DecodeError.
func (r *DescribeInstancePropertiesResponse) Decode(body []byte) error {
	*r = DescribeInstancePropertiesResponse{}
	return decode(body, table{r})
}

func (r *DescribeInstancePropertiesResponse) members() []member {
	return []member{
		presentStructures("InstanceProperties", &r.InstanceProperties),
		textMember("NextToken", &r.NextToken),
	}
}

// AppendJSON appends the response to dst.
func (r *DescribeInstancePropertiesResponse) AppendJSON(dst []byte) []byte {
	return table{r}.append(dst)
}

// InstanceProperty is what DescribeInstanceProperties tells of a node. Empty members are absent; the model's others are of
// what only EC2 knows.
type InstanceProperty struct {
	Name                                   string
	InstanceId                             string
	InstanceState                          string
	IPAddress                              string
	PingStatus                             string
	LastPingDateTime                       time.Time
	AgentVersion                           string
	PlatformType                           string
	PlatformName                           string
	PlatformVersion                        string
	ActivationId                           string
	IamRole                                string
	RegistrationDate                       time.Time
	ResourceType                           string
	ComputerName                           string
	AssociationStatus                      string
	LastAssociationExecutionDate           time.Time
	LastSuccessfulAssociationExecutionDate time.Time
	AssociationOverview                    *InstanceAssociationOverview
	SourceId                               string
	SourceType                             string
}

func (i *InstanceProperty) members() []member {
	return []member{
		textMember("Name", &i.Name),
		textMember("InstanceId", &i.InstanceId),
		textMember("InstanceState", &i.InstanceState),
		textMember("IPAddress", &i.IPAddress),
		textMember("PingStatus", &i.PingStatus),
		momentMember("LastPingDateTime", &i.LastPingDateTime),
		textMember("AgentVersion", &i.AgentVersion),
		textMember("PlatformType", &i.PlatformType),
		textMember("PlatformName", &i.PlatformName),
		textMember("PlatformVersion", &i.PlatformVersion),
		textMember("ActivationId", &i.ActivationId),
		textMember("IamRole", &i.IamRole),
		momentMember("RegistrationDate", &i.RegistrationDate),
		textMember("ResourceType", &i.ResourceType),
		textMember("ComputerName", &i.ComputerName),
		textMember("AssociationStatus", &i.AssociationStatus),
		momentMember("LastAssociationExecutionDate", &i.LastAssociationExecutionDate),
		momentMember("LastSuccessfulAssociationExecutionDate", &i.LastSuccessfulAssociationExecutionDate),
		structureMember("AssociationOverview", &i.AssociationOverview),
		textMember("SourceId", &i.SourceId),
		textMember("SourceType", &i.SourceType),
	}
}
