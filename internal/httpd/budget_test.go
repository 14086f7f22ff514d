package httpd

import (
	"runtime/metrics"
	"strings"
	"testing"
	"time"
)

// TestWaitsEndWhereThereIsTooMuch lets somebody wait in vain: who comes after is told soon, and with enough in line newcomers are sent away. After a second without a refusal a burst is waited for again.
func TestWaitsEndWhereThereIsTooMuch(t *testing.T) {
	b := NewBudget(1, 300*time.Millisecond)
	if err := b.take(t.Context(), 1, false); err != nil {
		t.Fatal(err)
	}
	if b.shed(false) {
		t.Error("sent away before anybody waited in vain")
	}
	first := waitOf(t, b)
	second := waitOf(t, b)
	if first < 300*time.Millisecond || second >= 300*time.Millisecond {
		t.Errorf("the first waited %v, the second %v", first, second)
	}
	ended := make(chan time.Duration)
	for range 4 {
		go func() { ended <- waitOf(t, b) }()
	}
	waitFor(t, func() bool { return b.inLine() == 4 || b.Refused() > 2 })
	if !b.shed(false) && b.inLine() == 4 {
		t.Error("not sent away")
	}
	for range 4 {
		<-ended
	}
	b.mu.Lock()
	b.last = b.last.Add(-calm)
	b.mu.Unlock()
	if again := waitOf(t, b); again < 300*time.Millisecond {
		t.Errorf("in calm, one waited %v", again)
	}
}

// TestWhoComesIsServedFirstWhereThereIsTooMuch has one in line already when there is too much, and others who come then: they are
// served before it, in their order.
func TestWhoComesIsServedFirstWhereThereIsTooMuch(t *testing.T) {
	b := NewBudget(1, testTimeout)
	b.hurry = testTimeout
	if err := b.take(t.Context(), 1, false); err != nil {
		t.Fatal(err)
	}
	order := make(chan string, 4)
	names := []string{"old", "first", "second", "third"}
	for i, name := range names {
		go func() {
			if err := b.take(t.Context(), 1, false); err != nil {
				t.Error(err)
			}
			order <- name
			b.give(1)
		}()
		waitFor(t, func() bool { return b.inLine() == i+1 })
		b.mu.Lock()
		b.last = time.Now()
		b.mu.Unlock()
	}
	b.give(1)
	for _, want := range append(names[1:], names[0]) {
		if got := <-order; got != want {
			t.Errorf("the %s one is served where the %s one is to be", got, want)
		}
	}
	if b.hurried != nil || b.Used() != 0 {
		t.Errorf("%d used by nobody", b.Used())
	}
}

// TestPatientWaitInTurn has patient ones and others in line while there is too much: both lines are served in turns, the patient in
// the order they came, long after the others would have given up.
func TestPatientWaitInTurn(t *testing.T) {
	b := NewBudget(1, time.Millisecond)
	b.hurry = testTimeout
	if err := b.take(t.Context(), 1, false); err != nil {
		t.Fatal(err)
	}
	_ = waitOf(t, b) // in vain
	order := make(chan string, 5)
	for i, name := range []string{"patient 1", "patient 2", "patient 3", "other 1", "other 2"} {
		go func() {
			if err := b.take(t.Context(), 1, strings.HasPrefix(name, "patient")); err != nil {
				t.Error(name, err)
			}
			order <- name
			b.give(1)
		}()
		waitFor(t, func() bool { return b.inLine() == i+1 })
		b.mu.Lock()
		b.last = time.Now()
		b.mu.Unlock()
	}
	b.give(1)
	for _, want := range []string{"other 1", "patient 1", "other 2", "patient 2", "patient 3"} {
		if got := <-order; got != want {
			t.Errorf("%s is served where %s is to be", got, want)
		}
	}
	if b.Used() != 0 || b.inLine() != 0 {
		t.Errorf("%d used by nobody, %d in line", b.Used(), b.inLine())
	}
}

// TestWhoIsTooLargeStopsNoOtherLine has the first of one line ask for more than there is left, in its turn: the other line goes on
// meanwhile, those who come then too, and who is behind it in its own line waits.
func TestWhoIsTooLargeStopsNoOtherLine(t *testing.T) {
	for _, isPatient := range []bool{false, true} {
		b := NewBudget(10, testTimeout)
		if err := b.take(t.Context(), 9, false); err != nil {
			t.Fatal(err)
		}
		b.mu.Lock()
		b.isTurn = isPatient
		b.mu.Unlock()
		ended := make(chan error, 2)
		for i, n := range []int64{10, 1} {
			go func() { ended <- b.take(t.Context(), n, isPatient) }()
			waitFor(t, func() bool { return b.inLine() == i+1 })
		}
		if err := b.take(t.Context(), 1, !isPatient); err != nil {
			t.Errorf("what comes while a large one waits (patient %v): %v", isPatient, err)
		}
		other := make(chan error, 1)
		go func() { other <- b.take(t.Context(), 1, !isPatient) }()
		waitFor(t, func() bool { return b.inLine() == 3 })
		b.give(1)
		if err := <-other; err != nil || b.inLine() != 2 {
			t.Errorf("behind a large one (patient %v) the other line waits: %v, %d in line", isPatient, err, b.inLine())
		}
		b.give(10)
		if err := <-ended; err != nil {
			t.Errorf("the large one (patient %v): %v", isPatient, err)
		}
		b.give(10)
		if err := <-ended; err != nil || b.Used() != 1 {
			t.Errorf("the one behind it (patient %v): %v, %d used", isPatient, err, b.Used())
		}
	}
}

// TestTooManyPatientAreSentAway has more of them than are served: newcomers are sent away once the first waits for too long, and
// nobody else is hurried for it.
func TestTooManyPatientAreSentAway(t *testing.T) {
	b := NewBudget(1, testTimeout)
	b.patience = 100 * time.Millisecond
	if err := b.take(t.Context(), 1, false); err != nil {
		t.Fatal(err)
	}
	if b.shed(true) {
		t.Error("sent away with nobody in line")
	}
	waited := make(chan error)
	began := time.Now()
	go func() { waited <- b.take(t.Context(), 1, true) }()
	waitFor(t, func() bool { return b.inLine() == 1 })
	b.mu.Lock()
	isSoon := b.oldest(began.Add(b.patience/2)) > b.patience*3/4
	isLate := b.oldest(began.Add(2*b.patience)) > b.patience*3/4
	b.mu.Unlock()
	if isSoon || !isLate {
		t.Errorf("sent away after half of the time: %v; after twice of it: %v", isSoon, isLate)
	}
	if err := <-waited; err == nil || time.Since(began) < b.patience {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.crowded(time.Now()) || b.refused != 1 || b.waiting() != 0 {
		t.Errorf("crowded %v; %d refused, %d in line", b.crowded(time.Now()), b.refused, b.waiting())
	}
}

// waitOf gives how long one waits in vain.
func waitOf(t *testing.T, b *Budget) time.Duration {
	t.Helper()
	began := time.Now()
	if err := b.take(t.Context(), 1, false); err == nil {
		t.Error("more is given than there is")
	}
	return time.Since(began)
}

func TestPaceGivesWayAndComesBack(t *testing.T) {
	p := newPace(16, 512)
	for range 100 {
		p.adapt(50*time.Millisecond, true, true)
	}
	if p.limit.Load() != 16 {
		t.Errorf("at %d with everything late", p.limit.Load())
	}
	for range 10 {
		p.adapt(time.Millisecond, true, false)
	}
	if p.limit.Load() != 16 {
		t.Errorf("at %d though nobody waits", p.limit.Load())
	}
	for range 200 {
		p.adapt(time.Millisecond, true, true)
	}
	if p.limit.Load() != 512 {
		t.Errorf("at %d with nothing late", p.limit.Load())
	}
}

func TestPaceReadsThePercentile(t *testing.T) {
	p := newPace(1, 2)
	waits := &metrics.Float64Histogram{Counts: []uint64{90, 10, 0}, Buckets: []float64{0, 0.001, 0.02, 1}}
	if wait, known := p.since(waits); wait != 0 || !known {
		t.Errorf("%v, %v", wait, known)
	}
	waits.Counts = []uint64{100, 20, 10}
	if wait, known := p.since(waits); wait != 20*time.Millisecond || !known {
		t.Errorf("%v, %v", wait, known)
	}
	if _, known := p.since(waits); known {
		t.Error("a percentile of nothing")
	}
	// Too few at each look are enough together: on a machine with little to do the limit is to come back too.
	for n := range uint64(3) {
		waits.Counts = []uint64{110 + 10*n, 20, 10}
		if _, known := p.since(waits); known != (n == 1) {
			t.Errorf("look %d at ten waits each: known is %v", n, known)
		}
	}
}

// TestPaceGivesWayLessToOthers has a machine on which others take the processor: fewer at work would make nobody quicker.
func TestPaceGivesWayLessToOthers(t *testing.T) {
	p := newPace(8, 512)
	for range 100 {
		p.adapt(50*time.Millisecond, false, true)
	}
	if p.limit.Load() != 8*crowdedOut {
		t.Errorf("at %d with others at work", p.limit.Load())
	}
	p.limit.Store(8)
	p.adapt(50*time.Millisecond, false, true)
	if p.limit.Load() != 8*crowdedOut {
		t.Errorf("at %d once others are at work", p.limit.Load())
	}
}

func TestProcessorTimeGrowsWithWork(t *testing.T) {
	for before, began := processorTime(), time.Now(); processorTime() < before+5*time.Millisecond; {
		if time.Since(began) > testTimeout {
			t.Fatal("it stands still")
		}
	}
}

// TestLinesGoByOnePace has who asks and who writes give way together, as they share the processor.
func TestLinesGoByOnePace(t *testing.T) {
	asking, writing := NewWork(16, 512, time.Second)
	for range 3 {
		asking.pace.adapt(50*time.Millisecond, true, true)
	}
	if asking.Size() != writing.Size() || writing.Size() >= 512/2 {
		t.Errorf("%d may ask, %d may write", asking.Size(), writing.Size())
	}
}

// TestPaceReadsTheRuntime holds the name of the metric to what this runtime has.
func TestPaceReadsTheRuntime(t *testing.T) {
	p := newPace(1, 2)
	p.look(time.Now(), false)
	if len(p.counts) == 0 {
		t.Error("the runtime tells nothing of waits")
	}
}
