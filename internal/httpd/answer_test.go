package httpd

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

// largeAnswer is more than connections take off the server's hands.
const largeAnswer = 16 << 20

// answerLarge answers everything with largeAnswer bytes.
func answerLarge(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Length", strconv.Itoa(largeAnswer))
	_, _ = w.Write(make([]byte, largeAnswer))
}

// TestPeerThatDoesNotReadIsCut has an answer that may take sixteen seconds as a whole, and a peer that takes none of it: it is cut
// once a step of it was not taken.
func TestPeerThatDoesNotReadIsCut(t *testing.T) {
	limits := testLimits()
	limits.Grace, limits.Rate = 200*time.Millisecond, 1<<20
	fault := make(chan error, 1)
	s := serveLimited(t, limits, func(w http.ResponseWriter, _ *http.Request) {
		_, err := w.Write(make([]byte, largeAnswer))
		fault <- err
	})
	dial(t, s, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	select {
	case err := <-fault:
		if err == nil {
			t.Error("the answer went to a peer that does not read")
		}
	case <-time.After(limits.timeFor(largeAnswer / 2)):
		t.Error("still writing")
	}
}

// TestSlowReaderTakesNoPlace has peers that do not read their answers. They have left the requests at work, and hold the memory of
// their answers alone; where there is none left, a question is told to come back, and what was written is answered.
func TestSlowReaderTakesNoPlace(t *testing.T) {
	limits := testLimits()
	limits.Work, limits.Writes = NewBudget(1, testTimeout), NewBudget(1, testTimeout)
	limits.Answers = NewBudget(2*largeAnswer, 10*time.Millisecond)
	limits.Priority = byKind
	s := serveLimited(t, limits, answerLarge)
	const request = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"
	first, second := dial(t, s, request), dial(t, s, request)
	waitFor(t, func() bool { return limits.Answers.Used() == 2*largeAnswer && limits.Work.Used() == 0 })
	if status := s.ask(t, "", "x"); status != http.StatusBadRequest {
		t.Errorf("a third question is answered %d", status)
	}
	if status := s.ask(t, "writing", "x"); status != http.StatusOK {
		t.Errorf("who wrote is answered %d", status)
	}
	_, _ = first.Close(), second.Close()
	waitFor(t, func() bool { return limits.Answers.Used() == 0 && limits.Budget.Used() == 0 })
	answer, err := http.ReadResponse(bufio.NewReader(dial(t, s, request)), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if n, err := io.Copy(io.Discard, answer.Body); n != largeAnswer || err != nil {
		t.Errorf("%d bytes of the answer came; %v", n, err)
	}
}

// TestAnswerThatNeverFitsGoesAlone has an answer that is larger than the memory of all answers.
func TestAnswerThatNeverFitsGoesAlone(t *testing.T) {
	limits := testLimits()
	limits.Answers = NewBudget(largeAnswer/2, 10*time.Millisecond)
	s := serveLimited(t, limits, answerLarge)
	if answer, text := post(t, client(t, false, nil), s.url(), strings.NewReader("x")); answer.StatusCode != http.StatusOK || len(text) != largeAnswer {
		t.Errorf("answered %d with %d bytes", answer.StatusCode, len(text))
	}
}

// steps notes the steps an answer is written in, and how long each may take.
type steps struct {
	*httptest.ResponseRecorder
	times []time.Duration
	sizes []int
}

func (s *steps) SetWriteDeadline(at time.Time) error {
	s.times = append(s.times, time.Until(at))
	return nil
}

func (s *steps) Write(p []byte) (int, error) {
	s.sizes = append(s.sizes, len(p))
	return s.ResponseRecorder.Write(p)
}

// TestEachStepOfAnAnswerHasItsTime has an answer taken at once: what its steps leave of their time does not go to those after.
func TestEachStepOfAnAnswerHasItsTime(t *testing.T) {
	limits := testLimits()
	const size = 10*answerStep + 1
	s := &steps{ResponseRecorder: httptest.NewRecorder()}
	limits.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n, err := w.Write(make([]byte, size)); n != size || err != nil {
			t.Errorf("%d bytes were written; %v", n, err)
		}
	})).ServeHTTP(s, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
	if len(s.sizes) != 11 || len(s.times) != len(s.sizes) || s.Body.Len() != size {
		t.Fatalf("%d bytes in %d steps with %d deadlines", s.Body.Len(), len(s.sizes), len(s.times))
	}
	for i, most := range s.times {
		if step := int64(s.sizes[i]); step > answerStep || most > limits.Grace+limits.timeFor(step) || most < limits.Grace/2 {
			t.Errorf("step %d of %d bytes may take %v", i, step, most)
		}
	}
}
