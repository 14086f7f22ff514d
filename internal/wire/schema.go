package wire

const (
	leastSchemaResults = 50
	mostSchemaResults  = 200
)

// GetInventorySchemaRequest asks which types there are.
type GetInventorySchemaRequest struct {
	TypeName   string // at most 100 characters; "" is absent: every type
	NextToken  string // "" is absent
	MaxResults *int32 // 50 to 200
	Aggregator bool
	SubType    *bool
}

// Decode reads body; its error is a *DecodeError.
func (r *GetInventorySchemaRequest) Decode(body []byte) error {
	*r = GetInventorySchemaRequest{}
	return decode(body, r)
}

func (r *GetInventorySchemaRequest) decode(d *decoder) {
	for name := range d.members {
		switch name {
		case "TypeName":
			d.text(&r.TypeName)
		case "NextToken":
			d.text(&r.NextToken)
		case "MaxResults":
			d.integerPointer(&r.MaxResults)
		case "Aggregator":
			r.Aggregator, _ = d.boolean()
		case "SubType":
			if v, ok := d.boolean(); ok {
				r.SubType = &v
			}
		default:
			d.skip()
		}
	}
}

// Validate holds the request to the model; its error is a *ValidationError.
func (r *GetInventorySchemaRequest) Validate() error { return validate(r) }

func (r *GetInventorySchemaRequest) validate(c *checker) {
	c.optional("typeName", &r.TypeName, typeNameFilter)
	c.number("maxResults", r.MaxResults, leastSchemaResults, mostSchemaResults)
}

// AppendJSON appends the request to dst.
func (r *GetInventorySchemaRequest) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	dst = optionalMember(dst, "TypeName", r.TypeName)
	dst = optionalMember(dst, "NextToken", r.NextToken)
	dst = integerPointerMember(dst, "MaxResults", r.MaxResults)
	dst = trueMember(dst, "Aggregator", r.Aggregator)
	if r.SubType != nil {
		dst = nameMember(dst, "SubType")
		if *r.SubType {
			dst = append(dst, "true,"...)
		} else {
			dst = append(dst, "false,"...)
		}
	}
	return closeObject(dst)
}

// GetInventorySchemaResponse answers GetInventorySchema.
type GetInventorySchemaResponse struct {
	Schemas   []ItemSchema
	NextToken string // absent when empty: on the last page
}

// Decode reads body; its error is a *DecodeError.
func (r *GetInventorySchemaResponse) Decode(body []byte) error {
	*r = GetInventorySchemaResponse{}
	return decode(body, r)
}

func (r *GetInventorySchemaResponse) decode(d *decoder) {
	for name := range d.members {
		switch name {
		case "Schemas":
			r.Schemas = list(d, maxRows, element[ItemSchema])
		case "NextToken":
			d.text(&r.NextToken)
		default:
			d.skip()
		}
	}
}

// AppendJSON appends the response to dst.
func (r *GetInventorySchemaResponse) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	dst = requiredList(dst, "Schemas", r.Schemas, appendItemSchema)
	dst = optionalMember(dst, "NextToken", r.NextToken)
	return closeObject(dst)
}

// An ItemSchema is one type and its attributes.
type ItemSchema struct {
	TypeName    string
	Version     string // absent when empty
	Attributes  []ItemAttribute
	DisplayName string // absent when empty
}

// An ItemAttribute is one attribute of a type.
type ItemAttribute struct {
	Name     string
	DataType string // STRING or NUMBER, in upper case as the live service answers
}

func (s *ItemSchema) decode(d *decoder) {
	for name := range d.members {
		switch name {
		case "TypeName":
			d.text(&s.TypeName)
		case "Version":
			d.text(&s.Version)
		case "Attributes":
			s.Attributes = list(d, maxRows, element[ItemAttribute])
		case "DisplayName":
			d.text(&s.DisplayName)
		default:
			d.skip()
		}
	}
}

func (a *ItemAttribute) decode(d *decoder) {
	for name := range d.members {
		switch name {
		case "Name":
			d.text(&a.Name)
		case "DataType":
			d.text(&a.DataType)
		default:
			d.skip()
		}
	}
}

func appendItemSchema(dst []byte, s *ItemSchema) []byte {
	dst = append(dst, '{')
	dst = stringMember(dst, "TypeName", s.TypeName)
	dst = optionalMember(dst, "Version", s.Version)
	dst = requiredList(dst, "Attributes", s.Attributes, appendItemAttribute)
	dst = optionalMember(dst, "DisplayName", s.DisplayName)
	return closeObject(dst)
}

func appendItemAttribute(dst []byte, a *ItemAttribute) []byte {
	dst = append(dst, '{')
	dst = stringMember(dst, "Name", a.Name)
	dst = stringMember(dst, "DataType", a.DataType)
	return closeObject(dst)
}
