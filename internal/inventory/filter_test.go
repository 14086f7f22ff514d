package inventory

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// catalogue is the built-in types and some custom ones.
type catalogue map[TypeName]Schema

func (c catalogue) Schema(t TypeName) (Schema, bool) {
	if s, ok := c[t]; ok {
		return s, true
	}
	return BuiltIn(t)
}

var testCatalogue = catalogue{
	"Custom:Rack":     {Type: "Custom:Rack", Attributes: []SchemaAttribute{{Name: "Row"}, {Name: "row.unit"}, {Name: "Units", Number: true}}},
	"Custom:Rack.Row": {Type: "Custom:Rack.Row", Attributes: []SchemaAttribute{{Name: "Name"}, {Name: "name"}, {Name: "unit"}}},
}

var filterCases = []struct {
	name string
	raw  RawFilter
	want Filter
	err  string // what the error must contain
}{
	{
		name: "omitted operator is Equal, values are folded, sorted, each once",
		raw:  RawFilter{Key: "AWS:Application.Name", Values: []string{"OpenSSL", "bash", "openssl"}},
		want: Filter{Type: "AWS:Application", Attribute: "Name", Operator: Equal, Values: []string{"bash", "openssl"}},
	},
	{
		name: "attribute ignoring case",
		raw:  RawFilter{Key: "AWS:Application.name", Operator: "BeginWith", Values: []string{"Lib"}},
		want: Filter{Type: "AWS:Application", Attribute: "Name", Operator: BeginWith, Values: []string{"lib"}},
	},
	{
		name: "exact attribute before one that differs in case",
		raw:  RawFilter{Key: "Custom:Rack.Row.name", Values: []string{"a"}},
		want: Filter{Type: "Custom:Rack.Row", Attribute: "name", Values: []string{"a"}},
	},
	{
		name: "the split from the right that names a known attribute",
		raw:  RawFilter{Key: "Custom:Rack.row.unit", Values: []string{"a"}},
		want: Filter{Type: "Custom:Rack", Attribute: "row.unit", Values: []string{"a"}},
	},
	{
		name: "the rightmost split that names one",
		raw:  RawFilter{Key: "Custom:Rack.Row.unit", Values: []string{"a"}},
		want: Filter{Type: "Custom:Rack.Row", Attribute: "unit", Values: []string{"a"}},
	},
	{
		name: "number",
		raw:  RawFilter{Key: "AWS:InstanceDetailedInformation.CPUCores", Operator: "LessThan", Values: []string{"8"}},
		want: Filter{Type: "AWS:InstanceDetailedInformation", Attribute: "CPUCores", Number: true, Operator: LessThan, Values: []string{"8"}},
	},
	{name: "type ignoring case", raw: RawFilter{Key: "aws:Application.Name", Values: []string{"a"}}, err: "known inventory type"},
	{name: "no dot", raw: RawFilter{Key: "Name", Values: []string{"a"}}, err: "TypeName.Attribute"},
	{name: "nothing before the dot", raw: RawFilter{Key: ".Name", Values: []string{"a"}}, err: "TypeName.Attribute"},
	{name: "unknown attribute", raw: RawFilter{Key: "AWS:Application.Colour", Values: []string{"a"}}, err: "an attribute of the inventory type AWS:Application"},
	{name: "unknown operator", raw: RawFilter{Key: "AWS:Application.Name", Operator: "equal", Values: []string{"a"}}, err: "operator 'equal'"},
	{name: "Exists outside of a group", raw: RawFilter{Key: "TypeName", Operator: "Exists", Values: []string{"AWS:File"}}, err: "Groups"},
	{name: "a long key is cut in the error", raw: RawFilter{Key: strings.Repeat("é", 5000), Values: []string{"a"}}, err: "..."},
}

func TestParseFilters(t *testing.T) {
	for _, c := range filterCases {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParseFilters(testCatalogue, []RawFilter{c.raw})
			checkParsed(t, got, err, c.want, c.err, InvalidFilter)
		})
	}
}

