package ssm

import (
	"context"
	"errors"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// live gives the record of a node that may act.
func (s *Service) live(ctx context.Context, key inventory.NodeKey) (inventory.Node, error) {
	node, err := s.store.Node(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return node, unknownNode(key.Node)
	}
	if err == nil && node.Status == inventory.Terminated {
		err = inventory.Errorf(inventory.InvalidInstanceID, "The node %s was terminated. Register it again to have it report.", key.Node)
	}
	return node, err
}

// tagsOf gives a node's tags, if any association goes by tags.
func (s *Service) tagsOf(ctx context.Context, l *associationList, key inventory.NodeKey) (map[string]string, error) {
	if !l.tagged {
		return nil, nil
	}
	all, err := s.contents(ctx, key.Partition, []inventory.NodeID{key.Node}, inventory.TypeTag, nil)
	if err != nil {
		return nil, err
	}
	tags := map[string]string{}
	for _, e := range all[0].Entries {
		name, _ := e.Get("Key")
		tags[name], _ = e.Get("Value")
	}
	return tags, nil
}

// assignments gives what a node is to do, and the runs of associations it is no longer among the targets of.
func (s *Service) assignments(ctx context.Context, key inventory.NodeKey, node inventory.Node) ([]assignment, map[string]heldRun, error) {
	l, err := s.associations(ctx, key.Partition)
	if err != nil {
		return nil, nil, err
	}
	tags, err := s.tagsOf(ctx, l, key)
	if err != nil {
		return nil, nil, err
	}
	runs, err := s.nodeRuns(ctx, key)
	if err != nil {
		return nil, nil, err
	}
	all := assign(l.of(key.Node, tags), runs, node.Enrolled, time.Now().UTC().Truncate(time.Millisecond))
	for _, a := range all {
		delete(runs, a.ID)
	}
	return all, runs, nil
}

// NodeAssociation is an association as a node is told of it.
type NodeAssociation struct {
	Association
	Policy         *Policy
	Checksum       string
	Status         string
	DetailedStatus string
	Schedule       string    // "" where the service keeps it, or there is none
	Last           time.Time // when it last ran, or is to count as having run; zero is never
}

// ListNodeAssociationsInput is a node asking what it is to do.
type ListNodeAssociationsInput struct {
	Node       inventory.NodeID
	MaxResults int
	NextToken  string
}

// ListNodeAssociationsOutput is one page of it, by association.
type ListNodeAssociationsOutput struct {
	Associations []NodeAssociation
	NextToken    string
}

// ListNodeAssociations tells a node what it is to do, and keeps that it was told: what it then says is of that.
func (s *Service) ListNodeAssociations(ctx context.Context, p inventory.Partition, in ListNodeAssociationsInput) (ListNodeAssociationsOutput, error) {
	var out ListNodeAssociationsOutput
	key := inventory.NodeKey{Partition: p, Node: in.Node}
	asked, err := question(in.Node)
	if err != nil {
		return out, err
	}
	from, err := s.openToken(p, "ListInstanceAssociations", asked, in.NextToken)
	if err != nil {
		return out, err
	}
	node, err := s.live(ctx, key)
	if err != nil {
		return out, err
	}
	var all []assignment
	if err := retry(ctx, func() error { all, err = s.tell(ctx, key, node); return err }); err != nil {
		return out, err
	}
	most := pageSize(in.MaxResults, usualPage)
	for _, a := range all {
		if a.run.Verdict != "" || from != nil && a.ID <= from.After {
			continue
		}
		if len(out.Associations) == most {
			out.NextToken, err = s.sealToken(p, "ListInstanceAssociations", asked, token{After: out.Associations[most-1].ID})
			break
		}
		out.Associations = append(out.Associations, a.told())
	}
	return out, err
}

// tell gives what a node is to do, once that is written.
func (s *Service) tell(ctx context.Context, key inventory.NodeKey, node inventory.Node) ([]assignment, error) {
	all, others, err := s.assignments(ctx, key, node)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if !all[i].changed {
			continue
		}
		if err := s.putRun(ctx, key, all[i].ID, all[i].run); err != nil {
			return nil, err
		}
	}
	for id, r := range others {
		if !r.Gone.IsZero() {
			continue
		}
		r.Gone, r.Due = time.Now().UTC(), false
		if err := s.putRun(ctx, key, id, r); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// told gives the association as the node is told of it.
func (a *assignment) told() NodeAssociation {
	t := NodeAssociation{Association: a.Association, Policy: a.policy, Checksum: a.policy.checksum(), Schedule: a.Association.Schedule, Last: a.run.Last}
	t.Status, t.DetailedStatus = a.run.state()
	if a.schedule.served() {
		t.Schedule = ""
	}
	if t.DetailedStatus != statusPending {
		// It keeps to its ticks: without a time, or with "Associated", agents run what they have not run.
		if t.Last.IsZero() {
			t.Last = a.base
		}
		if t.DetailedStatus == detailAssociated && t.Schedule == "" {
			t.DetailedStatus = statusSkipped
		}
	}
	return t
}
