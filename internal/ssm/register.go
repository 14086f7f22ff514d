package ssm

import (
	"context"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// How a machine becomes a managed node, in steps that any server can take over from one that died between them:
//
//  1. a slot of the activation is taken for the node's id, which is made of the activation, the key and the machine;
//  2. the node's identity is written, where there must be none: from here on the node is registered;
//  3. the node itself is made, with its tags, and what is kept of a managed node;
//  4. the slot is marked as used up.
//
// A slot that was taken long ago and has no identity is given back, after an identity that is void took its place:
// whoever is still on its way to step 2 finds that there, and begins anew. So slots are never used twice, and never lost.

const (
	// pendingFor is how long a registration may be under way before its slot may be given back.
	pendingFor = time.Minute
	// mostTries bounds how many ids one machine's key may use up with one activation.
	mostTries = 16
)

// RegisterInput is what a machine registers with.
type RegisterInput struct {
	ActivationID, Code string
	KeyType, PublicKey string // "Rsa", and base64 of the DER form (PKIX)
	Fingerprint        string // of the machine; its token requests must repeat it
}

// RegisterManagedNode makes the machine a managed node of the activation's partition. The same machine with the same key
// is the same node, and takes one slot, however often it registers.
func (s *Service) RegisterManagedNode(ctx context.Context, in RegisterInput) (inventory.NodeKey, error) {
	p, err := s.admit(ctx, in.ActivationID, in.Code)
	if err != nil {
		return inventory.NodeKey{}, err
	}
	der, err := parsePublicKey(in.KeyType, in.PublicKey)
	if err != nil {
		return inventory.NodeKey{}, err
	}
	r := registration{s: s, partition: p, activation: in.ActivationID, publicKey: der, fingerprint: in.Fingerprint}
	for try := range mostTries {
		key := inventory.NodeKey{Partition: p, Node: r.nodeID(try)}
		switch err := r.become(ctx, key); {
		case errors.Is(err, errUsedUp):
		case errors.Is(err, store.ErrConflict):
			return inventory.NodeKey{}, inventory.Errorf(inventory.TooManyUpdates, "Too many machines register at the same moment. Try again.")
		default:
			return key, err
		}
	}
	return inventory.NodeKey{}, inventory.Errorf(inventory.InvalidPublicKey, "This key was registered and deregistered too often. Register with a new one.")
}

// PartitionOf gives the partition of an activation to who knows its code, and changes nothing. Its error is as
// RegisterManagedNode's.
func (s *Service) PartitionOf(ctx context.Context, activation, code string) (inventory.Partition, error) {
	return s.admit(ctx, activation, code)
}

// admit gives the partition of an activation, if the code is its code. A caller who does not know the code learns
// nothing of the activation, not whether there is one.
func (s *Service) admit(ctx context.Context, id, code string) (inventory.Partition, error) {
	var p inventory.Partition
	revision, err := s.readRecord(ctx, store.Key(recordActivationID, id), &p)
	if err != nil {
		return p, err
	}
	var a activation
	if revision != 0 {
		if _, err = s.readRecord(ctx, activationKey(p, id), &a); err != nil {
			return p, err
		}
	}
	if !hmac.Equal(s.sealCode(id, code), a.Code) {
		return p, unknownActivation()
	}
	return p, nil
}

func unknownActivation() error {
	return inventory.Errorf(inventory.InvalidActivation, "There is no activation with this ActivationId and ActivationCode. Check both, and that it was not deleted.")
}

// parsePublicKey checks a public key and gives its one DER form.
func parsePublicKey(kind, text string) ([]byte, error) {
	bad := func(why string) error {
		return inventory.Errorf(inventory.InvalidPublicKey, "The public key %s. Send an RSA key of 2048 to 4096 bits, its DER form (PKIX) in base64, as PublicKeyType Rsa.", why)
	}
	if kind != "Rsa" {
		return nil, bad("is of another type than Rsa")
	}
	const most = 1024 // bytes in base64; a key of 4096 bits has some 740
	if len(text) > most {
		return nil, bad("is too long")
	}
	der, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, bad("is no base64")
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, bad("can't be read")
	}
	key, ok := parsed.(*rsa.PublicKey)
	switch {
	case !ok:
		return nil, bad("is no RSA key")
	case key.N.BitLen() < 2048 || key.N.BitLen() > 4096 || key.N.Bit(0) == 0:
		return nil, bad(fmt.Sprintf("has a modulus of %d bits", key.N.BitLen()))
	case key.E < 3 || key.E > 1<<31-1 || key.E%2 == 0:
		return nil, bad("has an exponent that is no safe one")
	}
	return x509.MarshalPKIXPublicKey(key)
}

// registration is one machine on its way to be a node.
type registration struct {
	s           *Service
	partition   inventory.Partition
	activation  string
	publicKey   []byte
	fingerprint string
}

// nodeID gives the id of the machine's first node, or the next where those before were deregistered.
func (r *registration) nodeID(try int) inventory.NodeID {
	sum := r.s.derived("node id", []byte(r.activation), r.publicKey, []byte(r.fingerprint), []byte{byte(try)})
	return inventory.NodeID("mi-" + hex.EncodeToString(sum)[:17])
}

// errUsedUp: the id was one of a node that is none any more.
var errUsedUp = errors.New("node id is used up")

// become makes the machine the node of a key. errUsedUp: it cannot be that one any more.
func (r *registration) become(ctx context.Context, key inventory.NodeKey) error {
	i, revision, err := r.s.identity(ctx, key.Node)
	switch {
	case err != nil:
		return err
	case revision != 0 && (!i.valid() || i.Partition != key.Partition):
		return errUsedUp
	case revision != 0:
		return r.s.complete(ctx, key, r.activation)
	}
	if err := r.s.takeSlot(ctx, key, r.activation); err != nil {
		return err
	}
	now := time.Now().UTC()
	err = r.s.swapRecord(ctx, identityKey(key.Node), identity{
		Partition: key.Partition, PublicKey: r.publicKey, KeySince: now, Registered: now, Fingerprint: r.fingerprint,
	}, 0)
	if errors.Is(err, store.ErrConflict) {
		// The same machine asked twice at once, or was so slow that its slot was given back.
		if i, _, err = r.s.identity(ctx, key.Node); err == nil && (!i.valid() || i.Partition != key.Partition) {
			err = errUsedUp
		}
	}
	if err != nil {
		return err
	}
	return r.s.complete(ctx, key, r.activation)
}

// changeActivation changes an activation, one at a time here. change says whether it is to be written.
func (s *Service) changeActivation(ctx context.Context, p inventory.Partition, id string, change func(a *activation) (bool, error)) error {
	lock := s.activations.of(inventory.NodeKey{Partition: p, Node: inventory.NodeID(id)})
	lock.Lock()
	defer lock.Unlock()
	return retry(ctx, func() error {
		var a activation
		revision, err := s.readRecord(ctx, activationKey(p, id), &a)
		if err != nil {
			return err
		}
		if revision == 0 {
			return unknownActivation()
		}
		changed, err := change(&a)
		if !changed {
			return err
		}
		if failed := s.swapRecord(ctx, activationKey(p, id), a, revision); failed != nil {
			return failed
		}
		return err
	})
}

