package api

import (
	"cmp"
	"context"
	"strconv"

	"stocktake/internal/awsjson"
	"stocktake/internal/ssm"
	"stocktake/internal/wire"
)

func (a associationActions) executions(ctx context.Context, c awsjson.Caller, r *wire.DescribeAssociationExecutionsRequest) (*wire.DescribeAssociationExecutionsResponse, error) {
	in := ssm.ListExecutionsInput{Association: value(r.AssociationId), MaxResults: int(value(r.MaxResults)), NextToken: r.NextToken}
	for _, f := range r.Filters {
		in.Filters = append(in.Filters, ssm.ExecutionFilter{Key: value(f.Key), Value: value(f.Value), Operator: value(f.Type)})
	}
	out, err := a.service.ListExecutions(ctx, c.Partition, in)
	if err != nil {
		return nil, err
	}
	answer := &wire.DescribeAssociationExecutionsResponse{NextToken: out.NextToken}
	for _, e := range out.Executions {
		answer.AssociationExecutions = append(answer.AssociationExecutions, wire.AssociationExecution{
			AssociationId: e.Association, AssociationVersion: strconv.Itoa(e.Version), ExecutionId: e.ID, Status: e.Status, DetailedStatus: e.Status,
			CreatedTime: e.Begun, LastExecutionDate: e.Last, ResourceCountByStatus: e.ResourceCount(),
		})
	}
	return answer, nil
}

func (a associationActions) executionNodes(ctx context.Context, c awsjson.Caller, r *wire.DescribeAssociationExecutionTargetsRequest) (*wire.DescribeAssociationExecutionTargetsResponse, error) {
	in := ssm.ListExecutionNodesInput{
		Association: value(r.AssociationId), Execution: value(r.ExecutionId), MaxResults: int(value(r.MaxResults)), NextToken: r.NextToken,
	}
	for _, f := range r.Filters {
		in.Filters = append(in.Filters, ssm.ExecutionFilter{Key: value(f.Key), Value: value(f.Value), Operator: "EQUAL"})
	}
	out, err := a.service.ListExecutionNodes(ctx, c.Partition, in)
	if err != nil {
		return nil, err
	}
	e := out.Execution
	answer := &wire.DescribeAssociationExecutionTargetsResponse{NextToken: out.NextToken}
	for _, n := range out.Nodes {
		answer.AssociationExecutionTargets = append(answer.AssociationExecutionTargets, wire.AssociationExecutionTarget{
			AssociationId: e.Association, AssociationVersion: strconv.Itoa(e.Version), ExecutionId: e.ID, ResourceId: string(n.Node),
			ResourceType: wire.ManagedInstance, Status: n.Status, DetailedStatus: n.Status, LastExecutionDate: n.At,
		})
	}
	return answer, nil
}

func (a associationActions) effective(ctx context.Context, c awsjson.Caller, r *wire.DescribeEffectiveInstanceAssociationsRequest) (*wire.DescribeEffectiveInstanceAssociationsResponse, error) {
	in := ssm.ListNodeRunsInput{Node: nodeID(r.InstanceId), Effective: true, MaxResults: int(value(r.MaxResults)), NextToken: r.NextToken}
	if in.MaxResults == 0 {
		in.MaxResults = mostEffective
	}
	out, err := a.service.ListNodeRuns(ctx, c.Partition, in)
	if err != nil {
		return nil, err
	}
	answer := &wire.DescribeEffectiveInstanceAssociationsResponse{NextToken: out.NextToken}
	for _, run := range out.Runs {
		answer.Associations = append(answer.Associations, wire.InstanceAssociation{
			AssociationId: run.AssociationID, InstanceId: string(in.Node), Content: run.Policy.Content, AssociationVersion: strconv.Itoa(run.Version),
		})
	}
	return answer, nil
}

// mostEffective is the largest page of DescribeEffectiveInstanceAssociations.
const mostEffective = 5

func (a associationActions) nodeStatuses(ctx context.Context, c awsjson.Caller, r *wire.DescribeInstanceAssociationsStatusRequest) (*wire.DescribeInstanceAssociationsStatusResponse, error) {
	in := ssm.ListNodeRunsInput{Node: nodeID(r.InstanceId), MaxResults: int(value(r.MaxResults)), NextToken: r.NextToken}
	out, err := a.service.ListNodeRuns(ctx, c.Partition, in)
	if err != nil {
		return nil, err
	}
	answer := &wire.DescribeInstanceAssociationsStatusResponse{NextToken: out.NextToken}
	for _, run := range out.Runs {
		info := wire.InstanceAssociationStatusInfo{
			AssociationId: run.AssociationID, Name: run.Document, DocumentVersion: cmp.Or(run.DocumentVersion, "$DEFAULT"),
			AssociationVersion: strconv.Itoa(run.Version), InstanceId: string(in.Node), ExecutionDate: run.Last, Status: run.Status,
			DetailedStatus: run.DetailedStatus, ExecutionSummary: run.Summary, ErrorCode: run.ErrorCode, AssociationName: run.AssociationName,
		}
		if run.OutputURL != "" {
			info.OutputUrl = &wire.OutputURL{S3OutputUrl: &wire.S3OutputURL{OutputUrl: &run.OutputURL}}
		}
		answer.InstanceAssociationStatusInfos = append(answer.InstanceAssociationStatusInfos, info)
	}
	return answer, nil
}
