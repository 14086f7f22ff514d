package ssm

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"stocktake/internal/index"
	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// FleetInput asks for the nodes of the fleet that meet all filters.
type FleetInput struct {
	// SyncName names a fleet put together of several accounts and regions. There are none here.
	SyncName   string
	Filters    []NodeFilter
	MaxResults int // 0: 50
	NextToken  string
}

// ownSync is the one name a client may give for what nodes are listed of (documented): here the account and region asked.
const ownSync = "AWS-QuickSetup-ManagedNode"

// fleetPage is the largest page of ListNodes and ListNodesSummary, and the usual one.
const fleetPage = 50

// ListFleet gives the nodes that meet the filters; terminated ones only where a filter asks for a status.
func (s *Service) ListFleet(ctx context.Context, p inventory.Partition, in FleetInput) ([]NodeInformation, string, error) {
	filters, nobody, err := fleetFilters(p, in)
	if err != nil {
		return nil, "", err
	}
	asked, err := question([]any{"ListNodes", in.Filters})
	if err != nil {
		return nil, "", err
	}
	return s.nodesWhere(ctx, nodeQuestion{
		partition: p, action: "ListNodes", asked: asked, filters: filters, nobody: nobody,
		limit: pageSize(in.MaxResults, fleetPage), token: in.NextToken,
	}, 0)
}

// fleetFilters checks filters, and gives those the index decides, and whether the others, of what is the same for all nodes
// here, leave nobody.
func fleetFilters(p inventory.Partition, in FleetInput) (filters []inventory.Filter, nobody bool, err error) {
	if in.SyncName != "" && in.SyncName != ownSync {
		return nil, false, inventory.Errorf(inventory.ResourceDataSyncNotFound,
			"There is no resource data sync %s: nodes are listed of the account and region that are asked. Leave out SyncName.", clip(in.SyncName))
	}
	byStatus := false
	for _, f := range in.Filters {
		op, ok := nodeOperator(f.Operator)
		if !ok || op == inventory.LessThan || op == inventory.GreaterThan {
			return nil, false, inventory.Errorf(inventory.InvalidFilter, "Nodes can't be filtered by the operator %s.", clip(f.Operator))
		}
		byStatus = byStatus || f.Key == "InstanceStatus"
		switch f.Key {
		case "Region":
			nobody = nobody || !constantMeets(op, f.Values, p.Region)
		case "AccountId":
			nobody = nobody || !constantMeets(op, f.Values, p.Account)
		case "OrganizationalUnitId", "OrganizationalUnitPath":
			nobody = nobody || op != inventory.NotEqual
		case "ManagedStatus":
			nobody = nobody || !constantMeets(op, f.Values, "Managed") && !(op == inventory.Equal && slices.Contains(f.Values, "All"))
		case "AgentType", "AgentVersion", "ComputerName", "InstanceId", "InstanceStatus", "IpAddress", "PlatformName", "PlatformType",
			"PlatformVersion", "ResourceType":
			filters = append(filters, informationFilter(op, f.Key, f.Values...))
		default:
			return nil, false, inventory.Errorf(inventory.InvalidFilter, "Nodes can't be filtered by %s.", clip(f.Key))
		}
	}
	if !byStatus {
		filters = append(filters, statusFilter(inventory.NotEqual, inventory.Terminated))
	}
	return filters, nobody, nil
}

// constantMeets compares what all nodes of a partition have in common.
func constantMeets(op inventory.Operator, values []string, constant string) bool {
	f := informationFilter(op, "", values...)
	return f.Holds(inventory.Fold(constant)) != (op == inventory.NotEqual)
}

// FleetAggregator counts nodes by an attribute, and within by others.
type FleetAggregator struct {
	Attribute   string
	Aggregators []FleetAggregator
}

// CountFleetInput asks how many nodes there are of each kind.
type CountFleetInput struct {
	FleetInput
	Aggregators []FleetAggregator
}

// regionColumn is the one attribute nodes are counted by that is no attribute of AWS:InstanceInformation.
const regionColumn = "Region"

// mostColumns is how many attributes a row has: the API's rows have three members, of which one is the count.
const mostColumns = 2

// CountFleet gives rows of attributes and the count of nodes that have them, the largest count first, and after each
// aggregator's rows the next one's. Nodes without an attribute are in none of its rows. Pages go by the number of rows
// before; rows that come or go in between move the rest.
func (s *Service) CountFleet(ctx context.Context, p inventory.Partition, in CountFleetInput) ([]inventory.Entry, string, error) {
	filters, nobody, err := fleetFilters(p, in.FleetInput)
	if err != nil {
		return nil, "", err
	}
	var paths [][]string
	for _, a := range in.Aggregators {
		if paths, err = a.paths(paths, nil); err != nil {
			return nil, "", err
		}
	}
	asked, err := question([]any{"ListNodesSummary", in.Filters, in.Aggregators})
	if err != nil {
		return nil, "", err
	}
	from, err := s.openToken(p, "ListNodesSummary", asked, in.NextToken)
	if err != nil || nobody {
		return nil, "", err
	}
	offset := 0
	if from != nil {
		offset = from.Offset
	}
	limit := pageSize(in.MaxResults, fleetPage)
	rows, more, err := s.fleetRows(ctx, fleetQuestion{partition: p, filters: filters, asked: asked}, paths, offset, limit)
	if err != nil {
		return nil, "", err
	}
	next := ""
	if more {
		next, err = s.sealToken(p, "ListNodesSummary", asked, token{Offset: offset + len(rows)})
	}
	return rows, next, err
}

