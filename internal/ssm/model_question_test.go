package ssm_test

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
)

// attribute draws an attribute of a type to ask for, and a value it may have.
func (m *model) attribute() (t inventory.TypeName, name, value string) {
	kind := pick(m, modelTypes...)
	name = pick(m, sortedNames(kind.attributes)...)
	value = pick(m, append(slices.Clone(kind.attributes[name]), "nothing has this")...)
	switch {
	case kind.name == inventory.TypeComplianceItem && m.IntN(2) == 0:
		name = pick(m, "ComplianceType", "ExecutionId", "ExecutionType")
		value = pick(m, "patch", "Custom:own", "e1", "E2", "command")
	case kind.name == inventory.TypeInstanceInformation && m.IntN(2) == 0:
		name = pick(m, "InstanceStatus", "InstanceId")
		value = pick(m, "active", "Terminated", string(m.node()))
	}
	return kind.name, name, value
}

var operators = []string{"", "Equal", "NotEqual", "NotEqual", "BeginWith", "LessThan", "GreaterThan"}

// filters draws filters; two in three are on one type, so that they meet in entries.
func (m *model) filters(most int) []inventory.RawFilter {
	var out []inventory.RawFilter
	for len(out) < most {
		t, name, value := m.attribute()
		if len(out) > 0 && !strings.HasPrefix(out[0].Key, string(t)+".") && m.IntN(3) > 0 {
			continue
		}
		f := inventory.RawFilter{Key: string(t) + "." + name, Operator: pick(m, operators...), Values: []string{value}}
		for m.IntN(3) == 0 {
			_, _, more := m.attribute()
			f.Values = append(f.Values, more)
		}
		if f.Operator == "BeginWith" && m.IntN(2) == 0 {
			f.Values[0] = f.Values[0][:len(f.Values[0])/2]
			f.Values[0] = strings.ToValidUTF8(f.Values[0], "")
		}
		out = append(out, f)
	}
	return out
}

// ask draws a question, answers it by a plain scan, and holds every service to that.
func (m *model) ask() {
	m.t.Helper()
	switch m.IntN(5) {
	case 0, 1:
		m.askNodes(m.filters(m.IntN(4)))
	case 2, 3:
		m.askCounts(m.filters(m.IntN(2)))
	default:
		m.askEntries()
	}
}

// hold wants one answer of every service.
func (m *model) hold(question, want string, answer func(tr *trial) (string, error)) {
	m.t.Helper()
	for i, tr := range m.trials {
		got, err := answer(tr)
		if err != nil {
			got = fmt.Sprint("code ", inventory.CodeOf(err))
		}
		if got != want {
			m.t.Errorf("%s\n%s\nservice %d answers %s (%v)\na plain scan gives %s", m.doing, question, i, got, err, want)
		}
	}
}

func (m *model) askNodes(raw []inventory.RawFilter) {
	m.t.Helper()
	var want string
	filters, err := inventory.ParseFilters(m, raw)
	if err != nil {
		want = fmt.Sprint("code ", inventory.CodeOf(err))
	} else {
		want = fmt.Sprint(m.fleet().Match(filters))
	}
	size := 1 + m.IntN(6)
	m.hold(fmt.Sprintf("nodes with %+v", raw), want, func(tr *trial) (string, error) {
		var ids []inventory.NodeID
		in := ssm.GetInventoryInput{Filters: raw, MaxResults: size}
		for {
			out, err := tr.GetInventory(context.Background(), home, in)
			if err != nil {
				return "", err
			}
			for _, e := range out.Entities {
				ids = append(ids, e.Node)
				m.holdEntity(e)
			}
			if out.NextToken == "" {
				return fmt.Sprint(ids), nil
			}
			in.NextToken = out.NextToken
		}
	})
}

// holdEntity wants the content of an entity to be the node's AWS:InstanceInformation.
func (m *model) holdEntity(e ssm.Entity) {
	m.t.Helper()
	key := inventory.ItemKey{Type: inventory.TypeInstanceInformation}
	if m.nodes[e.Node] == nil {
		return // the list of ids tells
	}
	if want := fmt.Sprint(m.entries(e.Node, key)); len(e.Data) != 1 || fmt.Sprint(e.Data[0].Content) != want {
		m.t.Errorf("%s: %s is answered as %v, and is %s", m.doing, e.Node, e.Data, want)
	}
}

// aggregator draws expressions up to three deep, no attribute's name twice on a path: it would name two columns.
func (m *model) aggregator(depth int, above []string) inventory.RawAggregator {
	t, name, _ := m.attribute()
	for slices.Contains(above, name) {
		t, name, _ = m.attribute()
	}
	a := inventory.RawAggregator{Expression: string(t) + "." + name}
	for range m.IntN(3 - depth) {
		a.Aggregators = append(a.Aggregators, m.aggregator(depth+1, append(slices.Clone(above), name)))
	}
	return a
}

