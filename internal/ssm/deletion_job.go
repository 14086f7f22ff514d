package ssm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// deletionJob carries out one Deletion. It can be stopped after any step and resumed by another process: what remains is
// counted anew from the store.
type deletionJob struct {
	service   *Service
	partition inventory.Partition
	mu        sync.Mutex // guards state and revision
	state     Deletion
	revision  uint64
}

// deletionWorkers share the fsyncs of their commits.
const deletionWorkers = 8

// progressEvery is how often a running job writes down how far it is.
const progressEvery = time.Second

// resumeDeletions goes on with the jobs an earlier process left. No report may come in before it returns.
func (s *Service) resumeDeletions(ctx context.Context) error {
	return eachRecord(ctx, s.store, store.Key(recordDeletion, ""), func(rec store.Record) error {
		d, err := parseDeletion(rec)
		if err != nil || d.Done {
			return err
		}
		parts := store.KeyParts(rec.Key)
		job := &deletionJob{
			service: s, state: d, revision: rec.Revision,
			partition: inventory.Partition{Account: parts[1], Region: parts[2]},
		}
		s.log.Info("resuming deletion", "deletion", d.ID, "type", string(d.Type))
		if err := job.settleSchema(ctx); err != nil { // before any report comes in
			return err
		}
		s.background(job.run)
		return nil
	})
}

