package wire

const (
	maxFilters          = 5
	maxValues           = 40
	maxAggregators      = 10
	maxGroups           = 15
	maxResultAttributes = 1
	mostResults         = 50
)

// GetInventoryRequest asks about the fleet. Lists that are nil were absent.
type GetInventoryRequest struct {
	Filters          []Filter          // 1 to 5
	Aggregators      []Aggregator      // 1 to 10
	ResultAttributes []ResultAttribute // exactly 1
	NextToken        string            // "" is absent
	MaxResults       *int32            // 1 to 50

	page page
}

// page is the largest page a request may ask for.
type page struct{ most int32 }

func (p *page) allow(most int32) { p.most = max(p.most, most) }

// bound is what MaxResults may be.
func (p page) bound() int32 { return max(p.most, mostResults) }

// AllowResults raises what MaxResults may be above the model's 50, for a server that gives larger pages. It is called
// between Decode and Validate.
func (r *GetInventoryRequest) AllowResults(most int32) { r.page.allow(most) }

// Decode reads body; its error is a *DecodeError.
func (r *GetInventoryRequest) Decode(body []byte) error {
	*r = GetInventoryRequest{}
	return decode(body, r)
}

func (r *GetInventoryRequest) decode(d *decoder) {
	for name := range d.members {
		switch name {
		case "Filters":
			r.Filters = list(d, maxFilters, element[Filter])
		case "Aggregators":
			r.Aggregators = list(d, maxAggregators, element[Aggregator])
		case "ResultAttributes":
			r.ResultAttributes = list(d, maxResultAttributes, element[ResultAttribute])
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
func (r *GetInventoryRequest) Validate() error { return validate(r) }

func (r *GetInventoryRequest) validate(c *checker) {
	structures(c, "filters", r.Filters, 1, maxFilters)
	structures(c, "aggregators", r.Aggregators, 1, maxAggregators)
	structures(c, "resultAttributes", r.ResultAttributes, 1, maxResultAttributes)
	c.number("maxResults", r.MaxResults, 1, r.page.bound())
}

// AppendJSON appends the request to dst.
func (r *GetInventoryRequest) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	dst = listMember(dst, "Filters", r.Filters, appendFilter)
	dst = listMember(dst, "Aggregators", r.Aggregators, appendAggregator)
	dst = listMember(dst, "ResultAttributes", r.ResultAttributes, appendResultAttribute)
	dst = optionalMember(dst, "NextToken", r.NextToken)
	dst = integerPointerMember(dst, "MaxResults", r.MaxResults)
	return closeObject(dst)
}

// A Filter is one condition: in GetInventory its Key is Type.Attribute, in ListInventoryEntries the attribute alone.
type Filter struct {
	Key    string   // required; 1 to 200 characters
	Values []string // required; 1 to 40, any of them
	Type   *string  // Equal when absent

	absent bool // Key
}

func (f *Filter) decode(d *decoder) {
	f.absent = true
	for name := range d.members {
		switch name {
		case "Key":
			f.absent = !d.text(&f.Key)
		case "Values":
			f.Values = list(d, maxValues, value)
		case "Type":
			d.textPointer(&f.Type)
		default:
			d.skip()
		}
	}
}

func (f *Filter) validate(c *checker) {
	c.str("key", f.Key, f.absent, filterKey)
	if f.Values == nil {
		c.required("values")
	} else {
		mark := c.enter("values")
		c.length(len(f.Values), 1, maxValues, values(f.Values))
		c.leave(mark)
	}
	c.optional("type", f.Type, operator)
}

func (f *Filter) print(p *printer) {
	p.write("InventoryFilter(")
	p.member("key=", !f.absent, printed(f.Key))
	p.member(", values=", f.Values != nil, values(f.Values))
	p.pointer(", type=", f.Type)
	p.write(")")
}

func appendFilter(dst []byte, f *Filter) []byte {
	dst = append(dst, '{')
	if !f.absent {
		dst = stringMember(dst, "Key", f.Key)
	}
	dst = listMember(dst, "Values", f.Values, appendValue)
	dst = pointerMember(dst, "Type", f.Type)
	return closeObject(dst)
}

// values is a filter's Values as a printable.
type values []string

func (v values) print(p *printer) {
	p.write("[")
	for i := range v {
		if i > 0 {
			p.write(", ")
		}
		p.write(v[i])
	}
	p.write("]")
}

// An Aggregator counts nodes by an attribute's values, or by groups of filters.
type Aggregator struct {
	Expression  *string      // Type.Attribute; 1 to 1000 characters
	Aggregators []Aggregator // 1 to 10, within each row of this one
	Groups      []Group      // 1 to 15
}

func (a *Aggregator) decode(d *decoder) {
	for name := range d.members {
		switch name {
		case "Expression":
			d.textPointer(&a.Expression)
		case "Aggregators":
			a.Aggregators = list(d, maxAggregators, element[Aggregator])
		case "Groups":
			a.Groups = list(d, maxGroups, element[Group])
		default:
			d.skip()
		}
	}
}

func (a *Aggregator) validate(c *checker) {
	c.optional("expression", a.Expression, expression)
	structures(c, "aggregators", a.Aggregators, 1, maxAggregators)
	structures(c, "groups", a.Groups, 1, maxGroups)
}

func (a *Aggregator) print(p *printer) {
	p.write("InventoryAggregator(")
	p.pointer("expression=", a.Expression)
	p.member(", aggregators=", a.Aggregators != nil, printedList[Aggregator, *Aggregator](a.Aggregators))
	p.member(", groups=", a.Groups != nil, printedList[Group, *Group](a.Groups))
	p.write(")")
}

func appendAggregator(dst []byte, a *Aggregator) []byte {
	dst = append(dst, '{')
	dst = pointerMember(dst, "Expression", a.Expression)
	dst = listMember(dst, "Aggregators", a.Aggregators, appendAggregator)
	dst = listMember(dst, "Groups", a.Groups, appendGroup)
	return closeObject(dst)
}

// A Group is a named set of filters; its answer is how many nodes match them and how many do not.
type Group struct {
	Name    string   // required; 1 to 200 characters
	Filters []Filter // required; 1 to 5

	absent bool // Name
}

func (g *Group) decode(d *decoder) {
	g.absent = true
	for name := range d.members {
		switch name {
		case "Name":
			g.absent = !d.text(&g.Name)
		case "Filters":
			g.Filters = list(d, maxFilters, element[Filter])
		default:
			d.skip()
		}
	}
}

func (g *Group) validate(c *checker) {
	c.str("name", g.Name, g.absent, groupName)
	if g.Filters == nil {
		c.required("filters")
	}
	structures(c, "filters", g.Filters, 1, maxFilters)
}

func (g *Group) print(p *printer) {
	p.write("InventoryGroup(")
	p.member("name=", !g.absent, printed(g.Name))
	p.member(", filters=", g.Filters != nil, printedList[Filter, *Filter](g.Filters))
	p.write(")")
}

func appendGroup(dst []byte, g *Group) []byte {
	dst = append(dst, '{')
	if !g.absent {
		dst = stringMember(dst, "Name", g.Name)
	}
	dst = listMember(dst, "Filters", g.Filters, appendFilter)
	return closeObject(dst)
}

// A ResultAttribute names the type whose content is answered.
type ResultAttribute struct {
	TypeName string // required

	absent bool // TypeName
}

func (a *ResultAttribute) decode(d *decoder) {
	a.absent = true
	for name := range d.members {
		switch name {
		case "TypeName":
			a.absent = !d.text(&a.TypeName)
		default:
			d.skip()
		}
	}
}

func (a *ResultAttribute) validate(c *checker) { c.str("typeName", a.TypeName, a.absent, typeName) }

func (a *ResultAttribute) print(p *printer) {
	p.write("ResultAttribute(")
	p.member("typeName=", !a.absent, printed(a.TypeName))
	p.write(")")
}

func appendResultAttribute(dst []byte, a *ResultAttribute) []byte {
	dst = append(dst, '{')
	if !a.absent {
		dst = stringMember(dst, "TypeName", a.TypeName)
	}
	return closeObject(dst)
}
