package ssm

import (
	"slices"
	"strings"
	"sync"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// The bounds of remembered nodes: how many, and how much memory, of which one with a dozen types takes some 4 KB.
const (
	maxKnownNodes = 1 << 15
	maxKnownBytes = maxKnownNodes * 4 << 10
)

// knownNodes remembers the records of the nodes that reported here last. A store behind a network is then asked once by
// a report that changes nothing: the write itself tells whether the record is still as remembered. The nil knownNodes
// remembers nothing.
type knownNodes struct {
	mu    sync.Mutex
	nodes map[inventory.NodeKey]inventory.Node
	bytes int // of all of them, about
}

func newKnownNodes() *knownNodes {
	return &knownNodes{nodes: map[inventory.NodeKey]inventory.Node{}}
}

// recall gives a node's record as it was remembered. It is not to be changed.
func (k *knownNodes) recall(key inventory.NodeKey) (inventory.Node, bool) {
	if k == nil {
		return inventory.Node{}, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	n, ok := k.nodes[key]
	return n, ok
}

// remember takes a node's record as it was given to the store, with what the store made of it.
func (k *knownNodes) remember(n inventory.Node, done store.Committed) {
	if k == nil {
		return
	}
	n = apart(n)
	n.Revision = done.Revision
	for _, c := range done.Changes {
		if state := n.Item(inventory.ItemKey{Type: c.Document.Type, SubType: c.Document.SubType}); state != nil {
			state.Seq = c.Seq
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drop(n.Key)
	k.nodes[n.Key], k.bytes = n, k.bytes+heldBytes(n)
	for key := range k.nodes { // any
		if len(k.nodes) <= maxKnownNodes && k.bytes <= maxKnownBytes {
			return
		}
		if key != n.Key {
			k.drop(key)
		}
	}
}

// drop forgets a node, if it is known. The caller holds the lock.
func (k *knownNodes) drop(key inventory.NodeKey) {
	if n, known := k.nodes[key]; known {
		delete(k.nodes, key)
		k.bytes -= heldBytes(n)
	}
}

// heldBytes gives about how much memory a record takes with its texts.
func heldBytes(n inventory.Node) int {
	const node, item, attribute = 300, 180, 32
	sum := node + len(n.Key.Account) + len(n.Key.Region) + len(n.Key.Node) + item*len(n.Items)
	for _, s := range n.Items {
		sum += len(s.Type) + len(s.SubType) + len(s.SchemaVersion) + len(s.CaptureTime) + len(s.Hash)
		for _, a := range s.Context {
			sum += attribute + len(a.Name) + len(a.Value)
		}
	}
	return sum
}

// apart copies a record with its texts, which may be parts of a request's body.
func apart(n inventory.Node) inventory.Node {
	n = n.Clone()
	n.Key = keyApart(n.Key)
	for i := range n.Items {
		s := &n.Items[i]
		s.Type, s.SubType = inventory.TypeName(strings.Clone(string(s.Type))), strings.Clone(s.SubType)
		s.SchemaVersion, s.CaptureTime, s.Hash = strings.Clone(s.SchemaVersion), strings.Clone(s.CaptureTime), strings.Clone(s.Hash)
		s.Context = slices.Clone(s.Context)
		for j, a := range s.Context {
			s.Context[j] = inventory.Attribute{Name: strings.Clone(a.Name), Value: strings.Clone(a.Value)}
		}
	}
	return n
}

// keyApart copies a key with its texts.
func keyApart(key inventory.NodeKey) inventory.NodeKey {
	return inventory.NodeKey{
		Partition: inventory.Partition{Account: strings.Clone(key.Account), Region: strings.Clone(key.Region)},
		Node:      inventory.NodeID(strings.Clone(string(key.Node))),
	}
}

func (k *knownNodes) forget(key inventory.NodeKey) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drop(key)
}

// recall has the report judged by what this server remembers, if that is all it needs.
func (r *report) recall(judgedByTypes bool) bool {
	node, ok := r.s.known.recall(r.key)
	if !ok || node.Status != inventory.Active {
		return false
	}
	if judgedByTypes {
		types := r.s.schemas.remembered(r.key.Partition)
		if types == nil || len(types.deletions) > 0 {
			return false
		}
		r.types = types
	}
	r.before, r.node, r.remembered = node, node.Clone(), true
	return true
}
