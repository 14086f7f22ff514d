package ssm

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"stocktake/internal/inventory"
)

// A poll for messages is held for pollTime less up to pollJitter: less than the 20 seconds after which an agent gives up on
// it, and not the same for all that began together.
const (
	pollTime   = 15 * time.Second
	pollJitter = time.Second
)

// polls are the nodes that wait for messages, each with one poll: a new one ends the one before, which its agent has given up.
type polls struct {
	mu      sync.Mutex
	waiting map[inventory.NodeKey]chan struct{} // closed to end the poll
	ended   chan struct{}                       // closed once all are to end
	open    atomic.Int64
}

func newPolls() *polls {
	return &polls{waiting: map[inventory.NodeKey]chan struct{}{}, ended: make(chan struct{})}
}

// AwaitMessages returns when the agent of a node is to be told that there is no message: after a while, at once when the
// service is about to stop, when the node asks again, or when the caller is gone. There never is a message: what nodes are
// to do they are told as associations.
func (s *Service) AwaitMessages(ctx context.Context, key inventory.NodeKey) {
	again := s.polls.begin(key)
	defer s.polls.end(key, again)
	timer := time.NewTimer(pollTime - rand.N(pollJitter))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-again:
	case <-ctx.Done():
	case <-s.polls.ended:
	}
}

// EndPolls ends every poll that waits and lets no new one wait, for a stop that is to be quick. Call it once.
func (s *Service) EndPolls() { close(s.polls.ended) }

// OpenPolls gives how many nodes wait for messages.
func (s *Service) OpenPolls() int64 { return s.polls.open.Load() }

func (p *polls) begin(key inventory.NodeKey) chan struct{} {
	key = inventory.NodeKey{
		Partition: inventory.Partition{Account: key.Account, Region: strings.Clone(key.Region)},
		Node:      inventory.NodeID(strings.Clone(string(key.Node))),
	}
	again := make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	if before, waits := p.waiting[key]; waits {
		close(before)
	}
	p.waiting[key] = again
	p.open.Add(1)
	return again
}

func (p *polls) end(key inventory.NodeKey, own chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting[key] == own {
		delete(p.waiting, key)
	}
	p.open.Add(-1)
}
