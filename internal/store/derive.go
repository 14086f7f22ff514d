package store

import (
	"crypto/hmac"
	"crypto/sha256"
)

// Derive makes a key or secret of RootKey for one purpose and one thing: the same for the same purpose and parts, at every
// server and for ever. No part may be longer than 65,535 bytes.
func (i Identity) Derive(purpose string, parts ...[]byte) [32]byte {
	mac := hmac.New(sha256.New, i.RootKey[:])
	mac.Write([]byte(purpose))
	for _, part := range parts {
		length := [2]byte{byte(len(part) >> 8), byte(len(part))}
		mac.Write(length[:])
		mac.Write(part)
	}
	return [32]byte(mac.Sum(nil))
}
