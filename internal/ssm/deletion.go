package ssm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// Deletion is a deletion job, as it is kept and as DescribeInventoryDeletions tells of it.
type Deletion struct {
	ID           string
	Type         inventory.TypeName
	SchemaOption string `json:",omitempty"`
	Started      time.Time
	Updated      time.Time
	Done         bool
	// Accepted is set once the type was found known while no other deletion could drop it.
	Accepted bool
	// SchemaDone is set once the schema option took effect.
	SchemaDone bool
	// Heads are the shards' sequences at the job's place in time: what was stored at or before them goes, later reports
	// stay. Empty until it has that place.
	Heads []uint64
	// Versions counts what there is to remove; nil until counted.
	Versions []DeletedVersion
	// Lease is the number of the lease under which the job was last worked at.
	Lease uint64 `json:",omitempty"`
}

// DeletedVersion counts the documents (not entries) of one schema version.
type DeletedVersion struct {
	Version   string
	Count     int
	Remaining int
}

// Total and Remaining are the sums over versions.
func (d Deletion) Total() (total, remaining int) {
	for _, v := range d.Versions {
		total += v.Count
		remaining += v.Remaining
	}
	return total, remaining
}

const (
	recordDeletion      = "deletion"       // the job, by partition and id
	recordDeletionToken = "deletion-token" // ClientToken to job id
	recordDeletionType  = "deletion-type"  // the job that runs for a type
	// deletionLife is how long finished jobs are told of (DescribeInventoryDeletions: 30 days).
	deletionLife = 30 * 24 * time.Hour
	// unclaimedLife is how long a job that never began is kept: its caller is long gone, or was refused.
	unclaimedLife = time.Hour
)

func deletionKey(p inventory.Partition, id string) string {
	return store.Key(recordDeletion, p.Account, p.Region, id)
}

// deletionTokenKey digests the token: the API's pattern does not bound its length.
func deletionTokenKey(p inventory.Partition, token string) string {
	sum := sha256.Sum256([]byte(token))
	return store.Key(recordDeletionToken, p.Account, p.Region, hex.EncodeToString(sum[:16]))
}

func deletionTypeKey(p inventory.Partition, t inventory.TypeName) string {
	return store.Key(recordDeletionType, p.Account, p.Region, string(t))
}

func newDeletion(in DeleteInventoryInput) Deletion {
	now := time.Now().UTC().Truncate(time.Millisecond)
	return Deletion{Type: in.Type, SchemaOption: in.SchemaOption, Started: now, Updated: now}
}

// settled reports whether the deletion has its place in time: the schema is as it leaves it, and the heads are taken.
func (d *Deletion) settled() bool {
	return len(d.Heads) > 0 && (d.SchemaOption == "" || d.SchemaDone)
}

// begun reports whether callers may be told of it.
func (d *Deletion) begun() bool { return d.settled() && d.Versions != nil }

// covers reports whether the deletion removes a document.
func (d *Deletion) covers(node inventory.NodeKey, state inventory.ItemState) bool {
	return len(d.Heads) > 0 && state.Type == d.Type && state.Seq <= d.Heads[store.ShardOf(node, len(d.Heads))]
}

func deletionRuns(t inventory.TypeName, id string) error {
	return inventory.Errorf(inventory.InvalidInventoryRequest, "A deletion of %s is under way already (%s). DescribeInventoryDeletions tells when it is complete.", t, id)
}

// deletion gives a job and its record's revision, or ErrNotFound.
func (s *Service) deletion(ctx context.Context, p inventory.Partition, id string) (Deletion, uint64, error) {
	return readDeletion(ctx, s.store, p, id)
}

func readDeletion(ctx context.Context, records store.Records, p inventory.Partition, id string) (Deletion, uint64, error) {
	rec, err := records.Record(ctx, deletionKey(p, id))
	if err != nil {
		return Deletion{}, 0, err
	}
	d, err := parseDeletion(rec)
	return d, rec.Revision, err
}

func parseDeletion(rec store.Record) (Deletion, error) {
	var d Deletion
	if err := json.Unmarshal(rec.Value, &d); err != nil {
		return d, fmt.Errorf("%w: record %s: %w", store.ErrCorrupt, rec.Key, err)
	}
	return d, nil
}

// runningDeletions gives the deletions of a partition that are claimed and not done, by type; nil where there are none.
func runningDeletions(ctx context.Context, records store.Records, p inventory.Partition) (map[inventory.TypeName]*Deletion, error) {
	var running map[inventory.TypeName]*Deletion
	err := eachRecord(ctx, records, store.Key(recordDeletionType, p.Account, p.Region, ""), func(claim store.Record) error {
		d, _, err := readDeletion(ctx, records, p, string(claim.Value))
		if errors.Is(err, store.ErrNotFound) || err == nil && d.Done {
			return nil
		}
		if running == nil {
			running = map[inventory.TypeName]*Deletion{}
		}
		running[d.Type] = &d
		return err
	})
	return running, err
}

// deletionByToken gives the job an earlier call with the same ClientToken made, nil where there is none. The job may not
// have begun: the call is still on its way on some server, or died on it. Who repeats the call carries it on.
func (s *Service) deletionByToken(ctx context.Context, p inventory.Partition, in DeleteInventoryInput) (*deletionJob, error) {
	if in.ClientToken == "" {
		return nil, nil
	}
	rec, err := s.store.Record(ctx, deletionTokenKey(p, in.ClientToken))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	j := &deletionJob{service: s, partition: p}
	j.state, j.revision, err = s.deletion(ctx, p, string(rec.Value))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil // long forgotten, or refused
	}
	if err == nil && (j.state.Type != in.Type || j.state.SchemaOption != in.SchemaOption || in.DryRun) {
		err = inventory.Errorf(inventory.InvalidDeleteInventoryParameters, "The ClientToken was used before with other parameters. Repeat them unchanged, or choose another token.")
	}
	return j, err
}
