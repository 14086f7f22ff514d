package wire

import "time"

// The shapes below are Stocktake's own actions (targets `Stocktake.<Action>`): they keep nodes that have no agent to
// register them. They follow the API's manner, with the service's own word for a node.

// NodeRequest names the node to register, terminate or remove.
type NodeRequest struct {
	NodeId string // required

	absent bool
}

// Decode reads body; its error is a *DecodeError.
func (r *NodeRequest) Decode(body []byte) error {
	*r = NodeRequest{}
	return decode(body, r)
}

func (r *NodeRequest) decode(d *decoder) {
	r.absent = true
	for name := range d.members {
		switch name {
		case "NodeId":
			r.absent = !d.text(&r.NodeId)
		default:
			d.skip()
		}
	}
}

// Validate holds the request to its constraints; its error is a *ValidationError.
func (r *NodeRequest) Validate() error { return validate(r) }

func (r *NodeRequest) validate(c *checker) { c.str("nodeId", r.NodeId, r.absent, nodeID) }

// AppendJSON appends the request to dst.
func (r *NodeRequest) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	if !r.absent {
		dst = stringMember(dst, "NodeId", r.NodeId)
	}
	return closeObject(dst)
}

// EmptyMessage is a request or an answer without members.
type EmptyMessage struct{}

// Decode reads body; its error is a *DecodeError.
func (m *EmptyMessage) Decode(body []byte) error { return decode(body, m) }

func (m *EmptyMessage) decode(d *decoder) {
	for range d.members {
		d.skip()
	}
}

// Validate finds nothing to object to.
func (m *EmptyMessage) Validate() error { return nil }

// AppendJSON appends {} to dst.
func (m *EmptyMessage) AppendJSON(dst []byte) []byte { return append(dst, "{}"...) }

// ListNodesRequest asks for the nodes known, with or without inventory of their own.
type ListNodesRequest struct {
	NextToken  string // "" is absent
	MaxResults *int32 // 1 to 1000
}

// mostNodes is the largest page of ListNodesRequest.
const mostNodes = 1000

// Decode reads body; its error is a *DecodeError.
func (r *ListNodesRequest) Decode(body []byte) error {
	*r = ListNodesRequest{}
	return decode(body, r)
}

func (r *ListNodesRequest) decode(d *decoder) {
	for name := range d.members {
		switch name {
		case "NextToken":
			d.text(&r.NextToken)
		case "MaxResults":
			d.integerPointer(&r.MaxResults)
		default:
			d.skip()
		}
	}
}

// Validate holds the request to its constraints; its error is a *ValidationError.
func (r *ListNodesRequest) Validate() error { return validate(r) }

func (r *ListNodesRequest) validate(c *checker) { c.number("maxResults", r.MaxResults, 1, mostNodes) }

// AppendJSON appends the request to dst.
func (r *ListNodesRequest) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	dst = optionalMember(dst, "NextToken", r.NextToken)
	dst = integerPointerMember(dst, "MaxResults", r.MaxResults)
	return closeObject(dst)
}

// ListNodesResponse is one page of nodes, by id.
type ListNodesResponse struct {
	Nodes     []NodeSummary
	NextToken string // absent when empty: on the last page
}

// Decode reads body; its error is a *DecodeError.
func (r *ListNodesResponse) Decode(body []byte) error {
	*r = ListNodesResponse{}
	return decode(body, r)
}

func (r *ListNodesResponse) decode(d *decoder) {
	for name := range d.members {
		switch name {
		case "Nodes":
			r.Nodes = list(d, maxRows, element[NodeSummary])
		case "NextToken":
			d.text(&r.NextToken)
		default:
			d.skip()
		}
	}
}

// AppendJSON appends the response to dst.
func (r *ListNodesResponse) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	dst = requiredList(dst, "Nodes", r.Nodes, appendNodeSummary)
	dst = optionalMember(dst, "NextToken", r.NextToken)
	return closeObject(dst)
}

// A NodeSummary is one node's life. Times go to the millisecond; the zero time is absent.
type NodeSummary struct {
	NodeId         string
	Status         string // Active, ConnectionLost, Stopped or Terminated
	EnrolledTime   time.Time
	LastReportTime time.Time
	TypeCount      int32 // of inventory types stored
}

func (s *NodeSummary) decode(d *decoder) {
	for name := range d.members {
		switch name {
		case "NodeId":
			d.text(&s.NodeId)
		case "Status":
			d.text(&s.Status)
		case "EnrolledTime":
			d.time(&s.EnrolledTime)
		case "LastReportTime":
			d.time(&s.LastReportTime)
		case "TypeCount":
			s.TypeCount, _ = d.integer()
		default:
			d.skip()
		}
	}
}

func appendNodeSummary(dst []byte, s *NodeSummary) []byte {
	dst = append(dst, '{')
	dst = optionalMember(dst, "NodeId", s.NodeId)
	dst = optionalMember(dst, "Status", s.Status)
	dst = timeMember(dst, "EnrolledTime", s.EnrolledTime)
	dst = timeMember(dst, "LastReportTime", s.LastReportTime)
	dst = integerMember(dst, "TypeCount", s.TypeCount)
	return closeObject(dst)
}

// RunRetentionResponse says what a pass of retention dropped.
type RunRetentionResponse struct {
	DocumentCount int32 // before the pass
	DroppedCount  int32
}

// Decode reads body; its error is a *DecodeError.
func (r *RunRetentionResponse) Decode(body []byte) error {
	*r = RunRetentionResponse{}
	return decode(body, r)
}

func (r *RunRetentionResponse) decode(d *decoder) {
	for name := range d.members {
		switch name {
		case "DocumentCount":
			r.DocumentCount, _ = d.integer()
		case "DroppedCount":
			r.DroppedCount, _ = d.integer()
		default:
			d.skip()
		}
	}
}

// AppendJSON appends the response to dst.
func (r *RunRetentionResponse) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	dst = integerMember(dst, "DocumentCount", r.DocumentCount)
	dst = integerMember(dst, "DroppedCount", r.DroppedCount)
	return closeObject(dst)
}
