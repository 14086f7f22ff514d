package client

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"stocktake/internal/sigv4"
	"stocktake/internal/wire"
)

// keyType is the only kind of key pair that the protocol has.
const keyType = "Rsa"

// Register makes the machine of an identity a managed node, and gives the node's id. The identity needs its endpoint,
// region, fingerprint and key; registering the same one again gives the same id and takes no second place of the
// activation, so keep the identity before the call. The call is not signed: the activation's code is all that it takes.
func Register(ctx context.Context, c Config, i Identity, activation, code string) (node string, err error) {
	c.Endpoint, c.Region = i.Endpoint, i.Region
	u, err := c.check()
	if err != nil {
		return "", err
	}
	public, err := publicKey(i.Key)
	if err != nil {
		return "", err
	}
	connected := build(c, u)
	defer connected.Close()
	return connected.register(ctx, registration{activation, code, public, keyType, i.Fingerprint})
}

// registration is the request of RegisterManagedInstance.
type registration struct {
	ActivationId   string //nolint:revive,staticcheck // the member's name on the wire
	ActivationCode string
	PublicKey      string
	PublicKeyType  string
	Fingerprint    string
}

func (c *Client) register(ctx context.Context, r registration) (string, error) {
	var answer struct {
		InstanceId string //nolint:revive,staticcheck // the member's name on the wire
	}
	if err := c.ask(ctx, "RegisterManagedInstance", r, &answer, anonymous); err != nil {
		return "", err
	}
	if answer.InstanceId == "" {
		return "", errors.New("RegisterManagedInstance: the answer names no node")
	}
	return answer.InstanceId, nil
}

// ask calls an action with a value as its JSON, and reads the answer into another; nil: it is of no interest.
func (c *Client) ask(ctx context.Context, action string, request, answer any, sign signer) error {
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("%s: %w", action, err)
	}
	text, err := c.do(ctx, action, body, sign)
	if err != nil || answer == nil {
		return err
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("%s: the answer cannot be read: %w", action, err)
	}
	return nil
}

// Node is a managed node: a client whose credentials are those of the node's role. They are asked for with the node's key
// pair, and again at half of their life. When the service asks for another key pair, one is made, kept and handed over. It
// may be used by many goroutines at once.
type Node struct {
	client *Client
	keep   func(Identity) error
	log    *slog.Logger
	newKey func() (*rsa.PrivateKey, error)

	mu        sync.Mutex // held while the service is asked, so that one goroutine asks for all
	identity  Identity
	role      role
	failures  int       // of attempts for credentials, in a row
	notBefore time.Time // the time of the next attempt
	last      error     // of the last attempt
}

// role is what the service gave the node to sign with.
type role struct {
	credentials sigv4.Credentials
	renew       time.Time // half of the life is over
	expires     time.Time
}

// OpenNode makes a managed node of the identity that it registered by. c says the rest: an endpoint or region that it does
// not name are those of the identity, and its credentials are of no interest. keep is called to keep the identity whenever
// its keys change, before and after the service is told; log may be nil.
func OpenNode(c Config, i Identity, keep func(Identity) error, log *slog.Logger) (*Node, error) {
	if i.Node == "" || i.Key == nil {
		return nil, errors.New("the identity is of no registered node")
	}
	c.Endpoint = orDefault(c.Endpoint, i.Endpoint)
	if c.Region = orDefault(c.Region, i.Region); c.Region != i.Region {
		return nil, fmt.Errorf("managed node %s is registered in %s, not in %s", i.Node, i.Region, c.Region)
	}
	u, err := c.check()
	if err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	n := &Node{identity: i, keep: keep, log: log, newKey: NewKey}
	c.Credentials = n.Credentials
	n.client = build(c, u)
	n.client.renew = n.drop
	return n, nil
}

// ID gives the node's id.
func (n *Node) ID() string { return n.identity.Node }

// Client gives the client that signs with the node's credentials.
func (n *Node) Client() *Client { return n.client }

// drop forgets the credentials, which the service says are over before their time.
func (n *Node) drop() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	had := n.role.credentials.AccessKeyID != ""
	n.role = role{}
	return had
}

// Credentials gives the credentials of the node's role. While they last they are given even though the service gives no
// newer ones. The error is a [*RoleError]: after one the service is left alone for a time, longer and longer, and half an
// hour where it refused the node; the same error is given meanwhile.
func (n *Node) Credentials(ctx context.Context) (sigv4.Credentials, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.client.now()
	if now.Before(n.role.renew) {
		return n.role.credentials, nil
	}
	if !now.Before(n.notBefore) {
		n.last = n.refresh(ctx)
		if ctx.Err() == nil {
			n.postpone(n.last)
		}
	}
	if n.last != nil && !n.client.now().Before(n.role.expires) {
		return sigv4.Credentials{}, n.last
	}
	return n.role.credentials, nil
}

// postpone says when the service may be asked again, after an attempt that ended so.
func (n *Node) postpone(err error) {
	if err == nil {
		n.failures, n.notBefore = 0, time.Time{}
		return
	}
	n.failures++
	n.notBefore = n.client.now().Add(nextAttempt(err, n.failures))
}

// longestWait bounds the time between two attempts for credentials.
const longestWait = 30 * time.Minute

// nextAttempt is how long the service is left alone after so many failures in a row, as the stock agent does: 25 to 30
// minutes where it refused the node, else a time that doubles.
func nextAttempt(err error, failures int) time.Duration {
	doubling := min(time.Second<<min(failures, 12), longestWait)
	var answered *Error
	switch {
	case isRefusal(err) && codeOf(err) != wire.InvalidSignatureException: // for which the clock may be the reason
		return longestWait - rand.N(5*time.Minute)
	case errors.As(err, &answered):
		return min(doubling+10*time.Second+rand.N(10*time.Second), longestWait)
	}
	return doubling
}

// isRefusal says whether the service knows the node's key no more, or not yet.
func isRefusal(err error) bool {
	switch codeOf(err) {
	case wire.AccessDeniedException, wire.MachineFingerprintDoesNotMatch, wire.UnrecognizedClientException,
		wire.InvalidSignatureException, wire.InvalidInstanceId:
		return true
	}
	return false
}

// codeOf gives the code by which the service refused something, "" where it failed or did not answer.
func codeOf(err error) string {
	var answered *Error
	if !errors.As(err, &answered) || answered.Status >= 500 {
		return ""
	}
	return answered.Code
}
