package httpd

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"
)

var errBudget = errors.New("too much in flight")

// Budget is a number of bytes, or of places, that all requests together may hold. Who finds it spent waits in line.
type Budget struct {
	size int64
	wait time.Duration

	mu      sync.Mutex
	used    int64
	waiters list.List // of *waiter, first come, first served
}

type waiter struct {
	bytes int64
	ready chan struct{} // closed once the bytes are the waiter's
}

// NewBudget makes a budget of size bytes, for which nobody waits longer than wait.
func NewBudget(size int64, wait time.Duration) *Budget {
	return &Budget{size: size, wait: wait}
}

// Used gives what is held now.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// take waits for n bytes. It fails after the budget's wait, when ctx is done, or at once when n can never fit.
func (b *Budget) take(ctx context.Context, n int64) error {
	b.mu.Lock()
	if n > b.size {
		b.mu.Unlock()
		return errBudget
	}
	if b.waiters.Len() == 0 && b.used+n <= b.size {
		b.used += n
		b.mu.Unlock()
		return nil
	}
	w := &waiter{n, make(chan struct{})}
	place := b.waiters.PushBack(w)
	b.mu.Unlock()

	timer := time.NewTimer(b.wait)
	defer timer.Stop()
	select {
	case <-w.ready:
		return nil
	case <-timer.C:
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	default:
	}
	b.waiters.Remove(place)
	// Behind a large one that gave up, smaller ones may fit.
	b.admit()
	return errBudget
}

// force takes n at once, past all who wait, up to a quarter more than the budget has; false: not even then.
func (b *Budget) force(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used+n > b.size+b.size/4 {
		return false
	}
	b.used += n
	return true
}

func (b *Budget) give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	b.admit()
}

// admit serves the line from its head as far as the budget goes.
func (b *Budget) admit() {
	for place := b.waiters.Front(); place != nil; place = b.waiters.Front() {
		w, ok := place.Value.(*waiter)
		if !ok || b.used+w.bytes > b.size {
			return
		}
		b.used += w.bytes
		b.waiters.Remove(place)
		close(w.ready)
	}
}
