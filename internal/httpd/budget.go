package httpd

import (
	"container/list"
	"context"
	"errors"
	"slices"
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
	// patience is how long the patient wait at most. The stock agent sets its calls no time limit but for registration (60 s).
	patience = 10 * time.Second
)

// Budget is a number of bytes, or of places, that all requests together may hold. Who finds it spent waits in line.
//
// A burst, after which there is enough again, is worth waiting for. Where even that wait was not enough for somebody, more
// comes than can be done, and to wait is to no one's good: from then on, until nobody has been refused for a second, who comes
// is served before all who waited already, and waits for 20 ms at most.
//
// The patient are others: each of them asks for one thing after the other, so that there are never more requests of theirs than
// there are of them, and what one does is lost where it is refused a few times. They have a line of their own, are served in
// turn with the others, in the order they came, and wait for up to 10 s. While the first of them waits for nearly as long
// already, newcomers are sent away at once. Where there is too little for the first of one line, the other goes on.
type Budget struct {
	size                  int64
	wait, hurry, patience time.Duration
	pace                  *pace // nil: all of size may be used

	mu      sync.Mutex
	used    int64
	others  list.List     // of *waiter: those who wait and are not patient
	hurried *list.Element // the last of those who came while there was too much, at the head of the others; nil: there is none
	patient list.List     // of *waiter
	isTurn  bool          // of the patient
	refused int64
	last    time.Time // when one of the others was refused
}

type waiter struct {
	bytes     int64
	isPatient bool
	since     time.Time
	ready     chan struct{} // closed once the bytes are the waiter's
}

// NewBudget makes a budget of size bytes, for which nobody waits longer than wait, but for the patient.
func NewBudget(size int64, wait time.Duration) *Budget {
	return &Budget{size: size, wait: wait, hurry: min(hurry, wait), patience: patience}
}

// newWork makes two budgets of places for requests at work, those that ask and those that write, most at most of each: fewer of
// both while the processor has more to do than it gets done, down to least.
func newWork(least, most int64, wait time.Duration) (asking, writing *Budget) {
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

// refuse counts a refusal. That the patient are too many says nothing of the others. The caller holds the lock.
func (b *Budget) refuse(isPatient bool, now time.Time) error {
	b.refused++
	if !isPatient {
		b.last = now
	}
	return errBudget
}

// shed reports whether a newcomer is better sent away at once: there is too much, and enough wait already to take what
// comes free. It counts who is. A nil budget has room for all.
func (b *Budget) shed(isPatient bool) bool {
	if b == nil {
		return false
	}
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	isVain := b.crowded(now) && int64(b.others.Len()) >= max(b.most()/4, 4)
	if isPatient {
		isVain = b.oldest(now) > b.patience*3/4
	}
	if isVain {
		_ = b.refuse(isPatient, now) // the answer is the caller's
	}
	return isVain
}

// take waits for n bytes. It fails after the budget's wait, when ctx is done, or at once when n can never fit. A nil budget has
// room for all.
func (b *Budget) take(ctx context.Context, n int64, isPatient bool) error {
	if b == nil {
		return nil
	}
	now := time.Now()
	b.mu.Lock()
	if n > b.size {
		b.mu.Unlock()
		return errBudget
	}
	b.pace.look(now, b.waiting() > 0)
	if b.waiting() == 0 && b.fits(n) {
		b.used += n
		b.mu.Unlock()
		return nil
	}
	w := &waiter{n, isPatient, now, make(chan struct{})}
	place, wait := b.line(w)
	b.admit() // who waits may all be too large for what is left
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
	b.leave(place, w)
	// Behind a large one that gave up, smaller ones may fit.
	b.admit()
	if isLate {
		return b.refuse(isPatient, time.Now())
	}
	return errBudget
}

// waiting is how many wait. The caller holds the lock.
func (b *Budget) waiting() int { return b.others.Len() + b.patient.Len() }

// oldest is for how long the first of the patient waits. The caller holds the lock.
func (b *Budget) oldest(now time.Time) time.Duration {
	if head := b.patient.Front(); head != nil {
		if w, ok := head.Value.(*waiter); ok {
			return now.Sub(w.since)
		}
	}
	return 0
}

// line puts a waiter in its place, and gives how long it waits there at most. The caller holds the lock.
func (b *Budget) line(w *waiter) (*list.Element, time.Duration) {
	switch {
	case w.isPatient:
		return b.patient.PushBack(w), b.patience
	case !b.crowded(w.since):
		return b.others.PushBack(w), b.wait
	case b.hurried == nil:
		b.hurried = b.others.PushFront(w)
	default:
		b.hurried = b.others.InsertAfter(w, b.hurried)
	}
	return b.hurried, b.hurry
}

// leave takes a waiter out of its line. The caller holds the lock.
func (b *Budget) leave(place *list.Element, w *waiter) {
	if w.isPatient {
		b.patient.Remove(place)
		return
	}
	if b.hurried == place {
		b.hurried = place.Prev()
	}
	b.others.Remove(place)
}

// next is who is served next: the heads of the two lines take turns, and where the one whose turn it is does not fit, the other
// goes; nil: there is nobody who fits. The caller holds the lock.
func (b *Budget) next() (*list.Element, *waiter) {
	turns := [...]*list.Element{b.others.Front(), b.patient.Front()}
	if b.isTurn {
		slices.Reverse(turns[:])
	}
	for _, head := range turns {
		if head == nil {
			continue
		}
		if w, ok := head.Value.(*waiter); ok && b.fits(w.bytes) {
			return head, w
		}
	}
	return nil, nil
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
	b.pace.look(time.Now(), b.waiting() > 0)
	b.admit()
}

// admit serves those who wait, from the heads of their lines, as far as the budget goes. The caller holds the lock.
func (b *Budget) admit() {
	for place, w := b.next(); place != nil; place, w = b.next() {
		b.used += w.bytes
		b.leave(place, w)
		b.isTurn = !w.isPatient
		close(w.ready)
	}
}
