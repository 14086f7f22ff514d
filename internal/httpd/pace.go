package httpd

import (
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"syscall"
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
	// crowdedOut is how many times more than the least may be at work where it is others who take the processor: waits are long
	// then whatever the limit, and a lower one only keeps the disk idle.
	crowdedOut = 4
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
	counts []uint64      // of the waits before the last look
	used   time.Duration // of the processor, before the last look
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
	took := now.Sub(p.looked)
	isFirst := took > 20*lookEach // what was before is of another time
	p.looked = now
	used := processorTime()
	// Not even half of the processor: others have the rest, or nobody needs it.
	isOwn := 2*(used-p.used) >= took*time.Duration(runtime.GOMAXPROCS(0))
	p.used = used
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
		p.adapt(wait, isOwn, p.waited.Swap(false))
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

// adapt gives way quickly and comes back slowly; isOwn says that it is this process that takes most of the processor.
func (p *pace) adapt(wait time.Duration, isOwn, waited bool) {
	limit, least := p.limit.Load(), p.least
	if !isOwn {
		least = min(least*crowdedOut, p.most)
	}
	switch {
	case wait > slowWait:
		limit = max(limit*2/3, least)
	case wait < quickWait && waited:
		limit = min(limit+limit/16+1, p.most)
	}
	p.limit.Store(limit)
}

// processorTime is how much of the processor this process has used.
func processorTime() time.Duration {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return 0 // as if others took it
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
