package wire

import "time"

// The values of SchemaDeleteOption.
const (
	DisableSchema = "DisableSchema"
	DeleteSchema  = "DeleteSchema"
)

// The values of LastStatus.
const (
	InProgress = "InProgress"
	Complete   = "Complete"
)

// DeleteInventoryRequest asks for a custom type's data to be removed.
type DeleteInventoryRequest struct {
	TypeName           string  // required
	SchemaDeleteOption *string // DisableSchema or DeleteSchema; absent keeps the schema
	DryRun             bool
	// ClientToken contains a UUID in lower case; the model does not anchor its pattern, so it may be of any length.
	ClientToken *string

	absent bool // TypeName
}

// Decode reads body; its error is a *DecodeError.
func (r *DeleteInventoryRequest) Decode(body []byte) error {
	*r = DeleteInventoryRequest{}
	return decode(body, r)
}

func (r *DeleteInventoryRequest) decode(d *decoder) {
	r.absent = true
	for name := range d.members {
		switch name {
		case "TypeName":
			r.absent = !d.text(&r.TypeName)
		case "SchemaDeleteOption":
			d.textPointer(&r.SchemaDeleteOption)
		case "DryRun":
			r.DryRun, _ = d.boolean()
		case "ClientToken":
			d.textPointer(&r.ClientToken)
		default:
			d.skip()
		}
	}
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *DeleteInventoryRequest) Validate() error { return validate(r) }

func (r *DeleteInventoryRequest) validate(c *checker) {
	c.str("typeName", r.TypeName, r.absent, typeName)
	c.optional("schemaDeleteOption", r.SchemaDeleteOption, deleteOption)
	c.optional("clientToken", r.ClientToken, uuid)
}

// AppendJSON appends the request to dst.
func (r *DeleteInventoryRequest) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	if !r.absent {
		dst = stringMember(dst, "TypeName", r.TypeName)
	}
	dst = pointerMember(dst, "SchemaDeleteOption", r.SchemaDeleteOption)
	dst = trueMember(dst, "DryRun", r.DryRun)
	dst = pointerMember(dst, "ClientToken", r.ClientToken)
	return closeObject(dst)
}

// DeleteInventoryResponse answers DeleteInventory.
type DeleteInventoryResponse struct {
	DeletionId      string // absent when empty: of a dry run
	TypeName        string
	DeletionSummary *DeletionSummary
}

// Decode reads body; its error is a *DecodeError.
func (r *DeleteInventoryResponse) Decode(body []byte) error {
	*r = DeleteInventoryResponse{}
	return decode(body, r)
}

func (r *DeleteInventoryResponse) decode(d *decoder) {
	for name := range d.members {
		switch name {
		case "DeletionId":
			d.text(&r.DeletionId)
		case "TypeName":
			d.text(&r.TypeName)
		case "DeletionSummary":
			r.DeletionSummary = decodeSummary(d)
		default:
			d.skip()
		}
	}
}

// AppendJSON appends the response to dst.
func (r *DeleteInventoryResponse) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	dst = optionalMember(dst, "DeletionId", r.DeletionId)
	dst = optionalMember(dst, "TypeName", r.TypeName)
	dst = summaryMember(dst, r.DeletionSummary)
	return closeObject(dst)
}

// A DeletionSummary counts what a deletion removes: items of nodes, not entries.
type DeletionSummary struct {
	TotalCount     int32
	RemainingCount int32
	SummaryItems   []DeletionSummaryItem // by version; never absent
}

// A DeletionSummaryItem is the part of one schema version.
type DeletionSummaryItem struct {
	Version        string
	Count          int32
	RemainingCount int32
}

func decodeSummary(d *decoder) *DeletionSummary {
	var s DeletionSummary
	if !d.structure(&s) {
		return nil
	}
	return &s
}

func (s *DeletionSummary) decode(d *decoder) {
	for name := range d.members {
		switch name {
		case "TotalCount":
			s.TotalCount, _ = d.integer()
		case "RemainingCount":
			s.RemainingCount, _ = d.integer()
		case "SummaryItems":
			s.SummaryItems = list(d, maxRows, element[DeletionSummaryItem])
		default:
			d.skip()
		}
	}
}

func (i *DeletionSummaryItem) decode(d *decoder) {
	for name := range d.members {
		switch name {
		case "Version":
			d.text(&i.Version)
		case "Count":
			i.Count, _ = d.integer()
		case "RemainingCount":
			i.RemainingCount, _ = d.integer()
		default:
			d.skip()
		}
	}
}

func summaryMember(dst []byte, s *DeletionSummary) []byte {
	if s == nil {
		return dst
	}
	dst = append(nameMember(dst, "DeletionSummary"), '{')
	dst = integerMember(dst, "TotalCount", s.TotalCount)
	dst = integerMember(dst, "RemainingCount", s.RemainingCount)
	dst = requiredList(dst, "SummaryItems", s.SummaryItems, appendSummaryItem)
	return append(closeObject(dst), ',')
}

