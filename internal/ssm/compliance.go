package ssm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// PutComplianceInput says how far a node complies with something.
type PutComplianceInput struct {
	Resource Resource
	// Type is Association, Patch or Custom:..., each a set of items of its own.
	Type          string
	ExecutionTime time.Time
	ExecutionID   string
	ExecutionType string
	// Hash is the reporter's own digest of the items; with the one stored, the items stay whatever is sent.
	Hash string
	// Partial items take the place of those with the same ids; otherwise the items are all there are.
	Partial bool
	Items   []ComplianceItem
	Bytes   int // of the call, as received
}

// ComplianceItem is one thing a node complies with, or does not.
type ComplianceItem struct {
	ID, Title, Severity, Status string
	Details                     inventory.Entry
}

// complianceUpload is what a report of compliance is besides an item of AWS:ComplianceItem.
type complianceUpload struct {
	partial  bool
	executed string // when, in the form that sorts as time does
	ids      []string
}

// associationCompliance is the one type of which parts can be sent: each association's agent sends its own.
const associationCompliance = "Association"

// PutComplianceItems takes a node's compliance items of one type, as its AWS:ComplianceItem. What was executed before what
// is stored is passed over. Nodes do not enrol by it.
func (s *Service) PutComplianceItems(ctx context.Context, p inventory.Partition, in PutComplianceInput) error {
	key := inventory.NodeKey{Partition: p, Node: inventory.NodeID(in.Resource.ID)}
	if in.Resource.Type != "ManagedInstance" {
		return inventory.Errorf(inventory.InvalidResourceType, "Compliance is kept of the ResourceType ManagedInstance alone, not of %s.", clip(in.Resource.Type))
	}
	if !key.Node.Valid() {
		return unknownResource(in.Resource.ID)
	}
	if in.Partial {
		if err := s.checkPartial(ctx, p, in); err != nil {
			return err
		}
	}
	schema, _ := inventory.BuiltIn(inventory.TypeComplianceItem)
	upload := &complianceUpload{partial: in.Partial, executed: captureTime(in.ExecutionTime)}
	item := inventory.Item{
		Type: schema.Type, SchemaVersion: schema.Version, CaptureTime: captureTime(time.Now()), ContentHash: in.Hash,
		HasContent: true, Content: make([]inventory.Entry, len(in.Items)), Bytes: in.Bytes,
		Context: withoutEmpty(inventory.Entry{
			{Name: "ComplianceType", Value: in.Type},
			{Name: "ExecutionId", Value: in.ExecutionID},
			{Name: "ExecutionTime", Value: upload.executed},
			{Name: "ExecutionType", Value: in.ExecutionType},
		}),
	}
	for i, it := range in.Items {
		upload.ids = append(upload.ids, it.ID)
		item.Content[i] = withoutEmpty(it.Details.Merge(inventory.Entry{
			{Name: "Id", Value: it.ID}, {Name: "Severity", Value: it.Severity}, {Name: "Status", Value: it.Status}, {Name: "Title", Value: it.Title},
		}))
	}
	_, err := s.PutInventory(ctx, p, PutInventoryInput{Node: key.Node, Items: []inventory.Item{item}, upload: upload})
	return complianceError(err)
}

// withoutEmpty drops what says nothing: agents send it, and answers do not repeat it.
func withoutEmpty(e inventory.Entry) inventory.Entry {
	return slices.DeleteFunc(slices.Clone(e), func(a inventory.Attribute) bool { return a.Value == "" })
}

// checkPartial judges whether items may be sent in parts.
func (s *Service) checkPartial(ctx context.Context, p inventory.Partition, in PutComplianceInput) error {
	if in.Type != associationCompliance {
		return inventory.Errorf(inventory.InvalidRequest, "UploadType PARTIAL goes with the ComplianceType Association alone. Send all items of %s.", clip(in.Type))
	}
	for _, it := range in.Items {
		if it.ID == "" {
			return inventory.ItemErrorf(inventory.InvalidItemContent, inventory.TypeComplianceItem, "Items sent in part need the Id of their association.")
		}
		a, _, err := s.association(ctx, p, it.ID)
		switch {
		case inventory.CodeOf(err) == inventory.AssociationDoesNotExist:
		case err != nil:
			return err
		case a.SyncCompliance != "MANUAL":
			return inventory.ItemErrorf(inventory.InvalidItemContent, inventory.TypeComplianceItem,
				"The association %s keeps its compliance itself. Set its SyncCompliance to MANUAL to report it.", clip(it.ID))
		}
	}
	return nil
}

// complianceError gives refusals of reports the codes that reports of compliance have for them.
func complianceError(err error) error {
	var refusal *inventory.Error
	if !errors.As(err, &refusal) {
		return err
	}
	codes := map[inventory.Code]inventory.Code{
		inventory.InvalidInstanceID:         inventory.InvalidResourceID,
		inventory.SubTypeCountLimitExceeded: inventory.ComplianceTypeCountLimitExceeded,
	}
	if code, ok := codes[refusal.Code]; ok {
		return &inventory.Error{Code: code, Type: refusal.Type, Message: refusal.Message}
	}
	return err
}

// complete turns a report of compliance into one of all the items of its type. stale: what is stored was executed later,
// and stays.
func (r *report) complete(ctx context.Context, upload *complianceUpload, items []inventory.Item) (all []inventory.Item, stale bool, err error) {
	if r.enrolls {
		return nil, false, unknownResource(string(r.key.Node))
	}
	sub, _ := items[0].Context.Get("ComplianceType")
	key := inventory.ItemKey{Type: inventory.TypeComplianceItem, SubType: sub}
	state := r.node.Item(key)
	if state == nil || r.doomed(key, state) {
		return items, false, nil
	}
	// A time that has not come is of a clock that lied, and must not keep true ones out until then.
	executed, _ := state.Context.Get("ExecutionTime")
	if upload.executed < executed && executed <= captureTime(r.now.Add(aheadMost)) {
		return nil, true, nil
	}
	if !upload.partial {
		return items, false, nil
	}
	kept, err := r.keptItems(ctx, key, upload.ids)
	if err != nil {
		return nil, false, err
	}
	all = slices.Clone(items)
	all[0].Content = append(kept, items[0].Content...)
	all[0].ContentHash = "" // it is of the part
	return all, false, nil
}

// keptItems gives the stored items that have none of the ids.
func (r *report) keptItems(ctx context.Context, key inventory.ItemKey, ids []string) ([]inventory.Entry, error) {
	if !slices.Contains(r.read.types, key.Type) {
		scan, err := r.readTypes(ctx, []inventory.TypeName{key.Type})
		if err == nil && scan.Node.Revision != r.before.Revision {
			err = fmt.Errorf("node %s: %w", r.key.Node, store.ErrConflict)
		}
		if err != nil {
			return nil, err
		}
	}
	stored, err := r.s.entries(ctx, documentKey(r.key, key), r.read.documents[key].Refs, nil)
	if errors.Is(err, store.ErrNotFound) {
		err = fmt.Errorf("node %s was written since it was read: %w", r.key.Node, store.ErrConflict)
	}
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(withoutContext(stored, key.Type), func(e inventory.Entry) bool {
		id, _ := e.Get("Id")
		return slices.Contains(ids, id)
	}), nil
}
