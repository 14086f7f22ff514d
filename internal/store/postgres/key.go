package postgres

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"strings"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// The bounds of what goes into a key, in bytes: a B-tree of PostgreSQL takes rows of 2,704.
const (
	maxNodeKey   = 1000
	maxType      = 500
	maxSubType   = 500
	maxRecordKey = 2000
	maxName      = 1000 // of a reader or a lease
)

// A node's key is account, region and id with a NUL between; a scan goes in the order of it.
func nodeKey(k inventory.NodeKey) []byte {
	key := make([]byte, 0, len(k.Account)+len(k.Region)+len(k.Node)+2)
	key = append(append(key, k.Account...), 0)
	key = append(append(key, k.Region...), 0)
	return append(key, k.Node...)
}

func parseNodeKey(key []byte) (inventory.NodeKey, error) {
	account, rest, ok := bytes.Cut(key, []byte{0})
	region, node, ok2 := bytes.Cut(rest, []byte{0})
	if !ok || !ok2 {
		return inventory.NodeKey{}, fmt.Errorf("%w: %q is no node's key", store.ErrCorrupt, key)
	}
	return inventory.NodeKey{
		Partition: inventory.Partition{Account: string(account), Region: string(region)},
		Node:      inventory.NodeID(node),
	}, nil
}

func checkNodeKey(k inventory.NodeKey) error {
	if strings.Contains(k.Account, "\x00") || strings.Contains(k.Region, "\x00") {
		return fmt.Errorf("account or region of node %q has a NUL", k.Node)
	}
	if n := len(k.Account) + len(k.Region) + len(k.Node); n > maxNodeKey {
		return fmt.Errorf("the name of node %.40q... takes %d bytes, more than %d", k.Node, n, maxNodeKey)
	}
	return nil
}

// A document's key within its node is type, NUL and sub-type. A sub-type too long for a B-tree stands there by its
// digest, led by hashedSubType; those that begin so themselves do, too.
const hashedSubType = 0xff

func itemKey(k inventory.ItemKey) []byte {
	key := make([]byte, 0, len(k.Type)+1+min(len(k.SubType), sha256.Size+1))
	key = append(append(key, k.Type...), 0)
	if !hashed(k) {
		return append(key, k.SubType...)
	}
	sum := sha256.Sum256([]byte(k.SubType))
	return append(append(key, hashedSubType), sum[:]...)
}

func hashed(k inventory.ItemKey) bool {
	return len(k.SubType) > maxSubType || k.SubType != "" && k.SubType[0] == hashedSubType
}

// parseItemKey gives the document's name, but for the sub-type where that is hashed.
func parseItemKey(key []byte) (k inventory.ItemKey, whole bool, err error) {
	t, sub, ok := bytes.Cut(key, []byte{0})
	if !ok {
		return k, false, fmt.Errorf("%w: %q is no document's key", store.ErrCorrupt, key)
	}
	k.Type = inventory.TypeName(t)
	if len(sub) > 0 && sub[0] == hashedSubType {
		return k, false, nil
	}
	k.SubType = string(sub)
	return k, true, nil
}

func checkType(t inventory.TypeName) error {
	if len(t) > maxType || strings.Contains(string(t), "\x00") {
		return fmt.Errorf("a type cannot be named %.40q: it has a NUL, or more than %d bytes", t, maxType)
	}
	return nil
}

// typeRange gives the keys that a type's documents lie between.
func typeRange(t inventory.TypeName) (from, below []byte) {
	return append([]byte(t), 0), append([]byte(t), 1)
}

// shapeKey names a shape for the whole store: a shape's id, which tells type and text, mixed with what tells partitions
// apart. Two that are not the same shape of the same partition meet no likelier than two ids do.
type shapeKey [16]byte

// space is what shapes of one partition and type are mixed with.
type space [16]byte

func spaceOf(p inventory.Partition, t inventory.TypeName) space {
	sum := sha256.Sum256([]byte(p.Account + "\x00" + p.Region + "\x00" + string(t)))
	return space(sum[:16])
}

func (s space) key(id inventory.ShapeID) (k shapeKey) {
	subtle.XORBytes(k[:], id[:], s[:])
	return k
}

// shardOf gives the shard a shape's text is kept in: that of its own key, not those of the nodes that have it, so that
// each text is kept once.
func (k shapeKey) shardOf(shards int) int32 {
	return int32(binary.BigEndian.Uint64(k[:8]) % uint64(shards))
}
