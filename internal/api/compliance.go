package api

import (
	"context"

	"stocktake/internal/awsjson"
	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
	"stocktake/internal/wire"
)

func complianceRows(service *ssm.Service) []awsjson.Row {
	return []awsjson.Row{
		awsjson.NewRow("PutComplianceItems",
			func(r *wire.PutComplianceItemsRequest) inventory.NodeID { return inventory.NodeID(value(r.ResourceId)) },
			func(ctx context.Context, c awsjson.Caller, r *wire.PutComplianceItemsRequest) (*wire.EmptyMessage, error) {
				return &wire.EmptyMessage{}, service.PutComplianceItems(ctx, c.Partition, complianceInput(r))
			}),
	}
}

func complianceInput(r *wire.PutComplianceItemsRequest) ssm.PutComplianceInput {
	in := ssm.PutComplianceInput{
		Resource: ssm.Resource{Type: value(r.ResourceType), ID: value(r.ResourceId)}, Type: value(r.ComplianceType),
		ExecutionTime: value(r.ExecutionSummary.ExecutionTime), ExecutionID: value(r.ExecutionSummary.ExecutionId),
		ExecutionType: value(r.ExecutionSummary.ExecutionType),
		Hash:          value(r.ItemContentHash), Partial: value(r.UploadType) == wire.PartialUpload,
		Items: make([]ssm.ComplianceItem, len(r.Items)), Bytes: r.Bytes,
	}
	for i, it := range r.Items {
		in.Items[i] = ssm.ComplianceItem{
			ID: value(it.Id), Title: value(it.Title), Severity: value(it.Severity), Status: value(it.Status), Details: inventory.Entry(it.Details),
		}
	}
	return in
}