func checkParsed(t *testing.T, got []Filter, err error, want Filter, wantErr string, code Code) {
	t.Helper()
	if wantErr != "" {
		if err == nil || !strings.Contains(err.Error(), wantErr) || CodeOf(err) != code || len(err.Error()) > 600 {
			t.Fatalf("error %v (code %d), want one of code %d with %q", err, CodeOf(err), code, wantErr)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Filter{want}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

var groupFilterCases = []struct {
	name string
	raw  RawFilter
	want Filter
	err  string
}{
	{
		name: "type names stay as they are",
		raw:  RawFilter{Key: "TypeName", Operator: "Exists", Values: []string{"Custom:Rack", "AWS:File", "AWS:File"}},
		want: Filter{Operator: Exists, Values: []string{"AWS:File", "Custom:Rack"}},
	},
	{
		name: "attribute",
		raw:  RawFilter{Key: "AWS:File.Name", Operator: "NotEqual", Values: []string{"A"}},
		want: Filter{Type: "AWS:File", Attribute: "Name", Operator: NotEqual, Values: []string{"a"}},
	},
	{name: "Exists of an attribute", raw: RawFilter{Key: "AWS:File.Name", Operator: "Exists", Values: []string{"AWS:File"}}, err: "key TypeName"},
	{name: "Exists of an unknown type", raw: RawFilter{Key: "TypeName", Operator: "Exists", Values: []string{"AWS:file"}}, err: "'AWS:file' isn't known"},
	{name: "TypeName with another operator", raw: RawFilter{Key: "TypeName", Values: []string{"AWS:File"}}, err: "TypeName.Attribute"},
}

func TestParseGroupFilters(t *testing.T) {
	for _, c := range groupFilterCases {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParseGroupFilters(testCatalogue, []RawFilter{c.raw})
			checkParsed(t, got, err, c.want, c.err, InvalidFilter)
		})
	}
}

func TestParseEntryFilters(t *testing.T) {
	schema, _ := BuiltIn("AWS:Application")
	for _, c := range []struct {
		name string
		raw  RawFilter
		want Filter
		err  string
	}{
		{
			name: "bare attribute", raw: RawFilter{Key: "name", Values: []string{"Docker"}},
			want: Filter{Type: "AWS:Application", Attribute: "Name", Values: []string{"docker"}},
		},
		{name: "unknown attribute", raw: RawFilter{Key: "AWS:Application.Name", Values: []string{"a"}}, err: "has no attribute"},
		{name: "Exists", raw: RawFilter{Key: "Name", Operator: "Exists", Values: []string{"a"}}, err: "can't be used when listing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParseEntryFilters(schema, []RawFilter{c.raw})
			checkParsed(t, got, err, c.want, c.err, InvalidFilter)
		})
	}
}

func FuzzParseFilter(f *testing.F) {
	f.Add("AWS:Application.Name", "LessThan", "1.0")
	f.Add("Custom:Rack.row.unit", "", "")
	f.Add("...", "Exists", "\xff")
	f.Fuzz(func(t *testing.T, key, operator, value string) {
		filters, err := ParseFilters(testCatalogue, []RawFilter{{Key: key, Operator: operator, Values: []string{value}}})
		if err != nil {
			if CodeOf(err) != InvalidFilter {
				t.Fatalf("error %v has code %d", err, CodeOf(err))
			}
			return
		}
		g := filters[0]
		if s, ok := testCatalogue.Schema(g.Type); !ok || !strings.HasPrefix(key, string(g.Type)+".") {
			t.Fatalf("key %q gives type %q", key, g.Type)
		} else if _, ok := s.Attribute(g.Attribute); !ok {
			t.Fatalf("key %q gives attribute %q", key, g.Attribute)
		}
		g.Holds(Fold(value)) // whatever it says
	})
}
