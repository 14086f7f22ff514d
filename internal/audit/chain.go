package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// A Hash names a line by all that is in it and before it.
type Hash [sha256.Size]byte

// String gives the hash in lower-case hex.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// hashMember begins a line's last member.
const hashMember = `,"hash":"`

// hashTail is how long the last member is, with the end of the line.
const hashTail = len(hashMember) + 2*sha256.Size + len(`"}`)

// seal appends to dst the line of a body, which is a JSON object: the body's members, then those of the chain. It gives the
// line's hash.
func seal(dst, body []byte, chain int, sequence uint64, prev Hash) ([]byte, Hash) {
	from := len(dst)
	dst = append(dst, body[:len(body)-1]...)
	dst = append(dst, `,"chain":`...)
	dst = strconv.AppendInt(dst, int64(chain), 10)
	dst = append(dst, `,"sequence":`...)
	dst = strconv.AppendUint(dst, sequence, 10)
	dst = append(dst, `,"prev":"`...)
	dst = hex.AppendEncode(dst, prev[:])
	dst = append(dst, '"')
	hash := Hash(sha256.Sum256(dst[from:]))
	dst = append(dst, hashMember...)
	dst = hex.AppendEncode(dst, hash[:])
	return append(dst, `"}`...), hash
}

// hashOf gives the hash that the bytes of a line make, whatever the line says. Of what is no line it is that of all bytes.
func hashOf(text []byte) Hash {
	if at := len(text) - hashTail; at > 0 && bytes.HasPrefix(text[at:], []byte(hashMember)) {
		text = text[:at]
	}
	return sha256.Sum256(text)
}

// sealed is what a line says of its place.
type sealed struct {
	Chain    *int    `json:"chain"`
	Sequence uint64  `json:"sequence"`
	Prev     *string `json:"prev"`
	Hash     string  `json:"hash"`

	Additional *details `json:"additionalEventData"`
}

// read gives what a line says of its place. It does not judge whether that is so.
func read(text []byte) (s sealed, prev, hash Hash, err error) {
	if err := json.Unmarshal(text, &s); err != nil {
		return s, prev, hash, fmt.Errorf("it is no line of JSON: %w", err)
	}
	if s.Chain == nil || s.Prev == nil {
		return s, prev, hash, fmt.Errorf("it lacks its place in the chain")
	}
	if err := unhex(&prev, *s.Prev); err != nil {
		return s, prev, hash, fmt.Errorf("its prev: %w", err)
	}
	if err := unhex(&hash, s.Hash); err != nil {
		return s, prev, hash, fmt.Errorf("its hash: %w", err)
	}
	return s, prev, hash, nil
}

func unhex(h *Hash, s string) error {
	if len(s) != 2*len(h) {
		return fmt.Errorf("%d characters, not %d", len(s), 2*len(h))
	}
	if _, err := hex.Decode(h[:], []byte(s)); err != nil {
		return err
	}
	if s != h.String() {
		return errors.New("it is not in lower case")
	}
	return nil
}
