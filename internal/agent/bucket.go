package agent

import (
	"net/netip"
	"sync"
	"time"
)

// mostSources bounds one generation of what is remembered of sources; two are kept.
const mostSources = 8192

// sourceOf gives what counts as one source: an IPv4 address, the /64 of an IPv6 one, which is what a single machine may
// be given, and what is no address as it is.
func sourceOf(host string) string {
	address, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	address = address.Unmap().WithZone("")
	if address.Is4() {
		return address.String()
	}
	network, _ := address.Prefix(64) // which every IPv6 address has
	return network.String()
}

// buckets bound how often sources do something: each has a bucket that fills at a rate up to a burst, and doing it once
// takes one. A bucket nobody takes from is full and is forgotten in time, the older generation at once when the newer one
// has its bound.
type buckets struct {
	rate, burst float64 // a second, and at most

	mu       sync.Mutex
	now, old map[string]bucket
}

type bucket struct {
	left float64
	at   time.Time
}

func newBuckets(rate, burst float64) *buckets {
	return &buckets{rate: rate, burst: burst, now: map[string]bucket{}}
}

// take takes one for a source; false where there is none left.
func (b *buckets) take(source string, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	have := b.fill(source, now)
	ok := have.left >= 1
	if ok {
		have.left--
	}
	if _, kept := b.now[source]; !kept && len(b.now) >= mostSources {
		b.old, b.now = b.now, map[string]bucket{}
	}
	b.now[source] = have
	return ok
}

// left reports whether there is one to take.
func (b *buckets) left(source string, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.fill(source, now).left >= 1
}

// fill gives a source's bucket as it is now. A clock that went back fills nothing.
func (b *buckets) fill(source string, now time.Time) bucket {
	have, known := b.now[source]
	if !known {
		have, known = b.old[source]
	}
	if !known {
		return bucket{left: b.burst, at: now}
	}
	if passed := now.Sub(have.at).Seconds(); passed > 0 {
		have.left, have.at = min(b.burst, have.left+passed*b.rate), now
	}
	return have
}
