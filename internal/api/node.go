package api

import (
	"context"

	"stocktake/internal/awsjson"
	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
	"stocktake/internal/wire"
)

// nodeActions are the service's own actions, for nodes without an agent and for care of the fleet.
type nodeActions struct{ service *ssm.Service }

func (a nodeActions) registerNode(ctx context.Context, c awsjson.Caller, r *wire.NodeRequest) (*wire.EmptyMessage, error) {
	return &wire.EmptyMessage{}, a.service.RegisterNode(ctx, c.Partition, inventory.NodeID(r.NodeId))
}

func (a nodeActions) stopNode(ctx context.Context, c awsjson.Caller, r *wire.NodeRequest) (*wire.EmptyMessage, error) {
	return &wire.EmptyMessage{}, a.service.StopNode(ctx, c.Partition, inventory.NodeID(r.NodeId))
}

func (a nodeActions) terminateNode(ctx context.Context, c awsjson.Caller, r *wire.NodeRequest) (*wire.EmptyMessage, error) {
	return &wire.EmptyMessage{}, a.service.TerminateNode(ctx, c.Partition, inventory.NodeID(r.NodeId))
}

func (a nodeActions) removeNode(ctx context.Context, c awsjson.Caller, r *wire.NodeRequest) (*wire.EmptyMessage, error) {
	return &wire.EmptyMessage{}, a.service.RemoveNode(ctx, c.Partition, inventory.NodeID(r.NodeId))
}

func (a nodeActions) listNodes(ctx context.Context, c awsjson.Caller, r *wire.ListNodesRequest) (*wire.ListNodesResponse, error) {
	out, err := a.service.ListNodes(ctx, c.Partition, ssm.ListNodesInput{MaxResults: int(value(r.MaxResults)), NextToken: r.NextToken})
	if err != nil {
		return nil, err
	}
	answer := &wire.ListNodesResponse{NextToken: out.NextToken}
	for _, n := range out.Nodes {
		answer.Nodes = append(answer.Nodes, wire.NodeSummary{
			NodeId: string(n.Node), Status: string(n.Status), EnrolledTime: n.Enrolled, LastReportTime: n.LastReport, TypeCount: int32(n.Types),
		})
	}
	return answer, nil
}

func (a nodeActions) runRetention(ctx context.Context, c awsjson.Caller, _ *wire.EmptyMessage) (*wire.RunRetentionResponse, error) {
	report, err := a.service.RunRetention(ctx, c.Partition)
	return &wire.RunRetentionResponse{DocumentCount: int32(report.Documents), DroppedCount: int32(report.Expired)}, err
}
