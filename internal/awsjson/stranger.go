package awsjson

import (
	"context"
	"crypto/rsa"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"stocktake/internal/iam"
	"stocktake/internal/inventory"
	"stocktake/internal/sigv4"
)

const (
	// lookedUpAtOnce is how many look-ups of access keys that are not known here go on at a time, and as many of key pairs of
	// nodes: a part of the connections a store may have to its database.
	lookedUpAtOnce = 4
	// keyWait and pairWait are how long others wait for theirs. Nodes wait as long as for anything else.
	keyWait  = time.Second
	pairWait = 10 * time.Second
	// unknownFor is how long a key that the store does not have is not looked up again.
	unknownFor  = time.Second
	mostUnknown = 4096
)

// strangers bounds what is read from the store for requests of which nothing is verified, and which stand in no line of work:
// whoever names keys at random would keep the store from all who write.
type strangers struct {
	keys, pairs chan struct{} // a place for each look-up
	refused     atomic.Int64

	mu      sync.Mutex
	unknown map[string]time.Time // by access key id: when the store did not have it
}

func newStrangers() *strangers {
	return &strangers{keys: make(chan struct{}, lookedUpAtOnce), pairs: make(chan struct{}, lookedUpAtOnce), unknown: map[string]time.Time{}}
}

// enter waits for one of the places. Who has it leaves it by reading from them.
func (s *strangers) enter(ctx context.Context, places chan struct{}, wait time.Duration) error {
	select {
	case places <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case places <- struct{}{}:
		return nil
	case <-timer.C:
		s.refused.Add(1)
		return throttled()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// recall says that a key was found unknown a moment ago.
func (s *strangers) recall(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.unknown[id]
	return ok && time.Since(at) < unknownFor
}

// remember notes that a key is unknown.
func (s *strangers) remember(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.unknown) >= mostUnknown {
		clear(s.unknown)
	}
	s.unknown[id] = time.Now()
}

// userKey finds an access key of a user of the store.
func (h *Handler) userKey(ctx context.Context, id string) (sigv4.Key, error) {
	users, s := h.config.Identities, h.strangers
	if users == nil || s.recall(id) {
		return sigv4.Key{}, sigv4.ErrUnknownKey
	}
	isStrange := users.Strange(id)
	if isStrange {
		if err := s.enter(ctx, s.keys, keyWait); err != nil {
			return sigv4.Key{}, err
		}
		defer func() { <-s.keys }()
	}
	secret, principal, err := users.Key(ctx, id)
	switch {
	case errors.Is(err, iam.ErrUnknownKey):
		if isStrange && users.Strange(id) {
			s.remember(id)
		}
		return sigv4.Key{}, sigv4.ErrUnknownKey
	case err != nil:
		return sigv4.Key{}, err
	}
	return sigv4.Key{SecretAccessKey: secret, Identity: principal}, nil
}

// publicKeys finds what a managed node may have signed with.
func (h *Handler) publicKeys(ctx context.Context, node inventory.NodeID) ([]*rsa.PublicKey, *iam.Principal, error) {
	s := h.strangers
	if err := s.enter(ctx, s.pairs, pairWait); err != nil {
		return nil, nil, err
	}
	defer func() { <-s.pairs }()
	return h.config.Nodes.PublicKeys(ctx, node)
}
