package ssm

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// DeleteInventoryInput asks for the removal of a type's data from all nodes.
type DeleteInventoryInput struct {
	Type inventory.TypeName
	// SchemaOption is "", DisableSchema or DeleteSchema.
	SchemaOption string
	DryRun       bool
	ClientToken  string
}

// The schema options of DeleteInventory.
const (
	DisableSchema = "DisableSchema"
	DeleteSchema  = "DeleteSchema"
)

// DeleteInventory starts a job that removes all data of a Custom type; its summary says what there is to remove. A dry
// run only gives the summary, and no id.
//
// With other calls and reports, on whichever server, it has one place in time: what was stored before goes, what is
// reported after it returned stays and is judged by the schema it left. How that is reached is told at deletionJob.
func (s *Service) DeleteInventory(ctx context.Context, p inventory.Partition, in DeleteInventoryInput) (Deletion, error) {
	if in.DryRun {
		return s.dryRun(ctx, p, in)
	}
	var d Deletion
	err := retry(ctx, func() (err error) {
		d, err = s.startDeletion(ctx, p, in)
		return err
	})
	return d, err
}

func (s *Service) dryRun(ctx context.Context, p inventory.Partition, in DeleteInventoryInput) (Deletion, error) {
	if _, err := s.deletionByToken(ctx, p, in); err != nil {
		return Deletion{}, err
	}
	if err := s.checkDeletable(ctx, p, in); err != nil {
		return Deletion{}, err
	}
	heads, err := s.sequences(ctx)
	if err != nil {
		return Deletion{}, err
	}
	d := newDeletion(in)
	d.Versions, err = s.countVersions(ctx, p, in.Type, heads)
	return d, err
}

// startDeletion makes the job durable and has it take its place in time. ErrConflict: another call with the same token
// did something to the same job; look again.
func (s *Service) startDeletion(ctx context.Context, p inventory.Partition, in DeleteInventoryInput) (Deletion, error) {
	j, err := s.deletionByToken(ctx, p, in)
	if err != nil {
		return Deletion{}, err
	}
	if j == nil {
		if err := s.checkDeletable(ctx, p, in); err != nil {
			if j, again := s.deletionByToken(ctx, p, in); j != nil && again == nil {
				return Deletion{}, fmt.Errorf("the same call got ahead: %w", store.ErrConflict)
			}
			return Deletion{}, err
		}
		// A write given up halfway may still happen; from here on the caller going away would leave a job half made.
		ctx = context.WithoutCancel(ctx)
		if j, err = s.newDeletionJob(ctx, p, in); err != nil {
			return Deletion{}, err
		}
	}
	ctx = context.WithoutCancel(ctx)
	if !j.state.begun() {
		if err := j.claim(ctx); err != nil {
			if inventory.CodeOf(err) == inventory.InvalidInventoryRequest {
				j.discard(ctx, in.ClientToken)
			}
			return Deletion{}, err
		}
		err := j.begin(ctx)
		if errors.Is(err, store.ErrNotFound) {
			err = fmt.Errorf("the deletion was refused, here or by the same call elsewhere: %w", store.ErrConflict)
		}
		if err != nil {
			return Deletion{}, err
		}
	}
	s.wakeDeletions()
	return j.state, nil
}

// checkDeletable refuses types that are not known, or not the account's own.
func (s *Service) checkDeletable(ctx context.Context, p inventory.Partition, in DeleteInventoryInput) error {
	types, err := s.schemas.catalogue(ctx, p)
	if err != nil {
		return err
	}
	if _, known := types.custom[in.Type]; !known {
		return inventory.Errorf(inventory.InvalidTypeName, "%s isn't a custom inventory type known here. Only types that begin with Custom: can be deleted.", in.Type)
	}
	return nil
}

// sequences gives the shards' heads of now.
func (s *Service) sequences(ctx context.Context) ([]uint64, error) {
	positions, err := s.store.Heads(ctx)
	heads := make([]uint64, len(positions))
	for i, at := range positions {
		heads[i] = at.Seq
	}
	return heads, err
}

