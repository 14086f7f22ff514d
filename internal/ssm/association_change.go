package ssm

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// CreateAssociationInput is an association to make.
type CreateAssociationInput struct {
	AssociationSettings
	Node inventory.NodeID // a single node, in the place of targets; "" for none
	Tags []Tag
}

// CreateAssociation makes an association. The nodes it is for are told when they next ask, and run it at once.
func (s *Service) CreateAssociation(ctx context.Context, p inventory.Partition, in CreateAssociationInput) (DescribedAssociation, error) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	a := Association{ID: newUUID(), Version: 1, Created: now, Updated: now, Node: in.Node, AssociationSettings: in.AssociationSettings}
	if a.Node != "" {
		if len(a.Targets) > 0 {
			return DescribedAssociation{}, inventory.Errorf(inventory.InvalidTarget, "InstanceId and Targets can't both be given. Use Targets.")
		}
		if _, err := s.store.Node(ctx, inventory.NodeKey{Partition: p, Node: a.Node}); errors.Is(err, store.ErrNotFound) {
			return DescribedAssociation{}, unknownNode(a.Node)
		} else if err != nil {
			return DescribedAssociation{}, err
		}
		a.Targets = []Target{{Key: idTarget, Values: []string{string(a.Node)}}}
		a.Status = &AssociationStatus{At: now, Name: "Associated", Message: "Associated with " + a.Document}
	}
	if err := s.checkAssociation(&a.AssociationSettings); err != nil {
		return DescribedAssociation{}, err
	}
	if err := s.checkSchedule(a.AssociationSettings, "", now); err != nil {
		return DescribedAssociation{}, err
	}
	var err error
	if a.Tags, err = mergedTags(nil, in.Tags); err != nil {
		return DescribedAssociation{}, err
	}
	l, err := s.associations(ctx, p)
	if err != nil {
		return DescribedAssociation{}, err
	}
	if len(l.all) >= mostAssociations {
		return DescribedAssociation{}, inventory.Errorf(inventory.AssociationLimitExceeded, "There are %d associations already, and there can't be more. Delete some.", mostAssociations)
	}
	if err := l.room(&a); err != nil {
		return DescribedAssociation{}, err
	}
	if err := s.putAssociation(ctx, p, a, store.Record{Key: associationKey(p, a.ID)}); err != nil {
		return DescribedAssociation{}, err
	}
	return DescribedAssociation{Association: a, Overview: AssociationOverview{Status: statusPending, Detailed: "Creating"}}, nil
}

// room reports why a node could not be named by one association more.
func (l *associationList) room(a *Association) error {
	ids, _ := a.ids()
	for _, id := range ids {
		n := 0
		for _, h := range l.byNode[id] {
			if h.ID != a.ID {
				n++
			}
		}
		if n >= mostNodeAssociations {
			return inventory.Errorf(inventory.AssociationLimitExceeded, "The node %s has %d associations already, and can't have more.", id, n)
		}
	}
	return nil
}

// claim is something one association can have at a time.
type claim struct {
	key     string
	held    func(a *Association) bool // whether an association still is what it claimed
	refusal error
}

// claims gives what an association claims: to be the one for every node, and to be the one made for a single node.
func (a *Association) claims(p inventory.Partition) []claim {
	var all []claim
	if a.global() {
		all = append(all, claim{
			key:  store.Key(recordAssociationClaim, p.Account, p.Region, "every", a.Document),
			held: func(b *Association) bool { return b.Document == a.Document && b.global() },
			refusal: inventory.Errorf(inventory.AssociationLimitExceeded,
				"Multiple apply all associations with document '%s' are not supported: there is one for InstanceIds=* already. Update or delete it.", a.Document),
		})
	}
	if a.Node != "" {
		all = append(all, claim{
			key:  store.Key(recordAssociationClaim, p.Account, p.Region, "node", string(a.Node), a.Document),
			held: func(b *Association) bool { return b.Document == a.Document && b.Node == a.Node },
			refusal: inventory.Errorf(inventory.AssociationAlreadyExists,
				"The node %s has an association with %s already. Update or delete it.", a.Node, a.Document),
		})
	}
	return all
}

