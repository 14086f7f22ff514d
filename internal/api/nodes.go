package api

import (
	"context"

	"stocktake/internal/awsjson"
	"stocktake/internal/ssm"
	"stocktake/internal/wire"
)

// fleetActions are the API's questions about the fleet of nodes.
type fleetActions struct{ service *ssm.Service }

func fleetRows(service *ssm.Service) []awsjson.Row {
	a := fleetActions{service}
	return []awsjson.Row{
		awsjson.NewRow("ListNodes", nil, a.list),
		awsjson.NewRow("ListNodesSummary", nil, a.summary),
	}
}

func (a fleetActions) list(ctx context.Context, c awsjson.Caller, r *wire.ListManagedNodesRequest) (*wire.ListManagedNodesResponse, error) {
	nodes, next, err := a.service.ListFleet(ctx, c.Partition, fleetInput(r.SyncName, r.Filters, r.MaxResults, r.NextToken))
	if err != nil {
		return nil, err
	}
	answer := &wire.ListManagedNodesResponse{NextToken: next}
	for _, n := range nodes {
		said := agentsWord(n)
		answer.Nodes = append(answer.Nodes, wire.ManagedNode{
			CaptureTime: n.Captured, Id: string(n.Node), Owner: &wire.NodeOwner{AccountId: c.Partition.Account},
			Region: c.Partition.Region, NodeType: &wire.NodeType{Instance: &said},
		})
	}
	return answer, nil
}

func fleetInput(syncName *string, sent []wire.NodeFilter, most *int32, token string) ssm.FleetInput {
	in := ssm.FleetInput{SyncName: value(syncName), MaxResults: int(value(most)), NextToken: token}
	for _, f := range sent {
		in.Filters = append(in.Filters, ssm.NodeFilter{Key: value(f.Key), Operator: value(f.Type), Values: f.Values})
	}
	return in
}

func (a fleetActions) summary(ctx context.Context, c awsjson.Caller, r *wire.ListNodesSummaryRequest) (*wire.ListNodesSummaryResponse, error) {
	rows, next, err := a.service.CountFleet(ctx, c.Partition, ssm.CountFleetInput{
		FleetInput:  fleetInput(r.SyncName, r.Filters, r.MaxResults, r.NextToken),
		Aggregators: fleetAggregators(r.Aggregators),
	})
	if err != nil {
		return nil, err
	}
	return &wire.ListNodesSummaryResponse{Summary: wireEntries(rows), NextToken: next}, nil
}

func fleetAggregators(sent []wire.NodeAggregator) []ssm.FleetAggregator {
	var out []ssm.FleetAggregator
	for _, a := range sent {
		out = append(out, ssm.FleetAggregator{Attribute: value(a.AttributeName), Aggregators: fleetAggregators(a.Aggregators)})
	}
	return out
}
