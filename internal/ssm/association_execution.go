package ssm

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"stocktake/internal/inventory"
)

// Execution is the runs of an association that belong together: those since its version was made, since it was asked to
// run once more, or since a tick of its schedule. It is no record: the runs of the nodes say which there were, of each
// node its last few.
type Execution struct {
	ID          string
	Association string
	Version     int
	Begun       time.Time
	Last        time.Time // when any of its nodes last said anything
	Status      string
	Counts      []StatusCount // of nodes
}

// ExecutionNode is one node in an execution.
type ExecutionNode struct {
	Node   inventory.NodeID
	Status string
	At     time.Time
}

// executionID names an execution. It is the same wherever it is made.
func (s *Service) executionID(association string, version int, begun time.Time) string {
	root := s.store.Identity().RootKey
	mac := hmac.New(sha256.New, root[:])
	_, _ = fmt.Fprintf(mac, "execution\x00%s\x00%d\x00", association, version) // a hash does not fail
	_ = binary.Write(mac, binary.BigEndian, begun.UnixMilli())
	b := mac.Sum(nil)[:16]
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// executions gives the executions of an association, the newest first.
func (s *Service) executions(ctx context.Context, p inventory.Partition, id string) ([]Execution, error) {
	if _, _, err := s.association(ctx, p, id); err != nil {
		return nil, err
	}
	type name struct {
		version int
		begun   int64
	}
	type sum struct {
		Execution
		counts map[string]int
	}
	all := map[name]*sum{}
	err := s.runs.each(ctx, p, id, func(_ inventory.NodeID, r runFacts) {
		for _, past := range r.past {
			n := name{past.Version, past.Begun.UnixMilli()}
			e := all[n]
			if e == nil {
				e = &sum{Execution: Execution{Association: id, Version: past.Version, Begun: past.Begun}, counts: map[string]int{}}
				all[n] = e
			}
			e.Last = later(e.Last, past.At)
			e.counts[past.Status]++
		}
	})
	if err != nil {
		return nil, err
	}
	out := make([]Execution, 0, len(all))
	for _, e := range all {
		e.ID, e.Counts, e.Status = s.executionID(id, e.Version, e.Begun), ordered(e.counts), executionStatus(e.counts)
		out = append(out, e.Execution)
	}
	slices.SortFunc(out, func(a, b Execution) int { return cmp.Or(b.Begun.Compare(a.Begun), b.Version-a.Version) })
	return out, nil
}

// executionStatus says how an execution stands by how its nodes do.
func executionStatus(counts map[string]int) string {
	only := func(status string) bool { return len(counts) == 1 && counts[status] > 0 }
	switch {
	case only(statusPending):
		return statusPending
	case counts[statusPending]+counts[statusInProgress] > 0:
		return statusInProgress
	case counts[statusFailed]+counts[statusTimedOut] > 0:
		return statusFailed
	case only(statusSkipped):
		return statusSkipped
	}
	return statusSuccess
}

// ResourceCount writes the counts as the API tells them: {Failed=1, Success=2}.
func (e *Execution) ResourceCount() string {
	parts := make([]string, len(e.Counts))
	for i, c := range e.Counts {
		parts[i] = fmt.Sprintf("%s=%d", c.Status, c.Nodes)
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// managedNodeType is the ResourceType of every node.
const managedNodeType = "ManagedInstance"

// ExecutionFilter compares one property: Key ExecutionId, Status or CreatedTime of executions, and Status, ResourceId or
// ResourceType of their nodes; Operator EQUAL, or LESS_THAN or GREATER_THAN of CreatedTime.
type ExecutionFilter struct{ Key, Value, Operator string }

// ListExecutionsInput asks for the executions of an association; all filters hold.
type ListExecutionsInput struct {
	Association string
	Filters     []ExecutionFilter
	MaxResults  int
	NextToken   string
}

// ListExecutionsOutput is one page of them, the newest first.
type ListExecutionsOutput struct {
	Executions []Execution
	NextToken  string
}

// ListExecutions gives the executions of an association.
func (s *Service) ListExecutions(ctx context.Context, p inventory.Partition, in ListExecutionsInput) (ListExecutionsOutput, error) {
	var out ListExecutionsOutput
	asked, err := question([]any{in.Association, in.Filters})
	if err != nil {
		return out, err
	}
	from, err := s.openToken(p, "DescribeAssociationExecutions", asked, in.NextToken)
	if err != nil {
		return out, err
	}
	tests := make([]func(*Execution) bool, len(in.Filters))
	for i, f := range in.Filters {
		if tests[i], err = f.test(); err != nil {
			return out, err
		}
	}
	all, err := s.executions(ctx, p, in.Association)
	if err != nil {
		return out, err
	}
	most := pageSize(in.MaxResults, usualPage)
	for _, e := range all {
		if from != nil && executionPlace(&e) >= from.After || slices.ContainsFunc(tests, func(test func(*Execution) bool) bool { return !test(&e) }) {
			continue
		}
		if len(out.Executions) == most {
			out.NextToken, err = s.sealToken(p, "DescribeAssociationExecutions", asked, token{After: executionPlace(&out.Executions[most-1])})
			break
		}
		out.Executions = append(out.Executions, e)
	}
	return out, err
}

// executionPlace orders executions as text.
func executionPlace(e *Execution) string {
	return fmt.Sprintf("%020d/%04d", max(e.Begun.UnixMilli(), 0), e.Version)
}

// test gives what a filter asks of an execution.
func (f ExecutionFilter) test() (func(*Execution) bool, error) {
	if f.Key == "CreatedTime" {
		at, err := filterTime(f.Value)
		if err != nil {
			return nil, err
		}
		want := map[string]int{"LESS_THAN": -1, "GREATER_THAN": 1}[f.Operator]
		return func(e *Execution) bool { return e.Begun.Compare(at) == want }, nil
	}
	if f.Operator != "EQUAL" {
		return nil, inventory.Errorf(inventory.InvalidRequest, "Executions can be compared by %s with EQUAL alone.", f.Key)
	}
	if f.Key == "ExecutionId" {
		return func(e *Execution) bool { return e.ID == f.Value }, nil
	}
	return func(e *Execution) bool { return e.Status == f.Value }, nil
}

// ListExecutionNodesInput asks for the nodes of an execution; all filters hold.
type ListExecutionNodesInput struct {
	Association string
	Execution   string
	Filters     []ExecutionFilter
	MaxResults  int
	NextToken   string
}

// ListExecutionNodesOutput is one page of them, by id.
type ListExecutionNodesOutput struct {
	Execution Execution
	Nodes     []ExecutionNode
	NextToken string
}

// ListExecutionNodes gives the nodes of an execution.
func (s *Service) ListExecutionNodes(ctx context.Context, p inventory.Partition, in ListExecutionNodesInput) (ListExecutionNodesOutput, error) {
	var out ListExecutionNodesOutput
	asked, err := question([]any{in.Association, in.Execution, in.Filters})
	if err != nil {
		return out, err
	}
	from, err := s.openToken(p, "DescribeAssociationExecutionTargets", asked, in.NextToken)
	if err != nil {
		return out, err
	}
	all, err := s.executions(ctx, p, in.Association)
	if err != nil {
		return out, err
	}
	at := slices.IndexFunc(all, func(e Execution) bool { return e.ID == in.Execution })
	if at < 0 {
		return out, inventory.Errorf(inventory.AssociationExecutionDoesNotExist, "The association has no execution %s. DescribeAssociationExecutions lists those of late.", clip(in.Execution))
	}
	out.Execution = all[at]
	nodes, err := s.executionNodes(ctx, p, &out.Execution)
	if err != nil {
		return out, err
	}
	most := pageSize(in.MaxResults, usualPage)
	for _, n := range nodes {
		if from != nil && string(n.Node) <= from.After || slices.ContainsFunc(in.Filters, func(f ExecutionFilter) bool { return !f.meets(n) }) {
			continue
		}
		if len(out.Nodes) == most {
			out.NextToken, err = s.sealToken(p, "DescribeAssociationExecutionTargets", asked, token{After: string(out.Nodes[most-1].Node)})
			break
		}
		out.Nodes = append(out.Nodes, n)
	}
	return out, err
}

// executionNodes gives the nodes of an execution by id.
func (s *Service) executionNodes(ctx context.Context, p inventory.Partition, e *Execution) ([]ExecutionNode, error) {
	var nodes []ExecutionNode
	err := s.runs.each(ctx, p, e.Association, func(node inventory.NodeID, r runFacts) {
		for _, past := range r.past {
			if past.Version == e.Version && past.Begun.Equal(e.Begun) {
				nodes = append(nodes, ExecutionNode{Node: node, Status: past.Status, At: past.At})
			}
		}
	})
	slices.SortFunc(nodes, func(a, b ExecutionNode) int { return strings.Compare(string(a.Node), string(b.Node)) })
	return nodes, err
}

func (f ExecutionFilter) meets(n ExecutionNode) bool {
	switch f.Key {
	case "Status":
		return n.Status == f.Value
	case "ResourceId":
		return string(n.Node) == f.Value
	}
	return f.Value == managedNodeType
}
