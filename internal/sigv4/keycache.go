package sigv4

import "sync"

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
	key    []byte
}

// signingKey gives the signing key of a claim under a secret.
func (v *Verifier) signingKey(c *Claim, secret string) []byte {
	name := keyName{c.AccessKeyID, c.Date, c.Region}
	if key := v.keys.get(name, secret); key != nil {
		return key
	}
	key := deriveKey(secret, c.Date, c.Region, c.Service)
	v.keys.put(name, derived{secret, key})
	return key
}

func (k *keyCache) get(name keyName, secret string) []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	if d, ok := k.now[name]; ok && d.secret == secret {
		return d.key
	}
	d, ok := k.old[name]
	if !ok || d.secret != secret {
		return nil
	}
	k.add(name, d)
	return d.key
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
