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

// HeartbeatInput is what an agent says of its node. Empty members are not said: a ping says less than the full form.
type HeartbeatInput struct {
	Node inventory.NodeID
	// AgentStatus is empty in a ping; other than Active, the agent says that it stops.
	AgentStatus     string
	AgentName       string
	AgentVersion    string
	ComputerName    string
	IPAddress       string
	PlatformType    string
	PlatformName    string
	PlatformVersion string
}

// said gives the attributes of AWS:InstanceInformation that a heartbeat names.
func (in *HeartbeatInput) said() inventory.Entry {
	all := inventory.Entry{
		{Name: "AgentType", Value: in.AgentName},
		{Name: "AgentVersion", Value: in.AgentVersion},
		{Name: "ComputerName", Value: in.ComputerName},
		{Name: "IpAddress", Value: in.IPAddress},
		{Name: "PlatformName", Value: in.PlatformName},
		{Name: "PlatformType", Value: in.PlatformType},
		{Name: "PlatformVersion", Value: in.PlatformVersion},
	}
	return slices.DeleteFunc(all, func(a inventory.Attribute) bool { return a.Value == "" })
}

// agentsWord is what of a node's AWS:InstanceInformation heartbeats say.
func agentsWord(e inventory.Entry) inventory.Entry {
	names := []string{"AgentType", "AgentVersion", "ComputerName", "IpAddress", "PlatformName", "PlatformType", "PlatformVersion"}
	var word inventory.Entry
	for _, a := range e {
		if slices.Contains(names, a.Name) {
			word = append(word, a)
		}
	}
	return word
}

// Heartbeat takes a node's sign of life, with what its agent says of it: that is its AWS:InstanceInformation, over what was
// known before. It makes the node Active, or Stopped if its agent says that it stops. Only what changes is written; when
// the node was last heard of follows in batches.
func (s *Service) Heartbeat(ctx context.Context, p inventory.Partition, in HeartbeatInput) error {
	key := inventory.NodeKey{Partition: p, Node: in.Node}
	news, err := s.heartbeatCommit(ctx, key, &in)
	if news != nil || errors.Is(err, store.ErrConflict) {
		err = s.commitHeartbeat(ctx, key, &in)
	}
	if err != nil {
		return err
	}
	s.heard.take(key)
	s.counters.heartbeats.Add(1)
	return nil
}

func (s *Service) commitHeartbeat(ctx context.Context, key inventory.NodeKey, in *HeartbeatInput) error {
	lock := s.nodes.of(key)
	lock.Lock()
	defer lock.Unlock()
	return retry(ctx, func() error {
		news, err := s.heartbeatCommit(ctx, key, in)
		if err != nil || news == nil {
			return err
		}
		if err := s.checkRoom(key.Partition, news.Node.Revision == 0, news.Writes); err != nil {
			return err
		}
		_, err = s.commit(ctx, *news)
		s.known.forget(key)
		return err
	})
}

// heartbeatCommit gives what a heartbeat changes; nil: nothing.
func (s *Service) heartbeatCommit(ctx context.Context, key inventory.NodeKey, in *HeartbeatInput) (*store.Commit, error) {
	scan, err := s.readNode(ctx, key, inventory.TypeInstanceInformation)
	node := scan.Node.Clone()
	switch {
	case errors.Is(err, store.ErrNotFound):
		if key.Node.Activated() || s.cfg.StrictEnrollment {
			return nil, notRegistered(key.Node)
		}
		node = inventory.Node{Key: key, Enrolled: time.Now().UTC()}
	case err != nil:
		return nil, err
	case node.Status == inventory.Terminated:
		return nil, terminated(key.Node)
	}
	node.Status = inventory.Active
	if in.AgentStatus != "" && in.AgentStatus != string(inventory.Active) {
		node.Status = inventory.Stopped
	}
	return s.inform(ctx, scan, node, in.said())
}

func notRegistered(id inventory.NodeID) error {
	return inventory.Errorf(inventory.InvalidInstanceID, "The node %s isn't registered. An administrator registers it with: stocktake node register %s", id, id)
}

func terminated(id inventory.NodeID) error {
	return inventory.Errorf(inventory.InvalidInstanceID, "The node %s is terminated. An administrator revives it with: stocktake node register %s", id, id)
}

// inform gives the commit that leaves a node as given, a node that was scanned but for its status, and its
// AWS:InstanceInformation with what is said over what is stored. It is nil when all of that is stored already.
// ErrConflict: the node was written since it was scanned.
func (s *Service) inform(ctx context.Context, scan store.NodeScan, node inventory.Node, said inventory.Entry) (*store.Commit, error) {
	item := inventory.ItemKey{Type: inventory.TypeInstanceInformation}
	before := document(scan, item)
	had, err := s.entries(ctx, documentKey(node.Key, item), before.Refs, nil)
	if errors.Is(err, store.ErrNotFound) {
		err = fmt.Errorf("node %s was written since it was read: %w", node.Key.Node, store.ErrConflict)
	}
	if err != nil {
		return nil, err
	}
	var stored inventory.Entry
	if len(had) > 0 {
		stored = had[0]
	}
	entry := information(&node, stored.Merge(said))
	if scan.Node.Revision != 0 && scan.Node.Status == node.Status && slices.Equal(stored, entry) {
		return nil, nil
	}
	now := time.Now().UTC()
	schema, _ := inventory.BuiltIn(item.Type)
	after := s.cut(item.Type, inventory.Split{Volatile: schema.Volatile}, []inventory.Entry{entry}, nil)
	// The hash is emptied: what is stored is no longer what was put.
	node.SetItem(inventory.ItemState{ItemKey: item, SchemaVersion: schema.Version, CaptureTime: captureTime(now), Arrival: now, Entries: 1})
	w := after.writeOver(before, inventory.CauseStatus)
	w.Key = item
	return &store.Commit{Node: node, Writes: []store.Write{w}}, nil
}
