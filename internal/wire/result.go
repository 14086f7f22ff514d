package wire

// maxRows bounds what a client takes of a list in an answer; Stocktake's own pages are smaller.
const maxRows = 10_000

// GetInventoryResponse answers GetInventory.
type GetInventoryResponse struct {
	Entities  []Entity
	NextToken string // absent when empty: on the last page
}

// Decode reads body; its error is a *DecodeError.
func (r *GetInventoryResponse) Decode(body []byte) error {
	*r = GetInventoryResponse{}
	return decode(body, r)
}

func (r *GetInventoryResponse) decode(d *decoder) {
	for name := range d.members {
		switch name {
		case "Entities":
			r.Entities = list(d, maxRows, element[Entity])
		case "NextToken":
			d.text(&r.NextToken)
		default:
			d.skip()
		}
	}
}

// AppendJSON appends the response to dst.
func (r *GetInventoryResponse) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	dst = requiredList(dst, "Entities", r.Entities, appendEntity)
	dst = optionalMember(dst, "NextToken", r.NextToken)
	return closeObject(dst)
}

// An Entity is a node's content, or one aggregate.
type Entity struct {
	Id   string       // the node's id; absent when empty: in aggregates
	Data []ResultItem // by Key, each once; never absent
}

// A ResultItem is one member of an Entity's Data. Its strings are absent when empty.
type ResultItem struct {
	Key           string // the member's name: a type, or a group
	TypeName      string
	SchemaVersion string
	CaptureTime   string
	ContentHash   string
	Content       []Entry // never absent
}

func (e *Entity) decode(d *decoder) {
	for name := range d.members {
		switch name {
		case "Id":
			d.text(&e.Id)
		case "Data":
			e.decodeData(d)
		default:
			d.skip()
		}
	}
}

func (e *Entity) decodeData(d *decoder) {
	if !d.expect('{') {
		return
	}
	e.Data = []ResultItem{}
	for name := range d.members {
		item := ResultItem{Key: name}
		if d.structure(&item) {
			e.Data = append(e.Data, item)
		}
	}
}

func (i *ResultItem) decode(d *decoder) {
	for name := range d.members {
		switch name {
		case "TypeName":
			d.text(&i.TypeName)
		case "SchemaVersion":
			d.text(&i.SchemaVersion)
		case "CaptureTime":
			d.text(&i.CaptureTime)
		case "ContentHash":
			d.text(&i.ContentHash)
		case "Content":
			i.Content, _ = d.entryList(maxRows)
		default:
			d.skip()
		}
	}
}

func appendEntity(dst []byte, e *Entity) []byte {
	dst = append(dst, '{')
	dst = optionalMember(dst, "Id", e.Id)
	dst = append(nameMember(dst, "Data"), '{')
	for i := range e.Data {
		dst = append(appendString(dst, e.Data[i].Key), ':')
		dst = append(appendResultItem(dst, &e.Data[i]), ',')
	}
	return closeObject(append(closeObject(dst), ','))
}

func appendResultItem(dst []byte, i *ResultItem) []byte {
	dst = append(dst, '{')
	dst = optionalMember(dst, "TypeName", i.TypeName)
	dst = optionalMember(dst, "SchemaVersion", i.SchemaVersion)
	dst = optionalMember(dst, "CaptureTime", i.CaptureTime)
	dst = optionalMember(dst, "ContentHash", i.ContentHash)
	dst = requiredList(dst, "Content", i.Content, appendEntry)
	return closeObject(dst)
}
