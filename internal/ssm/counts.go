package ssm

import (
	"context"
	"crypto/sha256"
	"slices"
	"strconv"
	"strings"

	"stocktake/internal/index"
	"stocktake/internal/inventory"
)

// countColumn is the column of a row that holds the number of nodes.
const countColumn = "Count"

// countsPage gives the counts of aggregators, each an entity of its own. Rows go on pages; a later page comes from the
// same state of the fleet as the first, or not at all.
func (s *Service) countsPage(ctx context.Context, q fleetQuestion, aggregators []inventory.Aggregator) (GetInventoryOutput, error) {
	var out GetInventoryOutput
	idx, err := s.index(ctx)
	if err != nil {
		return out, err
	}
	heads := headsOf(idx)
	basis := sha256.Sum256([]byte(heads))
	offset := 0
	if q.from != nil {
		if string(q.from.Basis) != string(basis[:16]) {
			return out, inventory.Errorf(inventory.InvalidNextToken, "The fleet has changed since the page before. Repeat the request without NextToken to begin again.")
		}
		offset = q.from.Offset
	}
	all, err := s.allCounts(ctx, idx, q, heads, aggregators)
	if err != nil {
		return out, err
	}
	page, more := sliceRows(aggregators, all, offset, s.cfg.Limits.AggregateRows)
	out.Entities = page
	if more {
		out.NextToken, err = s.sealToken(q.partition, "GetInventory", q.asked, token{Offset: offset + s.cfg.Limits.AggregateRows, Basis: basis[:16]})
	}
	return out, err
}

// allCounts counts, or gives what was counted for the page before.
func (s *Service) allCounts(ctx context.Context, idx *index.Index, q fleetQuestion, heads string, aggregators []inventory.Aggregator) ([]Entity, error) {
	if kept, ok := s.answers.get(q.key(), heads); ok {
		return kept.counts, nil
	}
	counts, err := idx.Aggregate(ctx, q.partition, aggregators, q.filters, documents{s, q.partition}, index.Bounds{Work: s.cfg.Limits.AggregateWork})
	if err != nil {
		return nil, err
	}
	all := make([]Entity, len(counts))
	for i, c := range counts {
		all[i] = countsEntity(aggregators[i], c)
	}
	if headsOf(idx) == heads { // else a change may be in the counts that is not in the name
		s.answers.put(keptAnswer{question: q.key(), heads: heads, counts: all, bytes: entityBytes(all)})
	}
	return all, nil
}

// countsEntity lays counts out as the API does: under the outermost expression's type, one flat entry a row; for groups
// under each group's name two entries, those that do not match first.
func countsEntity(a inventory.Aggregator, c index.Counts) Entity {
	if len(a.Groups) > 0 {
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
	content := make([]inventory.Entry, len(c.Rows))
	for i, r := range c.Rows {
		content[i] = countsRow(r)
	}
	return Entity{Data: []Result{{Key: string(a.Type), Content: content}}}
}

// countsRow names each column for its attribute alone, as the API does; one whose name is taken already (two types with a
// Name in one path) is named in full.
func countsRow(r index.Row) inventory.Entry {
	row := make(inventory.Entry, 0, len(r.Path)+1)
	row = append(row, inventory.Attribute{Name: countColumn, Value: strconv.Itoa(r.Count)})
	for _, cell := range r.Path {
		name := cell.Attribute
		if slices.ContainsFunc(row, func(a inventory.Attribute) bool { return a.Name == name }) {
			name = string(cell.Type) + "." + name
		}
		row = append(row, inventory.Attribute{Name: name, Value: cell.Value})
	}
	slices.SortFunc(row, func(x, y inventory.Attribute) int { return strings.Compare(x.Name, y.Name) })
	return row
}

// sliceRows gives the entities' rows from offset on, at most limit in all, and whether there are more. What has no rows
// to page, groups and empty counts, is on the first page.
func sliceRows(aggregators []inventory.Aggregator, all []Entity, offset, limit int) (page []Entity, more bool) {
	page = []Entity{}
	first := offset == 0
	for i, e := range all {
		var rows []inventory.Entry
		if len(aggregators[i].Groups) == 0 {
			rows = e.Data[0].Content
		}
		if len(rows) == 0 {
			if first {
				page = append(page, e)
			}
			continue
		}
		skip := min(offset, len(rows))
		take := min(limit, len(rows)-skip)
		offset -= skip
		limit -= take
		if take > 0 {
			cut := e.Data[0]
			cut.Content = rows[skip : skip+take]
			page = append(page, Entity{Data: []Result{cut}})
		}
		more = more || skip+take < len(rows)
	}
	return page, more
}
