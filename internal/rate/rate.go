// Package rate bounds how often somebody does something: token buckets, one for each of any number of keys, in bounded
// memory.
//
// Call [New], and [Buckets.Take] before what is to be bounded. A source of requests is best told by [Source].
//
// Promises: a key that keeps below its rate is never refused, whatever the others do; one that goes beyond it gets its
// burst and then the rate; 2^18 keys are remembered, in some 10 MiB, and none that could tell from a new one what it did;
// no key is kept, only a hash of it under a seed of the process's own. Everything is safe for concurrent use.
//
// It does not wait, knows nothing of what is bounded, and shares nothing with other processes.
package rate

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// most bounds one generation of what is remembered; two are kept.
const most = 1 << 17

// Buckets are a bucket for each key. One holds up to a burst of tokens and fills at a rate; a bucket nobody takes from is
// full, and forgotten. A nil *Buckets bounds nothing.
type Buckets[K comparable] struct {
	each  time.Duration // in which one token comes in
	whole time.Duration // in which an empty bucket fills
	seed  maphash.Seed
	none  atomic.Int64 // calls of Take that were refused

	mu       sync.Mutex
	began    time.Time
	turned   time.Duration            // when now became a generation, since began
	now, old map[uint64]time.Duration // when a bucket will be full, since began
}

// New makes buckets that fill by perSecond tokens a second and hold as many as come in within fill, one at least. nil,
// which bounds nothing, when perSecond is not above zero.
func New[K comparable](perSecond float64, fill time.Duration) *Buckets[K] {
	if perSecond <= 0 {
		return nil
	}
	each := max(time.Duration(float64(time.Second)/perSecond), 1)
	return &Buckets[K]{each: each, whole: max(fill, each), seed: maphash.MakeSeed(), began: time.Now(), now: map[uint64]time.Duration{}}
}

// Take takes a token from a key's bucket; false where there is none, which takes nothing. A clock that went back fills
// nothing.
func (b *Buckets[K]) Take(key K, now time.Time) bool {
	if b == nil {
		return true
	}
	name := maphash.Comparable(b.seed, key)
	b.mu.Lock()
	defer b.mu.Unlock()
	at := now.Sub(b.began)
	full := b.full(name, at) + b.each
	if full-at > b.whole {
		b.none.Add(1)
		return false
	}
	b.turn(at)
	b.now[name] = full
	return true
}

// Left reports whether there is a token to take.
func (b *Buckets[K]) Left(key K, now time.Time) bool {
	if b == nil {
		return true
	}
	name := maphash.Comparable(b.seed, key)
	b.mu.Lock()
	defer b.mu.Unlock()
	at := now.Sub(b.began)
	return b.full(name, at)+b.each-at <= b.whole
}

// Refused gives how often Take found nothing.
func (b *Buckets[K]) Refused() int64 {
	if b == nil {
		return 0
	}
	return b.none.Load()
}

// full gives when a bucket will be full, the moment at hand where it is. The caller holds the lock.
func (b *Buckets[K]) full(name uint64, at time.Duration) time.Duration {
	full, known := b.now[name]
	if !known {
		full, known = b.old[name]
	}
	if !known {
		return at
	}
	// No bucket is more than empty, whatever the clock did.
	return min(max(full, at), at+b.whole)
}

// turn begins a new generation when the older one holds nothing but full buckets, or the newer one has its bound. The
// caller holds the lock.
func (b *Buckets[K]) turn(at time.Duration) {
	if at-b.turned >= b.whole && len(b.now)+len(b.old) > 0 || len(b.now) >= most {
		b.now, b.old, b.turned = make(map[uint64]time.Duration), b.now, at
	}
}

// Source gives what counts as one source of requests: an IPv4 address, or the /64 of an IPv6 one, which is what a single
// machine may be given. What is no address is the zero prefix, all of it one source.
func Source(host string) netip.Prefix {
	address, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}
	}
	address = address.Unmap().WithZone("")
	bits := 64
	if address.Is4() {
		bits = 32
	}
	source, _ := address.Prefix(bits) // which every address has
	return source
}
