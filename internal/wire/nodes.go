package wire

import (
	"regexp"
	"time"
)

// The string shapes of questions about the fleet of nodes.
var (
	syncName      = &rule{least: 1, most: 64}
	nodeFilterKey = &rule{enum: []string{
		"AgentType", "AgentVersion", "ComputerName", "InstanceId", "InstanceStatus", "IpAddress", "ManagedStatus", "PlatformName",
		"PlatformType", "PlatformVersion", "ResourceType", "OrganizationalUnitId", "OrganizationalUnitPath", "Region", "AccountId",
	}}
	nodeFilterValue  = nodeFilterRule()
	nodeFilterType   = &rule{enum: []string{"Equal", "NotEqual", "BeginWith"}}
	nodeAggregator   = &rule{enum: []string{"Count"}}
	nodeTypeName     = &rule{enum: []string{"Instance"}}
	nodeAttribute    = &rule{enum: []string{"AgentVersion", "PlatformName", "PlatformType", "PlatformVersion", "Region", "ResourceType"}}
	maxNodeFilters   = 5
	maxNodeValues    = 5
	maxNodeCounts    = 2
	mostManagedNodes = int32(50)
)

func nodeFilterRule() *rule {
	const pattern = `^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$`
	return &rule{most: 512, pattern: pattern, match: regexp.MustCompile(pattern).MatchString}
}

// A NodeFilter is a condition on nodes. Values are alternatives.
type NodeFilter struct {
	Key    *string  // required
	Values []string // required; 1 to 5
	Type   *string  // Equal where there is none
}

func (f *NodeFilter) members() []member {
	return []member{
		requiredText("Key", &f.Key, nodeFilterKey),
		textsMember("Values", &f.Values, 1, maxNodeValues, nodeFilterValue).required(func() bool { return f.Values == nil }),
		optionalText("Type", &f.Type, nodeFilterType),
	}
}

// ListManagedNodesRequest is the public ListNodes: it asks for nodes with what is known of their agents.
type ListManagedNodesRequest struct {
	SyncName   *string
	Filters    []NodeFilter // 1 to 5
	NextToken  string
	MaxResults *int32 // 1 to 50
}

// Decode reads body; its error is a *DecodeError.
func (r *ListManagedNodesRequest) Decode(body []byte) error {
	*r = ListManagedNodesRequest{}
	return decode(body, table{r})
}

func (r *ListManagedNodesRequest) members() []member {
	return []member{
		optionalText("SyncName", &r.SyncName, syncName),
		structuresMember("Filters", &r.Filters, 1, maxNodeFilters),
		textMember("NextToken", &r.NextToken),
		numberMember("MaxResults", &r.MaxResults, 1, mostManagedNodes),
	}
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *ListManagedNodesRequest) Validate() error { return validate(table{r}) }

// AppendJSON appends the request to dst.
func (r *ListManagedNodesRequest) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// ListManagedNodesResponse is one page of nodes, by id.
type ListManagedNodesResponse struct {
	Nodes     []ManagedNode
	NextToken string
}

// Decode reads body; its error is a *DecodeError.
func (r *ListManagedNodesResponse) Decode(body []byte) error {
	*r = ListManagedNodesResponse{}
	return decode(body, table{r})
}

func (r *ListManagedNodesResponse) members() []member {
	return []member{
		presentStructures("Nodes", &r.Nodes),
		textMember("NextToken", &r.NextToken),
	}
}

// AppendJSON appends the response to dst.
func (r *ListManagedNodesResponse) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// A ManagedNode is one node of ListNodes.
type ManagedNode struct {
	CaptureTime time.Time
	Id          string
	Owner       *NodeOwner
	Region      string
	NodeType    *NodeType
}

func (n *ManagedNode) members() []member {
	return []member{
		momentMember("CaptureTime", &n.CaptureTime),
		textMember("Id", &n.Id),
		structureMember("Owner", &n.Owner),
		textMember("Region", &n.Region),
		structureMember("NodeType", &n.NodeType),
	}
}

// A NodeOwner is whose a node is. There are no organizational units here.
type NodeOwner struct{ AccountId string }

