package pebble

import (
	"encoding/binary"
	"fmt"

	"stocktake/internal/inventory"
)

// The first byte of a key says what it is the key of.
const (
	kindMeta      = 'm' // the format, the identity, the counters, the id of the records' head
	kindNode      = 'n' // shard, account, region, node -> the node's record
	kindDocument  = 'd' // shard, account, region, node, type, sub-type -> document
	kindChange    = 'c' // shard, sequence -> change
	kindSpace     = 'p' // space -> the partition and type whose shapes are numbered in it
	kindShapeID   = 'i' // space, number -> shape id
	kindShape     = 't' // space, number -> shape text
	kindRecord    = 'k' // key -> control-plane record
	kindReader    = 'r' // name -> sequences read
	kindFence     = 'f' // lease -> number
	kindLine      = 'j' // chain, sequence -> line of the journal
	kindIntention = 'w' // chain, id -> intention of the journal
)

var (
	keyIdentity = []byte{kindMeta, 'i'}
	keyCounters = []byte{kindMeta, 'c'}
	keyRecords  = []byte{kindMeta, 'r'}
)

// Strings in a key end with 0, 1 and hold 0 as 0, 255: keys order as the lists of their parts do, and no part can reach
// into the next.
func appendKeyString(dst []byte, s string) []byte {
	for i := range len(s) {
		dst = append(dst, s[i])
		if s[i] == 0 {
			dst = append(dst, 0xff)
		}
	}
	return append(dst, 0, 1)
}

func cutKeyString(key []byte) (s string, rest []byte, err error) {
	var b []byte
	for i := 0; i < len(key); i++ {
		if key[i] != 0 {
			b = append(b, key[i])
			continue
		}
		if i++; i == len(key) {
			break
		}
		switch key[i] {
		case 1:
			return string(b), key[i+1:], nil
		case 0xff:
			b = append(b, 0)
		default:
			return "", nil, fmt.Errorf("key holds a zero byte at %d", i)
		}
	}
	return "", nil, fmt.Errorf("key is cut short")
}

func shardKey(kind byte, shard int) []byte {
	return binary.BigEndian.AppendUint16([]byte{kind}, uint16(shard))
}

// keyAfter is the first key behind all that begin with prefix.
func keyAfter(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

func nodeKey(shard int, k inventory.NodeKey) []byte {
	key := make([]byte, 0, 64)
	key = append(key, kindNode)
	key = binary.BigEndian.AppendUint16(key, uint16(shard))
	key = appendKeyString(key, k.Account)
	key = appendKeyString(key, k.Region)
	return appendKeyString(key, string(k.Node))
}

func documentKey(node []byte, item inventory.ItemKey) []byte {
	key := make([]byte, 0, len(node)+len(item.Type)+len(item.SubType)+4)
	key = append(key, node...)
	key[0] = kindDocument
	key = appendKeyString(key, string(item.Type))
	return appendKeyString(key, item.SubType)
}

// parseNodeKey reads a node's key from behind its kind and shard.
func parseNodeKey(key []byte) (k inventory.NodeKey, err error) {
	var rest []byte
	if len(key) < 3 {
		return k, fmt.Errorf("key of %d bytes", len(key))
	}
	if k.Account, rest, err = cutKeyString(key[3:]); err != nil {
		return k, err
	}
	if k.Region, rest, err = cutKeyString(rest); err != nil {
		return k, err
	}
	var node string
	if node, rest, err = cutKeyString(rest); err != nil {
		return k, err
	}
	if len(rest) > 0 {
		return k, fmt.Errorf("key has %d bytes too many", len(rest))
	}
	k.Node = inventory.NodeID(node)
	return k, nil
}

func changeKey(shard int, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(shardKey(kindChange, shard), seq)
}

func spaceRowKey(number uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{kindSpace}, number)
}

func shapeRowKey(kind byte, space, number uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte{kind}, space), number)
}

func stringKey(kind byte, name string) []byte {
	return append([]byte{kind}, name...)
}
