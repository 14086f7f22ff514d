package ssm

import (
	"context"
	"errors"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// Explanation is all that is known of how a node is doing, and what that means.
type Explanation struct {
	NodeInformation
	Enrolled time.Time
	// Since is when the node got its status; zero where that is not known.
	Since time.Time
	// Heartbeat is the last one; zero: there was none.
	Heartbeat time.Time
	// Reports are what the node last reported of each type.
	Reports  []inventory.ItemState
	Refusal  *Refusal
	KeySince time.Time // of a managed node's key pair
	Runs     []NodeRun
	// Ignored are the items of disabled schema versions that it sent lately, the oldest first.
	Ignored []IgnoredItem
	Verdict
}

// Verdict says in words why a node is as it is, and what to do next.
type Verdict struct {
	Why  string
	Next []string
}

// ExplainNode tells why a node is stale, or that it is not. A node that nobody knows is explained where it was refused.
func (s *Service) ExplainNode(ctx context.Context, p inventory.Partition, id inventory.NodeID) (Explanation, error) {
	key := inventory.NodeKey{Partition: p, Node: id}
	var e Explanation
	e.Node = id
	if r, ok := s.heard.refusal(key); ok {
		e.Refusal = &r
	}
	scan, err := s.readNode(ctx, key, inventory.TypeInstanceInformation)
	if errors.Is(err, store.ErrNotFound) {
		if e.Refusal == nil {
			return e, unknownNode(id)
		}
		e.Verdict = e.judge(time.Now().UTC())
		return e, nil
	}
	if err != nil {
		return e, err
	}
	newest, err := s.newestAgents(ctx, p)
	if err != nil {
		return e, err
	}
	c, err := s.candidate(ctx, scan, newest)
	if err != nil {
		return e, err
	}
	if err := s.learnFacts(ctx, scan, c, needsManaged|needsRuns); err != nil {
		return e, err
	}
	e.NodeInformation, e.Runs, e.Reports, e.Enrolled = c.NodeInformation, c.runs, scan.Node.Items, scan.Node.Enrolled
	if s.heardOf(scan.Node) {
		e.Heartbeat = s.lastHeartbeat(key)
	}
	if state := scan.Node.Item(inventory.ItemKey{Type: inventory.TypeInstanceInformation}); state != nil && e.Status != inventory.Active {
		e.Since = state.Arrival // which nothing has moved since
	}
	if !e.Registered.IsZero() {
		identity, _, err := s.identity(ctx, id)
		if err != nil {
			return e, err
		}
		e.KeySince = identity.KeySince
	}
	if e.Ignored, err = s.ignoredOf(ctx, key); err != nil {
		return e, err
	}
	e.Verdict = e.judge(time.Now().UTC())
	return e, nil
}

// lastInventory is when the node last reported inventory of its own, compliance apart.
func (e *Explanation) lastInventory() time.Time {
	var last time.Time
	for _, state := range e.Reports {
		switch state.Type {
		case inventory.TypeInstanceInformation, inventory.TypeTag, inventory.TypeComplianceItem:
		default:
			last = later(last, state.Arrival)
		}
	}
	return last
}
