package agent

import (
	"cmp"
	"context"
	"strconv"

	"stocktake/internal/awsjson"
	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
	"stocktake/internal/wire"
)

// associationActions are what nodes ask and say of the associations they carry out.
type associationActions struct{ service *ssm.Service }

func associationRows(service *ssm.Service) []awsjson.Row {
	a := associationActions{service}
	return []awsjson.Row{
		awsjson.NewRow("ListInstanceAssociations", func(r *wire.ListInstanceAssociationsRequest) inventory.NodeID { return nodeOf(r.InstanceId) }, a.list),
		awsjson.Naming(awsjson.NewRow("UpdateInstanceAssociationStatus",
			func(r *wire.UpdateInstanceAssociationStatusRequest) inventory.NodeID { return nodeOf(r.InstanceId) }, a.update),
			func(r *wire.UpdateInstanceAssociationStatusRequest) awsjson.Subject {
				return awsjson.Subject{Associations: []string{text(r.AssociationId)}}
			}),
	}
}

func nodeOf(id *string) inventory.NodeID {
	if id == nil {
		return ""
	}
	return inventory.NodeID(*id)
}

func (a associationActions) list(ctx context.Context, c awsjson.Caller, r *wire.ListInstanceAssociationsRequest) (*wire.ListInstanceAssociationsResponse, error) {
	in := ssm.ListNodeAssociationsInput{Node: nodeOf(r.InstanceId), NextToken: r.NextToken}
	if r.MaxResults != nil {
		in.MaxResults = int(*r.MaxResults)
	}
	out, err := a.service.ListNodeAssociations(ctx, c.Partition, in)
	if err != nil {
		return nil, err
	}
	answer := &wire.ListInstanceAssociationsResponse{NextToken: out.NextToken}
	for _, n := range out.Associations {
		summary := wire.InstanceAssociationSummary{
			AssociationId: n.ID, Name: n.Document, DocumentVersion: cmp.Or(n.DocumentVersion, "$DEFAULT"), AssociationVersion: strconv.Itoa(n.Version),
			InstanceId: *r.InstanceId, Checksum: n.Checksum, Parameters: wire.NewParameters(n.Parameters), ScheduleExpression: n.Schedule,
			Status: n.Status, DetailedStatus: n.DetailedStatus, LastExecutionDate: n.Last,
		}
		if o := n.Output; o != nil {
			summary.OutputLocation = wire.NewOutputLocation(o.Region, o.Bucket, o.Prefix)
		}
		for _, t := range n.Targets {
			summary.Targets = append(summary.Targets, wire.NewTarget(t.Key, t.Values))
		}
		answer.Associations = append(answer.Associations, summary)
	}
	return answer, nil
}

func (a associationActions) update(ctx context.Context, c awsjson.Caller, r *wire.UpdateInstanceAssociationStatusRequest) (*wire.EmptyMessage, error) {
	result := r.ExecutionResult
	report := ssm.RunReport{
		Association: *r.AssociationId, Node: nodeOf(r.InstanceId), Status: *result.Status, ErrorCode: text(result.ErrorCode),
		At: *result.ExecutionDate, Summary: text(result.ExecutionSummary),
	}
	if u := result.OutputUrl; u != nil && u.S3OutputUrl != nil {
		report.OutputURL = text(u.S3OutputUrl.OutputUrl)
	}
	return &wire.EmptyMessage{}, a.service.UpdateRun(ctx, c.Partition, report)
}
