package wire

// ListInventoryEntriesRequest asks for one node's entries of one type.
type ListInventoryEntriesRequest struct {
	InstanceId string   // required
	TypeName   string   // required
	Filters    []Filter // 1 to 5; nil is absent
	NextToken  string   // "" is absent
	MaxResults *int32   // 1 to 50

	absent requiredOfListing
	page   page
}

// AllowResults is as with GetInventoryRequest.
func (r *ListInventoryEntriesRequest) AllowResults(most int32) { r.page.allow(most) }

// requiredOfListing says which required members were absent.
type requiredOfListing struct{ instanceID, typeName bool }

// Decode reads body; its error is a *DecodeError.
func (r *ListInventoryEntriesRequest) Decode(body []byte) error {
	*r = ListInventoryEntriesRequest{}
	return decode(body, r)
}

func (r *ListInventoryEntriesRequest) decode(d *decoder) {
	r.absent = requiredOfListing{true, true}
	for name := range d.members {
		switch name {
		case "InstanceId":
			r.absent.instanceID = !d.text(&r.InstanceId)
		case "TypeName":
			r.absent.typeName = !d.text(&r.TypeName)
		case "Filters":
			r.Filters = list(d, maxFilters, element[Filter])
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
func (r *ListInventoryEntriesRequest) Validate() error { return validate(r) }

func (r *ListInventoryEntriesRequest) validate(c *checker) {
	c.str("instanceId", r.InstanceId, r.absent.instanceID, nodeID)
	c.str("typeName", r.TypeName, r.absent.typeName, typeName)
	structures(c, "filters", r.Filters, 1, maxFilters)
	c.number("maxResults", r.MaxResults, 1, r.page.bound())
}

// AppendJSON appends the request to dst.
func (r *ListInventoryEntriesRequest) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	if !r.absent.instanceID {
		dst = stringMember(dst, "InstanceId", r.InstanceId)
	}
	if !r.absent.typeName {
		dst = stringMember(dst, "TypeName", r.TypeName)
	}
	dst = listMember(dst, "Filters", r.Filters, appendFilter)
	dst = optionalMember(dst, "NextToken", r.NextToken)
	dst = integerPointerMember(dst, "MaxResults", r.MaxResults)
	return closeObject(dst)
}

// ListInventoryEntriesResponse answers ListInventoryEntries. Its strings are absent when empty.
type ListInventoryEntriesResponse struct {
	TypeName      string
	InstanceId    string
	SchemaVersion string
	CaptureTime   string
	Entries       []Entry // never absent
	NextToken     string
}

// Decode reads body; its error is a *DecodeError.
func (r *ListInventoryEntriesResponse) Decode(body []byte) error {
	*r = ListInventoryEntriesResponse{}
	return decode(body, r)
}

func (r *ListInventoryEntriesResponse) decode(d *decoder) {
	for name := range d.members {
		switch name {
		case "TypeName":
			d.text(&r.TypeName)
		case "InstanceId":
			d.text(&r.InstanceId)
		case "SchemaVersion":
			d.text(&r.SchemaVersion)
		case "CaptureTime":
			d.text(&r.CaptureTime)
		case "Entries":
			r.Entries, _ = d.entryList(maxRows)
		case "NextToken":
			d.text(&r.NextToken)
		default:
			d.skip()
		}
	}
}

// AppendJSON appends the response to dst.
func (r *ListInventoryEntriesResponse) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	dst = optionalMember(dst, "TypeName", r.TypeName)
	dst = optionalMember(dst, "InstanceId", r.InstanceId)
	dst = optionalMember(dst, "SchemaVersion", r.SchemaVersion)
	dst = optionalMember(dst, "CaptureTime", r.CaptureTime)
	dst = requiredList(dst, "Entries", r.Entries, appendEntry)
	dst = optionalMember(dst, "NextToken", r.NextToken)
	return closeObject(dst)
}