func appendSummaryItem(dst []byte, i *DeletionSummaryItem) []byte {
	dst = append(dst, '{')
	dst = optionalMember(dst, "Version", i.Version)
	dst = integerMember(dst, "Count", i.Count)
	dst = integerMember(dst, "RemainingCount", i.RemainingCount)
	return closeObject(dst)
}

// DescribeInventoryDeletionsRequest asks how deletions stand.
type DescribeInventoryDeletionsRequest struct {
	DeletionId *string // contains a UUID in lower case; absent: all of the last 30 days
	NextToken  string  // "" is absent
	MaxResults *int32  // 1 to 50
}

// Decode reads body; its error is a *DecodeError.
func (r *DescribeInventoryDeletionsRequest) Decode(body []byte) error {
	*r = DescribeInventoryDeletionsRequest{}
	return decode(body, r)
}

func (r *DescribeInventoryDeletionsRequest) decode(d *decoder) {
	for name := range d.members {
		switch name {
		case "DeletionId":
			d.textPointer(&r.DeletionId)
		case "NextToken":
			d.text(&r.NextToken)
		case "MaxResults":
			d.integerPointer(&r.MaxResults)
		default:
			d.skip()
		}
	}
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *DescribeInventoryDeletionsRequest) Validate() error { return validate(r) }

func (r *DescribeInventoryDeletionsRequest) validate(c *checker) {
	c.optional("deletionId", r.DeletionId, uuid)
	c.number("maxResults", r.MaxResults, 1, mostResults)
}

// AppendJSON appends the request to dst.
func (r *DescribeInventoryDeletionsRequest) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	dst = pointerMember(dst, "DeletionId", r.DeletionId)
	dst = optionalMember(dst, "NextToken", r.NextToken)
	dst = integerPointerMember(dst, "MaxResults", r.MaxResults)
	return closeObject(dst)
}

// DescribeInventoryDeletionsResponse answers DescribeInventoryDeletions.
type DescribeInventoryDeletionsResponse struct {
	InventoryDeletions []DeletionStatus
	NextToken          string // absent when empty: on the last page
}

// Decode reads body; its error is a *DecodeError.
func (r *DescribeInventoryDeletionsResponse) Decode(body []byte) error {
	*r = DescribeInventoryDeletionsResponse{}
	return decode(body, r)
}

func (r *DescribeInventoryDeletionsResponse) decode(d *decoder) {
	for name := range d.members {
		switch name {
		case "InventoryDeletions":
			r.InventoryDeletions = list(d, maxRows, element[DeletionStatus])
		case "NextToken":
			d.text(&r.NextToken)
		default:
			d.skip()
		}
	}
}

// AppendJSON appends the response to dst.
func (r *DescribeInventoryDeletionsResponse) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	dst = requiredList(dst, "InventoryDeletions", r.InventoryDeletions, appendDeletionStatus)
	dst = optionalMember(dst, "NextToken", r.NextToken)
	return closeObject(dst)
}

// A DeletionStatus says how one deletion stands. Times go to the millisecond; the zero time is absent.
type DeletionStatus struct {
	DeletionId           string
	TypeName             string
	DeletionStartTime    time.Time
	LastStatus           string // InProgress or Complete
	LastStatusMessage    string
	DeletionSummary      *DeletionSummary
	LastStatusUpdateTime time.Time
}

func (s *DeletionStatus) decode(d *decoder) {
	for name := range d.members {
		switch name {
		case "DeletionId":
			d.text(&s.DeletionId)
		case "TypeName":
			d.text(&s.TypeName)
		case "DeletionStartTime":
			d.time(&s.DeletionStartTime)
		case "LastStatus":
			d.text(&s.LastStatus)
		case "LastStatusMessage":
			d.text(&s.LastStatusMessage)
		case "DeletionSummary":
			s.DeletionSummary = decodeSummary(d)
		case "LastStatusUpdateTime":
			d.time(&s.LastStatusUpdateTime)
		default:
			d.skip()
		}
	}
}

func appendDeletionStatus(dst []byte, s *DeletionStatus) []byte {
	dst = append(dst, '{')
	dst = optionalMember(dst, "DeletionId", s.DeletionId)
	dst = optionalMember(dst, "TypeName", s.TypeName)
	dst = timeMember(dst, "DeletionStartTime", s.DeletionStartTime)
	dst = optionalMember(dst, "LastStatus", s.LastStatus)
	dst = optionalMember(dst, "LastStatusMessage", s.LastStatusMessage)
	dst = summaryMember(dst, s.DeletionSummary)
	dst = timeMember(dst, "LastStatusUpdateTime", s.LastStatusUpdateTime)
	return closeObject(dst)
}
