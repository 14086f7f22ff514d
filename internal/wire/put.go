package wire

// PutInventoryRequest is what a node (or its administrator) reports.
type PutInventoryRequest struct {
	InstanceId string // required
	Items      []Item // required; 1 to 30

	// Bytes is the length of the body as received. Decode sets it; it is not sent.
	Bytes int

	absent bool // InstanceId
}

const (
	maxItems   = 30
	maxEntries = 10_000
)

// Decode reads body; its error is a *DecodeError.
func (r *PutInventoryRequest) Decode(body []byte) error {
	*r = PutInventoryRequest{Bytes: len(body)}
	return decode(body, r)
}

func (r *PutInventoryRequest) decode(d *decoder) {
	r.absent = true
	for name := range d.members {
		switch name {
		case "InstanceId":
			r.absent = !d.text(&r.InstanceId)
		case "Items":
			r.Items = list(d, maxItems, element[Item])
		default:
			d.skip()
		}
	}
}

// Validate holds the request to the model, as it was decoded or made up; its error is a *ValidationError. Content changed
// after Decode is not looked at again.
func (r *PutInventoryRequest) Validate() error { return validate(r) }

func (r *PutInventoryRequest) validate(c *checker) {
	c.str("instanceId", r.InstanceId, r.absent, nodeID)
	if r.Items == nil {
		c.required("items")
	}
	structures(c, "items", r.Items, 1, maxItems)
}

// AppendJSON appends the request to dst.
func (r *PutInventoryRequest) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	if !r.absent {
		dst = stringMember(dst, "InstanceId", r.InstanceId)
	}
	dst = listMember(dst, "Items", r.Items, func(dst []byte, v *Item) []byte { return v.AppendJSON(dst) })
	return closeObject(dst)
}

// An Item is one type's report. Content and Context that are nil were absent, which says something else than empty:
// an item without Content claims that what its ContentHash names is stored already.
type Item struct {
	TypeName      string // required
	SchemaVersion string // required; major.minor
	CaptureTime   string // required; UTC to the second, 2006-01-02T15:04:05Z
	ContentHash   *string
	Content       []Entry
	Context       Entry

	// Bytes is the length of the item's JSON as received, its braces included. Decode sets it; it is not sent.
	Bytes int

	absent requiredOfItem
	fit    bool // Decode saw that Content satisfies the model
}

// requiredOfItem says which required members were absent.
type requiredOfItem struct{ typeName, schemaVersion, captureTime bool }

func (i *Item) decode(d *decoder) {
	start := d.pos
	i.absent = requiredOfItem{true, true, true}
	for name := range d.members {
		switch name {
		case "TypeName":
			i.absent.typeName = !d.text(&i.TypeName)
		case "SchemaVersion":
			i.absent.schemaVersion = !d.text(&i.SchemaVersion)
		case "CaptureTime":
			i.absent.captureTime = !d.text(&i.CaptureTime)
		case "ContentHash":
			d.textPointer(&i.ContentHash)
		case "Content":
			i.Content, i.fit = d.entryList(maxEntries)
		case "Context":
			i.Context = d.entry()
		default:
			d.skip()
		}
	}
	i.Bytes = d.pos - start
}

func (i *Item) validate(c *checker) {
	c.str("typeName", i.TypeName, i.absent.typeName, typeName)
	c.str("schemaVersion", i.SchemaVersion, i.absent.schemaVersion, version)
	c.str("captureTime", i.CaptureTime, i.absent.captureTime, captureTime)
	c.optional("contentHash", i.ContentHash, contentHash)
	if !i.fit {
		i.validateContent(c)
	}
	if len(i.Context) > 0 {
		mark := c.enter("context")
		i.Context.validate(c, attributeName, attributeValue)
		c.leave(mark)
	}
}

func (i *Item) validateContent(c *checker) {
	mark := c.enter("content")
	c.length(len(i.Content), 0, maxEntries, printedList[Entry, *Entry](i.Content))
	for n, e := range i.Content {
		inner := c.enterElement(n)
		e.validate(c, attributeName, attributeValue)
		c.leave(inner)
	}
	c.leave(mark)
}

func (i *Item) print(p *printer) {
	p.write("InventoryItem(")
	p.member("typeName=", !i.absent.typeName, printed(i.TypeName))
	p.member(", schemaVersion=", !i.absent.schemaVersion, printed(i.SchemaVersion))
	p.member(", captureTime=", !i.absent.captureTime, printed(i.CaptureTime))
	p.pointer(", contentHash=", i.ContentHash)
	p.member(", content=", i.Content != nil, printedList[Entry, *Entry](i.Content))
	p.member(", context=", i.Context != nil, i.Context)
	p.write(")")
}

// AppendJSON appends the item to dst.
func (i *Item) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	if !i.absent.typeName {
		dst = stringMember(dst, "TypeName", i.TypeName)
	}
	if !i.absent.schemaVersion {
		dst = stringMember(dst, "SchemaVersion", i.SchemaVersion)
	}
	if !i.absent.captureTime {
		dst = stringMember(dst, "CaptureTime", i.CaptureTime)
	}
	dst = pointerMember(dst, "ContentHash", i.ContentHash)
	dst = listMember(dst, "Content", i.Content, appendEntry)
	if i.Context != nil {
		dst = append(i.Context.AppendJSON(nameMember(dst, "Context")), ',')
	}
	return closeObject(dst)
}

// PutInventoryResponse answers PutInventory.
type PutInventoryResponse struct {
	Message string // absent when empty
}

// Decode reads body; its error is a *DecodeError.
func (r *PutInventoryResponse) Decode(body []byte) error {
	*r = PutInventoryResponse{}
	return decode(body, r)
}

func (r *PutInventoryResponse) decode(d *decoder) {
	for name := range d.members {
		switch name {
		case "Message":
			d.text(&r.Message)
		default:
			d.skip()
		}
	}
}

// AppendJSON appends the response to dst.
func (r *PutInventoryResponse) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	return closeObject(optionalMember(dst, "Message", r.Message))
}
