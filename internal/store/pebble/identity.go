package pebble

import (
	"encoding/binary"
	"fmt"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// The identity begins with the version of the whole format, so that it is what a later program's store is refused by.
func encodeIdentity(id store.Identity) []byte {
	dst := binary.AppendUvarint(nil, formatVersion)
	dst = append(dst, id.ID[:]...)
	dst = binary.AppendUvarint(dst, uint64(id.Shards))
	dst = append(dst, id.HashKey[:]...)
	dst = append(dst, id.TokenKey[:]...)
	return append(dst, id.RootKey[:]...)
}

func decodeIdentity(value []byte) (id store.Identity, err error) {
	d := &decoder{buf: value}
	if v := d.uvarint(); d.err == nil && (v < 1 || v > formatVersion) {
		return id, &formatError{v}
	}
	copy(id.ID[:], d.bytes(len(id.ID)))
	id.Shards = int(min(d.uvarint(), 1<<20))
	copy(id.HashKey[:], d.bytes(len(id.HashKey)))
	copy(id.TokenKey[:], d.bytes(len(id.TokenKey)))
	copy(id.RootKey[:], d.bytes(len(id.RootKey)))
	if id.Shards < 1 || id.Shards > 1024 {
		d.fail("has %d shards", id.Shards)
	}
	return id, d.end()
}

// formatError refuses a store that another version of the program wrote. It is no damage.
type formatError struct{ version uint64 }

func (e *formatError) Error() string {
	return fmt.Sprintf("it has format %d and this program knows none above %d: open it with the version of the program that wrote it", e.version, formatVersion)
}

func appendSpace(dst []byte, k spaceKey) []byte {
	dst = append(dst, valueVersion)
	return appendString(appendString(appendString(dst, k.Account), k.Region), string(k.Type))
}

func decodeSpace(key, value []byte) (number uint32, k spaceKey, err error) {
	d := newDecoder(value)
	k.Account, k.Region, k.Type = d.string(), d.string(), inventory.TypeName(d.string())
	if len(key) != 5 {
		return 0, k, fmt.Errorf("key of %d bytes", len(key))
	}
	return binary.BigEndian.Uint32(key[1:]), k, d.end()
}

func parseShapeRowKey(key []byte) (space, number uint32, err error) {
	if len(key) != 9 {
		return 0, 0, fmt.Errorf("key of %d bytes", len(key))
	}
	return binary.BigEndian.Uint32(key[1:]), binary.BigEndian.Uint32(key[5:]), nil
}

func parseChangeKey(key []byte) (uint64, error) {
	if len(key) != 11 {
		return 0, damaged(key, fmt.Errorf("key of %d bytes", len(key)))
	}
	return binary.BigEndian.Uint64(key[3:]), nil
}
