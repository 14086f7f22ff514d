package api

import (
	"context"

	"stocktake/internal/awsjson"
	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
	"stocktake/internal/wire"
)

// Tags gives the tags of a service's nodes, for policies that ask for them.
func Tags(service *ssm.Service) awsjson.Tags {
	return func(ctx context.Context, key inventory.NodeKey) ([]wire.Tag, error) {
		tags, err := service.ListTags(ctx, key.Partition, ssm.Resource{Type: wire.ManagedInstance, ID: string(key.Node)})
		if inventory.CodeOf(err) == inventory.InvalidResourceID {
			return nil, nil // not known here
		}
		all := make([]wire.Tag, len(tags))
		for i, t := range tags {
			all[i] = wire.Tag{Key: t.Key, Value: t.Value}
		}
		return all, err
	}
}

// named gives what stands in a request, in a list: nothing for what does not.
func named(text *string) []string {
	if value(text) == "" {
		return nil
	}
	return []string{*text}
}

// targeted gives the document of an association and the nodes it is for, as the service reads its targets.
func targeted(s *wire.AssociationSettings, node *string) awsjson.Subject {
	subject := awsjson.Subject{Documents: named(s.Name)}
	for _, id := range named(node) {
		subject.Nodes = append(subject.Nodes, inventory.NodeID(id))
	}
	if len(s.Targets) == 0 {
		return subject
	}
	ids, listed, tags := ssm.Targeted(targets(s))
	subject.Nodes = append(subject.Nodes, ids...)
	if !listed {
		fleet := make(awsjson.Fleet, len(tags))
		for i, t := range tags {
			fleet[i] = wire.Tag{Key: t.Key, Value: t.Value}
		}
		subject.Fleets = []awsjson.Fleet{fleet}
	}
	return subject
}

func createNames(r *wire.CreateAssociationRequest) awsjson.Subject {
	s := targeted(&r.AssociationSettings, r.InstanceId)
	s.Tags = r.Tags
	return s
}

func batchNames(r *wire.CreateAssociationBatchRequest) awsjson.Subject {
	var all awsjson.Subject
	for i := range r.Entries {
		s := targeted(&r.Entries[i].AssociationSettings, r.Entries[i].InstanceId)
		all.Documents, all.Nodes = append(all.Documents, s.Documents...), append(all.Nodes, s.Nodes...)
		all.Fleets = append(all.Fleets, s.Fleets...)
	}
	return all
}

func updateNames(r *wire.UpdateAssociationRequest) awsjson.Subject {
	s := targeted(&r.AssociationSettings, nil)
	s.Associations = named(r.AssociationId)
	return s
}

func statusNames(r *wire.UpdateAssociationStatusRequest) awsjson.Subject {
	return awsjson.Subject{Documents: named(r.Name)}
}

func associationNames(r *wire.AssociationRequest) awsjson.Subject {
	s := awsjson.Subject{Associations: named(r.AssociationId), Documents: named(r.Name)}
	for _, id := range named(r.InstanceId) {
		s.Nodes = append(s.Nodes, inventory.NodeID(id))
	}
	return s
}

func versionNames(r *wire.ListAssociationVersionsRequest) awsjson.Subject {
	return awsjson.Subject{Associations: named(r.AssociationId)}
}

func startNames(r *wire.StartAssociationsOnceRequest) awsjson.Subject {
	return awsjson.Subject{Associations: r.AssociationIds}
}

func executionNames(r *wire.DescribeAssociationExecutionsRequest) awsjson.Subject {
	return awsjson.Subject{Associations: named(r.AssociationId)}
}

func targetNames(r *wire.DescribeAssociationExecutionTargetsRequest) awsjson.Subject {
	return awsjson.Subject{Associations: named(r.AssociationId)}
}

func documentNames(r *wire.GetDocumentRequest) awsjson.Subject {
	return awsjson.Subject{Documents: named(r.Name)}
}

func describedNames(r *wire.DescribeDocumentRequest) awsjson.Subject {
	return awsjson.Subject{Documents: named(r.Name)}
}

func activationTags(r *wire.CreateActivationRequest) awsjson.Subject {
	return awsjson.Subject{Tags: r.Tags}
}

// tagged gives the association that is tagged, where it is no node.
func tagged(r *wire.Resource) []string {
	if r.ResourceType != "Association" {
		return nil
	}
	return []string{r.ResourceId}
}

func addedTags(r *wire.AddTagsToResourceRequest) awsjson.Subject {
	return awsjson.Subject{Associations: tagged(&r.Resource), Tags: r.Tags}
}

func removedTags(r *wire.RemoveTagsFromResourceRequest) awsjson.Subject {
	return awsjson.Subject{Associations: tagged(&r.Resource), TagKeys: r.TagKeys}
}

func listedTags(r *wire.ListTagsForResourceRequest) awsjson.Subject {
	return awsjson.Subject{Associations: tagged(&r.Resource)}
}
