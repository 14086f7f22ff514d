package ssm

import (
	"context"
	"errors"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

const (
	// runLife is how long the runs are told of that a node had while it was among the targets of an association.
	runLife = 30 * 24 * time.Hour
	// mostPruned bounds the records of one kind that one pass drops; the next pass goes on.
	mostPruned = 20_000
)

// pruneAssociations drops what is left of associations that were deleted and of nodes that were removed: runs, versions
// and claims.
func (s *Service) pruneAssociations(ctx context.Context) error {
	there := map[string]bool{}
	err := eachRecord(ctx, s.store, store.Key(recordAssociation, ""), func(rec store.Record) error {
		parts := store.KeyParts(rec.Key)
		there[parts[len(parts)-1]] = true
		return nil
	})
	if err != nil {
		return err
	}
	// An association made since is not among them: runs of the last hour stay, and the others are looked at once more.
	young := time.Now().Add(-time.Hour)
	if err := s.pruneRuns(ctx, there, young); err != nil {
		return err
	}
	if err := s.pruneBelow(ctx, recordAssociationVersion, there, func(rec store.Record) string { return store.KeyParts(rec.Key)[3] }); err != nil {
		return err
	}
	return s.pruneBelow(ctx, recordAssociationClaim, there, func(rec store.Record) string { return string(rec.Value) })
}

var errEnough = errors.New("enough for one pass")

// pruneBelow drops the records of a family whose association is not there.
func (s *Service) pruneBelow(ctx context.Context, family string, there map[string]bool, association func(store.Record) string) error {
	var old []store.Record
	err := eachRecord(ctx, s.store, store.Key(family, ""), func(rec store.Record) error {
		if !there[association(rec)] {
			old = append(old, rec)
		}
		if len(old) >= mostPruned {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	for _, rec := range old {
		parts := store.KeyParts(rec.Key)
		_, err := s.store.Record(ctx, associationKey(inventory.Partition{Account: parts[1], Region: parts[2]}, association(rec)))
		if errors.Is(err, store.ErrNotFound) {
			err = s.dropRecord(ctx, rec)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// dropRecord removes a record unless it was written since it was read.
func (s *Service) dropRecord(ctx context.Context, rec store.Record) error {
	err := s.store.DeleteRecord(ctx, rec.Key, rec.Revision)
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// pruneRuns drops runs whose association or node is gone, and those of a node that has long not been among the targets.
func (s *Service) pruneRuns(ctx context.Context, there map[string]bool, young time.Time) error {
	dropped := 0
	for after := ""; dropped < mostPruned; {
		recs, err := s.store.ListRecords(ctx, store.Key(recordRun, ""), after, readMost)
		if err != nil || len(recs) == 0 {
			return err
		}
		after = recs[len(recs)-1].Key
		nodes, err := s.runNodes(ctx, recs)
		if err != nil {
			return err
		}
		for _, rec := range recs {
			association, key, r, err := parseRun(rec)
			if err != nil {
				return err
			}
			lost := !nodes[key] || !there[association] && r.touched().Before(young)
			if !lost && (r.Gone.IsZero() || time.Since(r.Gone) < runLife) {
				continue
			}
			if err := s.dropRecord(ctx, rec); err != nil {
				return err
			}
			s.runs.forget(key, association)
			dropped++
		}
	}
	return nil
}

// touched gives about when the run was written last.
func (r *run) touched() time.Time {
	at := later(r.Last, r.Gone)
	if len(r.Past) > 0 {
		at = later(at, r.Past[0].At)
	}
	return at
}

// runNodes gives which of the nodes of some runs there are.
func (s *Service) runNodes(ctx context.Context, recs []store.Record) (map[inventory.NodeKey]bool, error) {
	var keys []inventory.NodeKey
	for _, rec := range recs {
		_, key, _, err := parseRun(rec)
		if err != nil {
			return nil, err
		}
		if len(keys) == 0 || keys[len(keys)-1] != key { // runs of a node lie together
			keys = append(keys, key)
		}
	}
	scans, err := s.store.Read(ctx, keys, nil)
	if err != nil {
		return nil, err
	}
	nodes := map[inventory.NodeKey]bool{}
	for _, scan := range scans {
		nodes[scan.Node.Key] = true
	}
	return nodes, nil
}
