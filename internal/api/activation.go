package api

import (
	"context"
	"time"

	"stocktake/internal/awsjson"
	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
	"stocktake/internal/wire"
)

// activationActions are the API's actions on activations and on the nodes that registered with them.
type activationActions struct{ service *ssm.Service }

func activationRows(service *ssm.Service) []awsjson.Row {
	a := activationActions{service}
	return []awsjson.Row{
		awsjson.Naming(awsjson.NewRow("CreateActivation", nil, a.create), activationTags),
		awsjson.NewRow("DescribeActivations", nil, a.describe),
		awsjson.NewRow("DeleteActivation", nil, a.delete),
		awsjson.NewRow("DeregisterManagedInstance",
			func(r *wire.DeregisterManagedInstanceRequest) inventory.NodeID {
				return inventory.NodeID(*r.InstanceId)
			}, a.deregister),
		awsjson.NewRow("UpdateManagedInstanceRole",
			func(r *wire.UpdateManagedInstanceRoleRequest) inventory.NodeID {
				return inventory.NodeID(*r.InstanceId)
			}, a.updateRole),
	}
}

func tagsOf(sent []wire.Tag) []ssm.Tag {
	var tags []ssm.Tag
	for _, t := range sent {
		tags = append(tags, ssm.Tag{Key: t.Key, Value: t.Value})
	}
	return tags
}

func wireTags(tags []ssm.Tag) []wire.Tag {
	var out []wire.Tag
	for _, t := range tags {
		out = append(out, wire.Tag{Key: t.Key, Value: t.Value})
	}
	return out
}

func (a activationActions) create(ctx context.Context, c awsjson.Caller, r *wire.CreateActivationRequest) (*wire.CreateActivationResponse, error) {
	id, code, err := a.service.CreateActivation(ctx, c.Partition, ssm.CreateActivationInput{
		Role: *r.IamRole, Name: value(r.DefaultInstanceName), Description: value(r.Description),
		Limit: int(value(r.RegistrationLimit)), Expires: value(r.ExpirationDate), Tags: tagsOf(r.Tags),
	})
	return &wire.CreateActivationResponse{ActivationId: id, ActivationCode: code}, err
}

func (a activationActions) describe(ctx context.Context, c awsjson.Caller, r *wire.DescribeActivationsRequest) (*wire.DescribeActivationsResponse, error) {
	in := ssm.DescribeActivationsInput{MaxResults: int(value(r.MaxResults)), NextToken: r.NextToken}
	for _, f := range r.Filters {
		in.Filters = append(in.Filters, ssm.ActivationFilter{Key: value(f.FilterKey), Values: f.FilterValues})
	}
	out, err := a.service.DescribeActivations(ctx, c.Partition, in)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	answer := &wire.DescribeActivationsResponse{NextToken: out.NextToken}
	for _, v := range out.Activations {
		expired, limit, count := !now.Before(v.Expires), int32(v.Limit), int32(v.Count)
		answer.ActivationList = append(answer.ActivationList, wire.Activation{
			ActivationId: v.ID, Description: v.Description, DefaultInstanceName: v.Name, IamRole: v.Role,
			RegistrationLimit: &limit, RegistrationsCount: &count,
			ExpirationDate: v.Expires, Expired: &expired, CreatedDate: v.Created, Tags: wireTags(v.Tags),
		})
	}
	return answer, nil
}

func (a activationActions) delete(ctx context.Context, c awsjson.Caller, r *wire.DeleteActivationRequest) (*wire.EmptyMessage, error) {
	return &wire.EmptyMessage{}, a.service.DeleteActivation(ctx, c.Partition, *r.ActivationId)
}

func (a activationActions) deregister(ctx context.Context, c awsjson.Caller, r *wire.DeregisterManagedInstanceRequest) (*wire.EmptyMessage, error) {
	return &wire.EmptyMessage{}, a.service.DeregisterManagedNode(ctx, nodeKey(c, *r.InstanceId))
}

func (a activationActions) updateRole(ctx context.Context, c awsjson.Caller, r *wire.UpdateManagedInstanceRoleRequest) (*wire.EmptyMessage, error) {
	return &wire.EmptyMessage{}, a.service.UpdateManagedNodeRole(ctx, nodeKey(c, *r.InstanceId), *r.IamRole)
}

func nodeKey(c awsjson.Caller, id string) inventory.NodeKey {
	return inventory.NodeKey{Partition: c.Partition, Node: inventory.NodeID(id)}
}
