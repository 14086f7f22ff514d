package httpd

import (
	"runtime/metrics"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestWaitsEndWhereThereIsTooMuch lets somebody wait in vain: who comes after is told soon, and with enough in line newcomers are
// sent away. After a second without a refusal a burst is waited for again.
func TestWaitsEndWhereThereIsTooMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const wait = 300 * time.Millisecond
		b := NewBudget(1, wait)
		if err := b.take(t.Context(), 1, false); err != nil {
			t.Fatal(err)
		}
		if b.shed(false) {
			t.Error("sent away before anybody waited in vain")
		}
		if first, second := waitOf(t, b), waitOf(t, b); first != wait || second != hurry {
			t.Errorf("the first waited %v, the second %v", first, second)
		}
		for n := range 5 {
			if got := b.shed(false); got != (n == 4) {
				t.Errorf("with %d in line, sent away: %v", n, got)
			}
			go waitOf(t, b)
			synctest.Wait()
		}
		time.Sleep(hurry)
		synctest.Wait()
		if n := b.inLine(); n != 0 {
			t.Errorf("%d are still in line", n)
		}
		time.Sleep(calm)
		if again := waitOf(t, b); again != wait {
			t.Errorf("in calm, one waited %v", again)
		}
	})
}

// inTurn has those of some names take the one place of a budget, each in line before the next comes, and gives it back for them: it
// gives their names in the order they are served. Meanwhile is done before the last so many come.
func inTurn(t *testing.T, b *Budget, names []string, last int, meanwhile func()) (served []string) {
	t.Helper()
	order := make(chan string, len(names))
	for i, name := range names {
		if i == len(names)-last {
			meanwhile()
		}
		go func() {
			if err := b.take(t.Context(), 1, strings.HasPrefix(name, "patient")); err != nil {
				t.Error(name, err)
			}
			order <- name
			b.give(1)
		}()
		synctest.Wait()
	}
	b.give(1)
	synctest.Wait()
	if b.hurried != nil || b.Used() != 0 || b.inLine() != 0 {
		t.Errorf("%d used by nobody, %d in line", b.Used(), b.inLine())
	}
	for range len(order) {
		served = append(served, <-order)
	}
	return served
}

// TestWhoComesIsServedFirstWhereThereIsTooMuch has one in line already when there is too much, and others who come then: they are
// served before it, in their order.
func TestWhoComesIsServedFirstWhereThereIsTooMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(1, time.Minute)
		if err := b.take(t.Context(), 1, false); err != nil {
			t.Fatal(err)
		}
		served := inTurn(t, b, []string{"old", "first", "second", "third"}, 3, func() { b.last = time.Now() })
		if want := []string{"first", "second", "third", "old"}; !slices.Equal(served, want) {
			t.Errorf("served are %v, not %v", served, want)
		}
	})
}

// TestPatientWaitInTurn has patient ones in line, long after others would have given up, when others come: both lines are served in
// turns, the patient in the order they came.
func TestPatientWaitInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(1, time.Millisecond)
		if err := b.take(t.Context(), 1, false); err != nil {
			t.Fatal(err)
		}
		served := inTurn(t, b, []string{"patient 1", "patient 2", "patient 3", "other 1", "other 2"}, 2, func() {
			time.Sleep(b.patience / 2)
			waitOf(t, b) // in vain: from here on there is too much
		})
		if want := []string{"other 1", "patient 1", "other 2", "patient 2", "patient 3"}; !slices.Equal(served, want) {
			t.Errorf("served are %v, not %v", served, want)
		}
	})
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
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(1, time.Second)
		if err := b.take(t.Context(), 1, false); err != nil {
			t.Fatal(err)
		}
		if b.shed(true) {
			t.Error("sent away with nobody in line")
		}
		began, waited := time.Now(), make(chan time.Duration, 1)
		go func() {
			if err := b.take(t.Context(), 1, true); err == nil {
				t.Error("more is given than there is")
			}
			waited <- time.Since(began)
		}()
		time.Sleep(patience * 3 / 4)
		if b.shed(true) {
			t.Error("sent away while the first may be served yet")
		}
		time.Sleep(time.Millisecond)
		if !b.shed(true) {
			t.Error("not sent away behind one that waited for so long")
		}
		if took := <-waited; took != patience {
			t.Errorf("the first waited %v", took)
		}
		if b.crowded(time.Now()) || b.Refused() != 2 || b.inLine() != 0 {
			t.Errorf("crowded %v; %d refused, %d in line", b.crowded(time.Now()), b.Refused(), b.inLine())
		}
	})
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
	asking, writing := newWork(16, 512, time.Second)
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
