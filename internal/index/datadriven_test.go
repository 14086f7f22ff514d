package index_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"stocktake/internal/index"
	"stocktake/internal/inventory"
)

// TestRules runs the files of testdata over tiny fleets. Every answer is held beside the plain scan's, too. Commands:
//
//	put NODE TYPE[/SUBTYPE] [split=N]   an entry a line: Attribute=value, comma-separated
//	remove NODE TYPE[/SUBTYPE]
//	split ATTRIBUTE...                  makes a new split with these volatile attributes and gives its number
//	query                               a filter a line: TYPE.Attribute [OPERATOR] value[|value...]
//	count [rows=N] [work=N]             indented expressions (TYPE.Attribute), then filters after a line `where`
//	groups                              a line `NAME:`, then its filters, indented; then filters after `where`
//	page after=NODE n=N                 one page of the last query
//	reopen, sweep
func TestRules(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		r := &script{rig: newRig(t)}
		datadriven.RunTest(t, path, r.run)
	})
}

type script struct {
	*rig
	last *index.Result
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	s.tb = t
	switch d.Cmd {
	case "put":
		s.putLines(d)
	case "remove":
		node, key := target(d)
		s.remove(node, key)
	case "split":
		var names []string
		for _, arg := range d.CmdArgs {
			names = append(names, arg.Key)
		}
		s.splits = append(s.splits, names)
		return fmt.Sprintf("split %d\n", len(s.splits)-1)
	case "query":
		filters, err := inventory.ParseGroupFilters(scriptCatalogue{}, rawFilters(d.Input))
		if err != nil {
			return err.Error() + "\n"
		}
		return s.query(filters)
	case "count", "groups":
		return s.count(d)
	case "page":
		return s.page(d)
	case "reopen":
		s.reopen()
	case "sweep":
		shapes, nodes := s.index.SweepAll()
		return fmt.Sprintf("%d shapes, %d nodes\n", shapes, nodes)
	default:
		t.Fatalf("unknown command %q", d.Cmd)
	}
	return ""
}

func target(d *datadriven.TestData) (inventory.NodeID, inventory.ItemKey) {
	name, sub, _ := strings.Cut(d.CmdArgs[1].Key, "/")
	return inventory.NodeID(d.CmdArgs[0].Key), inventory.ItemKey{Type: inventory.TypeName(name), SubType: sub}
}

func (s *script) putLines(d *datadriven.TestData) {
	node, key := target(d)
	split := 0
	d.MaybeScanArgs(s.tb.(*testing.T), "split", &split)
	var entries []inventory.Entry
	for line := range strings.Lines(d.Input) {
		var e inventory.Entry
		for pair := range strings.SplitSeq(strings.TrimSuffix(line, "\n"), ",") {
			if name, value, ok := strings.Cut(pair, "="); ok {
				e = e.Merge(inventory.Entry{{Name: strings.TrimSpace(name), Value: value}})
			}
		}
		entries = append(entries, e)
	}
	s.put(node, key, entries, split)
}

// scriptCatalogue knows the types of the scripts: whatever attribute is asked for they have; Size is a number.
type scriptCatalogue struct{}

func (scriptCatalogue) Schema(t inventory.TypeName) (inventory.Schema, bool) {
	var schema inventory.Schema
	switch t {
	case "App", "Svc", "Info", "Compliance":
		schema.Type = t
		for _, a := range []string{"Name", "Version", "Publisher", "Platform", "Status", "Installed", "Id", "ComplianceType"} {
			schema.Attributes = append(schema.Attributes, inventory.SchemaAttribute{Name: a, Aggregatable: true})
		}
		schema.Attributes = append(schema.Attributes, inventory.SchemaAttribute{Name: "Size", Number: true, Aggregatable: true})
		return schema, true
	}
	return schema, false
}

