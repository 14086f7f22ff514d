// Package seal keeps what must be kept from others, or be given to them and come back unchanged: secrets in the store, page
// tokens, and the credentials of sessions.
//
// Call [New] with a key derived for the purpose, then [Box.Seal] and [Box.Open]; [Box.Token] and [Box.OpenToken] do the same
// for what travels as text. [NewSession] makes short-lived credentials that say themselves what they stand for, so that
// nothing is kept of them, and [OpenSession] undoes it.
//
// Promises: what was sealed under another key, or for another thing, or was altered in any bit, does not open, and nothing
// is said of why; each text has one token, so that no other spelling opens. The seal is AES-256-GCM with a random nonce.
//
// The package knows no keys of its own, no clock and no meaning of what it seals: when a session ends is for its owner to
// say.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"
)

// ErrClosed is the error of what does not open.
var ErrClosed = errors.New("it does not open: it is damaged, or was sealed under another key")

// mostToken bounds what is taken for a token, in bytes.
const mostToken = 4096

// A Box seals under one key. It may be used by many goroutines at once.
type Box struct{ aead cipher.AEAD }

// New makes the box of a key.
func New(key [32]byte) (Box, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return Box{}, err
	}
	aead, err := cipher.NewGCM(block)
	return Box{aead}, err
}

// Seal seals a text for one thing, for which alone it opens.
func (b Box) Seal(plain, thing []byte) []byte {
	nonce := make([]byte, b.aead.NonceSize(), b.aead.NonceSize()+len(plain)+b.aead.Overhead())
	_, _ = rand.Read(nonce) // it never fails
	return b.aead.Seal(nonce, nonce, plain, thing)
}

// Open undoes Seal. Its error is ErrClosed.
func (b Box) Open(sealed, thing []byte) ([]byte, error) {
	n := b.aead.NonceSize()
	if len(sealed) < n {
		return nil, ErrClosed
	}
	plain, err := b.aead.Open(nil, sealed[:n], sealed[n:], thing)
	if err != nil {
		return nil, ErrClosed
	}
	return plain, nil
}

// Token seals a text as letters, digits, hyphens and underscores.
func (b Box) Token(plain []byte) string {
	return base64.RawURLEncoding.EncodeToString(b.Seal(plain, nil))
}

// OpenToken undoes Token. Its error is ErrClosed.
func (b Box) OpenToken(token string) ([]byte, error) {
	if len(token) > mostToken || strings.ContainsAny(token, "\r\n") { // which the decoder passes over
		return nil, ErrClosed
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil {
		return nil, ErrClosed
	}
	return b.Open(sealed, nil)
}
