package ssm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// RegisterNode makes a node known before it reports (`mi-` ids need it, and every id under strict enrolment), or revives
// one that was terminated. Registering an active node again changes nothing.
func (s *Service) RegisterNode(ctx context.Context, p inventory.Partition, id inventory.NodeID) error {
	key := inventory.NodeKey{Partition: p, Node: id}
	if err := s.setStatus(ctx, key, inventory.Active, true); err != nil {
		return err
	}
	return s.suspend(ctx, key, false)
}

// TerminateNode marks a node as gone for good: its AWS:InstanceInformation is cut down to the id and the status, its
// other content stays until retention, and its reports are refused, as a managed node's credentials are.
func (s *Service) TerminateNode(ctx context.Context, p inventory.Partition, id inventory.NodeID) error {
	key := inventory.NodeKey{Partition: p, Node: id}
	if err := s.suspend(ctx, key, true); err != nil {
		return err
	}
	return s.setStatus(ctx, key, inventory.Terminated, false)
}

func (s *Service) setStatus(ctx context.Context, key inventory.NodeKey, status inventory.Status, create bool) error {
	lock := s.nodes.of(key)
	lock.Lock()
	defer lock.Unlock()
	return retry(ctx, func() error { return s.setStatusOnce(ctx, key, status, create) })
}

func (s *Service) setStatusOnce(ctx context.Context, key inventory.NodeKey, status inventory.Status, create bool) error {
	scan, err := s.readNode(ctx, key, inventory.TypeInstanceInformation)
	node := scan.Node
	switch {
	case errors.Is(err, store.ErrNotFound) && create:
		node = inventory.Node{Key: key, Enrolled: time.Now().UTC()}
		if err := s.replica.Index().Fits(key.Partition, 1, inventory.TypeInstanceInformation, 1); err != nil {
			return err
		}
	case errors.Is(err, store.ErrNotFound):
		return unknownNode(key.Node)
	case err != nil:
		return err
	case node.Status == status:
		return nil
	case node.Status == inventory.Terminated && !create:
		return terminated(key.Node)
	}
	node = node.Clone()
	node.Status = status
	news, err := s.inform(ctx, scan, node, nil)
	if err != nil || news == nil {
		return err
	}
	_, err = s.commit(ctx, *news)
	return err
}

// RemoveNode forgets a node and all it reported, at once. A managed node's credentials are refused from then on.
func (s *Service) RemoveNode(ctx context.Context, p inventory.Partition, id inventory.NodeID) error {
	key := inventory.NodeKey{Partition: p, Node: id}
	if err := s.forgetManaged(ctx, key); err != nil {
		return err
	}
	lock := s.nodes.of(key)
	lock.Lock()
	defer lock.Unlock()
	all := func(inventory.ItemState) bool { return true }
	return retry(ctx, func() error {
		scan, err := s.readPicked(ctx, key, func(inventory.Node) func(inventory.ItemState) bool { return all })
		if errors.Is(err, store.ErrNotFound) {
			return unknownNode(id)
		}
		if err != nil {
			return err
		}
		err = s.dropItems(ctx, store.Fence{}, scan, inventory.CauseDeletion, all, true)
		if err == nil {
			s.heard.forget(key)
		}
		return err
	})
}

func unknownNode(id inventory.NodeID) error {
	return inventory.Errorf(inventory.InvalidInstanceID, "The node %s isn't known here. GetInventory lists the nodes.", id)
}

// readPicked gives a node with the documents that a rule picks for it. ErrConflict: it was written in between.
func (s *Service) readPicked(ctx context.Context, key inventory.NodeKey, rule func(inventory.Node) func(inventory.ItemState) bool) (store.NodeScan, error) {
	node, err := s.store.Node(ctx, key)
	if err != nil {
		return store.NodeScan{}, err
	}
	var types []inventory.TypeName
	pick := rule(node)
	for _, state := range node.Items {
		if pick(state) {
			types = append(types, state.Type)
		}
	}
	types = slices.Compact(types)
	if len(types) == 0 {
		return store.NodeScan{Node: node, Documents: make([]inventory.Document, len(node.Items))}, nil
	}
	scans, err := s.store.Read(ctx, []inventory.NodeKey{key}, types)
	if err != nil {
		return store.NodeScan{}, err
	}
	if len(scans) == 0 || scans[0].Node.Revision != node.Revision {
		return store.NodeScan{}, fmt.Errorf("node %s: %w", key.Node, store.ErrConflict)
	}
	return scans[0], nil
}

