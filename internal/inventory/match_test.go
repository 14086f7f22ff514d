package inventory

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func filter(attribute string, op Operator, values ...string) Filter {
	return Filter{Type: "T", Attribute: attribute, Operator: op, Values: values}
}

func TestQuestionsBindNotEqual(t *testing.T) {
	name, version := filter("Name", Equal, "a"), filter("Version", LessThan, "2")
	notName, notVersion := filter("Name", NotEqual, "a"), filter("Version", NotEqual, "2")
	other := Filter{Type: "U", Attribute: "Name", Operator: Equal, Values: []string{"a"}}
	for _, c := range []struct {
		name string
		in   []Filter
		want []TypeQuestion
	}{
		{"none", nil, nil},
		{"Exists alone", []Filter{{Operator: Exists, Values: []string{"T"}}}, nil},
		{"positive filters", []Filter{name, version}, []TypeQuestion{{Type: "T", Same: []Filter{name, version}}}},
		{"NotEquals alone", []Filter{notName, notVersion}, []TypeQuestion{{Type: "T", None: []Filter{notName, notVersion}}}},
		{"beside a positive on another attribute", []Filter{notVersion, name}, []TypeQuestion{{Type: "T", Same: []Filter{name}, Differ: []Filter{notVersion}}}},
		{"beside a positive on the same attribute", []Filter{name, notName}, []TypeQuestion{{Type: "T", Same: []Filter{name}, None: []Filter{notName}}}},
		{
			"one of each",
			[]Filter{notName, name, notVersion},
			[]TypeQuestion{{Type: "T", Same: []Filter{name}, Differ: []Filter{notVersion}, None: []Filter{notName}}},
		},
		{
			"a positive on another type binds nothing",
			[]Filter{notName, other},
			[]TypeQuestion{{Type: "T", None: []Filter{notName}}, {Type: "U", Same: []Filter{other}}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Questions(c.in)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func entry(pairs ...string) Entry {
	var e Entry
	for i := 0; i < len(pairs); i += 2 {
		e = append(e, Attribute{Name: pairs[i], Value: pairs[i+1]})
	}
	return e
}

func TestMatchEntries(t *testing.T) {
	fleet := []Entry{entry("Name", "Bash", "Version", "5.2"), entry("Name", "libc", "Version", "2.36"), entry("Name", "local")}
	for _, c := range []struct {
		name    string
		filters []Filter
		entries []Entry
		want    bool
	}{
		{"equal ignores case", []Filter{filter("Name", Equal, "bash")}, fleet, true},
		{"one of several values", []Filter{filter("Name", Equal, "x", "libc")}, fleet, true},
		{"two filters meet in one entry", []Filter{filter("Name", Equal, "bash"), filter("Version", Equal, "5.2")}, fleet, true},
		{"two filters met by two entries only", []Filter{filter("Name", Equal, "bash"), filter("Version", Equal, "2.36")}, fleet, false},
		{"natural order", []Filter{filter("Version", LessThan, "2.40")}, fleet, true},
		{"equal rank is not less", []Filter{filter("Version", LessThan, "2.036")}, fleet, false},
		{"a missing attribute meets no comparison", []Filter{filter("Name", Equal, "local"), filter("Version", GreaterThan, "")}, fleet, false},
		{"a missing attribute differs", []Filter{filter("Name", Equal, "local"), filter("Version", NotEqual, "5.2")}, fleet, true},
		{"the same entry differs", []Filter{filter("Name", Equal, "bash"), filter("Version", NotEqual, "2.36")}, fleet, true},
		{"the same entry equals", []Filter{filter("Name", Equal, "bash"), filter("Version", NotEqual, "5.2", "2.36")}, fleet, false},
		{"no entry equals", []Filter{filter("Name", NotEqual, "zsh")}, fleet, true},
		{"some entry equals", []Filter{filter("Name", NotEqual, "zsh", "bash")}, fleet, false},
		{"no entries, NotEqual", []Filter{filter("Name", NotEqual, "zsh")}, nil, true},
		{"no entries, Equal", []Filter{filter("Name", Equal, "zsh")}, nil, false},
		{"begins with", []Filter{filter("Name", BeginWith, "li", "x")}, fleet, true},
		{"begins with nothing", []Filter{filter("Version", BeginWith, "")}, fleet, true},
		{"begins with, of a missing attribute", []Filter{filter("Colour", BeginWith, "")}, fleet, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Questions(c.filters)[0].MatchEntries(true, c.entries); got != c.want {
				t.Errorf("MatchEntries = %v, want %v", got, c.want)
			}
		})
	}
	if Questions([]Filter{filter("Name", NotEqual, "zsh")})[0].MatchEntries(false, nil) {
		t.Error("a node that does not report the type meets NotEqual")
	}
}

func TestNumberFilter(t *testing.T) {
	less := Filter{Type: "T", Attribute: "N", Number: true, Operator: LessThan, Values: []string{"10", "many"}}
	for value, want := range map[string]bool{"9": true, "9.5": true, "-20": true, "10": false, "10.0": false, "11": false, "few": false, "": false, "1e1": false} {
		if got := less.Holds(value); got != want {
			t.Errorf("%q less than 10: %v, want %v", value, got, want)
		}
	}
	equal := Filter{Type: "T", Attribute: "N", Number: true, Operator: Equal, Values: []string{"1"}}
	if !equal.Holds("1") || equal.Holds("1.0") {
		t.Error("Equal on a number compares anything but text")
	}
}

func TestFilterEntries(t *testing.T) {
	all := []Entry{entry("Name", "Bash", "Version", "5.2"), entry("Name", "libc"), entry("Name", "bash", "Version", "5.1"), entry("Name", "libc")}
	for _, c := range []struct {
		name    string
		filters []Filter
		want    []Entry
	}{
		{"no filters", nil, all},
		{"equal keeps order and repeats", []Filter{filter("Name", Equal, "libc")}, []Entry{all[1], all[3]}},
		{"NotEqual is of the entry itself", []Filter{filter("Name", Equal, "bash"), filter("Name", NotEqual, "libc"), filter("Version", NotEqual, "5.2")}, []Entry{all[2]}},
		{"a missing attribute differs", []Filter{filter("Version", NotEqual, "5.2", "5.1")}, []Entry{all[1], all[3]}},
		{"none", []Filter{filter("Name", Equal, "zsh")}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, FilterEntries(c.filters, all)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
