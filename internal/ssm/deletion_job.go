package ssm

import (
	"context"
	"encoding/json"
	"errors"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// deletionJob carries out one Deletion, step by step. Every step is written down in the job's record by compare-and-swap
// and does nothing when it was done before, so that any server can do any of them, at the same time as another, or after
// the one that began died:
//
//  1. The record is put. A job that no claim names is inert.
//  2. The ClientToken is made to lead to it. A call with the same token now finds this job and goes on with it.
//  3. claim: the type's claim names the job. Of racing calls one gets it; the others are refused.
//  4. accept: the type is looked up again, as an earlier deletion may have dropped it before the claim was had; from the
//     claim on none can. An unknown one ends the job.
//  5. settle: the schema option takes effect, then the fence of types is raised, then the heads are taken.
//  6. count: what there is to remove is counted. The call returns.
//  7. The holder of the lease on deletions removes what is at or before the heads, and marks the job done.
//
// A report of the type meets a deletion in one of these ways:
//   - It read the catalogue before the claim, and its commit took effect before the fence was raised: the heads are taken
//     later and cover it. It comes before the deletion and goes with it, by whatever schema it was judged.
//   - It read the catalogue before the claim, and commits after the fence was raised: ErrFenced. It is judged anew.
//   - It finds the claim and no heads: it settles the deletion itself (it would otherwise have to wait for a server that
//     may be dead), and is judged anew.
//   - It finds the heads, or the job done: it comes after the deletion. The schema is what the deletion left; documents
//     that are still to go count as gone, so that it is stored past the heads whatever it says.
//   - It changes nothing but the node's record (hash and version are those stored): it carries no fence. If the document
//     was stored before the heads it goes, and the report comes before the deletion, with which it overlaps: one that
//     began later would have found the claim.
//
// A document cut anew carries the same fence, so that it cannot be carried over the heads either.
type deletionJob struct {
	service   *Service
	partition inventory.Partition
	state     Deletion
	revision  uint64
}

// newDeletionJob does steps 1 and 2. ErrConflict: another call took the token.
func (s *Service) newDeletionJob(ctx context.Context, p inventory.Partition, in DeleteInventoryInput) (*deletionJob, error) {
	j := &deletionJob{service: s, partition: p, state: newDeletion(in)}
	j.state.ID = newUUID()
	if err := j.put(ctx, j.state); err != nil || in.ClientToken == "" {
		return j, err
	}
	token := store.Record{Key: deletionTokenKey(p, in.ClientToken), Value: []byte(j.state.ID)}
	old, err := s.store.Record(ctx, token.Key)
	if err == nil {
		if _, _, err := s.deletion(ctx, p, string(old.Value)); err == nil {
			j.discard(ctx, "")
			return nil, store.ErrConflict
		} else if !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		token.Revision = old.Revision // it leads to a job that is long forgotten, or was refused
	} else if !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	if _, err := s.store.PutRecord(ctx, token); err != nil {
		if errors.Is(err, store.ErrConflict) {
			j.discard(ctx, "")
		}
		return nil, err
	}
	return j, nil
}

// discard drops a job that was refused, and the token that leads to it. What it fails to drop goes with unclaimedLife.
func (j *deletionJob) discard(ctx context.Context, token string) {
	records := j.service.store
	if err := records.DeleteRecord(ctx, deletionKey(j.partition, j.state.ID), j.revision); err != nil || token == "" {
		return // the same call goes on with it elsewhere
	}
	if rec, err := records.Record(ctx, deletionTokenKey(j.partition, token)); err == nil && string(rec.Value) == j.state.ID {
		_ = records.DeleteRecord(ctx, rec.Key, rec.Revision)
	}
}

// put writes the job's record.
func (j *deletionJob) put(ctx context.Context, d Deletion) error {
	text, err := json.Marshal(d)
	if err != nil {
		return err
	}
	revision, err := j.service.store.PutRecord(ctx, store.Record{Key: deletionKey(j.partition, d.ID), Value: text, Revision: j.revision})
	if err == nil {
		j.state, j.revision = d, revision
	}
	return err
}

// update writes a step down. It is given the job as of now, and gives whether there is anything to write.
func (j *deletionJob) update(ctx context.Context, step func(d *Deletion) (news bool, err error)) error {
	return retry(ctx, func() error {
		next := j.state
		news, err := step(&next)
		if err != nil || !news {
			return err
		}
		err = j.put(ctx, next)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
		d, revision, gone := j.service.deletion(ctx, j.partition, j.state.ID)
		if gone != nil {
			return gone
		}
		j.state, j.revision = d, revision
		return err
	})
}

// claim does step 3. InvalidInventoryRequest: another deletion of the type is under way.
func (j *deletionJob) claim(ctx context.Context) error {
	s := j.service
	return retry(ctx, func() error {
		claim := store.Record{Key: deletionTypeKey(j.partition, j.state.Type), Value: []byte(j.state.ID)}
		old, err := s.store.Record(ctx, claim.Key)
		if err == nil {
			if string(old.Value) == j.state.ID {
				return nil
			}
			running, _, err := s.deletion(ctx, j.partition, string(old.Value))
			if err == nil && !running.Done {
				return deletionRuns(j.state.Type, running.ID)
			}
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			claim.Revision = old.Revision
		} else if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		_, err = s.store.PutRecord(ctx, claim)
		return err
	})
}

// accept does step 4. ErrNotFound: the type is unknown, and the job is no more.
func (j *deletionJob) accept(ctx context.Context) error {
	s := j.service
	return retry(ctx, func() error {
		if j.state.Accepted {
			return nil
		}
		types, err := s.schemas.catalogue(ctx, j.partition)
		if err != nil {
			return err
		}
		if _, known := types.custom[j.state.Type]; known {
			return j.update(ctx, func(d *Deletion) (bool, error) {
				news := !d.Accepted
				d.Accepted = true
				return news, nil
			})
		}
		err = s.store.DeleteRecord(ctx, deletionKey(j.partition, j.state.ID), j.revision)
		if errors.Is(err, store.ErrConflict) { // accepted elsewhere: a report taught the type before this one looked
			d, revision, gone := s.deletion(ctx, j.partition, j.state.ID)
			if gone != nil {
				return gone
			}
			j.state, j.revision = d, revision
		}
		if err == nil {
			_ = j.unclaim(ctx) // a claim of no job binds nobody
			err = store.ErrNotFound
		}
		return err
	})
}

// begin does steps 4 to 6. ErrNotFound: the job was refused.
func (j *deletionJob) begin(ctx context.Context) error {
	if err := j.settle(ctx); err != nil || j.state.Versions != nil {
		return err
	}
	versions, err := j.service.countVersions(ctx, j.partition, j.state.Type, j.state.Heads)
	if err != nil {
		return err
	}
	return j.update(ctx, func(d *Deletion) (bool, error) {
		if d.Versions != nil {
			return false, nil // counted before any of it was removed
		}
		d.Versions = versions
		return true, nil
	})
}

// settle gives the deletion its place in time.
func (j *deletionJob) settle(ctx context.Context) error {
	if j.state.settled() {
		return nil
	}
	if err := j.accept(ctx); err != nil {
		return err
	}
	if j.state.SchemaOption != "" {
		if err := j.service.schemas.settleOption(ctx, j.partition, &j.state); err != nil {
			return err
		}
	}
	if err := j.service.schemas.raise(ctx); err != nil {
		return err
	}
	heads, err := j.service.sequences(ctx)
	if err != nil {
		return err
	}
	return j.update(ctx, func(d *Deletion) (bool, error) {
		if d.settled() {
			return false, nil
		}
		if len(d.Heads) == 0 {
			d.Heads = heads
		}
		d.SchemaDone = d.SchemaOption != ""
		return true, nil
	})
}

// helpSettle settles the deletions of a report's types that another call has claimed and not settled yet. It gives whether
// there were any.
func (s *Service) helpSettle(ctx context.Context, p inventory.Partition, c *catalogue, items []inventory.Item) (helped bool, err error) {
	for _, it := range items {
		d := c.deletions[it.Type]
		if d == nil || d.settled() {
			continue
		}
		j := &deletionJob{service: s, partition: p}
		j.state, j.revision, err = s.deletion(ctx, p, d.ID)
		if err == nil {
			err = j.settle(ctx)
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) { // not found: it was refused in the end
			return false, err
		}
		helped = true
	}
	return helped, nil
}

// settleDeletions gives their place in time to deletions whose caller died, before this server answers anything.
func (s *Service) settleDeletions(ctx context.Context) error {
	return s.eachClaimed(ctx, func(j *deletionJob) error {
		if j.state.begun() {
			return nil
		}
		err := j.begin(ctx)
		if errors.Is(err, store.ErrNotFound) {
			return nil // it was refused in the end
		}
		return err
	})
}

// eachClaimed calls f for the jobs of all partitions that are claimed and not done.
func (s *Service) eachClaimed(ctx context.Context, f func(j *deletionJob) error) error {
	return eachRecord(ctx, s.store, store.Key(recordDeletionType, ""), func(claim store.Record) error {
		parts := store.KeyParts(claim.Key)
		j := &deletionJob{service: s, partition: inventory.Partition{Account: parts[1], Region: parts[2]}}
		var err error
		j.state, j.revision, err = s.deletion(ctx, j.partition, string(claim.Value))
		switch {
		case errors.Is(err, store.ErrNotFound):
			return nil
		case err != nil:
			return err
		case j.state.Done:
			return j.unclaim(ctx)
		}
		return f(j)
	})
}

// unclaim drops the claim of a job that is done.
func (j *deletionJob) unclaim(ctx context.Context) error {
	records := j.service.store
	rec, err := records.Record(ctx, deletionTypeKey(j.partition, j.state.Type))
	if err == nil && string(rec.Value) == j.state.ID {
		err = records.DeleteRecord(ctx, rec.Key, rec.Revision)
	}
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
		return nil // the next deletion of the type has claimed it
	}
	return err
}