// putAssociation writes an association over its record as it was read, of revision 0 for a new one. What it claims it
// takes before and takes once more after: who found the association missing in between, and is about to take the claim
// over, finds that the claim has moved. Of two that race for one claim, the one that lost it takes itself back.
func (s *Service) putAssociation(ctx context.Context, p inventory.Partition, a Association, before store.Record) error {
	claims := a.claims(p)
	for _, c := range claims {
		if err := retry(ctx, func() error { return s.take(ctx, p, c, a.ID, false) }); err != nil {
			return err
		}
	}
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	revision, err := s.store.PutRecord(ctx, store.Record{Key: before.Key, Value: text, Revision: before.Revision})
	if err != nil {
		return err
	}
	for _, c := range claims {
		refused := retry(ctx, func() error { return s.take(ctx, p, c, a.ID, true) })
		if refused == nil {
			continue
		}
		if before.Revision == 0 {
			err = s.store.DeleteRecord(ctx, before.Key, revision)
		} else {
			_, err = s.store.PutRecord(ctx, store.Record{Key: before.Key, Value: before.Value, Revision: revision})
		}
		// Lists made meanwhile have what was taken back.
		return errors.Join(refused, err, s.touchAssociations(ctx, p))
	}
	return s.touchAssociations(ctx, p)
}

