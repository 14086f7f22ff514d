package wire

import "time"

// The string shapes of compliance.
var (
	complianceResource     = &rule{least: 1, most: 100}
	complianceResourceType = &rule{least: 1, most: 50}
	complianceType         = complianceTypeRule()
	complianceTitle        = &rule{most: 500}
	complianceSeverity     = &rule{enum: []string{"CRITICAL", "HIGH", "MEDIUM", "LOW", "INFORMATIONAL", "UNSPECIFIED"}}
	complianceStatus       = &rule{enum: []string{"COMPLIANT", "NON_COMPLIANT"}}
	executionID            = &rule{most: 100}
	executionType          = &rule{most: 50}
	uploadType             = &rule{enum: []string{CompleteUpload, PartialUpload}}
)

func complianceTypeRule() *rule {
	r := whole(`[A-Za-z0-9_\-]\w+|Custom:[a-zA-Z0-9_\-]\w+`)
	r.least, r.most = 1, 100
	return r
}

// The kinds of uploads of compliance.
const (
	CompleteUpload = "COMPLETE"
	PartialUpload  = "PARTIAL"
)

// PutComplianceItemsRequest says how far a node complies with something. Items that are empty beside a hash say that
// nothing has changed.
type PutComplianceItemsRequest struct {
	ResourceId       *string                     // required
	ResourceType     *string                     // required
	ComplianceType   *string                     // required
	ExecutionSummary *ComplianceExecutionSummary // required
	Items            []ComplianceItem            // required; to 10,000
	ItemContentHash  *string
	UploadType       *string // COMPLETE or PARTIAL

	// Bytes is the length of the body as received. Decode sets it; it is not sent.
	Bytes int
}

// Decode reads body; its error is a *DecodeError.
func (r *PutComplianceItemsRequest) Decode(body []byte) error {
	*r = PutComplianceItemsRequest{Bytes: len(body)}
	return decode(body, table{r})
}

func (r *PutComplianceItemsRequest) members() []member {
	return []member{
		requiredText("ResourceId", &r.ResourceId, complianceResource),
		requiredText("ResourceType", &r.ResourceType, complianceResourceType),
		requiredText("ComplianceType", &r.ComplianceType, complianceType),
		structureMember("ExecutionSummary", &r.ExecutionSummary).required(func() bool { return r.ExecutionSummary == nil }),
		structuresMember("Items", &r.Items, 0, maxEntries).required(func() bool { return r.Items == nil }),
		optionalText("ItemContentHash", &r.ItemContentHash, contentHash),
		optionalText("UploadType", &r.UploadType, uploadType),
	}
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *PutComplianceItemsRequest) Validate() error { return validate(table{r}) }

// AppendJSON appends the request to dst.
func (r *PutComplianceItemsRequest) AppendJSON(dst []byte) []byte { return table{r}.append(dst) }

// A ComplianceExecutionSummary is when compliance was looked at, and by what.
type ComplianceExecutionSummary struct {
	ExecutionTime *time.Time // required
	ExecutionId   *string
	ExecutionType *string
}

func (s *ComplianceExecutionSummary) members() []member {
	at := requiredMoment("ExecutionTime", &s.ExecutionTime)
	at.decode = func(d *decoder) { d.moment(&s.ExecutionTime) }
	return []member{
		at,
		optionalText("ExecutionId", &s.ExecutionId, executionID),
		optionalText("ExecutionType", &s.ExecutionType, executionType),
	}
}

// moment reads a time as seconds since 1970, or as text, as the model's documentation writes this one.
func (d *decoder) moment(v **time.Time) {
	var at time.Time
	if d.peek() != '"' {
		if d.time(&at); d.err == nil && !at.IsZero() {
			*v = &at
		}
		return
	}
	var text string
	if !d.text(&text) {
		return
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || at.Unix() < earliest || at.Unix() >= latest { // a zone may lead out of the years that can be written
		d.fail("STRING_VALUE can not be converted to a Timestamp")
		return
	}
	at = at.UTC().Truncate(time.Millisecond)
	*v = &at
}

// A ComplianceItem is one thing a node complies with, or does not.
type ComplianceItem struct {
	Id       *string
	Title    *string
	Severity *string // required
	Status   *string // required
	Details  Entry   // the model does not count its members
}

func (i *ComplianceItem) members() []member {
	return []member{
		optionalText("Id", &i.Id, nil),
		optionalText("Title", &i.Title, complianceTitle),
		requiredText("Severity", &i.Severity, complianceSeverity),
		requiredText("Status", &i.Status, complianceStatus),
		{
			name:   "Details",
			decode: func(d *decoder) { i.Details = d.wideEntry() },
			append: func(dst []byte) []byte {
				if i.Details == nil {
					return dst
				}
				return append(i.Details.AppendJSON(nameMember(dst, "Details")), ',')
			},
			check: func(c *checker, path string) {
				mark := c.enter(path)
				i.Details.validatePairs(c, attributeName, attributeValue)
				c.leave(mark)
			},
			value: func() printable {
				if i.Details == nil {
					return nil
				}
				return i.Details
			},
		},
	}
}