func (o *NodeOwner) members() []member { return []member{textMember("AccountId", &o.AccountId)} }

// A NodeType is what a node is: the model's union, of which there is one kind.
type NodeType struct{ Instance *ManagedInstanceInfo }

func (t *NodeType) members() []member { return []member{structureMember("Instance", &t.Instance)} }

// ManagedInstanceInfo is what ListNodes tells of a node. Empty members are absent.
type ManagedInstanceInfo struct {
	AgentType       string
	AgentVersion    string
	ComputerName    string
	InstanceStatus  string
	IpAddress       string
	ManagedStatus   string
	PlatformType    string
	PlatformName    string
	PlatformVersion string
	ResourceType    string
}

func (i *ManagedInstanceInfo) members() []member {
	return []member{
		textMember("AgentType", &i.AgentType),
		textMember("AgentVersion", &i.AgentVersion),
		textMember("ComputerName", &i.ComputerName),
		textMember("InstanceStatus", &i.InstanceStatus),
		textMember("IpAddress", &i.IpAddress),
		textMember("ManagedStatus", &i.ManagedStatus),
		textMember("PlatformType", &i.PlatformType),
		textMember("PlatformName", &i.PlatformName),
		textMember("PlatformVersion", &i.PlatformVersion),
		textMember("ResourceType", &i.ResourceType),
	}
}

// A NodeAggregator counts nodes by an attribute, and within by those of its own aggregators.
type NodeAggregator struct {
	AggregatorType *string          // required
	TypeName       *string          // required
	AttributeName  *string          // required
	Aggregators    []NodeAggregator // 1 to 2
}

func (a *NodeAggregator) members() []member {
	return []member{
		requiredText("AggregatorType", &a.AggregatorType, nodeAggregator),
		requiredText("TypeName", &a.TypeName, nodeTypeName),
		requiredText("AttributeName", &a.AttributeName, nodeAttribute),
		structuresMember("Aggregators", &a.Aggregators, 1, maxNodeCounts),
	}
}

// ListNodesSummaryRequest asks how many nodes there are of each kind.
type ListNodesSummaryRequest struct {
	SyncName    *string
	Filters     []NodeFilter     // 1 to 5
	Aggregators []NodeAggregator // required; 1 to 2
	NextToken   string
	MaxResults  *int32 // 1 to 50
}

// Decode reads body; its error is a *DecodeError.
func (r *ListNodesSummaryRequest) Decode(body []byte) error {
	*r = ListNodesSummaryRequest{}
	return decode(body, table{r})
}

func (r *ListNodesSummaryRequest) members() []member {
	return []member{
		optionalText("SyncName", &r.SyncName, syncName),
		structuresMember("Filters", &r.Filters, 1, maxNodeFilters),
		structuresMember("Aggregators", &r.Aggregators, 1, maxNodeCounts).required(func() bool { return r.Aggregators == nil }),
		textMember("NextToken", &r.NextToken),
		numberMember("MaxResults", &r.MaxResults, 1, mostManagedNodes),
	}
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *ListNodesSummaryRequest) Validate() error { return validate(table{r}) }

// AppendJSON appends the request to dst.
func (r *ListNodesSummaryRequest) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// ListNodesSummaryResponse is one page of counts: flat rows of names and texts, Count one of them.
type ListNodesSummaryResponse struct {
	Summary   []Entry
	NextToken string
}

// Decode reads body; its error is a *DecodeError.
func (r *ListNodesSummaryResponse) Decode(body []byte) error {
	*r = ListNodesSummaryResponse{}
	return decode(body, table{r})
}

func (r *ListNodesSummaryResponse) members() []member {
	return []member{
		{
			name:   "Summary",
			decode: func(d *decoder) { r.Summary, _ = d.entryList(maxRows) },
			append: func(dst []byte) []byte { return requiredList(dst, "Summary", r.Summary, appendEntry) },
		},
		textMember("NextToken", &r.NextToken),
	}
}

// AppendJSON appends the response to dst.
func (r *ListNodesSummaryResponse) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }
