package ssm

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

const (
	recordManaged  = "managed"  // by partition and node
	recordIdentity = "identity" // by node: the ids of managed nodes are a store's own, whatever the partition
)

// managedNode is what is kept of a node that registered, until it is deregistered.
type managedNode struct {
	Node         inventory.NodeID
	ActivationID string
	Role         string
	Name         string `json:",omitempty"`
	Registered   time.Time
}

// identity is what a managed node's requests are verified by. It is there before the node is and stays when that is gone,
// so that no id is given twice.
type identity struct {
	inventory.Partition
	// PublicKey is what the node signs with, as DER, Former what it signed with before.
	PublicKey []byte `json:",omitempty"`
	Former    []byte `json:",omitempty"`
	// KeySince is when it took this key, Registered when it registered; both in full, as tokens are held to the latter.
	KeySince    time.Time `json:",omitzero"`
	Registered  time.Time `json:",omitzero"`
	Fingerprint string    `json:",omitempty"`
	// Suspended: the node was terminated, and may be revived.
	Suspended bool `json:",omitempty"`
	// End says that the identity is none, for good, and why.
	End string `json:",omitempty"`
}

// The ends of an identity.
const (
	endRemoved = "removed" // it was deregistered
	endVoid    = "void"    // its registration was given up half-way, and the slot with it
)

func (i *identity) valid() bool { return i.End == "" && !i.Suspended }

func managedKey(key inventory.NodeKey) string {
	return store.Key(recordManaged, key.Account, key.Region, string(key.Node))
}

func identityKey(id inventory.NodeID) string { return store.Key(recordIdentity, string(id)) }

// identity gives a node's identity and its revision, 0 where there is none.
func (s *Service) identity(ctx context.Context, id inventory.NodeID) (identity, uint64, error) {
	var i identity
	revision, err := s.readRecord(ctx, identityKey(id), &i)
	return i, revision, err
}

// managedNode gives what is kept of a node that registered, or ErrNotFound.
func (s *Service) managedNode(ctx context.Context, key inventory.NodeKey) (m managedNode, revision uint64, err error) {
	revision, err = s.readRecord(ctx, managedKey(key), &m)
	if err == nil && revision == 0 {
		err = fmt.Errorf("managed node %s: %w", key.Node, store.ErrNotFound)
	}
	return m, revision, err
}

// UpdateManagedNodeRole gives a managed node another role: the name its role tokens carry from the next one on.
func (s *Service) UpdateManagedNodeRole(ctx context.Context, key inventory.NodeKey, role string) error {
	return retry(ctx, func() error {
		m, revision, err := s.managedNode(ctx, key)
		if errors.Is(err, store.ErrNotFound) {
			return notManaged(key.Node)
		}
		if err != nil || m.Role == role {
			return err
		}
		m.Role = role
		err = s.swapRecord(ctx, managedKey(key), m, revision)
		return err
	})
}

func notManaged(id inventory.NodeID) error {
	return inventory.Errorf(inventory.InvalidInstanceID, "The node %s isn't a managed node here. DescribeInstanceInformation lists those there are.", id)
}

// DeregisterManagedNode ends a managed node: its credentials are refused from here on, and so are its reports. What it
// reported stays until retention; to come back its machine registers anew, under another id.
func (s *Service) DeregisterManagedNode(ctx context.Context, key inventory.NodeKey) error {
	node, err := s.store.Node(ctx, key)
	if errors.Is(err, store.ErrNotFound) || err == nil && node.Status == inventory.Terminated {
		// One that was deregistered half-way is terminated last.
		return notManaged(key.Node)
	}
	if err != nil {
		return err
	}
	if err := s.forgetManaged(ctx, key); err != nil {
		return err
	}
	return s.setStatus(ctx, key, inventory.Terminated, false)
}

// forgetManaged ends a node's identity, and drops what is kept of it as a managed node. It is no error where there is none.
func (s *Service) forgetManaged(ctx context.Context, key inventory.NodeKey) error {
	err := s.changeIdentity(ctx, key, func(i *identity) { *i = identity{Partition: i.Partition, Registered: i.Registered, End: endRemoved} })
	if err != nil {
		return err
	}
	return retry(ctx, func() error {
		_, revision, err := s.managedNode(ctx, key)
		if err == nil {
			err = s.store.DeleteRecord(ctx, managedKey(key), revision)
		}
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
}

// suspend has the identity of a node refused while the node is terminated.
func (s *Service) suspend(ctx context.Context, key inventory.NodeKey, suspended bool) error {
	return s.changeIdentity(ctx, key, func(i *identity) { i.Suspended = suspended })
}

// changeIdentity changes the identity of a node, where it has one of this partition that did not end.
func (s *Service) changeIdentity(ctx context.Context, key inventory.NodeKey, change func(i *identity)) error {
	if !key.Node.Activated() {
		return nil
	}
	return retry(ctx, func() error {
		i, revision, err := s.identity(ctx, key.Node)
		if err != nil || revision == 0 || i.End != "" || i.Partition != key.Partition {
			return err
		}
		change(&i)
		err = s.swapRecord(ctx, identityKey(key.Node), i, revision)
		return err
	})
}

// ErrNotManaged says that there is no such managed node, or none any more.
var ErrNotManaged = errors.New("no managed node")

// NodeIdentity is who signs with a key pair.
type NodeIdentity struct {
	Node inventory.NodeKey
	Role string
	// Keys are the node's public key, and after it the former one where it has changed its key: with that it may only ask
	// again for the change.
	Keys []*rsa.PublicKey
}

// NodeIdentity gives what a node's requests are verified by, or ErrNotManaged.
func (s *Service) NodeIdentity(ctx context.Context, id inventory.NodeID) (NodeIdentity, error) {
	if !id.Valid() || !id.Activated() {
		return NodeIdentity{}, ErrNotManaged
	}
	i, revision, err := s.identity(ctx, id)
	if err == nil && (revision == 0 || !i.valid()) {
		err = ErrNotManaged
	}
	if err != nil {
		return NodeIdentity{}, err
	}
	known := NodeIdentity{Node: inventory.NodeKey{Partition: i.Partition, Node: id}}
	m, _, err := s.managedNode(ctx, known.Node)
	if errors.Is(err, store.ErrNotFound) {
		err = ErrNotManaged // it is on its way to be one
	}
	if err != nil {
		return NodeIdentity{}, err
	}
	known.Role = m.Role
	for _, der := range [][]byte{i.PublicKey, i.Former} {
		if der == nil {
			continue
		}
		parsed, err := x509.ParsePKIXPublicKey(der)
		key, ok := parsed.(*rsa.PublicKey)
		if err != nil || !ok {
			return NodeIdentity{}, fmt.Errorf("%w: public key of %s: %w", store.ErrCorrupt, id, err)
		}
		known.Keys = append(known.Keys, key)
	}
	return known, nil
}
