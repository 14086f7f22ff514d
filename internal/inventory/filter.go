package inventory

import (
	"slices"
	"strings"
)

// Operator is how a filter compares.
type Operator uint8

// The operators of the API. Equal is what an omitted Type means. Exists stands only in aggregator groups.
const (
	Equal Operator = iota
	NotEqual
	BeginWith
	LessThan
	GreaterThan
	Exists
)

// RawFilter is a filter as a caller wrote it, the wire's constraints already held.
type RawFilter struct {
	Key    string
	Values []string
	// Operator is the wire's Type; "" is Equal.
	Operator string
}

// Filter is one checked condition. Values are alternatives.
type Filter struct {
	Type TypeName
	// Attribute is spelt as in the schema; empty for Exists.
	Attribute string
	// Number is true when LessThan and GreaterThan compare as numbers.
	Number   bool
	Operator Operator
	// Values are folded and free of duplicates; for Exists they are type names, as they are.
	Values []string
}

// Positive reports whether the filter asks for an entry (rather than for the absence of one).
func (f Filter) Positive() bool { return f.Operator != NotEqual && f.Operator != Exists }

// Holds reports whether a folded value meets the filter's comparison with one of its values, NotEqual read as Equal:
// who asks for absence turns the answer round.
func (f Filter) Holds(folded string) bool {
	switch f.Operator {
	case BeginWith:
		return slices.ContainsFunc(f.Values, func(v string) bool { return strings.HasPrefix(folded, v) })
	case LessThan, GreaterThan:
		return slices.ContainsFunc(f.Values, func(v string) bool {
			c, ok := f.compare(folded, v)
			return ok && (f.Operator == LessThan && c < 0 || f.Operator == GreaterThan && c > 0)
		})
	default:
		return slices.Contains(f.Values, folded)
	}
}

func (f Filter) compare(folded, value string) (int, bool) {
	if !f.Number {
		return CompareNatural(folded, value), true
	}
	a, okA := ParseNumber(folded)
	b, okB := ParseNumber(value)
	switch {
	case !okA || !okB:
		return 0, false
	case a < b:
		return -1, true
	case a > b:
		return 1, true
	}
	return 0, true
}

// operators by their names on the wire.
func parseOperator(s string) (Operator, bool) {
	switch s {
	case "", "Equal":
		return Equal, true
	case "NotEqual":
		return NotEqual, true
	case "BeginWith":
		return BeginWith, true
	case "LessThan":
		return LessThan, true
	case "GreaterThan":
		return GreaterThan, true
	case "Exists":
		return Exists, true
	}
	return 0, false
}

// ParseFilters checks the filters of a GetInventory call: each Key is `<TypeName>.<Attribute>` of a type and attribute
// the catalogue knows, and Exists is refused. The Error's code is InvalidFilter.
func ParseFilters(c Catalogue, raw []RawFilter) ([]Filter, error) {
	return parseFilters(raw, func(r RawFilter, op Operator) (Filter, error) {
		if op == Exists {
			return Filter{}, Errorf(InvalidFilter, "The Exists operator can be used only in the Groups of an aggregator, with the key TypeName.")
		}
		return parseTypeFilter(c, r.Key)
	})
}

// ParseGroupFilters checks the filters of an aggregator's group, where Exists is allowed too: its key is TypeName and its
// values are names of types. The Error's code is InvalidFilter.
func ParseGroupFilters(c Catalogue, raw []RawFilter) ([]Filter, error) {
	return parseFilters(raw, func(r RawFilter, op Operator) (Filter, error) {
		if op != Exists {
			return parseTypeFilter(c, r.Key)
		}
		if r.Key != "TypeName" {
			return Filter{}, Errorf(InvalidFilter, "The filter key %s can't be used with the Exists operator. Use the key TypeName with names of inventory types as values.", quote(r.Key))
		}
		for _, v := range r.Values {
			if _, ok := c.Schema(TypeName(v)); !ok {
				return Filter{}, Errorf(InvalidFilter, "The inventory type %s isn't known. GetInventorySchema lists the types.", quote(v))
			}
		}
		return Filter{}, nil
	})
}

// ParseEntryFilters checks the filters of a listing of one type: each Key is a bare attribute name, and Exists is
// refused. The Error's code is InvalidFilter.
func ParseEntryFilters(s Schema, raw []RawFilter) ([]Filter, error) {
	return parseFilters(raw, func(r RawFilter, op Operator) (Filter, error) {
		if op == Exists {
			return Filter{}, Errorf(InvalidFilter, "The Exists operator can't be used when listing entries.")
		}
		a, ok := s.Attribute(r.Key)
		if !ok {
			return Filter{}, Errorf(InvalidFilter, "The inventory type %s has no attribute %s. GetInventorySchema lists its attributes.", s.Type, quote(r.Key))
		}
		return Filter{Type: s.Type, Attribute: a.Name, Number: a.Number}, nil
	})
}

// parseFilters does what all filters share; target judges the key.
func parseFilters(raw []RawFilter, target func(RawFilter, Operator) (Filter, error)) ([]Filter, error) {
	out := make([]Filter, 0, len(raw))
	for _, r := range raw {
		op, ok := parseOperator(r.Operator)
		if !ok {
			return nil, Errorf(InvalidFilter, "The filter operator %s isn't known.", quote(r.Operator))
		}
		f, err := target(r, op)
		if err != nil {
			return nil, err
		}
		f.Operator = op
		f.Values = make([]string, len(r.Values))
		for i, v := range r.Values {
			if f.Values[i] = v; op != Exists {
				f.Values[i] = Fold(v)
			}
		}
		slices.Sort(f.Values)
		f.Values = slices.Compact(f.Values)
		out = append(out, f)
	}
	return out, nil
}

func parseTypeFilter(c Catalogue, key string) (Filter, error) {
	t, a, err := parseAttributeKey(c, key, InvalidFilter)
	if err != nil {
		return Filter{}, err
	}
	return Filter{Type: t, Attribute: a.Name, Number: a.Number}, nil
}

// parseAttributeKey reads `<TypeName>.<Attribute>`. Names of types and attributes may hold dots themselves: the split that
// names a known attribute is taken, from the right. The Error carries the code given.
func parseAttributeKey(c Catalogue, key string, code Code) (TypeName, SchemaAttribute, error) {
	var known TypeName
	for dot := strings.LastIndexByte(key, '.'); dot > 0; dot = strings.LastIndexByte(key[:dot], '.') {
		s, ok := c.Schema(TypeName(key[:dot]))
		if !ok {
			continue
		}
		if a, ok := s.Attribute(key[dot+1:]); ok {
			return s.Type, a, nil
		}
		known = s.Type
	}
	if known != "" {
		return "", SchemaAttribute{}, Errorf(code, "%s doesn't name an attribute of the inventory type %s. GetInventorySchema lists its attributes.", quote(key), known)
	}
	return "", SchemaAttribute{}, Errorf(code, "%s doesn't name an attribute of a known inventory type. Write it as TypeName.Attribute, for example AWS:Application.Name; GetInventorySchema lists the types.", quote(key))
}

// quote bounds what an error repeats of its caller's words.
func quote(s string) string {
	const most = 200
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return "'" + s + "'"
}
