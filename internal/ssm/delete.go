package ssm

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"stocktake/internal/index"
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

// Deletion is a deletion job, as it is kept and as DescribeInventoryDeletions tells of it.
type Deletion struct {
	ID           string
	Type         inventory.TypeName
	SchemaOption string `json:",omitempty"`
	Started      time.Time
	Updated      time.Time
	Done         bool
	// Heads are the shards' sequences at the call: what was stored at or before them goes, later reports stay.
	Heads []uint64
	// SchemaDone is set once the schema option took effect, so that a resumed job does not undo a newer schema.
	SchemaDone bool
	Versions   []DeletedVersion
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

// DeleteInventory starts a job that removes all data of a Custom type; its summary says what there is to remove. A dry
// run only gives the summary, and no id.
func (s *Service) DeleteInventory(ctx context.Context, p inventory.Partition, in DeleteInventoryInput) (Deletion, error) {
	if !in.DryRun {
		// Heads, job and schema change in one step, as reports of Custom types and other deletions see it.
		s.deleting.Lock()
		defer s.deleting.Unlock()
	}
	if in.ClientToken != "" {
		d, found, err := s.deletionByToken(ctx, p, in)
		if found || err != nil {
			return d, err
		}
	}
	types, err := s.schemas.catalogue(ctx, p)
	if err != nil {
		return Deletion{}, err
	}
	if _, known := types.custom[in.Type]; !known {
		return Deletion{}, inventory.Errorf(inventory.InvalidTypeName, "%s isn't a custom inventory type known here. Only types that begin with Custom: can be deleted.", in.Type)
	}
	d := Deletion{Type: in.Type, SchemaOption: in.SchemaOption, Started: time.Now().UTC().Truncate(time.Millisecond)}
	d.Updated = d.Started
	if d.Heads, d.Versions, err = s.countForDeletion(ctx, p, in.Type); err != nil || in.DryRun {
		return d, err
	}
	d.ID = newUUID()
	return d, s.startDeletion(ctx, p, &d, in)
}

// deletionByToken gives the job an earlier call with the same ClientToken started.
func (s *Service) deletionByToken(ctx context.Context, p inventory.Partition, in DeleteInventoryInput) (Deletion, bool, error) {
	rec, err := s.store.Record(ctx, deletionTokenKey(p, in.ClientToken))
	if errors.Is(err, store.ErrNotFound) {
		return Deletion{}, false, nil
	}
	if err != nil {
		return Deletion{}, false, err
	}
	d, err := s.deletion(ctx, p, string(rec.Value))
	if errors.Is(err, store.ErrNotFound) {
		return Deletion{}, false, nil // the call that took the token did not get as far as the job
	}
	if err == nil && (d.Type != in.Type || d.SchemaOption != in.SchemaOption || in.DryRun) {
		err = inventory.Errorf(inventory.InvalidDeleteInventoryParameters, "The ClientToken was used before with other parameters. Repeat them unchanged, or choose another token.")
	}
	return d, true, err
}

// countForDeletion gives the heads of now and the documents at or before them, by schema version.
func (s *Service) countForDeletion(ctx context.Context, p inventory.Partition, t inventory.TypeName) ([]uint64, []DeletedVersion, error) {
	positions, err := s.store.Heads(ctx)
	if err != nil {
		return nil, nil, err
	}
	heads := make([]uint64, len(positions))
	for i, at := range positions {
		heads[i] = at.Seq
	}
	versions, err := s.countVersions(ctx, p, t, heads)
	return heads, versions, err
}

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
	return s.eachNode(ctx, p, idx.Reporting(p, t), f)
}

