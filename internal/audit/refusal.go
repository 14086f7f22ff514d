package audit

import (
	"net/netip"
	"sync"
	"time"

	"stocktake/internal/rate"
)

// The bounds of lines of refusals. What goes beyond them is summed.
const (
	refusalsASecond = 2  // of one source and account
	refusalsAtOnce  = 10 // of one source and account
	refusalsOfAll   = 50 // a second, of everybody
	// mostSums bounds what is told apart in a minute. What comes on top is summed by its code alone.
	mostSums = 1024
)

// nameOfSums is the action of the lines that sum up.
const nameOfSums = "RefusedCalls"

// refusals choose which have a line of their own, and count the others.
type refusals struct {
	each *rate.Buckets[refused]
	all  *rate.Buckets[struct{}]

	mu   sync.Mutex
	from time.Time // when the first of the sums was counted
	many map[sum]int64
}

// refused is who was refused.
type refused struct {
	source  netip.Prefix
	account string
}

// sum is what one line sums up.
type sum struct{ address, account, code string }

func newRefusals() *refusals {
	return &refusals{
		each: rate.New[refused](refusalsASecond, refusalsAtOnce*time.Second/refusalsASecond),
		all:  rate.New[struct{}](refusalsOfAll, 2*time.Second),
		many: map[sum]int64{},
	}
}

// take reports whether a refusal has a line of its own; where it has none it is counted.
func (r *refusals) take(e *Event, now time.Time) bool {
	source := rate.Source(e.Address)
	if r.each.Take(refused{source, e.Account}, now) && r.all.Take(struct{}{}, now) {
		return true
	}
	s := sum{"", e.Account, e.ErrorCode}
	if source.IsValid() {
		s.address = source.Masked().String()
		if source.IsSingleIP() {
			s.address = source.Addr().String()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.many[s]; !known && len(r.many) >= mostSums {
		s = sum{code: e.ErrorCode}
	}
	if len(r.many) == 0 {
		r.from = now
	}
	r.many[s]++
	return false
}

// sums gives a line for each of what was counted, and begins anew.
func (r *refusals) sums(now time.Time) []*Event {
	r.mu.Lock()
	counted, from := r.many, r.from
	r.many = map[sum]int64{}
	r.mu.Unlock()
	var all []*Event
	for s, n := range counted {
		e := ofService(Summary, nameOfSums, s.account, &details{Count: n, From: stamp(from), To: stamp(now)})
		e.Address, e.ErrorCode = s.address, s.code
		all = append(all, e)
	}
	return all
}
