package awsjson

import (
	"context"
	"crypto/rsa"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"stocktake/internal/iam"
	"stocktake/internal/inventory"
	"stocktake/internal/rate"
	"stocktake/internal/sigv4"
	"stocktake/internal/store"
	"stocktake/internal/store/memory"
)

// stalled is a store that does not say whose an access key is until it is released. It counts how often it is asked, and by how
// many at once.
type stalled struct {
	store.Store
	release chan struct{}

	mu                sync.Mutex
	asked, busy, most int
}

func (s *stalled) Record(ctx context.Context, key string) (store.Record, error) {
	if strings.HasPrefix(key, store.Key("accesskey", "")) {
		s.count(1)
		<-s.release
		s.count(-1)
	}
	return s.Store.Record(ctx, key)
}

func (s *stalled) count(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked += max(n, 0)
	s.busy += n
	s.most = max(s.most, s.busy)
}

// strangersGate is a gate with a user of the store, over a store that stalls, and the user's key.
func strangersGate(t *testing.T) (g *gate, s *stalled, known signer) {
	t.Helper()
	st, err := memory.New(1)
	if err != nil {
		t.Fatal(err)
	}
	s = &stalled{Store: st, release: make(chan struct{})}
	users, err := iam.Open(iam.Options{Store: s})
	if err != nil {
		t.Fatal(err)
	}
	g = newGate(t)
	g.config.Identities, g.config.Rates.Failures = users, 1
	g.bounds = newBounds(g.config.Rates)
	if _, err := users.CreateUser(t.Context(), iam.RootAccount, "alice", "/", nil); err != nil {
		t.Fatal(err)
	}
	key, err := users.CreateAccessKey(t.Context(), iam.RootAccount, "alice")
	if err != nil {
		t.Fatal(err)
	}
	known = func(r *http.Request, hash [32]byte) error {
		return sigv4.Sign(r, hash, sigv4.Credentials{AccessKeyID: key.ID, SecretAccessKey: key.Secret}, "eu-west-1", "ssm", time.Now())
	}
	return g, s, known
}

// signedBy has nobody's key sign.
func signedBy(id string) signer { return withAccessKey(id, "", "eu-west-1", "ssm") }

// TestLookUpsOfStrangersAreBounded has a store that does not answer, and many that name keys it may have or not: a few of them wait
// for it, the others are told to come back, and a key that was found before is not looked for again.
func TestLookUpsOfStrangersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, s, known := strangersGate(t)
		const denied = "AccessDeniedException" // who asks is known, and may nothing
		go func() { s.release <- struct{}{} }()
		if code, _ := g.try(t, getDocument, "{}", known); code != denied {
			t.Fatalf("the user is answered %s", code)
		}
		for g.bounds.failures.Take(rate.Source("2001:db8::1"), time.Now()) {
		}
		const asking = 20
		codes := make(chan string, asking)
		var all sync.WaitGroup
		for i := range asking {
			all.Go(func() {
				code, _ := (&gate{Handler: g.Handler}).try(t, getDocument, "{}", signedBy(fmt.Sprintf("AKIA%016d", i)))
				codes <- code
			})
		}
		time.Sleep(2 * keyWait)
		for range asking - lookedUpAtOnce {
			if code := <-codes; code != "ThrottlingException" {
				t.Errorf("a stranger is answered %s", code)
			}
		}
		if code, _ := g.try(t, getDocument, "{}", known); code != denied {
			t.Errorf("the user is answered %s", code)
		}
		close(s.release)
		all.Wait()
		for range lookedUpAtOnce {
			if code := <-codes; code != "UnrecognizedClientException" {
				t.Errorf("a stranger that was looked up is answered %s", code)
			}
		}
		if got := g.Throttled(); s.most != lookedUpAtOnce || got.LookUps != asking-lookedUpAtOnce || got.Failures > lookedUpAtOnce {
			t.Errorf("%d at once; counted %+v", s.most, got)
		}
		g.config.Identities.Close(t.Context())
	})
}

// TestStrangersAreRememberedShortly asks by one key that nobody has three times within a second and a half.
func TestStrangersAreRememberedShortly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, s, _ := strangersGate(t)
		close(s.release)
		for _, wait := range []time.Duration{0, unknownFor / 2, unknownFor} {
			time.Sleep(wait)
			if code, _ := g.try(t, getDocument, "{}", signedBy("AKIA0000000000000000")); code != "UnrecognizedClientException" {
				t.Errorf("after %v a stranger is answered %s", wait, code)
			}
		}
		if s.asked != 2 {
			t.Errorf("looked up %d times", s.asked)
		}
	})
}

// stalledNodes knows no node, and does not say so until it is released.
type stalledNodes struct {
	knownNodes
	release chan struct{}
}

func (n *stalledNodes) PublicKeys(context.Context, inventory.NodeID) ([]*rsa.PublicKey, *iam.Principal, error) {
	<-n.release
	return nil, nil, sigv4.ErrUnknownKey
}

// TestLookUpsOfKeyPairsAreBounded has as many nodes looked up as may be at once: the next waits with patience, for a place.
func TestLookUpsOfKeyPairsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t)
		n := &stalledNodes{release: make(chan struct{})}
		g.config.Nodes = n
		ask := func() string {
			code, _ := (&gate{Handler: g.Handler}).try(t, getToken, "{}", withPair(ownNode, "eu-west-1", "ssm"))
			return code
		}
		var all sync.WaitGroup
		for range lookedUpAtOnce {
			all.Go(func() {
				if code := ask(); code != "AccessDeniedException" {
					t.Errorf("one of the first is answered %s", code)
				}
			})
		}
		synctest.Wait()
		began := time.Now()
		if code := ask(); code != "ThrottlingException" || time.Since(began) != pairWait {
			t.Errorf("after %v the next is answered %s", time.Since(began), code)
		}
		close(n.release)
		all.Wait()
		if code := ask(); code != "AccessDeniedException" {
			t.Errorf("after that the next is answered %s", code)
		}
	})
}
