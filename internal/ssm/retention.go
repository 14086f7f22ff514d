package ssm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// retentionShare is the share of a partition's documents a pass may drop. More looks like a wrong clock or a broken
// network rather than like age, and waits for an administrator.
const retentionShare = 0.20

// RetentionReport says what a pass found in one partition.
type RetentionReport struct {
	Documents int
	Expired   int
	// Held is true when the pass stopped because it would have dropped too much.
	Held bool
}

// RunRetention drops a partition's expired documents now, however many they are. It is the command a held pass waits for.
func (s *Service) RunRetention(ctx context.Context, p inventory.Partition) (RetentionReport, error) {
	// After an outage the command may come before any server has the upkeep, and the time must not count.
	if err := s.noteAlive(ctx); err != nil {
		return RetentionReport{}, err
	}
	ages, err := s.ages(ctx)
	if err != nil {
		return RetentionReport{}, err
	}
	// It may meet the periodic pass, on this server or another: each document goes once, by the node's revision.
	return s.retain(ctx, store.Fence{}, p, ages, true)
}

// runRetention is the periodic pass over all partitions.
func (s *Service) runRetention(ctx context.Context, fence store.Fence) error {
	if s.cfg.Limits.Retention == 0 {
		return nil
	}
	ages, err := s.ages(ctx)
	if err != nil {
		return err
	}
	idx, err := s.index(ctx)
	if err != nil {
		return err
	}
	for _, p := range idx.Partitions() {
		r, err := s.retain(ctx, fence, p, ages, false)
		if err != nil {
			return err
		}
		if r.Held {
			s.log.Warn("retention would drop too much at once and waits for: stocktake retention run",
				"account", p.Account, "region", p.Region, "documents", r.Documents, "expired", r.Expired)
		}
	}
	return nil
}

// ageRule judges age by the service's clock, less the time it was away.
type ageRule struct {
	now       time.Time
	retention time.Duration
	outages   []outage
	// strict is true when no node enrols itself: one that was forgotten could not come back.
	strict bool
	// heard gives when a node last sent a heartbeat, which is a sign of life as good as a report.
	heard func(inventory.NodeKey) time.Time
}

func (s *Service) ages(ctx context.Context) (ageRule, error) {
	rule := ageRule{now: time.Now().UTC(), retention: s.cfg.Limits.Retention, strict: s.cfg.StrictEnrollment, heard: s.lastHeartbeat}
	_, err := s.readRecord(ctx, recordOutages, &rule.outages)
	return rule, err
}

func (a ageRule) expired(state inventory.ItemState) bool {
	if a.retention == 0 {
		return false
	}
	age := a.now.Sub(state.Arrival)
	for _, o := range a.outages {
		from := o.From
		if from.Before(state.Arrival) {
			from = state.Arrival
		}
		if o.To.After(from) {
			age -= o.To.Sub(from)
		}
	}
	return age > a.retention
}

// leaves gives which documents of a node go, and whether the node goes with them. A node is known for as long as its
// AWS:InstanceInformation is fresh, which every report makes it; one that could not enrol itself again stays known until
// it is terminated. Tags are an administrator's word, and stay as long as the node does.
func (a ageRule) leaves(n inventory.Node) (pick func(inventory.ItemState) bool, documents int, wholly bool) {
	information := n.Item(inventory.ItemKey{Type: inventory.TypeInstanceInformation})
	if information != nil && a.heard(n.Key).After(information.Arrival) {
		living := *information
		living.Arrival = a.heard(n.Key)
		information = &living
	}
	wholly = information != nil && a.expired(*information) && (n.Status == inventory.Terminated || !a.strict && !n.Key.Node.Activated())
	pick = func(state inventory.ItemState) bool {
		return wholly || a.expired(state) && state.Type != inventory.TypeInstanceInformation && state.Type != inventory.TypeTag
	}
	for _, state := range n.Items {
		if pick(state) {
			documents++
		}
	}
	return pick, documents, wholly
}

func (s *Service) retain(ctx context.Context, fence store.Fence, p inventory.Partition, ages ageRule, force bool) (RetentionReport, error) {
	var r RetentionReport
	var due []inventory.NodeID
	err := s.eachReporting(ctx, p, inventory.TypeInstanceInformation, func(n inventory.Node) error {
		_, expired, _ := ages.leaves(n)
		r.Documents += len(n.Items)
		r.Expired += expired
		if expired > 0 {
			due = append(due, n.Key.Node)
		}
		return nil
	})
	if err != nil {
		return r, err
	}
	if !force && float64(r.Expired) > retentionShare*float64(r.Documents) {
		r.Held = true
		return r, nil
	}
	for _, id := range due {
		if err := s.retainNode(ctx, fence, inventory.NodeKey{Partition: p, Node: id}, ages); err != nil {
			return r, fmt.Errorf("retention of %s: %w", id, err)
		}
	}
	return r, nil
}

func (s *Service) retainNode(ctx context.Context, fence store.Fence, key inventory.NodeKey, ages ageRule) error {
	lock := s.nodes.of(key)
	lock.Lock()
	defer lock.Unlock()
	rule := func(n inventory.Node) func(inventory.ItemState) bool {
		pick, _, _ := ages.leaves(n)
		return pick
	}
	return retry(ctx, func() error {
		scan, err := s.readPicked(ctx, key, rule)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		pick, _, wholly := ages.leaves(scan.Node)
		return s.dropItems(ctx, fence, scan, inventory.CauseRetention, pick, wholly)
	})
}