func (m *model) groups() inventory.RawAggregator {
	var a inventory.RawAggregator
	for g := range 1 + m.IntN(2) {
		group := inventory.RawGroup{Name: fmt.Sprint("group ", g), Filters: m.filters(m.IntN(3))}
		if len(group.Filters) == 0 || m.IntN(2) == 0 {
			group.Filters = append(group.Filters, inventory.RawFilter{
				Key: "TypeName", Operator: "Exists", Values: []string{string(pick(m, modelTypes...).name), "AWS:Application"},
			})
		}
		a.Groups = append(a.Groups, group)
	}
	return a
}

func (m *model) askCounts(rawFilters []inventory.RawFilter) {
	m.t.Helper()
	raw := []inventory.RawAggregator{m.aggregator(0, nil)}
	if m.IntN(4) == 0 {
		raw = []inventory.RawAggregator{m.groups()}
	}
	var want string
	filters, err := inventory.ParseFilters(m, rawFilters)
	var aggregators []inventory.Aggregator
	if err == nil {
		aggregators, err = inventory.ParseAggregators(m, raw, true)
	}
	if err != nil {
		want = fmt.Sprint("code ", inventory.CodeOf(err))
	} else {
		want = m.counted(aggregators[0], filters)
	}
	m.hold(fmt.Sprintf("counts of %+v with %+v", raw, rawFilters), want, func(tr *trial) (string, error) {
		out, err := tr.GetInventory(context.Background(), home, ssm.GetInventoryInput{Aggregators: raw, Filters: rawFilters})
		if err != nil {
			return "", err
		}
		var lines []string
		for _, d := range out.Entities[0].Data {
			for _, row := range d.Content {
				lines = append(lines, d.Key+" "+fmt.Sprint(row))
			}
		}
		return strings.Join(lines, "\n"), nil
	})
}

// counted lays the scan's rows out as answers are: columns by name.
func (m *model) counted(a inventory.Aggregator, filters []inventory.Filter) string {
	var lines []string
	for _, row := range m.fleet().Count(a, filters) {
		if len(a.Groups) > 0 {
			at := strings.LastIndexByte(row.Path, '/')
			lines = append(lines,
				row.Path[:at]+" "+fmt.Sprint(entry("notMatchingCount", row.Path[at+1:])),
				row.Path[:at]+" "+fmt.Sprint(entry("matchingCount", fmt.Sprint(row.Count))))
			continue
		}
		columns := []string{"Count", fmt.Sprint(row.Count)}
		for cell := range strings.SplitSeq(row.Path, ",") {
			name, value, _ := strings.Cut(cell, "=")
			columns = append(columns, name, value)
		}
		lines = append(lines, string(a.Type)+" "+fmt.Sprint(entry(columns...)))
	}
	return strings.Join(lines, "\n")
}

// askEntries lists a node's entries of a type in small pages, filtered or not.
func (m *model) askEntries() {
	m.t.Helper()
	id, t := m.node(), pick(m, modelTypes...).name
	var raw []inventory.RawFilter
	for range m.IntN(3) {
		of, name, value := m.attribute()
		for of != t {
			of, name, value = m.attribute()
		}
		raw = append(raw, inventory.RawFilter{Key: name, Operator: pick(m, operators...), Values: []string{value}})
	}
	size := 1 + m.IntN(4)
	m.hold(fmt.Sprintf("entries of %s, %s with %+v", id, t, raw), m.listed(id, t, raw), func(tr *trial) (string, error) {
		var entries []inventory.Entry
		in := ssm.ListInventoryEntriesInput{Node: id, Type: t, Filters: raw, MaxResults: size}
		for {
			out, err := tr.ListInventoryEntries(context.Background(), home, in)
			if err != nil {
				return "", err
			}
			entries = append(entries, out.Entries...)
			if len(out.Entries) > size {
				return "", fmt.Errorf("a page of %d has %d entries", size, len(out.Entries))
			}
			if in.NextToken = out.NextToken; in.NextToken == "" {
				return out.SchemaVersion + " " + fmt.Sprint(entries), nil
			}
		}
	})
}

func (m *model) listed(id inventory.NodeID, t inventory.TypeName, raw []inventory.RawFilter) string {
	n := m.nodes[id]
	if n == nil {
		return fmt.Sprint("code ", inventory.InvalidInstanceID)
	}
	schema, known := m.Schema(t)
	if !known {
		return fmt.Sprint("code ", inventory.InvalidTypeName)
	}
	filters, err := inventory.ParseEntryFilters(schema, raw)
	if err != nil {
		return fmt.Sprint("code ", inventory.CodeOf(err))
	}
	version := ""
	var entries []inventory.Entry
	for _, key := range m.fleet().Documents(id) {
		if key.Type == t {
			version = n.items[key].version
			entries = append(entries, m.entries(id, key)...)
		}
	}
	return version + " " + fmt.Sprint(inventory.FilterEntries(filters, entries))
}
