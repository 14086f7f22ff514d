package api

import (
	"context"
	"strconv"
	"strings"

	"stocktake/internal/awsjson"
	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
	"stocktake/internal/wire"
)

// associationActions are the API's actions on associations.
type associationActions struct{ service *ssm.Service }

func associationRows(service *ssm.Service) []awsjson.Row {
	a := associationActions{service}
	return []awsjson.Row{
		awsjson.Naming(awsjson.NewRow("CreateAssociation", nil, a.create), createNames),
		awsjson.Naming(awsjson.NewRow("CreateAssociationBatch", nil, a.createBatch), batchNames),
		awsjson.Naming(awsjson.NewRow("UpdateAssociation", nil, a.update), updateNames),
		awsjson.Naming(awsjson.NewRow("UpdateAssociationStatus", func(r *wire.UpdateAssociationStatusRequest) inventory.NodeID { return nodeID(r.InstanceId) }, a.updateStatus), statusNames),
		awsjson.Naming(awsjson.NewRow("DescribeAssociation", describedNode, a.describe), associationNames),
		awsjson.Naming(awsjson.NewRow("DeleteAssociation", nil, a.delete), associationNames),
		awsjson.NewRow("ListAssociations", filteredNode, a.list),
		awsjson.Naming(awsjson.NewRow("ListAssociationVersions", nil, a.listVersions), versionNames),
		awsjson.Naming(awsjson.NewRow("StartAssociationsOnce", nil, a.start), startNames),
		awsjson.NewRow("DescribeEffectiveInstanceAssociations",
			func(r *wire.DescribeEffectiveInstanceAssociationsRequest) inventory.NodeID {
				return nodeID(r.InstanceId)
			}, a.effective),
		awsjson.NewRow("DescribeInstanceAssociationsStatus",
			func(r *wire.DescribeInstanceAssociationsStatusRequest) inventory.NodeID { return nodeID(r.InstanceId) }, a.nodeStatuses),
		awsjson.Naming(awsjson.NewRow("DescribeAssociationExecutions", nil, a.executions), executionNames),
		awsjson.Naming(awsjson.NewRow("DescribeAssociationExecutionTargets", nil, a.executionNodes), targetNames),
	}
}

func nodeID(id *string) inventory.NodeID { return inventory.NodeID(value(id)) }

// describedNode gives the node whose association is asked for by its name. An association asked for by its id is no single
// node's, whatever node is named beside it.
func describedNode(r *wire.AssociationRequest) inventory.NodeID {
	if value(r.AssociationId) != "" {
		return ""
	}
	return nodeID(r.InstanceId)
}

// filteredNode gives the node whose associations are asked for; none where several are named.
func filteredNode(r *wire.ListAssociationsRequest) inventory.NodeID {
	var id inventory.NodeID
	for _, f := range r.AssociationFilterList {
		switch {
		case value(f.Key) != "InstanceId":
		case id != "":
			return ""
		default:
			id = nodeID(f.Value)
		}
	}
	return id
}

func (a associationActions) create(ctx context.Context, c awsjson.Caller, r *wire.CreateAssociationRequest) (*wire.AssociationDescriptionResponse, error) {
	in := ssm.CreateAssociationInput{AssociationSettings: settings(&r.AssociationSettings), Node: nodeID(r.InstanceId)}
	for _, t := range r.Tags {
		in.Tags = append(in.Tags, ssm.Tag{Key: t.Key, Value: t.Value})
	}
	return described(a.service.CreateAssociation(ctx, c.Partition, in))
}

func (a associationActions) createBatch(ctx context.Context, c awsjson.Caller, r *wire.CreateAssociationBatchRequest) (*wire.CreateAssociationBatchResponse, error) {
	batch := make([]ssm.CreateAssociationInput, len(r.Entries))
	for i := range r.Entries {
		e := &r.Entries[i]
		batch[i] = ssm.CreateAssociationInput{AssociationSettings: settings(&e.AssociationSettings), Node: nodeID(e.InstanceId)}
		batch[i].Unsupported.DispatchRole = r.AssociationDispatchAssumeRole != nil
	}
	made, failed, err := a.service.CreateAssociations(ctx, c.Partition, batch)
	if err != nil {
		return nil, err
	}
	answer := &wire.CreateAssociationBatchResponse{}
	for _, d := range made {
		answer.Successful = append(answer.Successful, *description(d))
	}
	for _, f := range failed {
		failure := wire.FailedCreateAssociation{Entry: &r.Entries[f.At], Message: f.Err.Error(), Fault: "Client"}
		if inventory.CodeOf(f.Err) == inventory.Internal {
			failure.Message, failure.Fault = "The association could not be made. Try again later.", "Server"
		}
		answer.Failed = append(answer.Failed, failure)
	}
	return answer, nil
}