// paths adds the lists of attributes that lead to the innermost aggregators.
func (a FleetAggregator) paths(all [][]string, outer []string) ([][]string, error) {
	path := append(slices.Clone(outer), a.Attribute)
	if len(path) > mostColumns {
		return nil, inventory.Errorf(inventory.InvalidAggregator, "Aggregators can be nested %d deep.", mostColumns)
	}
	if len(a.Aggregators) == 0 {
		return append(all, path), nil
	}
	var err error
	for _, inner := range a.Aggregators {
		if all, err = inner.paths(all, path); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// fleetRows gives some rows of all paths together, and whether there are more.
func (s *Service) fleetRows(ctx context.Context, q fleetQuestion, paths [][]string, offset, limit int) (rows []inventory.Entry, more bool, err error) {
	idx, err := s.index(ctx)
	if err != nil {
		return nil, false, err
	}
	aggregators, at := fleetAggregators(paths)
	var counts []index.Counts
	if len(aggregators) > 0 {
		if counts, err = s.counted(ctx, idx, q, aggregators); err != nil {
			return nil, false, err
		}
	}
	for i, path := range paths {
		var found []index.Row
		if at[i] >= 0 {
			all := counts[at[i]].Rows
			skip := min(offset, all.Len())
			offset -= skip
			take := min(limit-len(rows), all.Len()-skip)
			found, more = all.Page(skip, take), more || skip+take < all.Len()
		} else if found, err = s.wholeFleet(ctx, idx, q); err != nil {
			return nil, false, err
		} else if offset > 0 {
			found, offset = nil, offset-len(found)
		} else if len(rows) == limit {
			found, more = nil, more || len(found) > 0
		}
		laid, err := s.layFleetRows(ctx, idx, q.partition, path, found)
		if err != nil {
			return nil, false, err
		}
		rows = append(rows, laid...)
	}
	return rows, more, nil
}

// fleetAggregators gives what the index counts by, and for each path its number there; -1 where it has nothing but the
// region, which all nodes share.
func fleetAggregators(paths [][]string) (all []inventory.Aggregator, at []int) {
	for _, path := range paths {
		var a inventory.Aggregator
		for _, name := range slices.Backward(path) {
			if name == regionColumn {
				continue
			}
			outer := inventory.Aggregator{Type: inventory.TypeInstanceInformation, Attribute: name}
			if a.Type != "" {
				outer.Nested = []inventory.Aggregator{a}
			}
			a = outer
		}
		if a.Type == "" {
			at = append(at, -1)
			continue
		}
		at = append(at, len(all))
		all = append(all, a)
	}
	return all, at
}

// wholeFleet counts all nodes that meet the filters: one row without attributes, or none.
func (s *Service) wholeFleet(ctx context.Context, idx *index.Index, q fleetQuestion) ([]index.Row, error) {
	result, err := idx.Query(ctx, q.partition, q.filters)
	if err != nil {
		return nil, err
	}
	n, err := result.Count(ctx, documents{s, q.partition})
	if err != nil || n == 0 {
		return nil, err
	}
	return []index.Row{{Count: n}}, nil
}

// layFleetRows lays rows out as the API does.
func (s *Service) layFleetRows(ctx context.Context, idx *index.Index, p inventory.Partition, path []string, found []index.Row) ([]inventory.Entry, error) {
	spelt, err := s.spellings(ctx, idx, p, found)
	if err != nil {
		return nil, err
	}
	var rows []inventory.Entry
	for _, row := range found {
		e := inventory.Entry{{Name: countColumn, Value: strconv.Itoa(row.Count)}}
		for _, cell := range row.Path {
			e = e.Merge(inventory.Entry{{Name: cell.Attribute, Value: spelt[spelling{cell.Attribute, cell.Value}]}})
		}
		if slices.Contains(path, regionColumn) {
			e = e.Merge(inventory.Entry{{Name: regionColumn, Value: p.Region}})
		}
		rows = append(rows, e)
	}
	return rows, nil
}

// spelling is a value as the index counts by it: without regard to case.
type spelling struct{ attribute, folded string }

// spellings gives the values of rows as some node spells them.
func (s *Service) spellings(ctx context.Context, idx *index.Index, p inventory.Partition, rows []index.Row) (map[spelling]string, error) {
	spelt := map[spelling]string{}
	var keys []inventory.NodeKey
	for _, row := range rows {
		for _, cell := range row.Path {
			as := spelling{cell.Attribute, cell.Value}
			if _, done := spelt[as]; done {
				continue
			}
			spelt[as] = cell.Value
			result, err := idx.Query(ctx, p, []inventory.Filter{informationFilter(inventory.Equal, cell.Attribute, cell.Value)})
			if err != nil {
				return nil, err
			}
			ids, _, err := result.Page(ctx, documents{s, p}, "", 1)
			if err != nil {
				return nil, err
			}
			for _, key := range nodeKeys(p, ids) {
				if !slices.Contains(keys, key) {
					keys = append(keys, key)
				}
			}
		}
	}
	if len(keys) == 0 {
		return spelt, nil
	}
	slices.SortFunc(keys, func(a, b inventory.NodeKey) int { return strings.Compare(string(a.Node), string(b.Node)) })
	scans, err := s.store.Read(ctx, keys, []inventory.TypeName{inventory.TypeInstanceInformation})
	if err != nil {
		return nil, err
	}
	return spelt, s.spell(ctx, scans, spelt)
}

func (s *Service) spell(ctx context.Context, scans []store.NodeScan, spelt map[spelling]string) error {
	for _, scan := range scans {
		content, err := s.contentOf(ctx, scan, inventory.TypeInstanceInformation, nil)
		if err != nil {
			return err
		}
		for _, e := range content.Entries {
			for _, a := range e {
				as := spelling{a.Name, inventory.Fold(a.Value)}
				if _, asked := spelt[as]; asked {
					spelt[as] = a.Value
				}
			}
		}
	}
	return nil
}
