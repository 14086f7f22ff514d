package ssm

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"stocktake/internal/index"
	"stocktake/internal/inventory"
)

// countColumn is the column of a row that holds the number of nodes.
const countColumn = "Count"

// countsPage gives the counts of aggregators, each an entity of its own. Rows go on pages; a later page is of the same
// counts as the first, or none: of those kept, or of a fleet that has not changed.
func (s *Service) countsPage(ctx context.Context, q fleetQuestion, aggregators []inventory.Aggregator) (GetInventoryOutput, error) {
	var out GetInventoryOutput
	idx, err := s.index(ctx)
	if err != nil {
		return out, err
	}
	offset, state := 0, stateOf(idx)
	if q.from != nil {
		offset, state = q.from.Offset, string(q.from.Basis)
	}
	all, kept := s.answers.get(q.key(), state)
	if !kept && (q.from == nil || state == stateOf(idx)) {
		if all, err = s.count(ctx, idx, q, aggregators); err != nil {
			return out, err
		}
	}
	if q.from != nil && all.state != state {
		return out, inventory.Errorf(inventory.InvalidNextToken, "The fleet has changed since the page before. Repeat the request without NextToken to begin again.")
	}
	page, more := countsEntities(aggregators, all.counts, offset, s.cfg.Limits.AggregateRows)
	out.Entities = page
	if more {
		out.NextToken, err = s.sealToken(q.partition, "GetInventory", q.asked, token{Offset: offset + s.cfg.Limits.AggregateRows, Basis: []byte(all.state)})
	}
	return out, err
}

// counted gives counts in the state of the fleet as it is, counting what was not counted before.
func (s *Service) counted(ctx context.Context, idx *index.Index, q fleetQuestion, aggregators []inventory.Aggregator) ([]index.Counts, error) {
	if a, kept := s.answers.get(q.key(), stateOf(idx)); kept {
		return a.counts, nil
	}
	a, err := s.count(ctx, idx, q, aggregators)
	return a.counts, err
}

// count counts, and keeps the counts for pages that follow.
func (s *Service) count(ctx context.Context, idx *index.Index, q fleetQuestion, aggregators []inventory.Aggregator) (keptAnswer, error) {
	a := keptAnswer{question: q.key(), state: stateOf(idx)}
	var err error
	a.counts, err = idx.Aggregate(ctx, q.partition, aggregators, q.filters, documents{s, q.partition}, index.Bounds{Work: s.cfg.Limits.AggregateWork})
	if err != nil {
		return a, err
	}
	if stateOf(idx) != a.state { // a change may be in the counts that is not in the name
		a.state = noState()
	}
	rows := 0
	for _, c := range a.counts {
		rows += c.Rows.Len()
	}
	a.pages, a.bytes = rows > s.cfg.Limits.AggregateRows, countsBytes(a.counts)
	s.answers.put(a)
	return a, nil
}

// countsBytes estimates the memory of counts.
func countsBytes(all []index.Counts) int {
	n := 0
	for _, c := range all {
		n += c.Rows.Bytes() + 64*len(c.Groups)
	}
	return n
}

// countsEntities lays out the rows of all aggregators from offset on, at most limit, and tells whether there are more.
// What has no rows to page, groups and empty counts, is on the first page.
func countsEntities(aggregators []inventory.Aggregator, all []index.Counts, offset, limit int) (page []Entity, more bool) {
	page = []Entity{}
	first := offset == 0
	for i, c := range all {
		a := aggregators[i]
		rows := c.Rows.Len()
		skip := min(offset, rows)
		take := min(limit, rows-skip)
		offset -= skip
		limit -= take
		switch {
		case len(a.Groups) > 0:
			if first {
				page = append(page, groupsEntity(c))
			}
		case take > 0 || first && rows == 0:
			page = append(page, Entity{Data: []Result{{Key: string(a.Type), Content: countsRows(c.Rows.Page(skip, take))}}})
		}
		more = more || skip+take < rows
	}
	return page, more
}

// groupsEntity gives, under each group's name, two entries, those that do not match first.
func groupsEntity(c index.Counts) Entity {
	var e Entity
	for _, g := range c.Groups {
		e.Data = append(e.Data, Result{Key: g.Name, Content: []inventory.Entry{
			{{Name: "notMatchingCount", Value: strconv.Itoa(g.NotMatching)}},
			{{Name: "matchingCount", Value: strconv.Itoa(g.Matching)}},
		}})
	}
	slices.SortFunc(e.Data, func(x, y Result) int { return strings.Compare(x.Key, y.Key) })
	return e
}

// countsRows lays rows out as the API does, one flat entry a row. Entries share their memory, and rows of one count, which
// follow each other, its text.
func countsRows(rows []index.Row) []inventory.Entry {
	if len(rows) == 0 {
		return nil
	}
	content := make([]inventory.Entry, len(rows))
	cells := make([]inventory.Attribute, 0, len(rows)*(len(rows[0].Path)+1))
	var columns []column
	var path []index.Cell
	var text string
	for i, r := range rows {
		if !slices.EqualFunc(path, r.Path, func(x, y index.Cell) bool { return x.Type == y.Type && x.Attribute == y.Attribute }) {
			path, columns = r.Path, columnsOf(r.Path)
		}
		if i == 0 || r.Count != rows[i-1].Count {
			text = strconv.Itoa(r.Count)
		}
		from := len(cells)
		for _, c := range columns {
			value := text
			if c.cell >= 0 {
				value = r.Path[c.cell].Value
			}
			cells = append(cells, inventory.Attribute{Name: c.name, Value: value})
		}
		content[i] = cells[from:len(cells):len(cells)]
	}
	return content
}

// column is where a row's entry has a cell of its path, or the count: -1.
type column struct {
	name string
	cell int
}

// columnsOf names each column for its attribute alone, as the API does; one whose name is taken already (two types with a
// Name in one path) is named in full. They are in the order of names.
func columnsOf(path []index.Cell) []column {
	columns := []column{{countColumn, -1}}
	for i, cell := range path {
		name := cell.Attribute
		if slices.ContainsFunc(columns, func(c column) bool { return c.name == name }) {
			name = string(cell.Type) + "." + name
		}
		columns = append(columns, column{name, i})
	}
	slices.SortFunc(columns, func(x, y column) int { return strings.Compare(x.name, y.name) })
	return columns
}