func (a associationActions) update(ctx context.Context, c awsjson.Caller, r *wire.UpdateAssociationRequest) (*wire.AssociationDescriptionResponse, error) {
	return described(a.service.UpdateAssociation(ctx, c.Partition, ssm.UpdateAssociationInput{
		ID: value(r.AssociationId), Version: version(r.AssociationVersion), AssociationSettings: settings(&r.AssociationSettings),
	}))
}

func (a associationActions) updateStatus(ctx context.Context, c awsjson.Caller, r *wire.UpdateAssociationStatusRequest) (*wire.AssociationDescriptionResponse, error) {
	s := r.AssociationStatus
	return described(a.service.UpdateAssociationStatus(ctx, c.Partition,
		ssm.AssociationName{Document: value(r.Name), Node: nodeID(r.InstanceId)},
		ssm.AssociationStatus{At: value(s.Date), Name: value(s.Name), Message: value(s.Message), Additional: value(s.AdditionalInfo)}))
}

func (a associationActions) describe(ctx context.Context, c awsjson.Caller, r *wire.AssociationRequest) (*wire.AssociationDescriptionResponse, error) {
	return described(a.service.DescribeAssociation(ctx, c.Partition, associationName(r), version(r.AssociationVersion)))
}

func (a associationActions) delete(ctx context.Context, c awsjson.Caller, r *wire.AssociationRequest) (*wire.EmptyMessage, error) {
	return &wire.EmptyMessage{}, a.service.DeleteAssociation(ctx, c.Partition, associationName(r))
}

func (a associationActions) start(ctx context.Context, c awsjson.Caller, r *wire.StartAssociationsOnceRequest) (*wire.EmptyMessage, error) {
	return &wire.EmptyMessage{}, a.service.StartAssociationsOnce(ctx, c.Partition, r.AssociationIds)
}

func (a associationActions) list(ctx context.Context, c awsjson.Caller, r *wire.ListAssociationsRequest) (*wire.ListAssociationsResponse, error) {
	in := ssm.ListAssociationsInput{MaxResults: int(value(r.MaxResults)), NextToken: r.NextToken}
	for _, f := range r.AssociationFilterList {
		in.Filters = append(in.Filters, ssm.AssociationFilter{Key: value(f.Key), Value: value(f.Value)})
	}
	out, err := a.service.ListAssociations(ctx, c.Partition, in)
	if err != nil {
		return nil, err
	}
	answer := &wire.ListAssociationsResponse{NextToken: out.NextToken}
	for _, d := range out.Associations {
		s := wireSettings(&d.AssociationSettings)
		answer.Associations = append(answer.Associations, wire.Association{
			Name: d.Document, InstanceId: string(d.Node), AssociationId: d.ID, AssociationVersion: strconv.Itoa(d.Version),
			DocumentVersion: value(s.DocumentVersion), Targets: s.Targets, LastExecutionDate: d.Last, Overview: overview(d.Overview),
			ScheduleExpression: d.Schedule, AssociationName: d.Association.Name, ScheduleOffset: s.ScheduleOffset, Duration: s.Duration,
		})
	}
	return answer, nil
}

func (a associationActions) listVersions(ctx context.Context, c awsjson.Caller, r *wire.ListAssociationVersionsRequest) (*wire.ListAssociationVersionsResponse, error) {
	out, err := a.service.ListAssociationVersions(ctx, c.Partition, ssm.ListAssociationVersionsInput{
		ID: value(r.AssociationId), MaxResults: int(value(r.MaxResults)), NextToken: r.NextToken,
	})
	if err != nil {
		return nil, err
	}
	answer := &wire.ListAssociationVersionsResponse{NextToken: out.NextToken}
	for _, v := range out.Versions {
		answer.AssociationVersions = append(answer.AssociationVersions, wire.AssociationVersionInfo{
			AssociationSettings: wireSettings(&v.AssociationSettings), AssociationId: v.ID, AssociationVersion: strconv.Itoa(v.Version), CreatedDate: v.Updated,
		})
	}
	return answer, nil
}

func associationName(r *wire.AssociationRequest) ssm.AssociationName {
	return ssm.AssociationName{ID: value(r.AssociationId), Document: value(r.Name), Node: nodeID(r.InstanceId)}
}

// version gives the number of an association's version, 0 for the newest. One that no association can have is not 0.
func version(text *string) int {
	switch v := value(text); v {
	case "", "$LATEST":
		return 0
	default:
		n, err := strconv.Atoi(v)
		if err != nil {
			return -1
		}
		return n
	}
}

