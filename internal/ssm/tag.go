package ssm

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// mostTags is how many tags a resource may have (documented).
const mostTags = 50

// Tag is a label of a node.
type Tag struct{ Key, Value string }

// Resource names what is tagged, as the caller wrote it: a node (Type ManagedInstance) or an association (Association).
type Resource struct{ Type, ID string }

// association reports whether the resource is one, whose tags are kept in its record.
func (r Resource) association() bool { return r.Type == "Association" }

// node gives the node a resource is.
func (r Resource) node(p inventory.Partition) (inventory.NodeKey, error) {
	const managed = "ManagedInstance"
	if r.Type != managed {
		return inventory.NodeKey{}, inventory.Errorf(inventory.InvalidResourceType, "Resources of type %s aren't kept here; only %s and Association have tags.", r.Type, managed)
	}
	return inventory.NodeKey{Partition: p, Node: inventory.NodeID(r.ID)}, nil
}

func unknownResource(id string) error {
	return inventory.Errorf(inventory.InvalidResourceID, "The node %s isn't known here. GetInventory lists the nodes.", clip(id))
}

// AddTags gives a node or an association tags, over those it has with the same keys. A node's are its AWS:Tag in inventory.
func (s *Service) AddTags(ctx context.Context, p inventory.Partition, r Resource, tags []Tag) error {
	return s.changeTags(ctx, p, r, func(all map[string]string) {
		for _, t := range tags {
			all[t.Key] = t.Value
		}
	})
}

// RemoveTags takes tags away, by their keys; one that is not there is no error.
func (s *Service) RemoveTags(ctx context.Context, p inventory.Partition, r Resource, keys []string) error {
	return s.changeTags(ctx, p, r, func(all map[string]string) {
		for _, key := range keys {
			delete(all, key)
		}
	})
}

// ListTags gives the tags of a node or an association by key.
func (s *Service) ListTags(ctx context.Context, p inventory.Partition, r Resource) ([]Tag, error) {
	if r.association() {
		return s.associationTags(ctx, p, r.ID)
	}
	key, err := r.node(p)
	if err != nil {
		return nil, err
	}
	all, err := s.contents(ctx, p, []inventory.NodeID{key.Node}, inventory.TypeTag, nil)
	if err != nil {
		return nil, err
	}
	if !all[0].Reports {
		if _, err := s.store.Node(ctx, key); errors.Is(err, store.ErrNotFound) {
			return nil, unknownResource(r.ID)
		} else if err != nil {
			return nil, err
		}
	}
	tags := make([]Tag, len(all[0].Entries))
	for i, e := range all[0].Entries {
		tags[i].Key, _ = e.Get("Key")
		tags[i].Value, _ = e.Get("Value")
	}
	return tags, nil
}

// changeTags changes the tags of a node, by key, and stores what becomes of them.
func (s *Service) changeTags(ctx context.Context, p inventory.Partition, r Resource, change func(all map[string]string)) error {
	if r.association() {
		return s.changeAssociationTags(ctx, p, r.ID, change)
	}
	key, err := r.node(p)
	if err != nil {
		return err
	}
	lock := s.nodes.of(key)
	lock.Lock()
	defer lock.Unlock()
	return retry(ctx, func() error { return s.changeTagsOnce(ctx, key, change) })
}

func (s *Service) changeTagsOnce(ctx context.Context, key inventory.NodeKey, change func(all map[string]string)) error {
	item := inventory.ItemKey{Type: inventory.TypeTag}
	scan, err := s.readNode(ctx, key, item.Type)
	if errors.Is(err, store.ErrNotFound) {
		return unknownResource(string(key.Node))
	}
	if err != nil {
		return err
	}
	before := document(scan, item)
	had, err := s.entries(ctx, documentKey(key, item), before.Refs, nil)
	if err != nil {
		return err
	}
	all := map[string]string{}
	for _, e := range had {
		name, _ := e.Get("Key")
		all[name], _ = e.Get("Value")
	}
	change(all)
	if len(all) > mostTags {
		return inventory.Errorf(inventory.TooManyTags, "The node %s would have %d tags; at most %d are kept.", key.Node, len(all), mostTags)
	}
	has := tagEntries(all)
	if slices.EqualFunc(had, has, slices.Equal[inventory.Entry]) {
		return nil
	}
	commit := store.Commit{Node: scan.Node.Clone()}
	if len(has) == 0 {
		commit.Node.RemoveItem(item)
		commit.Writes = []store.Write{removal(item, before, inventory.CauseStatus)}
	} else {
		schema, _ := inventory.BuiltIn(item.Type)
		after := s.cut(item.Type, inventory.Split{Volatile: schema.Volatile}, has, nil)
		now := time.Now().UTC()
		commit.Node.SetItem(inventory.ItemState{ItemKey: item, SchemaVersion: schema.Version, CaptureTime: captureTime(now), Arrival: now, Entries: len(has)})
		w := after.writeOver(before, inventory.CauseStatus)
		w.Key = item
		commit.Writes = []store.Write{w}
	}
	if err := s.checkRoom(key.Partition, false, commit.Writes); err != nil {
		return err
	}
	_, err = s.commit(ctx, commit)
	return err
}

// tagEntries gives tags as entries of AWS:Tag, by key.
func tagEntries(all map[string]string) []inventory.Entry {
	entries := make([]inventory.Entry, 0, len(all))
	for key, value := range all {
		entries = append(entries, inventory.Entry{{Name: "Key", Value: key}, {Name: "Value", Value: value}})
	}
	slices.SortFunc(entries, func(a, b inventory.Entry) int { return strings.Compare(a[0].Value, b[0].Value) })
	return entries
}