// countVersions gives the documents of a type at or before the heads, by schema version.
func (s *Service) countVersions(ctx context.Context, p inventory.Partition, t inventory.TypeName, heads []uint64) ([]DeletedVersion, error) {
	counts := map[string]int{}
	err := s.eachReporting(ctx, p, t, func(n inventory.Node) error {
		shard := store.ShardOf(n.Key, len(heads))
		for _, state := range n.ItemsOf(t) {
			if state.Seq <= heads[shard] {
				counts[state.SchemaVersion]++
			}
		}
		return nil
	})
	versions := []DeletedVersion{}
	for v, n := range counts {
		versions = append(versions, DeletedVersion{Version: v, Count: n, Remaining: n})
	}
	slices.SortFunc(versions, func(a, b DeletedVersion) int { return compareVersions(a.Version, b.Version) })
	return versions, err
}

// eachReporting calls f for every node that reports a type, as of now. A node that goes away meanwhile is passed over.
func (s *Service) eachReporting(ctx context.Context, p inventory.Partition, t inventory.TypeName, f func(inventory.Node) error) error {
	idx, err := s.index(ctx)
	if err != nil {
		return err
	}
	reporting, err := idx.Reporting(ctx, p, t)
	if err != nil {
		return err
	}
	return s.eachNode(ctx, p, reporting, f)
}

// DescribeInventoryDeletionsInput asks for one job, or for all of the last 30 days.
type DescribeInventoryDeletionsInput struct {
	ID         string
	MaxResults int
	NextToken  string
}

// DescribeInventoryDeletionsOutput is one page of jobs, newest first.
type DescribeInventoryDeletionsOutput struct {
	Deletions []Deletion
	NextToken string
}

// deletionsPage is the largest page of jobs (API model: 1 to 50).
const deletionsPage = 50

// DescribeInventoryDeletions tells how deletion jobs stand.
func (s *Service) DescribeInventoryDeletions(ctx context.Context, p inventory.Partition, in DescribeInventoryDeletionsInput) (DescribeInventoryDeletionsOutput, error) {
	var out DescribeInventoryDeletionsOutput
	asked, err := question(in.ID)
	if err != nil {
		return out, err
	}
	from, err := s.openToken(p, "DescribeInventoryDeletions", asked, in.NextToken)
	if err != nil {
		return out, err
	}
	if in.ID != "" {
		d, _, err := s.deletion(ctx, p, in.ID)
		if err == nil && !d.begun() {
			err = store.ErrNotFound
		}
		if errors.Is(err, store.ErrNotFound) {
			return out, inventory.Errorf(inventory.InvalidDeletionID, "There is no deletion with the id %s. DescribeInventoryDeletions without DeletionId lists those of the last 30 days.", clip(in.ID))
		}
		out.Deletions = []Deletion{d}
		return out, err
	}
	all, err := s.recentDeletions(ctx, p)
	if err != nil {
		return out, err
	}
	if from != nil {
		all = slices.DeleteFunc(all, func(d Deletion) bool { return deletionOrder(d) >= from.After })
	}
	if limit := pageSize(in.MaxResults, deletionsPage); len(all) > limit {
		all = all[:limit]
		out.NextToken, err = s.sealToken(p, "DescribeInventoryDeletions", asked, token{After: deletionOrder(all[limit-1])})
	}
	out.Deletions = all
	return out, err
}

// deletionOrder sorts jobs by start, then id; listings run from the greatest down.
func deletionOrder(d Deletion) string {
	return fmt.Sprintf("%020d/%s", max(d.Started.UnixNano(), 0), d.ID)
}

func (s *Service) recentDeletions(ctx context.Context, p inventory.Partition) ([]Deletion, error) {
	var all []Deletion
	oldest := time.Now().Add(-deletionLife)
	err := eachRecord(ctx, s.store, store.Key(recordDeletion, p.Account, p.Region, ""), func(rec store.Record) error {
		d, err := parseDeletion(rec)
		if err == nil && d.begun() && (!d.Done || d.Started.After(oldest)) {
			all = append(all, d)
		}
		return err
	})
	slices.SortFunc(all, func(a, b Deletion) int { return cmp.Compare(deletionOrder(b), deletionOrder(a)) })
	return all, err
}

// newUUID makes a random (version 4) UUID in lower case, the form the API's pattern asks for.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // crypto/rand does not fail
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
