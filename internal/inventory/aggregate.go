package inventory

// RawAggregator is an aggregator as a caller wrote it, the wire's constraints already held.
type RawAggregator struct {
	Expression  string
	Groups      []RawGroup
	Aggregators []RawAggregator
}

// RawGroup is a named set of filters as a caller wrote it.
type RawGroup struct {
	Name    string
	Filters []RawFilter
}

// Aggregator is one checked way of counting nodes: by the values of an attribute (and, inside each, by those of the
// nested ones), or by whether they meet each of several groups. Exactly one of Type and Groups is set.
type Aggregator struct {
	Type      TypeName
	Attribute string
	Nested    []Aggregator
	Groups    []Group
}

// Group is a named set of filters; a node matches when it meets all of them.
type Group struct {
	Name    string
	Filters []Filter
}

// MaxAggregatorDepth bounds nesting: an expression within an expression, and so on.
const MaxAggregatorDepth = 5

// ParseAggregators checks the aggregators of a GetInventory call. anyAttribute lifts AWS's rule that only the attributes
// an aggregator schema lists can be counted by. Error codes: InvalidAggregator, InvalidInventoryGroup, InvalidFilter.
func ParseAggregators(c Catalogue, raw []RawAggregator, anyAttribute bool) ([]Aggregator, error) {
	return parseAggregators(c, raw, anyAttribute, 1)
}

func parseAggregators(c Catalogue, raw []RawAggregator, anyAttribute bool, depth int) ([]Aggregator, error) {
	if depth > MaxAggregatorDepth && len(raw) > 0 {
		return nil, Errorf(InvalidAggregator, "Aggregators can be nested at most %d deep.", MaxAggregatorDepth)
	}
	names := map[string]bool{}
	out := make([]Aggregator, 0, len(raw))
	for _, r := range raw {
		a, err := parseAggregator(c, r, anyAttribute, depth)
		if err != nil {
			return nil, err
		}
		for _, g := range a.Groups {
			if names[g.Name] {
				return nil, Errorf(InvalidInventoryGroup, "The group name %s is used more than once.", quote(g.Name))
			}
			names[g.Name] = true
		}
		out = append(out, a)
	}
	return out, nil
}

func parseAggregator(c Catalogue, r RawAggregator, anyAttribute bool, depth int) (Aggregator, error) {
	switch {
	case r.Expression != "" && len(r.Groups) > 0:
		return Aggregator{}, Errorf(InvalidAggregator, "An aggregator can have an Expression or Groups, not both.")
	case len(r.Groups) > 0 && depth > 1:
		return Aggregator{}, Errorf(InvalidAggregator, "Groups can't be nested in another aggregator.")
	case len(r.Groups) > 0 && len(r.Aggregators) > 0:
		return Aggregator{}, Errorf(InvalidAggregator, "An aggregator with Groups can't have nested Aggregators.")
	case len(r.Groups) > 0:
		return parseGroups(c, r.Groups)
	case r.Expression == "":
		return Aggregator{}, Errorf(InvalidAggregator, "An aggregator needs an Expression or Groups.")
	}
	t, attribute, err := parseAttributeKey(c, r.Expression, InvalidAggregator)
	if err != nil {
		return Aggregator{}, err
	}
	if !attribute.Aggregatable && !anyAttribute {
		return Aggregator{}, Errorf(InvalidAggregator, "Nodes can't be counted by %s. GetInventorySchema with Aggregator lists the attributes that can be used.", quote(r.Expression))
	}
	nested, err := parseAggregators(c, r.Aggregators, anyAttribute, depth+1)
	if err != nil {
		return Aggregator{}, err
	}
	return Aggregator{Type: t, Attribute: attribute.Name, Nested: nested}, nil
}

func parseGroups(c Catalogue, raw []RawGroup) (Aggregator, error) {
	var a Aggregator
	for _, g := range raw {
		filters, err := ParseGroupFilters(c, g.Filters)
		if err != nil {
			return Aggregator{}, err
		}
		a.Groups = append(a.Groups, Group{Name: g.Name, Filters: filters})
	}
	return a, nil
}
