package api

import (
	"context"

	"stocktake/internal/awsjson"
	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
	"stocktake/internal/wire"
)

// tagActions are the API's actions on tags.
type tagActions struct{ service *ssm.Service }

func taggedNode(r *wire.Resource) inventory.NodeID {
	if r.ResourceType != wire.ManagedInstance {
		return ""
	}
	return inventory.NodeID(r.ResourceId)
}

func resourceOf(r wire.Resource) ssm.Resource {
	return ssm.Resource{Type: r.ResourceType, ID: r.ResourceId}
}

func (a tagActions) add(ctx context.Context, c awsjson.Caller, r *wire.AddTagsToResourceRequest) (*wire.EmptyMessage, error) {
	tags := make([]ssm.Tag, len(r.Tags))
	for i, t := range r.Tags {
		tags[i] = ssm.Tag{Key: t.Key, Value: t.Value}
	}
	return &wire.EmptyMessage{}, a.service.AddTags(ctx, c.Partition, resourceOf(r.Resource), tags)
}

func (a tagActions) remove(ctx context.Context, c awsjson.Caller, r *wire.RemoveTagsFromResourceRequest) (*wire.EmptyMessage, error) {
	return &wire.EmptyMessage{}, a.service.RemoveTags(ctx, c.Partition, resourceOf(r.Resource), r.TagKeys)
}

func (a tagActions) list(ctx context.Context, c awsjson.Caller, r *wire.ListTagsForResourceRequest) (*wire.ListTagsForResourceResponse, error) {
	tags, err := a.service.ListTags(ctx, c.Partition, resourceOf(r.Resource))
	if err != nil {
		return nil, err
	}
	answer := &wire.ListTagsForResourceResponse{TagList: make([]wire.Tag, len(tags))}
	for i, t := range tags {
		answer.TagList[i] = wire.Tag{Key: t.Key, Value: t.Value}
	}
	return answer, nil
}