// run works until the job is complete or the service stops. A fault of the store is logged and tried again.
func (j *deletionJob) run(ctx context.Context) {
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		err := j.work(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		j.service.log.Error("deletion goes on later", "deletion", j.state.ID, "error", err, "in", wait)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func (j *deletionJob) work(ctx context.Context) error {
	s := j.service
	if err := j.settleSchema(ctx); err != nil {
		return err
	}
	if err := j.recount(ctx); err != nil {
		return err
	}
	var nodes []inventory.NodeID
	err := s.eachReporting(ctx, j.partition, j.state.Type, func(n inventory.Node) error {
		if slices.ContainsFunc(n.ItemsOf(j.state.Type), func(state inventory.ItemState) bool { return j.state.covers(n.Key, state) }) {
			nodes = append(nodes, n.Key.Node)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := j.deleteAll(ctx, nodes); err != nil {
		return err
	}
	return j.finish(ctx)
}

// settleSchema lets the schema option take effect and writes down that it did, so that a newer schema is left alone.
func (j *deletionJob) settleSchema(ctx context.Context) error {
	if j.state.SchemaOption == "" || j.state.SchemaDone {
		return nil
	}
	if err := j.service.applySchemaOption(ctx, j.partition, &j.state); err != nil {
		return err
	}
	j.state.SchemaDone = true
	return j.save(ctx, false)
}

// recount corrects what remains: documents went with the process that died, or were replaced by later reports. A job that
// was just made has no news by it.
func (j *deletionJob) recount(ctx context.Context) error {
	now, err := j.service.countVersions(ctx, j.partition, j.state.Type, j.state.Heads)
	if err != nil {
		return err
	}
	news := false
	for i := range j.state.Versions {
		v := &j.state.Versions[i]
		remaining := 0
		if at := slices.IndexFunc(now, func(n DeletedVersion) bool { return n.Version == v.Version }); at >= 0 {
			remaining = min(v.Count, now[at].Count)
		}
		news = news || remaining != v.Remaining
		v.Remaining = remaining
	}
	return j.save(ctx, news)
}

// save writes the job down; news moves the time of the last news.
func (j *deletionJob) save(ctx context.Context, news bool) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if news {
		j.state.Updated = time.Now().UTC().Truncate(time.Millisecond)
	}
	revision, err := j.service.putDeletion(ctx, j.partition, j.state, j.revision)
	if err == nil {
		j.revision = revision
	}
	return err
}

func (j *deletionJob) deleteAll(ctx context.Context, nodes []inventory.NodeID) error {
	work := make(chan inventory.NodeID)
	errs := make(chan error, deletionWorkers)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for range deletionWorkers {
		go func() {
			var err error
			for id := range work {
				if err == nil {
					if err = j.deleteFrom(ctx, inventory.NodeKey{Partition: j.partition, Node: id}); err != nil {
						cancel()
					}
				}
			}
			errs <- err
		}()
	}
	saved := time.Now()
	var err error
	for _, id := range nodes {
		if ctx.Err() != nil {
			break
		}
		work <- id
		if time.Since(saved) > progressEvery {
			err = errors.Join(err, j.save(ctx, true))
			saved = time.Now()
		}
	}
	close(work)
	for range deletionWorkers {
		err = errors.Join(err, <-errs)
	}
	return errors.Join(err, ctx.Err())
}

// deleteFrom removes the type's documents of one node, unless a later report replaced them.
func (j *deletionJob) deleteFrom(ctx context.Context, key inventory.NodeKey) error {
	s := j.service
	lock := s.nodes.of(key)
	lock.Lock()
	defer lock.Unlock()
	for range conflictTries {
		node, err := s.store.Node(ctx, key)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		gone := slices.DeleteFunc(slices.Clone(node.Items), func(state inventory.ItemState) bool { return !j.state.covers(key, state) })
		if len(gone) == 0 {
			return nil
		}
		// The event comes first, under a key of its own: a job that is cut short here tells it again, and not twice.
		now := time.Now().UTC()
		err = s.recordEvent(ctx, eventKey(key.Partition, j.state.Started, j.state.ID+"-"+string(key.Node)), Event{
			Time: now, ActionStatus: "succeeded", Action: "delete", ResourceType: "managed-instance",
			ResourceID: string(key.Node), Type: j.state.Type,
		})
		if err != nil {
			return err
		}
		err = s.dropItems(ctx, node, inventory.CauseDeletion, func(state inventory.ItemState) bool { return j.state.covers(key, state) }, false)
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if err == nil {
			j.count(gone)
		}
		return err
	}
	return store.ErrConflict
}

func (j *deletionJob) count(gone []inventory.ItemState) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, state := range gone {
		at := slices.IndexFunc(j.state.Versions, func(v DeletedVersion) bool { return v.Version == state.SchemaVersion })
		if at >= 0 && j.state.Versions[at].Remaining > 0 {
			j.state.Versions[at].Remaining--
		}
	}
}

// finish tells the summary event and marks the job done.
func (j *deletionJob) finish(ctx context.Context) error {
	for i := range j.state.Versions {
		j.state.Versions[i].Remaining = 0 // replaced by later reports, if not removed
	}
	now := time.Now().UTC()
	err := j.service.recordEvent(ctx, eventKey(j.partition, j.state.Started, "summary-"+j.state.ID), Event{
		Time: now, ActionStatus: "succeeded", Action: "delete-summary", ResourceType: "managed-instance",
		ActionReason: fmt.Sprintf("The delete for type name %s was completed. The deletion summary is: %s", j.state.Type, j.summaryText()),
		Type:         j.state.Type,
	})
	if err != nil {
		return err
	}
	j.state.Done = true
	return j.save(ctx, true)
}

// summaryText is the summary as the event quotes it.
func (j *deletionJob) summaryText() string {
	type version struct {
		Version   string `json:"version"`
		Count     int    `json:"count"`
		Remaining int    `json:"remainingCount"`
	}
	summary := struct {
		Total     int       `json:"totalCount"`
		Remaining int       `json:"remainingCount"`
		Items     []version `json:"summaryItems"`
	}{Items: []version{}}
	summary.Total, summary.Remaining = j.state.Total()
	for _, v := range j.state.Versions {
		summary.Items = append(summary.Items, version(v))
	}
	text, _ := json.Marshal(summary) // strings and numbers always marshal
	return string(text)
}
