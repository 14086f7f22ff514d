package awsjson

import (
	"errors"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/rate"
	"stocktake/internal/sigv4"
	"stocktake/internal/wire"
)

// Rates are how many requests are taken each second in the long run, after a burst of a minute's worth. 0: any number.
// Requests count once they are authenticated.
type Rates struct {
	Account int // of all keys of an account; of its managed nodes by themselves, as many again
	Key     int // of an access key; of a role, of all its sessions together
	// Node is of what a managed node asks, and of what an access key, or a role, asks about one node: who asks much about a
	// node, or in its name, takes nothing from the node itself.
	Node int
	// Failures are requests of a source address that fail to authenticate. Any more are told so a second later: some of them
	// at a time, of which none holds much memory, and the rest lose their connection. Nobody who has the right key is held
	// back by it, from behind the same address neither.
	Failures int
}

// Throttled is how many requests were refused by each of the [Rates], how many failed authentications were slowed, and how many
// requests were refused because too many keys that are not known were being looked up.
type Throttled struct{ Account, Key, Node, Failures, LookUps int64 }

const (
	burst = time.Minute

	failureDelay  = time.Second
	slowedAtOnce  = 8 // they hold little memory, and no place among the requests at work: see Config.Slowed
	mostSlowBytes = 64 << 10
)

type bounds struct {
	accounts *rate.Buckets[accountLine]
	keys     *rate.Buckets[string]
	nodes    *rate.Buckets[nodeLine]
	failures *rate.Buckets[netip.Prefix]
	slow     chan struct{} // a place for each answer that is held back
	slowed   atomic.Int64
}

type accountLine struct {
	account string
	node    bool // of its managed nodes
}

type nodeLine struct {
	key  inventory.NodeKey
	asks string // the holder of the key that names the node; empty: the node itself
}

func newBounds(r Rates) *bounds {
	return &bounds{
		accounts: rate.New[accountLine](float64(r.Account), burst),
		keys:     rate.New[string](float64(r.Key), burst),
		nodes:    rate.New[nodeLine](float64(r.Node), burst),
		failures: rate.New[netip.Prefix](float64(r.Failures), burst),
		slow:     make(chan struct{}, slowedAtOnce),
	}
}

// Throttled counts since the start.
func (h *Handler) Throttled() Throttled {
	b := h.bounds
	return Throttled{b.accounts.Refused(), b.keys.Refused(), b.nodes.Refused(), b.slowed.Load(), h.strangers.refused.Load()}
}

// throttled is as observed.
func throttled() *failure { return frontEnd(wire.ThrottlingException, "Rate exceeded") }

// admit counts a request of a caller that is known.
func (b *bounds) admit(c Caller) error {
	if c.Principal == nil {
		return nil
	}
	now := time.Now()
	node := c.Principal.Node()
	isNode := node.Node != ""
	switch {
	case isNode && !b.nodes.Take(nodeLine{node, ""}, now),
		!isNode && !b.keys.Take(c.Principal.Holder(), now),
		!b.accounts.Take(accountLine{c.Principal.Account, isNode}, now):
		return throttled()
	}
	return nil
}

// about counts a request of an access key that names a node.
func (b *bounds) about(c Caller, node inventory.NodeID) error {
	if node == "" || c.Principal == nil || c.Principal.Node().Node != "" {
		return nil
	}
	key := inventory.NodeKey{Partition: c.Partition, Node: node}
	if !b.nodes.Take(nodeLine{key, c.Principal.Holder()}, time.Now()) {
		return throttled()
	}
	return nil
}

// failed counts a request that was not authenticated, and takes its time where its source has many. It reports whether
// the connection is to end with the answer. Err is why, and body what was read.
func (h *Handler) failed(r *http.Request, err error, body []byte) (hangUp bool) {
	var signature *sigv4.Error
	var f *failure
	if !errors.As(err, &signature) && (!errors.As(err, &f) || f.hangUp || f.name == wire.ThrottlingException) {
		return false // the server's own fault, or a body that did not come
	}
	b := h.bounds
	if b.failures.Take(rate.Source(sourceOf(r)), time.Now()) {
		return false
	}
	b.slowed.Add(1)
	if len(body) > mostSlowBytes || r.ContentLength > mostSlowBytes {
		return true
	}
	select {
	case b.slow <- struct{}{}:
		defer func() { <-b.slow }()
	default:
		return true
	}
	if h.config.Slowed != nil {
		h.config.Slowed(r)
	}
	delay := time.NewTimer(failureDelay)
	defer delay.Stop()
	select {
	case <-delay.C:
	case <-r.Context().Done():
	}
	return false
}