func rawFilters(text string) []inventory.RawFilter {
	var out []inventory.RawFilter
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		key, rest, _ := strings.Cut(line, " ")
		f := inventory.RawFilter{Key: key}
		for _, op := range []string{"Equal", "NotEqual", "BeginWith", "LessThan", "GreaterThan", "Exists"} {
			if after, ok := strings.CutPrefix(rest, op+" "); ok {
				f.Operator, rest = op, after
				break
			}
		}
		for v := range strings.SplitSeq(rest, "|") {
			f.Values = append(f.Values, strings.Trim(v, `"`))
		}
		out = append(out, f)
	}
	return out
}

func (s *script) query(filters []inventory.Filter) string {
	s.checkQuery(filters)
	s.last = ask(s.tb, s.index, filters)
	var b strings.Builder
	for _, id := range s.pages(s.last, 50) {
		fmt.Fprintln(&b, id)
	}
	if !s.last.Exact() {
		b.WriteString("(documents were read)\n")
	}
	return b.String()
}

func (s *script) page(d *datadriven.TestData) string {
	var after string
	n := 0
	d.MaybeScanArgs(s.tb.(*testing.T), "after", &after)
	d.ScanArgs(s.tb.(*testing.T), "n", &n)
	ids, more, err := s.last.Page(context.Background(), &s.fleet, inventory.NodeID(after), n)
	if err != nil {
		s.tb.Fatal(err)
	}
	var b strings.Builder
	for _, id := range ids {
		fmt.Fprintln(&b, id)
	}
	if more {
		b.WriteString("more\n")
	}
	return b.String()
}

func (s *script) count(d *datadriven.TestData) string {
	body, where, _ := strings.Cut(d.Input, "where")
	filters, err := inventory.ParseFilters(scriptCatalogue{}, rawFilters(where))
	if err != nil {
		return err.Error() + "\n"
	}
	raw := inventory.RawAggregator{Groups: rawGroups(body)}
	if d.Cmd == "count" {
		lines := strings.Split(strings.TrimRight(body, "\n"), "\n")
		raw, _ = rawExpression(lines)
	}
	aggs, err := inventory.ParseAggregators(scriptCatalogue{}, []inventory.RawAggregator{raw}, false)
	if err != nil {
		return err.Error() + "\n"
	}
	var bounds index.Bounds
	d.MaybeScanArgs(s.tb.(*testing.T), "rows", &bounds.Rows)
	d.MaybeScanArgs(s.tb.(*testing.T), "work", &bounds.Work)
	counts, err := s.index.Aggregate(context.Background(), here, aggs, filters, &s.fleet, bounds)
	if err != nil {
		return fmt.Sprintf("code %d: %v\n", inventory.CodeOf(err), err)
	}
	s.checkCounts(aggs[0], filters)
	var b strings.Builder
	for _, g := range counts[0].Groups {
		fmt.Fprintf(&b, "%s: %d match, %d do not\n", g.Name, g.Matching, g.NotMatching)
	}
	for _, row := range counts[0].Rows.Page(0, counts[0].Rows.Len()) {
		for _, c := range row.Path {
			b.WriteString(strconv.Quote(c.Value) + " ")
		}
		fmt.Fprintln(&b, row.Count)
	}
	return b.String()
}

// rawExpression reads an expression and those indented below it, and gives the lines that are left.
func rawExpression(lines []string) (inventory.RawAggregator, []string) {
	depth := func(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }
	a := inventory.RawAggregator{Expression: strings.TrimSpace(lines[0])}
	rest := lines[1:]
	for len(rest) > 0 && depth(rest[0]) > depth(lines[0]) {
		var inner inventory.RawAggregator
		inner, rest = rawExpression(rest)
		a.Aggregators = append(a.Aggregators, inner)
	}
	return a, rest
}

func rawGroups(body string) []inventory.RawGroup {
	var out []inventory.RawGroup
	for line := range strings.Lines(body) {
		if name, ok := strings.CutSuffix(strings.TrimRight(line, "\n"), ":"); ok && !strings.HasPrefix(line, " ") {
			out = append(out, inventory.RawGroup{Name: name})
		} else if len(out) > 0 {
			g := &out[len(out)-1]
			g.Filters = append(g.Filters, rawFilters(line)...)
		}
	}
	return out
}
