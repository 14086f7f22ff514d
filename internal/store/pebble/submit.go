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
	op op
	// frees is true for what makes room and so may go on when there is little.
	frees bool
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
// keeps what a question needs, too.
func (s *Store) submit(ctx context.Context, o op, frees bool) error {
	stuck, stalled := s.guard.waiting(), s.stall.over()
	leave, err := s.stall.enter()
	if err != nil {
		return err
	}
	defer leave()
	r := &request{op: o, frees: frees, done: make(chan struct{})}
	select {
	case s.committer.queue <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.guard.failed:
		return s.unwritable(s.guard.failure())
	case <-stuck:
		return errFull
	case <-stalled:
		return s.stall.refusal()
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		err = ctx.Err()
	case <-s.guard.failed:
		err = s.unwritable(s.guard.failure())
	case <-stuck:
		err = errFull
	case <-stalled:
		err = s.stall.refusal()
	}
	if r.state.CompareAndSwap(waiting, givenUp) {
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
	return fmt.Errorf("%w (the write was under way and may still happen)", err)
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
// piles up, and takes the places and the memory of those who only ask.
type stall struct {
	after      time.Duration
	maxWriters int64 // how many writers may wait on a slow disk
	log        *slog.Logger
	writers    atomic.Int64 // in submit

	mu      sync.Mutex
	began   time.Time     // of the batch under way; zero: none is
	stalled chan struct{} // closed while the disk stalls, and made anew when it no longer does
	stalls  bool
}

func newStall(after time.Duration, log *slog.Logger) *stall {
	if after == 0 {
		after = stallAfter
	}
	// The front works on 512 requests a core, so questions keep half of it.
	return &stall{after: after, maxWriters: int64(256 * runtime.GOMAXPROCS(0)), log: log, stalled: make(chan struct{})}
}

// begin tells that a batch is being made durable; what it gives, that it is.
func (w *stall) begin() (end func()) {
	begin := time.Now()
	w.mu.Lock()
	w.began = begin
	w.mu.Unlock()
	timer := time.AfterFunc(w.after, func() { w.notice(begin) })
	return func() {
		timer.Stop()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.began = time.Time{}
		if w.stalls {
			w.stalls, w.stalled = false, make(chan struct{})
			w.log.Warn("store: the disk answers again, and writes go on", "waited", time.Since(begin))
		}
	}
}

// notice tells all who wait that the batch begun then takes too long.
func (w *stall) notice(begun time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.began != begun {
		return
	}
	w.stalls = true
	close(w.stalled)
	w.log.Error("store: the disk does not answer: writes are refused until it does", "waited", time.Since(begun))
}

// over gives a channel that is closed while the disk stalls.
func (w *stall) over() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stalled
}

// enter counts a writer in, or refuses it: because the disk stalls, or is slow and enough writers wait already.
func (w *stall) enter() (leave func(), err error) {
	writers := w.writers.Add(1)
	w.mu.Lock()
	slow := !w.began.IsZero() && time.Since(w.began) > slowAfter
	stalls := w.stalls
	w.mu.Unlock()
	if stalls || slow && writers > w.maxWriters {
		w.writers.Add(-1)
		return nil, w.refusal()
	}
	return func() { w.writers.Add(-1) }, nil
}

// refusal is the answer to a write that did not begin: it may be sent again.
func (w *stall) refusal() error {
	return inventory.Errorf(inventory.Throttling, "The disk takes too long over what was written before. Send it again later.")
}

// health gives what is wrong with the disk while it stalls.
func (w *stall) health() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stalls {
		return nil
	}
	return fmt.Errorf("%w: %v so far, and writes are refused until it answers", errStalled, time.Since(w.began).Round(time.Second))
}