// document gives a node's document as it was read, the zero one where there is none.
func document(scan store.NodeScan, item inventory.ItemKey) inventory.Document {
	at := slices.IndexFunc(scan.Node.Items, func(state inventory.ItemState) bool { return state.ItemKey == item })
	if at < 0 {
		return inventory.Document{}
	}
	return scan.Documents[at]
}

// dropItems removes a node's documents that the given function picks, which must have been read, and the node itself if
// remove is set. ErrConflict: the node was written in between; read it and decide again.
func (s *Service) dropItems(ctx context.Context, fence store.Fence, scan store.NodeScan, cause inventory.Cause, pick func(inventory.ItemState) bool, remove bool) error {
	c := store.Commit{Node: scan.Node.Clone(), Remove: remove, Fence: fence}
	for i, state := range scan.Node.Items {
		if !pick(state) {
			continue
		}
		c.Node.RemoveItem(state.ItemKey)
		c.Writes = append(c.Writes, removal(state.ItemKey, scan.Documents[i], cause))
	}
	if len(c.Writes) == 0 && !remove {
		return nil
	}
	_, err := s.commit(ctx, c)
	return err
}

// NodeSummary is one line of a listing of nodes.
type NodeSummary struct {
	Node     inventory.NodeID
	Status   inventory.Status
	Enrolled time.Time
	// LastReport is when the newest report of any type arrived.
	LastReport time.Time
	Types      int
}

// ListNodesInput asks for the nodes of a partition.
type ListNodesInput struct {
	MaxResults int
	NextToken  string
}

// ListNodesOutput is one page of them, by id.
type ListNodesOutput struct {
	Nodes     []NodeSummary
	NextToken string
}

// nodesListed is the largest page of ListNodes.
const nodesListed = 1000

// ListNodes gives every node known, whatever its status.
func (s *Service) ListNodes(ctx context.Context, p inventory.Partition, in ListNodesInput) (ListNodesOutput, error) {
	var out ListNodesOutput
	asked, err := question("nodes")
	if err != nil {
		return out, err
	}
	from, err := s.openToken(p, "ListNodes", asked, in.NextToken)
	if err != nil {
		return out, err
	}
	idx, err := s.index(ctx)
	if err != nil {
		return out, err
	}
	var after inventory.NodeID
	if from != nil {
		after = inventory.NodeID(from.After)
	}
	all, err := idx.Query(ctx, p, nil)
	if err != nil {
		return out, err
	}
	ids, more, err := all.Page(ctx, documents{s, p}, after, pageSize(in.MaxResults, nodesListed))
	if err != nil {
		return out, err
	}
	for step := range slices.Chunk(ids, readMost) {
		scans, err := s.store.Read(ctx, nodeKeys(p, step), nil)
		if err != nil {
			return out, err
		}
		for _, scan := range scans {
			out.Nodes = append(out.Nodes, summarise(scan.Node))
		}
	}
	if more {
		out.NextToken, err = s.sealToken(p, "ListNodes", asked, token{After: string(ids[len(ids)-1])})
	}
	return out, err
}

func summarise(n inventory.Node) NodeSummary {
	sum := NodeSummary{Node: n.Key.Node, Status: n.Status, Enrolled: n.Enrolled}
	var types []inventory.TypeName
	for _, state := range n.Items {
		types = append(types, state.Type)
		if state.Arrival.After(sum.LastReport) {
			sum.LastReport = state.Arrival
		}
	}
	sum.Types = len(slices.Compact(types))
	return sum
}
