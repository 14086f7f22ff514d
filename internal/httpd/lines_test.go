package httpd

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// byKind has the priority of a request in a header.
func byKind(r *http.Request) Priority {
	return map[string]Priority{"writing": Writing, "urgent": Urgent, "idle": Idle}[r.Header.Get("X-Kind")]
}

// ask asks with a priority of byKind, and gives the status of the answer; 0: there was none.
func (s *site) ask(t *testing.T, kind, body string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url(), strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0
	}
	r.Header.Set("X-Kind", kind)
	answer, err := client(t, false, nil).Do(r)
	if err != nil {
		t.Error(err)
		return 0
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// TestWhoLeavesTakesNoPlace has the one place taken by who gives it back and goes on waiting: the next is served meanwhile.
func TestWhoLeavesTakesNoPlace(t *testing.T) {
	limits := testLimits()
	limits.Work = NewBudget(1, 50*time.Millisecond)
	left, end := make(chan struct{}), make(chan struct{})
	s := serveLimited(t, limits, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.Header.Get("X-Kind") == "leaves" {
			Leave(r.Context())
			Leave(r.Context())
			close(left)
			<-end
		}
	})
	var asking sync.WaitGroup
	asking.Go(func() {
		if status := s.ask(t, "leaves", "wrong"); status != http.StatusOK {
			t.Errorf("who left is answered %d", status)
		}
	})
	<-left
	if status := s.ask(t, "stays", "right"); status != http.StatusOK {
		t.Errorf("who came then is answered %d", status)
	}
	close(end)
	asking.Wait()
	waitFor(t, func() bool { return limits.Work.Used() == 0 })
}

// TestWritersThatNeverComeBackStopNoQuestion stands for a disk that does not answer: more want to write than may, none of them
// comes to an end, and their bodies fill the memory. Nobody who asks is refused meanwhile.
func TestWritersThatNeverComeBackStopNoQuestion(t *testing.T) {
	limits := testLimits()
	limits.Work, limits.Writes = newWork(2, 4, 50*time.Millisecond)
	limits.Body, limits.Budget = 100, NewBudget(100, 50*time.Millisecond)
	limits.Priority = byKind
	var writing atomic.Int64
	leave := make(chan struct{})
	s := serveLimited(t, limits, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		switch {
		case err != nil:
			http.Error(w, err.Error(), http.StatusTeapot)
		case byKind(r) == Writing:
			writing.Add(1)
			<-leave
		}
	})
	const writers, places = 16, 4
	var taken, refused atomic.Int64
	var asking sync.WaitGroup
	for range writers {
		asking.Go(func() {
			switch status := s.ask(t, "writing", strings.Repeat("x", 25)); status {
			case http.StatusOK:
				taken.Add(1)
			case http.StatusBadRequest:
				refused.Add(1)
			default:
				t.Errorf("a writer is answered %d", status)
			}
		})
	}
	waitFor(t, func() bool { return writing.Load() == places && limits.Budget.Used() == limits.Budget.Size() })
	for n := range 50 {
		if status := s.ask(t, "ordinary", "question"); status != http.StatusOK {
			t.Errorf("question %d is answered %d", n, status)
		}
	}
	waitFor(t, func() bool { return refused.Load() == writers-places })
	close(leave)
	asking.Wait()
	if taken.Load() != places || limits.Work.Refused() > 0 {
		t.Errorf("%d writers taken, %d questions refused", taken.Load(), limits.Work.Refused())
	}
}

// TestOnlySmallBodiesWaitWithPatience has an agent's large body and a small one find the memory spent: the large one waits as
// everybody does, the small one until there is some.
func TestOnlySmallBodiesWaitWithPatience(t *testing.T) {
	limits := testLimits()
	limits.Body, limits.Budget = 2*patientBody, NewBudget(2*patientBody, 10*time.Millisecond)
	limits.Patient = func(*http.Request) bool { return true }
	s := serveLimited(t, limits, readAll)
	if err := limits.Budget.take(t.Context(), 2*patientBody, false); err != nil {
		t.Fatal(err)
	}
	small := make(chan int, 1)
	go func() { small <- s.ask(t, "", strings.Repeat("x", patientBody)) }()
	waitFor(t, func() bool { return limits.Budget.inLine() == 1 })
	if status := s.ask(t, "", strings.Repeat("x", patientBody+1)); status != http.StatusBadRequest {
		t.Errorf("the large body is answered %d", status)
	}
	limits.Budget.give(2 * patientBody)
	if status := <-small; status != http.StatusOK {
		t.Errorf("the small body is answered %d", status)
	}
}