// take takes a claim for an association, unless another has it and is what it claimed to be. One it has already it leaves
// alone, or writes anew.
func (s *Service) take(ctx context.Context, p inventory.Partition, c claim, id string, anew bool) error {
	rec, err := s.store.Record(ctx, c.key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	switch holder := string(rec.Value); holder {
	case id:
		if !anew {
			return nil
		}
	case "":
	default:
		other, err := s.store.Record(ctx, associationKey(p, holder))
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if err == nil {
			b, err := parseAssociation(other)
			if err != nil {
				return err
			}
			if c.held(&b) {
				return c.refusal
			}
		}
	}
	_, err = s.store.PutRecord(ctx, store.Record{Key: c.key, Value: []byte(id), Revision: rec.Revision})
	return err
}

// AssociationFailure is an association of a batch that was not made.
type AssociationFailure struct {
	At  int // in the batch
	Err error
}

// CreateAssociations makes associations, each for itself: one that is refused does not keep the others from being made.
func (s *Service) CreateAssociations(ctx context.Context, p inventory.Partition, batch []CreateAssociationInput) ([]DescribedAssociation, []AssociationFailure, error) {
	seen := map[[2]string]bool{}
	for _, in := range batch {
		pair := [2]string{string(in.Node), in.Document}
		if in.Node != "" && seen[pair] {
			return nil, nil, inventory.Errorf(inventory.DuplicateNode, "The node %s is given twice for the document %s.", in.Node, clip(in.Document))
		}
		seen[pair] = true
	}
	var made []DescribedAssociation
	var failed []AssociationFailure
	for i, in := range batch {
		a, err := s.CreateAssociation(ctx, p, in)
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		if err != nil {
			failed = append(failed, AssociationFailure{At: i, Err: err})
			continue
		}
		made = append(made, a)
	}
	return made, failed, nil
}

// UpdateAssociationInput is the next version of an association. What it leaves out the version does not have, but for the
// document and the targets, which stay.
type UpdateAssociationInput struct {
	ID      string
	Version int // what the caller takes for the newest; 0 does not matter
	AssociationSettings
}

// UpdateAssociation makes a new version of an association. Nodes run it at once, unless it keeps to its ticks.
func (s *Service) UpdateAssociation(ctx context.Context, p inventory.Partition, in UpdateAssociationInput) (DescribedAssociation, error) {
	var next Association
	err := s.changeAssociation(ctx, p, in.ID, func(a *Association, now time.Time) error {
		switch {
		case in.Version != 0 && in.Version != a.Version:
			return inventory.Errorf(inventory.InvalidAssociationVersion, "The version named isn't the newest of the association, which is %d. Only the newest can be updated.", a.Version)
		case a.Version >= mostAssociationVersions:
			return inventory.Errorf(inventory.AssociationVersionLimitExceeded, "The association has %d versions, and can't have more. Delete it and make it anew.", a.Version)
		}
		before := *a
		settings := in.AssociationSettings
		if settings.Document == "" {
			settings.Document = before.Document
		}
		if settings.Targets == nil {
			settings.Targets = before.Targets
		} else {
			a.Node, a.Status = "", nil
		}
		if err := s.checkAssociation(&settings); err != nil {
			return err
		}
		if err := s.checkSchedule(settings, before.Schedule, now); err != nil {
			return err
		}
		a.AssociationSettings, a.Version, a.Updated = settings, before.Version+1, now
		if err := s.keepVersion(ctx, p, before); err != nil {
			return err
		}
		next = *a
		return nil
	})
	if err != nil {
		return DescribedAssociation{}, err
	}
	d, err := s.describe(ctx, p, next)
	d.Overview = AssociationOverview{Status: statusPending, Detailed: "Creating"}
	return d, err
}

// keepVersion keeps a version that is about to be no longer the newest. It is the same whoever keeps it.
func (s *Service) keepVersion(ctx context.Context, p inventory.Partition, a Association) error {
	text, err := json.Marshal(Association{Version: a.Version, Created: a.Created, Updated: a.Updated, Node: a.Node, AssociationSettings: a.AssociationSettings})
	if err != nil {
		return err
	}
	_, err = s.store.PutRecord(ctx, store.Record{Key: associationVersionKey(p, a.ID, a.Version), Value: text})
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

// changeAssociation changes an association's record, from what it is now.
func (s *Service) changeAssociation(ctx context.Context, p inventory.Partition, id string, change func(a *Association, now time.Time) error) error {
	return retry(ctx, func() error {
		a, rec, err := s.association(ctx, p, id)
		if err != nil {
			return err
		}
		// Nodes tell changes apart by their times.
		now := time.Now().UTC().Truncate(time.Millisecond)
		for _, past := range []time.Time{a.Updated, a.Once} {
			if !now.After(past) {
				now = past.Add(time.Millisecond)
			}
		}
		if err := change(&a, now); err != nil {
			return err
		}
		return s.putAssociation(ctx, p, a, rec)
	})
}

// association reads an association and its record.
func (s *Service) association(ctx context.Context, p inventory.Partition, id string) (Association, store.Record, error) {
	rec, err := s.store.Record(ctx, associationKey(p, id))
	if errors.Is(err, store.ErrNotFound) {
		return Association{}, rec, noAssociation(id)
	}
	if err != nil {
		return Association{}, rec, err
	}
	a, err := parseAssociation(rec)
	return a, rec, err
}

// AssociationName names an association by its id, or by its document and the single node it was made for.
type AssociationName struct {
	ID       string
	Document string
	Node     inventory.NodeID
}

// named gives the id of an association.
func (s *Service) named(ctx context.Context, p inventory.Partition, n AssociationName) (string, error) {
	if n.ID != "" {
		return n.ID, nil
	}
	if n.Document == "" || n.Node == "" {
		return "", inventory.Errorf(inventory.InvalidRequest, "Name the association by AssociationId, or by Name and InstanceId.")
	}
	l, err := s.associations(ctx, p)
	if err != nil {
		return "", err
	}
	at := slices.IndexFunc(l.byNode[n.Node], func(h *heldAssociation) bool { return h.Node == n.Node && h.Document == n.Document })
	if at < 0 {
		return "", inventory.Errorf(inventory.AssociationDoesNotExist, "No association of %s was made for the node %s alone. One made with targets is named by its id.", clip(n.Document), n.Node)
	}
	return l.byNode[n.Node][at].ID, nil
}

// DeleteAssociation ends an association. What its nodes said of it is forgotten by and by.
func (s *Service) DeleteAssociation(ctx context.Context, p inventory.Partition, n AssociationName) error {
	id, err := s.named(ctx, p, n)
	if err != nil {
		return err
	}
	err = retry(ctx, func() error {
		_, rec, err := s.association(ctx, p, id)
		if err != nil {
			return err
		}
		if err := s.store.DeleteRecord(ctx, rec.Key, rec.Revision); errors.Is(err, store.ErrNotFound) {
			return noAssociation(id)
		} else if err != nil {
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.touchAssociations(ctx, p)
}

// StartAssociationsOnce has associations run once more on all their nodes: each does when it next asks.
func (s *Service) StartAssociationsOnce(ctx context.Context, p inventory.Partition, ids []string) error {
	for _, id := range ids {
		if _, _, err := s.association(ctx, p, id); err != nil {
			return err
		}
	}
	for _, id := range ids {
		err := s.changeAssociation(ctx, p, id, func(a *Association, now time.Time) error {
			a.Once = now
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// UpdateAssociationStatus keeps what is said of an association that was made for a single node.
func (s *Service) UpdateAssociationStatus(ctx context.Context, p inventory.Partition, n AssociationName, status AssociationStatus) (DescribedAssociation, error) {
	id, err := s.named(ctx, p, n)
	if err != nil {
		return DescribedAssociation{}, err
	}
	var next Association
	err = s.changeAssociation(ctx, p, id, func(a *Association, _ time.Time) error {
		if a.Status != nil && a.Status.Name == status.Name && a.Status.Message == status.Message && a.Status.Additional == status.Additional {
			return inventory.Errorf(inventory.StatusUnchanged, "The association has this status already.")
		}
		a.Status = &status
		next = *a
		return nil
	})
	if err != nil {
		return DescribedAssociation{}, err
	}
	return s.describe(ctx, p, next)
}
