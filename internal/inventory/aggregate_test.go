package inventory

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func expression(key string, nested ...RawAggregator) RawAggregator {
	return RawAggregator{Expression: key, Aggregators: nested}
}

func exists(name string, types ...string) RawGroup {
	return RawGroup{Name: name, Filters: []RawFilter{{Key: "TypeName", Operator: "Exists", Values: types}}}
}

func TestParseAggregators(t *testing.T) {
	got, err := ParseAggregators(testCatalogue, []RawAggregator{
		expression("AWS:Application.name", expression("AWS:Application.Version"), expression("AWS:InstanceInformation.PlatformType")),
		{Groups: []RawGroup{exists("A", "AWS:File"), {Name: "B", Filters: []RawFilter{{Key: "AWS:File.Name", Values: []string{"X"}}}}}},
	}, false)
	if err != nil {
		t.Fatal(err)
	}
	want := []Aggregator{
		{Type: "AWS:Application", Attribute: "Name", Nested: []Aggregator{
			{Type: "AWS:Application", Attribute: "Version", Nested: []Aggregator{}},
			{Type: "AWS:InstanceInformation", Attribute: "PlatformType", Nested: []Aggregator{}},
		}},
		{Groups: []Group{
			{Name: "A", Filters: []Filter{{Operator: Exists, Values: []string{"AWS:File"}}}},
			{Name: "B", Filters: []Filter{{Type: "AWS:File", Attribute: "Name", Values: []string{"x"}}}},
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func nest(depth int) RawAggregator {
	a := expression("AWS:Application.Name")
	for range depth - 1 {
		a = expression("AWS:Application.Name", a)
	}
	return a
}

var aggregatorErrors = []struct {
	name string
	raw  []RawAggregator
	code Code
	text string
}{
	{"neither", []RawAggregator{{}}, InvalidAggregator, "needs an Expression or Groups"},
	{"both", []RawAggregator{{Expression: "AWS:Application.Name", Groups: []RawGroup{exists("A", "AWS:File")}}}, InvalidAggregator, "not both"},
	{"groups inside", []RawAggregator{expression("AWS:Application.Name", RawAggregator{Groups: []RawGroup{exists("A", "AWS:File")}})}, InvalidAggregator, "nested in another"},
	{"inside groups", []RawAggregator{{Groups: []RawGroup{exists("A", "AWS:File")}, Aggregators: []RawAggregator{nest(1)}}}, InvalidAggregator, "can't have nested"},
	{"too deep", []RawAggregator{nest(MaxAggregatorDepth + 1)}, InvalidAggregator, "at most 5 deep"},
	{"unknown type", []RawAggregator{expression("AWS:Nothing.Name")}, InvalidAggregator, "known inventory type"},
	{"unknown attribute", []RawAggregator{expression("AWS:Application.Colour")}, InvalidAggregator, "an attribute of"},
	{"not to be counted by", []RawAggregator{expression("AWS:Application.Publisher")}, InvalidAggregator, "can't be counted by"},
	{"group twice", []RawAggregator{{Groups: []RawGroup{exists("A", "AWS:File"), exists("A", "AWS:Tag")}}}, InvalidInventoryGroup, "'A' is used more than once"},
	{"group twice, apart", []RawAggregator{{Groups: []RawGroup{exists("A", "AWS:File")}}, {Groups: []RawGroup{exists("A", "AWS:Tag")}}}, InvalidInventoryGroup, "more than once"},
	{"unknown type in a group", []RawAggregator{{Groups: []RawGroup{exists("A", "AWS:Nothing")}}}, InvalidFilter, "isn't known"},
}

func TestParseAggregatorsRefuses(t *testing.T) {
	for _, c := range aggregatorErrors {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseAggregators(testCatalogue, c.raw, false)
			if CodeOf(err) != c.code || err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %v of code %d, want code %d with %q", err, CodeOf(err), c.code, c.text)
			}
		})
	}
	if _, err := ParseAggregators(testCatalogue, []RawAggregator{nest(MaxAggregatorDepth)}, false); err != nil {
		t.Errorf("at the deepest: %v", err)
	}
	if _, err := ParseAggregators(testCatalogue, []RawAggregator{expression("Custom:Rack.Row")}, true); err != nil {
		t.Errorf("any attribute: %v", err)
	}
}
