package inventory

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestBuiltInSchemas(t *testing.T) {
	all := BuiltIns()
	if !slices.IsSortedFunc(all, func(a, b Schema) int { return strings.Compare(string(a.Type), string(b.Type)) }) {
		t.Error("the types are not in byte order")
	}
	listed := 0
	for _, s := range all {
		if got, ok := BuiltIn(s.Type); !ok || got.Type != s.Type {
			t.Errorf("BuiltIn(%q) = %q, %v", s.Type, got.Type, ok)
		}
		if s.Listed {
			listed++
		}
		checkSchema(t, s)
	}
	if listed != 15 {
		t.Errorf("%d types are listed, want the 15 of the live service", listed)
	}
	if _, ok := BuiltIn("AWS:Nothing"); ok {
		t.Error("AWS:Nothing is built in")
	}
}

var attributeName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*$`)

func checkSchema(t *testing.T, s Schema) {
	t.Helper()
	if !strings.HasPrefix(string(s.Type), "AWS:") || s.Version == "" || len(s.Attributes) == 0 {
		t.Errorf("schema %+v is not whole", s)
	}
	names := map[string]bool{}
	aggregatable := false
	for _, a := range s.Attributes {
		if !attributeName.MatchString(a.Name) || names[strings.ToLower(a.Name)] {
			t.Errorf("%s: attribute %q is malformed or there twice", s.Type, a.Name)
		}
		names[strings.ToLower(a.Name)] = true
		aggregatable = aggregatable || a.Aggregatable
		if a.Aggregatable && slices.Contains(s.Volatile, a.Name) {
			t.Errorf("%s: %s can be aggregated and is volatile", s.Type, a.Name)
		}
		if a.Context && s.Type != TypeComplianceItem {
			t.Errorf("%s: %s is of the context", s.Type, a.Name)
		}
	}
	if aggregatable != s.Aggregatable() {
		t.Errorf("%s has display name %q, attributes to aggregate: %v", s.Type, s.DisplayName, aggregatable)
	}
	if !slices.IsSorted(s.Volatile) {
		t.Errorf("%s: volatile attributes %v are not sorted", s.Type, s.Volatile)
	}
	for _, name := range s.Volatile {
		if a, ok := s.Attribute(name); !ok || a.Name != name {
			t.Errorf("%s: volatile %q is no attribute", s.Type, name)
		}
	}
	if len(s.Volatile) >= len(s.Attributes) {
		t.Errorf("%s has nothing but volatile attributes", s.Type)
	}
}

func TestSchemaMarks(t *testing.T) {
	for _, c := range []struct {
		t                      TypeName
		attribute              string
		number, context, count bool
	}{
		{t: "AWS:Application", attribute: "Name", count: true},
		{t: "AWS:Application", attribute: "InstalledTime"},
		{t: "AWS:InstanceDetailedInformation", attribute: "CPUs", number: true},
		{t: "AWS:ComplianceItem", attribute: "ComplianceType", context: true},
		{t: "AWS:InstanceInformation", attribute: "PlatformName", count: true},
	} {
		s, _ := BuiltIn(c.t)
		a, ok := s.Attribute(c.attribute)
		if !ok || a.Name != c.attribute || a.Number != c.number || a.Context != c.context || a.Aggregatable != c.count {
			t.Errorf("%s.%s is %+v", c.t, c.attribute, a)
		}
	}
}

func TestAttributeByExactNameFirst(t *testing.T) {
	s := Schema{Attributes: []SchemaAttribute{{Name: "name"}, {Name: "Name"}}}
	for key, want := range map[string]string{"Name": "Name", "name": "name", "NAME": "name"} {
		if a, ok := s.Attribute(key); !ok || a.Name != want {
			t.Errorf("Attribute(%q) = %q, %v; want %q", key, a.Name, ok, want)
		}
	}
	if _, ok := s.Attribute("Nom"); ok {
		t.Error("an unknown attribute was found")
	}
}
