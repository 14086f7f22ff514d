package ssm

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"stocktake/internal/inventory"
)

// mergedTags gives tags over those there were, by key.
func mergedTags(had, tags []Tag) ([]Tag, error) {
	all := map[string]string{}
	for _, t := range slices.Concat(had, tags) {
		all[t.Key] = t.Value
	}
	return tagList(all)
}

// tagList gives tags by key.
func tagList(all map[string]string) ([]Tag, error) {
	if len(all) > mostTags {
		return nil, inventory.Errorf(inventory.TooManyTags, "The association would have %d tags; at most %d are kept.", len(all), mostTags)
	}
	tags := make([]Tag, 0, len(all))
	for _, key := range slices.Sorted(maps.Keys(all)) {
		tags = append(tags, Tag{Key: key, Value: all[key]})
	}
	return tags, nil
}

func (s *Service) associationTags(ctx context.Context, p inventory.Partition, id string) ([]Tag, error) {
	a, _, err := s.association(ctx, p, id)
	return a.Tags, taggedAssociation(err, id)
}

// changeAssociationTags changes the tags of an association, which is no new version of it.
func (s *Service) changeAssociationTags(ctx context.Context, p inventory.Partition, id string, change func(all map[string]string)) error {
	err := s.changeAssociation(ctx, p, id, func(a *Association, _ time.Time) error {
		all := map[string]string{}
		for _, t := range a.Tags {
			all[t.Key] = t.Value
		}
		change(all)
		var err error
		a.Tags, err = tagList(all)
		return err
	})
	return taggedAssociation(err, id)
}

// taggedAssociation says of an association that is not there what the tag actions say.
func taggedAssociation(err error, id string) error {
	var refusal *inventory.Error
	if errors.As(err, &refusal) && refusal.Code == inventory.AssociationDoesNotExist {
		return inventory.Errorf(inventory.InvalidResourceID, "There is no association %s here. ListAssociations lists those there are.", clip(id))
	}
	return err
}