// takeSlot takes a slot of the activation for a node, unless it has one.
func (s *Service) takeSlot(ctx context.Context, key inventory.NodeKey, id string) error {
	if err := s.replica.Index().Fits(key.Partition, 1, inventory.TypeInstanceInformation, 1); err != nil {
		return err
	}
	return s.changeActivation(ctx, key.Partition, id, func(a *activation) (bool, error) {
		now := time.Now().UTC()
		settled, err := s.settle(ctx, key, a, now)
		switch {
		case err != nil:
			return false, err
		case slices.ContainsFunc(a.Pending, func(n pendingNode) bool { return n.Node == key.Node }):
			return settled, nil
		case !now.Before(a.Expires):
			return settled, inventory.Errorf(inventory.ActivationExpired, "The activation %s has expired. Ask for a new one.", id)
		case a.Count >= a.Limit:
			return settled, inventory.Errorf(inventory.RegistrationLimitExceeded, "The activation %s is for %d nodes, and as many have registered. Ask for a new one.", id, a.Limit)
		}
		a.Count++
		a.Pending = append(a.Pending, pendingNode{Node: key.Node, Since: now})
		return true, nil
	})
}

// settle decides what became of slots taken long ago, but for that of the node at hand, and says whether that changed the
// activation.
func (s *Service) settle(ctx context.Context, own inventory.NodeKey, a *activation, now time.Time) (bool, error) {
	var left []pendingNode
	for _, n := range a.Pending {
		if age := now.Sub(n.Since); age < pendingFor && age > -pendingFor || n.Node == own.Node {
			left = append(left, n)
			continue
		}
		key := inventory.NodeKey{Partition: own.Partition, Node: n.Node}
		// ErrConflict: it goes on at this very moment.
		err := s.swapRecord(ctx, identityKey(n.Node), identity{Partition: own.Partition, End: endVoid}, 0)
		if err != nil && !errors.Is(err, store.ErrConflict) {
			return false, err
		}
		i, _, err := s.identity(ctx, n.Node)
		if err != nil {
			return false, err
		}
		switch {
		case i.End == endVoid:
			a.Count--
		case i.valid():
			if err := s.makeNode(ctx, key, a); err != nil {
				return false, err
			}
		}
	}
	settled := len(left) < len(a.Pending)
	a.Pending = left
	return settled, nil
}

// complete makes the node whose identity is written, and marks its slot as used up.
func (s *Service) complete(ctx context.Context, key inventory.NodeKey, id string) error {
	if _, _, err := s.managedNode(ctx, key); err == nil || !errors.Is(err, store.ErrNotFound) {
		return err // made before; a slot that is not marked is settled in time
	}
	var a activation
	revision, err := s.readRecord(ctx, activationKey(key.Partition, id), &a)
	if err == nil && revision == 0 {
		err = unknownActivation()
	}
	if err == nil {
		err = s.makeNode(ctx, key, &a)
	}
	if err != nil {
		return err
	}
	err = s.changeActivation(ctx, key.Partition, id, func(a *activation) (bool, error) {
		before := len(a.Pending)
		a.Pending = slices.DeleteFunc(a.Pending, func(n pendingNode) bool { return n.Node == key.Node })
		return len(a.Pending) < before, nil
	})
	if err != nil {
		s.log.Warn("the slot of a node that registered is marked as used up later", "node", key.Node, "activation", id, "error", err)
	}
	return nil
}

// makeNode makes the node of an identity, as far as it is not made. What is kept of a managed node comes last, and so
// says that all is there.
func (s *Service) makeNode(ctx context.Context, key inventory.NodeKey, a *activation) error {
	if _, _, err := s.managedNode(ctx, key); !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err := s.setStatus(ctx, key, inventory.Active, true); err != nil {
		return err
	}
	if len(a.Tags) > 0 {
		if err := s.AddTags(ctx, key.Partition, Resource{Type: "ManagedInstance", ID: string(key.Node)}, a.Tags); err != nil {
			return err
		}
	}
	i, _, err := s.identity(ctx, key.Node)
	if err != nil {
		return err
	}
	err = s.swapRecord(ctx, managedKey(key), managedNode{
		Node: key.Node, ActivationID: a.ID, Role: a.Role, Name: a.Name, Registered: i.Registered,
	}, 0)
	if errors.Is(err, store.ErrConflict) {
		return nil // another made it
	}
	return err
}
