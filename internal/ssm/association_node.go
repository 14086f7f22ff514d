package ssm

import (
	"context"
	"strings"
	"time"

	"stocktake/internal/inventory"
)

// NodeRun is how one association stands on a node.
type NodeRun struct {
	AssociationID   string
	AssociationName string
	Document        string
	DocumentVersion string // "" is the default
	Version         int    // of the association
	Policy          *Policy
	Status          string
	DetailedStatus  string
	Last            time.Time // when the agent last said anything of it; zero: never
	LastSuccess     time.Time
	// Next is when the node is to run it next; zero is with its next question when DetailedStatus is Pending, and never
	// otherwise.
	Next      time.Time
	Summary   string
	ErrorCode string
	OutputURL string
}

// runsOf gives the associations a node is among the targets of and how they stand, by id: as they would be told, were
// the node to ask now. It writes nothing.
func (s *Service) runsOf(ctx context.Context, key inventory.NodeKey) ([]NodeRun, error) {
	node, err := s.store.Node(ctx, key)
	if err != nil {
		return nil, err
	}
	all, _, err := s.assignments(ctx, key, node)
	if err != nil {
		return nil, err
	}
	runs := make([]NodeRun, len(all))
	for i := range all {
		runs[i] = all[i].nodeRun()
	}
	return runs, nil
}

func (a *assignment) nodeRun() NodeRun {
	r := NodeRun{
		AssociationID: a.ID, AssociationName: a.Name, Document: a.Document, DocumentVersion: a.DocumentVersion, Version: a.Version, Policy: a.policy,
		Last: a.run.Last, LastSuccess: a.run.LastSuccess, Summary: a.run.Summary, ErrorCode: a.run.ErrorCode, OutputURL: a.run.OutputURL,
	}
	r.Status, r.DetailedStatus = a.run.state()
	switch {
	case a.run.Verdict == overridden:
		r.Summary, r.ErrorCode = "Overridden By Explicit Inventory Association", ""
	case a.run.Verdict == conflicting:
		r.Summary = "The node has several inventory associations, and can have one only: " + strings.Join(a.rivals, " and ") + ". Delete all but one, or change their targets."
		r.ErrorCode = ""
	case a.run.Due:
	case a.schedule.served():
		r.Next = a.schedule.next(later(a.base, a.run.Tick))
	default:
		r.Next = a.schedule.next(later(a.base, a.run.Last))
	}
	return r
}

// ListNodeRunsInput asks how the associations of a node stand.
type ListNodeRunsInput struct {
	Node inventory.NodeID
	// Effective leaves out those that others take the place of.
	Effective  bool
	MaxResults int
	NextToken  string
}

// ListNodeRunsOutput is one page of it, by association.
type ListNodeRunsOutput struct {
	Runs      []NodeRun
	NextToken string
}

// ListNodeRuns tells how the associations of a node stand.
func (s *Service) ListNodeRuns(ctx context.Context, p inventory.Partition, in ListNodeRunsInput) (ListNodeRunsOutput, error) {
	var out ListNodeRunsOutput
	key := inventory.NodeKey{Partition: p, Node: in.Node}
	asked, err := question([]any{in.Node, in.Effective})
	if err != nil {
		return out, err
	}
	from, err := s.openToken(p, "ListNodeRuns", asked, in.NextToken)
	if err != nil {
		return out, err
	}
	if _, err := s.live(ctx, key); err != nil {
		return out, err
	}
	all, err := s.runsOf(ctx, key)
	if err != nil {
		return out, err
	}
	most := pageSize(in.MaxResults, usualPage)
	for _, r := range all {
		if from != nil && r.AssociationID <= from.After || in.Effective && r.Status == statusSkipped && r.DetailedStatus == string(overridden) {
			continue
		}
		if len(out.Runs) == most {
			out.NextToken, err = s.sealToken(p, "ListNodeRuns", asked, token{After: out.Runs[most-1].AssociationID})
			break
		}
		out.Runs = append(out.Runs, r)
	}
	return out, err
}
