package httpd

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"
)

var errBudget = errors.New("too much in flight")

const (
	// hurry is how long who waits does so while there is too much for everybody: an answer that says so is to be there
	// within 50 ms.
	hurry = 20 * time.Millisecond
	// calm is how long nobody was refused when there is no longer too much.
	calm = time.Second
)

// Budget is a number of bytes, or of places, that all requests together may hold. Who finds it spent waits in line.
//
// A burst, after which there is enough again, is worth waiting for. Where even that wait was not enough for somebody, more
// comes than can be done, and to wait is to no one's good: from then on, until nobody has been refused for a second, who comes
// is served before all who waited already, and waits for 20 ms at most.
type Budget struct {
	size        int64
	wait, hurry time.Duration
	pace        *pace // nil: all of size may be used

	mu      sync.Mutex
	used    int64
	waiters list.List     // of *waiter
	hurried *list.Element // the last of those who came while there was too much, at the head of the line; nil: there is none
	refused int64
	last    time.Time // when somebody was refused
}

type waiter struct {
	bytes int64
	ready chan struct{} // closed once the bytes are the waiter's
}

// NewBudget makes a budget of size bytes, for which nobody waits longer than wait.
func NewBudget(size int64, wait time.Duration) *Budget {
	return &Budget{size: size, wait: wait, hurry: min(hurry, wait)}
}

// NewWork makes two budgets of places for requests at work, those that ask and those that write, most at most of each: fewer of
// both while the processor has more to do than it gets done, down to least.
func NewWork(least, most int64, wait time.Duration) (asking, writing *Budget) {
	asking, writing = NewBudget(most, wait), NewBudget(most, wait)
	asking.pace = newPace(least, most)
	writing.pace = asking.pace
	return asking, writing
}

// Used gives what is held now.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// Size gives what may be held now.
func (b *Budget) Size() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.most()
}

// Refused gives how often there was too little.
func (b *Budget) Refused() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refused
}

// most is what may be held now. The caller holds the lock.
func (b *Budget) most() int64 {
	if b.pace == nil {
		return b.size
	}
	return min(b.size, b.pace.limit.Load())
}

// crowded reports whether there has been too much for a while. The caller holds the lock.
func (b *Budget) crowded(now time.Time) bool {
	return !b.last.IsZero() && now.Sub(b.last) < calm
}

// refuse counts a refusal. The caller holds the lock.
func (b *Budget) refuse(now time.Time) error {
	b.refused++
	b.last = now
	return errBudget
}

// shed reports whether a newcomer is better sent away at once: there is too much, and enough wait already to take what
// comes free. It counts who is. A nil budget has room for all.
func (b *Budget) shed() bool {
	if b == nil {
		return false
	}
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.crowded(now) || int64(b.waiters.Len()) < max(b.most()/4, 4) {
		return false
	}
	_ = b.refuse(now) // the answer is the caller's
	return true
}

// take waits for n bytes. It fails after the budget's wait, when ctx is done, or at once when n can never fit. A nil budget has
// room for all.
func (b *Budget) take(ctx context.Context, n int64) error {
	if b == nil {
		return nil
	}
	now := time.Now()
	b.mu.Lock()
	if n > b.size {
		b.mu.Unlock()
		return errBudget
	}
	b.pace.look(now, b.waiters.Len() > 0)
	if b.waiters.Len() == 0 && b.fits(n) {
		b.used += n
		b.mu.Unlock()
		return nil
	}
	w := &waiter{n, make(chan struct{})}
	place, wait := b.line(w, now)
	b.mu.Unlock()

	timer := time.NewTimer(wait)
	defer timer.Stop()
	isLate := false
	select {
	case <-w.ready:
		return nil
	case <-timer.C:
		isLate = true
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	default:
	}
	b.leave(place)
	// Behind a large one that gave up, smaller ones may fit.
	b.admit()
	if isLate {
		return b.refuse(time.Now())
	}
	return errBudget
}

// line puts a waiter in its place, and gives how long it waits there at most. The caller holds the lock.
func (b *Budget) line(w *waiter, now time.Time) (*list.Element, time.Duration) {
	switch {
	case !b.crowded(now):
		return b.waiters.PushBack(w), b.wait
	case b.hurried == nil:
		b.hurried = b.waiters.PushFront(w)
	default:
		b.hurried = b.waiters.InsertAfter(w, b.hurried)
	}
	return b.hurried, b.hurry
}

// leave takes a waiter out of the line. The caller holds the lock.
func (b *Budget) leave(place *list.Element) {
	if b.hurried == place {
		b.hurried = place.Prev()
	}
	b.waiters.Remove(place)
}

// fits reports whether n more may be held. What is larger than the pace allows goes alone. The caller holds the lock.
func (b *Budget) fits(n int64) bool { return b.used+n <= b.most() || b.used == 0 }

// force takes n at once, past all who wait, beyond what the budget has by one part of it in so many at most; false: not even
// then.
func (b *Budget) force(n, beyond int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if beyond == 0 || b.used+n > b.size+b.size/beyond {
		return false
	}
	b.used += n
	return true
}

func (b *Budget) give(n int64) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	b.pace.look(time.Now(), b.waiters.Len() > 0)
	b.admit()
}

// admit serves the line from its head as far as the budget goes.
func (b *Budget) admit() {
	for place := b.waiters.Front(); place != nil; place = b.waiters.Front() {
		w, ok := place.Value.(*waiter)
		if !ok || !b.fits(w.bytes) {
			return
		}
		b.used += w.bytes
		b.leave(place)
		close(w.ready)
	}
}
