package pebble

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// request is an op on its way through the committer.
type request struct {
	op   op
	need need
	// state is waiting until either the committer takes the request or its caller gives it up.
	state atomic.Int32
	err   error
	done  chan struct{}
}

const (
	waiting = iota
	taken
	givenUp
)

// submit hands an op to the committer and waits for its outcome, but not for a disk that does not answer: whoever waits
// keeps memory that a question needs, too.
func (s *Store) submit(ctx context.Context, o op, n need) error {
	p := writer{stall: s.stall}
	if err := p.enter(); err != nil {
		return err
	}
	defer p.leave()
	r := &request{op: o, need: n, done: make(chan struct{})}
	sent, err := s.await(ctx, r, &p)
	if err == nil {
		return r.err
	}
	if !sent || r.state.CompareAndSwap(waiting, givenUp) {
		return err
	}
	select {
	case <-r.done: // both at once
		return r.err
	default:
	}
	if refused := (*inventory.Error)(nil); errors.As(err, &refused) {
		err = errStalled
	}
	if ctx.Err() == nil && !errors.Is(err, store.ErrUnavailable) {
		err = fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return fmt.Errorf("%w (the write was under way and may still happen)", err)
}

// await sends a request and waits until it is done, or gives why it is not waited for any longer.
func (s *Store) await(ctx context.Context, r *request, p *writer) (sent bool, err error) {
	stuck := s.guard.waiting()
	slow, stalled := s.stall.over()
	queue := s.committer.queue
	for {
		select {
		case queue <- r:
			queue, sent = nil, true
		case <-r.done:
			return sent, nil
		case <-ctx.Done():
			return sent, ctx.Err()
		case <-s.guard.failed:
			return sent, s.unwritable(s.guard.failure())
		case <-stuck:
			return sent, errFull
		case <-stalled:
			return sent, refusal()
		case <-slow:
			slow = nil
			if r.state.Load() == waiting && p.surplus() {
				return sent, refusal()
			}
		}
	}
}

const (
	// slowAfter is how long a batch takes at most on a disk that is merely busy. From then on no more writers than
	// maxWriters may wait.
	slowAfter = 250 * time.Millisecond
	// stallAfter is how long a batch takes before nobody waits for it any more.
	stallAfter = 10 * time.Second
)

var errStalled = fmt.Errorf("%w: the disk takes too long", store.ErrUnavailable)

// stall watches how long the disk takes over the batch under way. A disk that stalls gives no error: what waits for it
// piles up, and takes the memory of those who only ask.
type stall struct {
	after      time.Duration
	maxWriters int64 // how many writers may wait on a slow disk
	log        *slog.Logger
	writers    atomic.Int64 // in submit

	mu    sync.Mutex
	began time.Time // of the batch under way; zero: none is
	// slow and stalled are closed while the disk is slow and while it stalls, and made anew when it no longer is and does.
	slow, stalled   chan struct{}
	isSlow, isStall bool
}

func newStall(after time.Duration, log *slog.Logger) *stall {
	if after == 0 {
		after = stallAfter
	}
	// As many as the front lets write at once. What bounds them here is for those who take no place there: the heartbeats
	// that have news, of a fleet that comes back, and the service's own jobs.
	return &stall{after: after, maxWriters: int64(256 * runtime.GOMAXPROCS(0)), log: log, slow: make(chan struct{}), stalled: make(chan struct{})}
}

// begin tells that a batch is being made durable; what it gives, that it is.
func (w *stall) begin() (end func()) {
	begin := time.Now()
	w.mu.Lock()
	w.began = begin
	w.mu.Unlock()
	slow := time.AfterFunc(min(slowAfter, w.after), func() { w.notice(begin, false) })
	stalls := time.AfterFunc(w.after, func() { w.notice(begin, true) })
	return func() {
		slow.Stop()
		stalls.Stop()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.began = time.Time{}
		if w.isSlow {
			w.isSlow, w.slow = false, make(chan struct{})
		}
		if w.isStall {
			w.isStall, w.stalled = false, make(chan struct{})
			w.log.Warn("store: the disk answers again, and writes go on", "waited", time.Since(begin))
		}
	}
}

// notice tells all who wait that the batch begun then takes long, or too long.
func (w *stall) notice(begun time.Time, stalls bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.began != begun:
	case stalls:
		w.isStall = true
		close(w.stalled)
		w.log.Error("store: the disk does not answer: writes are refused until it does", "waited", time.Since(begun))
	default:
		w.isSlow = true
		close(w.slow)
	}
}

// over gives channels that are closed while the disk is slow, and while it stalls.
func (w *stall) over() (slow, stalled <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.slow, w.stalled
}

// writer is one in the line.
type writer struct {
	*stall
	left bool
}

// enter counts a writer in, or refuses it: because the disk stalls, or is slow and enough writers wait already.
func (p *writer) enter() error {
	writers := p.writers.Add(1)
	p.mu.Lock()
	slow, stalls := p.isSlow, p.isStall
	p.mu.Unlock()
	if stalls || slow && writers > p.maxWriters {
		p.leave()
		return refusal()
	}
	return nil
}

func (p *writer) leave() {
	if !p.left {
		p.left = true
		p.writers.Add(-1)
	}
}

// surplus lets a writer leave if there are more than may wait: they came before the disk was known to be slow.
func (p *writer) surplus() bool {
	for {
		n := p.writers.Load()
		if n <= p.maxWriters {
			return false
		}
		if p.writers.CompareAndSwap(n, n-1) {
			p.left = true
			return true
		}
	}
}

// refusal is the answer to a write that did not begin: it may be sent again.
func refusal() error {
	return inventory.Errorf(inventory.Throttling, "The disk takes too long over what was written before. Send it again later.")
}

// health gives what is wrong with the disk while it stalls.
func (w *stall) health() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.isStall {
		return nil
	}
	return fmt.Errorf("%w: %v so far, and writes are refused until it answers", errStalled, time.Since(w.began).Round(time.Second))
}