func described(d ssm.DescribedAssociation, err error) (*wire.AssociationDescriptionResponse, error) {
	if err != nil {
		return nil, err
	}
	return &wire.AssociationDescriptionResponse{AssociationDescription: description(d)}, nil
}

func description(d ssm.DescribedAssociation) *wire.AssociationDescription {
	out := &wire.AssociationDescription{
		AssociationSettings: wireSettings(&d.AssociationSettings), AssociationId: d.ID, AssociationVersion: strconv.Itoa(d.Version),
		InstanceId: string(d.Node), Date: d.Created, LastUpdateAssociationDate: d.Updated, Overview: overview(d.Overview),
		LastExecutionDate: d.Last, LastSuccessfulExecutionDate: d.LastSuccess,
	}
	if s := d.Status; s != nil {
		out.Status = &wire.AssociationStatus{Date: &s.At, Name: &s.Name, Message: &s.Message, AdditionalInfo: given(s.Additional)}
	}
	return out
}

func overview(o ssm.AssociationOverview) *wire.AssociationOverview {
	return &wire.AssociationOverview{Status: o.Status, DetailedStatus: o.Detailed, AssociationStatusAggregatedCount: counts(o.Counts)}
}

func counts(all []ssm.StatusCount) []wire.Count {
	var out []wire.Count
	for _, c := range all {
		out = append(out, wire.Count{Name: c.Status, N: int32(c.Nodes)})
	}
	return out
}

// given gives a text that is absent when empty.
func given(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func settings(s *wire.AssociationSettings) ssm.AssociationSettings {
	out := ssm.AssociationSettings{
		Document: value(s.Name), DocumentVersion: value(s.DocumentVersion), Schedule: value(s.ScheduleExpression),
		OnlyAtTicks: value(s.ApplyOnlyAtCronInterval), OffsetDays: int(value(s.ScheduleOffset)), DurationHours: int(value(s.Duration)),
		Name: value(s.AssociationName), MaxErrors: value(s.MaxErrors), MaxConcurrency: value(s.MaxConcurrency),
		Severity: value(s.ComplianceSeverity), SyncCompliance: value(s.SyncCompliance),
		Unsupported: ssm.Unsupported{
			AutomationTarget: s.AutomationTargetParameterName != nil, Calendars: len(s.CalendarNames) > 0, TargetLocations: some(s.TargetLocations),
			TargetMaps: some(s.TargetMaps), Alarms: s.AlarmConfiguration != "", DispatchRole: s.AssociationDispatchAssumeRole != nil,
		},
	}
	for _, p := range s.Parameters {
		if out.Parameters == nil {
			out.Parameters = map[string][]string{}
		}
		out.Parameters[p.Name] = p.Values
	}
	out.Targets = targets(s)
	if o := s.OutputLocation; o != nil && o.S3Location != nil {
		out.Output = &ssm.OutputLocation{Region: value(o.S3Location.OutputS3Region), Bucket: value(o.S3Location.OutputS3BucketName), Prefix: value(o.S3Location.OutputS3KeyPrefix)}
	}
	return out
}

// targets gives targets as the caller wrote them; nil where none were given.
func targets(s *wire.AssociationSettings) []ssm.Target {
	if s.Targets == nil {
		return nil
	}
	all := make([]ssm.Target, len(s.Targets))
	for i, t := range s.Targets {
		all[i] = ssm.Target{Key: value(t.Key), Values: t.Values}
	}
	return all
}

// some reports whether a raw list has anything in it.
func some(r wire.Raw) bool { return strings.Trim(string(r), "[] \t\r\n") != "" }

func wireSettings(s *ssm.AssociationSettings) wire.AssociationSettings {
	out := wire.AssociationSettings{
		Name: given(s.Document), DocumentVersion: given(s.DocumentVersion), ScheduleExpression: given(s.Schedule), AssociationName: given(s.Name),
		MaxErrors: given(s.MaxErrors), MaxConcurrency: given(s.MaxConcurrency), ComplianceSeverity: given(s.Severity), SyncCompliance: given(s.SyncCompliance),
		ApplyOnlyAtCronInterval: &s.OnlyAtTicks, Parameters: wire.NewParameters(s.Parameters),
		ScheduleOffset: positive(s.OffsetDays), Duration: positive(s.DurationHours),
	}
	if s.DocumentVersion == "" {
		out.DocumentVersion = given("$DEFAULT")
	}
	for _, t := range s.Targets {
		out.Targets = append(out.Targets, wire.NewTarget(t.Key, t.Values))
	}
	if o := s.Output; o != nil {
		out.OutputLocation = wire.NewOutputLocation(o.Region, o.Bucket, o.Prefix)
	}
	return out
}

func positive(n int) *int32 {
	if n == 0 {
		return nil
	}
	v := int32(n)
	return &v
}
