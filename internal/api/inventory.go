package api

import (
	"context"

	"stocktake/internal/awsjson"
	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
	"stocktake/internal/wire"
)

type inventoryActions struct{ service *ssm.Service }

func (a inventoryActions) putInventory(ctx context.Context, c awsjson.Caller, r *wire.PutInventoryRequest) (*wire.PutInventoryResponse, error) {
	message, err := a.service.PutInventory(ctx, c.Partition, ssm.PutInventoryInput{
		Node: inventory.NodeID(r.InstanceId), Items: items(r.Items), Administrator: c.Principal.Administrator(),
	})
	return &wire.PutInventoryResponse{Message: message}, err
}

func (a inventoryActions) getInventory(ctx context.Context, c awsjson.Caller, r *wire.GetInventoryRequest) (*wire.GetInventoryResponse, error) {
	in := ssm.GetInventoryInput{
		Filters: filters(r.Filters), Aggregators: aggregators(r.Aggregators),
		MaxResults: int(value(r.MaxResults)), NextToken: r.NextToken,
	}
	if len(r.ResultAttributes) > 0 {
		in.ResultType = inventory.TypeName(r.ResultAttributes[0].TypeName)
	}
	out, err := a.service.GetInventory(ctx, c.Partition, in)
	if err != nil {
		return nil, err
	}
	answer := &wire.GetInventoryResponse{Entities: make([]wire.Entity, len(out.Entities)), NextToken: out.NextToken}
	for i, e := range out.Entities {
		answer.Entities[i] = entity(e)
	}
	return answer, nil
}

// entity maps a node, whose data carry their type's name, or counts, which carry nothing but content.
func entity(e ssm.Entity) wire.Entity {
	out := wire.Entity{Id: string(e.Node), Data: make([]wire.ResultItem, len(e.Data))}
	for i, d := range e.Data {
		out.Data[i] = wire.ResultItem{Key: d.Key, SchemaVersion: d.SchemaVersion, CaptureTime: d.CaptureTime, Content: wireEntries(d.Content)}
		if e.Node != "" {
			out.Data[i].TypeName = d.Key
		}
	}
	return out
}

func (a inventoryActions) listInventoryEntries(ctx context.Context, c awsjson.Caller, r *wire.ListInventoryEntriesRequest) (*wire.ListInventoryEntriesResponse, error) {
	out, err := a.service.ListInventoryEntries(ctx, c.Partition, ssm.ListInventoryEntriesInput{
		Node: inventory.NodeID(r.InstanceId), Type: inventory.TypeName(r.TypeName), Filters: filters(r.Filters),
		MaxResults: int(value(r.MaxResults)), NextToken: r.NextToken,
	})
	if err != nil {
		return nil, err
	}
	return &wire.ListInventoryEntriesResponse{
		TypeName: r.TypeName, InstanceId: r.InstanceId, SchemaVersion: out.SchemaVersion, CaptureTime: out.CaptureTime,
		Entries: wireEntries(out.Entries), NextToken: out.NextToken,
	}, nil
}

func (a inventoryActions) getInventorySchema(ctx context.Context, c awsjson.Caller, r *wire.GetInventorySchemaRequest) (*wire.GetInventorySchemaResponse, error) {
	out, err := a.service.GetInventorySchema(ctx, c.Partition, ssm.GetInventorySchemaInput{
		Type: r.TypeName, Aggregator: r.Aggregator, SubType: value(r.SubType),
		MaxResults: int(value(r.MaxResults)), NextToken: r.NextToken,
	})
	if err != nil {
		return nil, err
	}
	answer := &wire.GetInventorySchemaResponse{NextToken: out.NextToken}
	for _, s := range out.Schemas {
		answer.Schemas = append(answer.Schemas, schema(s))
	}
	return answer, nil
}

// schema maps a schema with its data types in upper case, as the live service answers though its model says otherwise.
func schema(s inventory.Schema) wire.ItemSchema {
	out := wire.ItemSchema{TypeName: string(s.Type), Version: s.Version, DisplayName: s.DisplayName}
	for _, attribute := range s.Attributes {
		kind := "STRING"
		if attribute.Number {
			kind = "NUMBER"
		}
		out.Attributes = append(out.Attributes, wire.ItemAttribute{Name: attribute.Name, DataType: kind})
	}
	return out
}

func (a inventoryActions) deleteInventory(ctx context.Context, c awsjson.Caller, r *wire.DeleteInventoryRequest) (*wire.DeleteInventoryResponse, error) {
	d, err := a.service.DeleteInventory(ctx, c.Partition, ssm.DeleteInventoryInput{
		Type: inventory.TypeName(r.TypeName), SchemaOption: value(r.SchemaDeleteOption), DryRun: r.DryRun, ClientToken: value(r.ClientToken),
	})
	if err != nil {
		return nil, err
	}
	return &wire.DeleteInventoryResponse{DeletionId: d.ID, TypeName: r.TypeName, DeletionSummary: summary(d)}, nil
}

func (a inventoryActions) describeInventoryDeletions(ctx context.Context, c awsjson.Caller, r *wire.DescribeInventoryDeletionsRequest) (*wire.DescribeInventoryDeletionsResponse, error) {
	out, err := a.service.DescribeInventoryDeletions(ctx, c.Partition, ssm.DescribeInventoryDeletionsInput{
		ID: value(r.DeletionId), MaxResults: int(value(r.MaxResults)), NextToken: r.NextToken,
	})
	if err != nil {
		return nil, err
	}
	answer := &wire.DescribeInventoryDeletionsResponse{NextToken: out.NextToken}
	for _, d := range out.Deletions {
		status, message := wire.InProgress, "The Delete is in progress"
		if d.Done {
			status, message = wire.Complete, "Deletion is successful"
		}
		answer.InventoryDeletions = append(answer.InventoryDeletions, wire.DeletionStatus{
			DeletionId: d.ID, TypeName: string(d.Type), DeletionStartTime: d.Started, LastStatus: status,
			LastStatusMessage: message, DeletionSummary: summary(d), LastStatusUpdateTime: d.Updated,
		})
	}
	return answer, nil
}

func summary(d ssm.Deletion) *wire.DeletionSummary {
	total, remaining := d.Total()
	out := &wire.DeletionSummary{TotalCount: int32(total), RemainingCount: int32(remaining)}
	for _, v := range d.Versions {
		out.SummaryItems = append(out.SummaryItems, wire.DeletionSummaryItem{Version: v.Version, Count: int32(v.Count), RemainingCount: int32(v.Remaining)})
	}
	return out
}
