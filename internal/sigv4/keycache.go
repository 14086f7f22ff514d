package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"sync"
)

// keyCacheSize bounds one generation of the cache; two are kept.
const keyCacheSize = 2048

// keyCache remembers derived signing keys. It holds two generations: a full one becomes the old one, and what is still
// used moves to the new. Whoever asks for made-up regions can thus slow it, but not grow it.
type keyCache struct {
	mu       sync.Mutex
	now, old map[keyName]derived
}

type keyName struct{ accessKeyID, date, region string }

// derived remembers its secret: an access key id may be given a new one.
type derived struct {
	secret string
	signer *signer
}

// signer knows a derived signing key, and keeps what a signature is computed with for the next one.
type signer struct {
	key  []byte
	macs sync.Pool // of *mac
}

type mac struct {
	hash.Hash
	text, sum []byte
}

// made reports whether a signature is that of a claim whose body has the given SHA-256.
func (s *signer) made(signature [sha256.Size]byte, c *Claim, bodyHash [sha256.Size]byte) bool {
	m, ok := s.macs.Get().(*mac)
	if !ok {
		m = &mac{Hash: hmac.New(sha256.New, s.key)}
	}
	defer s.macs.Put(m)
	m.Reset()
	m.text = appendStringToSign(m.text[:0], c.head, bodyHash, c.amzDate, &c.Authorization)
	m.Write(m.text)
	m.sum = m.Sum(m.sum[:0])
	return hmac.Equal(signature[:], m.sum)
}

// signer gives the signer of a claim under a key's secret.
func (k *keyCache) signer(c *Claim, accessKeyID, secret string) *signer {
	name := keyName{accessKeyID, c.Date, c.Region}
	if s := k.get(name, secret); s != nil {
		return s
	}
	s := &signer{key: deriveKey(secret, c.Date, c.Region, c.Service)}
	k.put(name, derived{secret, s})
	return s
}

func (k *keyCache) get(name keyName, secret string) *signer {
	k.mu.Lock()
	defer k.mu.Unlock()
	if d, ok := k.now[name]; ok && d.secret == secret {
		return d.signer
	}
	d, ok := k.old[name]
	if !ok || d.secret != secret {
		return nil
	}
	k.add(name, d)
	return d.signer
}

func (k *keyCache) put(name keyName, d derived) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.add(name, d)
}

func (k *keyCache) add(name keyName, d derived) {
	if k.now == nil || len(k.now) >= keyCacheSize {
		k.old, k.now = k.now, make(map[keyName]derived)
	}
	k.now[name] = d
}
