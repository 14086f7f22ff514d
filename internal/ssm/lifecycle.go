package ssm

import (
	"context"
	"errors"
	"slices"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// The rhythm and bounds of looking for nodes that fell silent.
const (
	silenceEvery = time.Minute
	// mostSilenced is how many nodes one look marks; a site that went away is done over some looks.
	mostSilenced = 2000
)

// StopNode marks a node as stopped until it is heard of again.
func (s *Service) StopNode(ctx context.Context, p inventory.Partition, id inventory.NodeID) error {
	return s.setStatus(ctx, inventory.NodeKey{Partition: p, Node: id}, inventory.Stopped, false)
}

// silence marks nodes as ConnectionLost that sent heartbeats once and have been heard of in no way for the time set. It is
// judged by the monotonic clock of this server: neither a clock that jumps nor a time in which the service or its store was
// away makes a node silent. How long nobody could be heard does not count: see heartbeats.
func (s *Service) silence(ctx context.Context, fence store.Fence) error {
	after := s.cfg.ConnectionLostAfter
	if after == 0 {
		return nil
	}
	idx, err := s.index(ctx)
	if err != nil {
		return err
	}
	active := []inventory.Filter{statusFilter(inventory.Equal, inventory.Active)}
	left := mostSilenced
	for _, p := range idx.Partitions() {
		result, err := idx.Query(ctx, p, active)
		if err != nil {
			return err
		}
		var from inventory.NodeID
		for more := true; more && left > 0; {
			var ids []inventory.NodeID
			if ids, more, err = result.Page(ctx, documents{s, p}, from, readMost); err != nil {
				return err
			}
			if len(ids) > 0 {
				from = ids[len(ids)-1]
			}
			silent := slices.DeleteFunc(ids, func(id inventory.NodeID) bool { return !s.silent(inventory.NodeKey{Partition: p, Node: id}) })
			left -= len(silent)
			if err := s.lose(ctx, fence, p, silent); err != nil {
				return err
			}
		}
	}
	return nil
}

// silent reports whether a node sends heartbeats and sent none for the time set.
func (s *Service) silent(key inventory.NodeKey) bool {
	d, ok := s.heard.silence(key)
	return ok && d >= s.cfg.ConnectionLostAfter
}

// lose marks those nodes as lost whose records know of no sign of life either.
func (s *Service) lose(ctx context.Context, fence store.Fence, p inventory.Partition, ids []inventory.NodeID) error {
	if len(ids) == 0 {
		return nil
	}
	lost := 0
	for _, id := range ids {
		done, err := s.loseNode(ctx, fence, inventory.NodeKey{Partition: p, Node: id})
		if err != nil {
			return err
		}
		if done {
			lost++
		}
	}
	if lost > 0 {
		s.log.Info("nodes fell silent", "account", p.Account, "region", p.Region, "nodes", lost, "after", s.cfg.ConnectionLostAfter)
	}
	return nil
}

func (s *Service) loseNode(ctx context.Context, fence store.Fence, key inventory.NodeKey) (done bool, err error) {
	lock := s.nodes.of(key)
	lock.Lock()
	defer lock.Unlock()
	err = retry(ctx, func() error {
		done = false
		scan, err := s.readNode(ctx, key, inventory.TypeInstanceInformation)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if !s.lostBy(scan.Node) {
			return nil
		}
		node := scan.Node.Clone()
		node.Status = inventory.ConnectionLost
		news, err := s.inform(ctx, scan, node, nil)
		if err != nil || news == nil {
			return err
		}
		news.Fence = fence
		_, err = s.commit(ctx, *news)
		done = err == nil
		return err
	})
	return done, err
}

// lostBy reports whether a node's record, too, says that it was not heard of. An arrival of the future is of a clock that
// lied, and says nothing.
func (s *Service) lostBy(n inventory.Node) bool {
	if n.Status != inventory.Active || !s.silent(n.Key) || !s.heardOf(n) {
		return false
	}
	for _, state := range n.Items {
		if age := time.Since(state.Arrival); age >= 0 && age < s.cfg.ConnectionLostAfter && state.Type != inventory.TypeTag {
			return false
		}
	}
	return true
}

// heardOf reports whether a node sent a heartbeat since it became known: one of before is of another by the same id.
func (s *Service) heardOf(n inventory.Node) bool {
	last := s.lastHeartbeat(n.Key)
	return !last.IsZero() && !last.Before(n.Enrolled.Truncate(time.Second))
}

// CountStatus gives how many nodes have a status, in all partitions, as this server's index has it.
func (s *Service) CountStatus(ctx context.Context, status inventory.Status) (int, error) {
	idx, sum := s.replica.Index(), 0
	for _, p := range idx.Partitions() {
		result, err := idx.Query(ctx, p, []inventory.Filter{statusFilter(inventory.Equal, status)})
		if err != nil {
			return 0, err
		}
		sum += result.Most() // the status is in the shapes, so that the index decides
	}
	return sum, nil
}

// statusFilter asks for nodes by their status.
func statusFilter(op inventory.Operator, statuses ...inventory.Status) inventory.Filter {
	return informationFilter(op, "InstanceStatus", statuses...)
}

// informationFilter asks for nodes by an attribute of their AWS:InstanceInformation.
func informationFilter[V ~string](op inventory.Operator, attribute string, values ...V) inventory.Filter {
	f := inventory.Filter{Type: inventory.TypeInstanceInformation, Attribute: attribute, Operator: op}
	for _, v := range values {
		f.Values = append(f.Values, inventory.Fold(string(v)))
	}
	slices.Sort(f.Values)
	f.Values = slices.Compact(f.Values)
	return f
}
