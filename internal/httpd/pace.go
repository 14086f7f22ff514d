package httpd

import (
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// What the pace goes by. A goroutine that is ready and gets no processor waits longer the more others are ready, so that this
// wait says how much too much is at work, whatever the requests are and however long the disk takes.
const (
	waitsMetric = "/sched/latencies:seconds"
	lookEach    = 50 * time.Millisecond
	leastWaits  = 20 // for a percentile of them to say something
	slowWait    = 10 * time.Millisecond
	quickWait   = 4 * time.Millisecond
)

// pace finds how many requests may be at work at once, of each of the budgets that go by it. Too many make each other late, the
// refusals of what is too much included.
type pace struct {
	least, most int64
	limit       atomic.Int64
	waited      atomic.Bool // the limit held back somebody since the last look

	mu     sync.Mutex
	looked time.Time
	sample []metrics.Sample
	counts []uint64 // of the waits before the last look
}

func newPace(least, most int64) *pace {
	p := &pace{least: least, most: most, sample: []metrics.Sample{{Name: waitsMetric}}}
	p.limit.Store(most)
	return p
}

// look adapts the limit by what was seen since the last look, some times a second. Waited says that the limit holds back
// somebody: only then a higher one would be of use. A nil pace looks at nothing.
func (p *pace) look(now time.Time, waited bool) {
	if p == nil {
		return
	}
	if waited {
		p.waited.Store(true)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.looked) < lookEach {
		return
	}
	isFirst := now.Sub(p.looked) > 20*lookEach // what was before is of another time
	p.looked = now
	metrics.Read(p.sample)
	if p.sample[0].Value.Kind() != metrics.KindFloat64Histogram {
		return
	}
	waits := p.sample[0].Value.Float64Histogram()
	if isFirst {
		p.counts = append(p.counts[:0], waits.Counts...)
	}
	wait, known := p.since(waits)
	if known && !isFirst {
		p.adapt(wait, p.waited.Swap(false))
	}
	if isFirst {
		p.limit.Store(max(p.limit.Load(), p.most/2))
	}
}

// since gives the 90th percentile of the waits since the last look, where there were enough.
func (p *pace) since(waits *metrics.Float64Histogram) (time.Duration, bool) {
	var sum uint64
	grown := make([]uint64, len(waits.Counts))
	for i, n := range waits.Counts {
		grown[i] = n
		if p.counts != nil {
			grown[i] -= p.counts[i]
		}
		sum += grown[i]
	}
	if sum < leastWaits {
		return 0, false // they are looked at again with those that follow
	}
	p.counts = append(p.counts[:0], waits.Counts...)
	below := uint64(0)
	for i, n := range grown {
		if below += n; below*10 >= sum*9 {
			return time.Duration(max(waits.Buckets[i], 0) * float64(time.Second)), true
		}
	}
	return 0, false
}

// adapt gives way quickly and comes back slowly.
func (p *pace) adapt(wait time.Duration, waited bool) {
	limit := p.limit.Load()
	switch {
	case wait > slowWait:
		limit = max(limit*2/3, p.least)
	case wait < quickWait && waited:
		limit = min(limit+limit/16+1, p.most)
	}
	p.limit.Store(limit)
}
