package httpd

import (
	"net/http"
	"net/netip"
	"time"

	"stocktake/internal/rate"
)

// Sources bounds the requests of each source address (of IPv6: a /64), before anything is done for them. Urgent ones have
// a bucket of their own beside the others', so that no other request from behind the same address takes what they need. A
// nil *Sources bounds nothing.
type Sources struct{ buckets *rate.Buckets[sourceLine] }

type sourceLine struct {
	source netip.Prefix
	urgent bool
}

// NewSources lets each source ask perSecond times a second in the long run, after a burst of as many as fill has. 0
// bounds nothing.
func NewSources(perSecond int, fill time.Duration) *Sources {
	return &Sources{rate.New[sourceLine](float64(perSecond), fill)}
}

// Refused gives how many requests were refused.
func (s *Sources) Refused() int64 { return s.buckets.Refused() }

func (s *Sources) take(r *http.Request, p Priority) bool {
	return s == nil || s.buckets.Take(sourceLine{rate.Source(peer(r)), p == Urgent}, time.Now())
}
