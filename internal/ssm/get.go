package ssm

import (
	"cmp"
	"context"

	"stocktake/internal/inventory"
)

// GetInventoryInput is a question about the fleet.
type GetInventoryInput struct {
	Filters     []inventory.RawFilter
	Aggregators []inventory.RawAggregator
	// ResultType is the type whose content the answer holds; empty for AWS:InstanceInformation.
	ResultType inventory.TypeName
	MaxResults int
	NextToken  string
}

// GetInventoryOutput is one page of the answer.
type GetInventoryOutput struct {
	Entities  []Entity
	NextToken string
}

// Entity is one node of an answer, or, without Node, one aggregator's counts.
type Entity struct {
	Node inventory.NodeID
	Data []Result
}

// Result is what an entity holds under one key: a type's name, or a group's. Counts carry no schema version and no
// capture time.
type Result struct {
	Key           string
	SchemaVersion string
	CaptureTime   string
	Content       []inventory.Entry
}

// GetInventory answers which nodes meet the filters, in node-id order, or, with aggregators, how many there are of each
// kind.
func (s *Service) GetInventory(ctx context.Context, p inventory.Partition, in GetInventoryInput) (GetInventoryOutput, error) {
	types, err := s.schemas.catalogue(ctx, p)
	if err != nil {
		return GetInventoryOutput{}, err
	}
	resultType, err := s.resultType(types, in.ResultType)
	if err != nil {
		return GetInventoryOutput{}, err
	}
	filters, err := inventory.ParseFilters(types, in.Filters)
	if err != nil {
		return GetInventoryOutput{}, err
	}
	asked, err := question([]any{in.Filters, in.Aggregators, in.ResultType})
	if err != nil {
		return GetInventoryOutput{}, err
	}
	from, err := s.openToken(p, "GetInventory", asked, in.NextToken)
	if err != nil {
		return GetInventoryOutput{}, err
	}
	q := fleetQuestion{partition: p, filters: filters, asked: asked, from: from}
	if len(in.Aggregators) == 0 {
		return s.nodesPage(ctx, q, resultType, pageSize(cmp.Or(in.MaxResults, usualPage), s.cfg.Limits.PageNodes))
	}
	aggregators, err := inventory.ParseAggregators(types, in.Aggregators, s.cfg.Extensions)
	if err != nil {
		return GetInventoryOutput{}, err
	}
	return s.countsPage(ctx, q, aggregators)
}

// resultType judges ResultAttributes. The text is the live service's.
func (s *Service) resultType(types *catalogue, asked inventory.TypeName) (inventory.TypeName, error) {
	switch asked {
	case "":
		return inventory.TypeInstanceInformation, nil
	case inventory.TypeInstanceInformation, inventory.TypePatchSummary:
		return asked, nil
	}
	if _, known := types.Schema(asked); known && (s.cfg.Extensions || asked.Custom()) {
		return asked, nil
	}
	if asked.Custom() {
		return "", inventory.Errorf(inventory.InvalidTypeName, "The inventory type %s isn't known. GetInventorySchema lists the types.", asked)
	}
	return "", inventory.Errorf(inventory.InvalidResultAttribute,
		"Result type name %s is not supported. Supported type names are: AWS:InstanceInformation, AWS:PatchSummary. Default result type name is AWS:InstanceInformation.", asked)
}

// fleetQuestion is a checked question and where its page begins.
type fleetQuestion struct {
	partition inventory.Partition
	filters   []inventory.Filter
	asked     []byte
	from      *token
}

// nodesPage gives the nodes after the page before, by id: nodes that came or went in between do not move the rest. It has fewer than
// asked for where they hold much.
func (s *Service) nodesPage(ctx context.Context, q fleetQuestion, t inventory.TypeName, limit int) (GetInventoryOutput, error) {
	var out GetInventoryOutput
	idx, err := s.index(ctx)
	if err != nil {
		return out, err
	}
	result, err := s.answers.nodes(ctx, idx, q)
	if err != nil {
		return out, err
	}
	var after inventory.NodeID
	if q.from != nil {
		after = inventory.NodeID(q.from.After)
	}
	ids, more, err := result.Page(ctx, documents{s, q.partition}, after, limit)
	if err != nil {
		return out, err
	}
	contents, err := s.pageContents(ctx, q.partition, ids, t)
	if err != nil {
		return out, err
	}
	if len(contents) < len(ids) {
		ids, more = ids[:len(contents)], true
	}
	out.Entities = make([]Entity, len(ids))
	for i, c := range contents {
		out.Entities[i] = entity(ids[i], t, c)
	}
	if more {
		out.NextToken, err = s.sealToken(q.partition, "GetInventory", q.asked, token{After: string(ids[len(ids)-1])})
	}
	return out, err
}

// entity gives a node with its content of one type; none of it when it does not report the type.
func entity(node inventory.NodeID, t inventory.TypeName, c typeContent) Entity {
	e := Entity{Node: node}
	if c.Reports {
		e.Data = []Result{{Key: string(t), SchemaVersion: c.SchemaVersion, CaptureTime: c.CaptureTime, Content: c.Entries}}
	}
	return e
}
