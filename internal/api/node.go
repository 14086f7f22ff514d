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

func (a nodeActions) explain(ctx context.Context, c awsjson.Caller, r *wire.NodeRequest) (*wire.ExplainNodeResponse, error) {
	e, err := a.service.ExplainNode(ctx, c.Partition, inventory.NodeID(r.NodeId))
	if err != nil {
		return nil, err
	}
	answer := &wire.ExplainNodeResponse{
		NodeId: string(e.Node), Status: string(e.Status), PingStatus: e.Ping, StatusTime: e.Since, EnrolledTime: e.Enrolled,
		LastHeartbeatTime: e.Heartbeat, Information: wire.Entry(e.Information), Verdict: e.Why, NextSteps: e.Next,
	}
	for _, state := range e.Reports {
		answer.Types = append(answer.Types, wire.ExplainedType{
			TypeName: string(state.Type), SubType: state.SubType, SchemaVersion: state.SchemaVersion, ArrivalTime: state.Arrival,
			CaptureTime: state.CaptureTime, EntryCount: int32(state.Entries), HasHash: state.Hash != "",
		})
	}
	if r := e.Refusal; r != nil {
		answer.LastRefusal = &wire.ExplainedRefusal{Action: r.Action, Code: r.Code, Text: r.Text, Time: r.Time}
	}
	if !e.Registered.IsZero() {
		answer.Registration = &wire.ExplainedRegistration{
			ActivationId: e.Activation, IamRole: e.Role, Name: e.Name, RegistrationTime: e.Registered, KeyTime: e.KeySince,
		}
	}
	for _, run := range e.Runs {
		answer.Associations = append(answer.Associations, wire.ExplainedAssociation{
			AssociationId: run.AssociationID, AssociationName: run.AssociationName, DocumentName: run.Document,
			DetailedStatus: run.DetailedStatus, ErrorCode: run.ErrorCode, LastRunTime: run.Last, LastSuccessTime: run.LastSuccess,
			NextRunTime: run.Next, Summary: run.Summary,
		})
	}
	for _, i := range e.Ignored {
		answer.IgnoredItems = append(answer.IgnoredItems, wire.IgnoredItem{
			TypeName: string(i.Type), SchemaVersion: i.Version, DisabledVersion: i.Disabled, Time: i.Time,
		})
	}
	return answer, nil
}