// eachNode calls f for every node of a result, in id order.
func (s *Service) eachNode(ctx context.Context, p inventory.Partition, result *index.Result, f func(inventory.Node) error) error {
	const page = 500
	var after inventory.NodeID
	for more := true; more; {
		var ids []inventory.NodeID
		var err error
		if ids, more, err = result.Page(ctx, documents{s, p}, after, page); err != nil {
			return err
		}
		for _, id := range ids {
			after = id
			n, err := s.store.Node(ctx, inventory.NodeKey{Partition: p, Node: id})
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err == nil {
				err = f(n)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// startDeletion makes the job durable: first the claim on the type, so that one job runs for it, then the job, then the
// token that leads to it. A claim whose job was never written is taken over.
func (s *Service) startDeletion(ctx context.Context, p inventory.Partition, d *Deletion, in DeleteInventoryInput) error {
	claim := store.Record{Key: deletionTypeKey(p, d.Type), Value: []byte(d.ID)}
	if old, err := s.store.Record(ctx, claim.Key); err == nil {
		running, err := s.deletion(ctx, p, string(old.Value))
		if err == nil && !running.Done {
			return deletionRuns(d.Type, running.ID)
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		claim.Revision = old.Revision
	} else if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	// A write given up halfway may still happen; from here on the caller going away would leave a job that nobody runs.
	ctx = context.WithoutCancel(ctx)
	if _, err := s.store.PutRecord(ctx, claim); errors.Is(err, store.ErrConflict) {
		return deletionRuns(d.Type, "another call")
	} else if err != nil {
		return err
	}
	if in.ClientToken != "" {
		rec := store.Record{Key: deletionTokenKey(p, in.ClientToken), Value: []byte(d.ID)}
		if old, err := s.store.Record(ctx, rec.Key); err == nil {
			rec.Revision = old.Revision // it leads to a job that was never written, or is long forgotten
		}
		if _, err := s.store.PutRecord(ctx, rec); err != nil {
			return err
		}
	}
	revision, err := s.putDeletion(ctx, p, *d, 0)
	if err != nil {
		return err
	}
	// The job is durable now and will be done, whatever becomes of the caller.
	job := &deletionJob{service: s, partition: p, state: *d, revision: revision}
	job.state.Versions = slices.Clone(d.Versions) // the caller answers with its own while the job counts down
	err = job.settleSchema(ctx)
	s.background(job.run)
	return err
}

// runningDeletion gives the deletion of a type that is under way, nil where there is none.
func (s *Service) runningDeletion(ctx context.Context, p inventory.Partition, t inventory.TypeName) (*Deletion, error) {
	claim, err := s.store.Record(ctx, deletionTypeKey(p, t))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	d, err := s.deletion(ctx, p, string(claim.Value))
	if errors.Is(err, store.ErrNotFound) || err == nil && d.Done {
		return nil, nil
	}
	return &d, err
}

// covers reports whether the deletion removes a document.
func (d *Deletion) covers(node inventory.NodeKey, state inventory.ItemState) bool {
	return state.Type == d.Type && state.Seq <= d.Heads[store.ShardOf(node, len(d.Heads))]
}

func deletionRuns(t inventory.TypeName, id string) error {
	return inventory.Errorf(inventory.InvalidInventoryRequest, "A deletion of %s is under way already (%s). DescribeInventoryDeletions tells when it is complete.", t, id)
}

func (s *Service) deletion(ctx context.Context, p inventory.Partition, id string) (Deletion, error) {
	rec, err := s.store.Record(ctx, deletionKey(p, id))
	if err != nil {
		return Deletion{}, err
	}
	return parseDeletion(rec)
}

func parseDeletion(rec store.Record) (Deletion, error) {
	var d Deletion
	if err := json.Unmarshal(rec.Value, &d); err != nil {
		return d, fmt.Errorf("%w: record %s: %w", store.ErrCorrupt, rec.Key, err)
	}
	return d, nil
}

func (s *Service) putDeletion(ctx context.Context, p inventory.Partition, d Deletion, revision uint64) (uint64, error) {
	text, err := json.Marshal(d)
	if err != nil {
		return 0, err
	}
	return s.store.PutRecord(ctx, store.Record{Key: deletionKey(p, d.ID), Value: text, Revision: revision})
}

// applySchemaOption disables or drops the schema before any data goes, so that no report in between brings it back under
// the old version.
func (s *Service) applySchemaOption(ctx context.Context, p inventory.Partition, d *Deletion) error {
	if d.SchemaOption == "" || d.SchemaDone {
		return nil
	}
	key := schemaKey(p, d.Type)
	for range conflictTries {
		rec, err := s.store.Record(ctx, key)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if d.SchemaOption == DeleteSchema {
			err = s.store.DeleteRecord(ctx, key, rec.Revision)
		} else {
			err = s.disableSchema(ctx, rec)
		}
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return store.ErrConflict
}

// disableSchema marks the newest version seen, and with it all older ones, as disabled.
func (s *Service) disableSchema(ctx context.Context, rec store.Record) error {
	var own customSchema
	if err := json.Unmarshal(rec.Value, &own); err != nil {
		return fmt.Errorf("%w: record %s: %w", store.ErrCorrupt, rec.Key, err)
	}
	own.Disabled = own.Version
	text, err := json.Marshal(own)
	if err != nil {
		return err
	}
	_, err = s.store.PutRecord(ctx, store.Record{Key: rec.Key, Value: text, Revision: rec.Revision})
	return err
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
		d, err := s.deletion(ctx, p, in.ID)
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
		if err == nil && (!d.Done || d.Started.After(oldest)) {
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
