package httpd

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// testLimits has a small body limit and times that leave room for a busy machine.
func testLimits() Limits {
	return Limits{Body: 1 << 20, Budget: NewBudget(4<<20, 10*time.Millisecond), Answers: NewBudget(32<<20, 10*time.Millisecond), Work: NewBudget(1<<20, testTimeout), Writes: NewBudget(1<<20, testTimeout), Grace: testTimeout, Rate: 1 << 10}
}

// readAll answers the length of the body, or 400 with the error of reading it.
func readAll(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		w.Header().Set("Content-Length", "1000")
		http.Error(w, "handler says: "+err.Error(), http.StatusBadRequest)
		return
	}
	_, _ = io.WriteString(w, strconv.FormatInt(n, 10))
}

const tooLargeAnswer = `{"__type":"RequestEntityTooLargeException","message":"The request body must not exceed 1048576 bytes"}`

func TestBodyLimit(t *testing.T) {
	s := serveLimited(t, testLimits(), readAll)
	for _, overHTTP2 := range []bool{false, true} {
		for _, chunked := range []bool{false, true} {
			for _, c := range []struct {
				size   int
				status int
				answer string
			}{
				{0, 200, "0"},
				{1, 200, "1"},
				{budgetStep, 200, strconv.Itoa(budgetStep)},
				{1<<20 - 1, 200, "1048575"},
				{1 << 20, 200, "1048576"},
				{1<<20 + 1, 413, tooLargeAnswer},
				{3 << 20, 413, tooLargeAnswer},
			} {
				var body io.Reader = strings.NewReader(strings.Repeat("x", c.size))
				if chunked {
					body = iotest.DataErrReader(body)
				}
				answer, text := post(t, client(t, overHTTP2, nil), s.url(), body)
				if answer.StatusCode != c.status || text != c.answer {
					t.Errorf("HTTP/2 %v, chunked %v, %d bytes: answered %d %s", overHTTP2, chunked, c.size, answer.StatusCode, text)
				}
				if answer.Header.Get(RequestIDHeader) == "" {
					t.Errorf("HTTP/2 %v, chunked %v, %d bytes: no request id", overHTTP2, chunked, c.size)
				}
			}
		}
	}
	var coded int
	for _, line := range s.logs.lines(t, "request", 28) {
		if line["code"] == "RequestEntityTooLargeException" && line["status"] == 413.0 {
			coded++
		}
	}
	if coded != 8 {
		t.Errorf("%d refusals in the log, want 8", coded)
	}
}

// Many clients read nothing before they have sent everything.
func TestTooLargeIsSeenByAPeerThatOnlySends(t *testing.T) {
	s := serveLimited(t, testLimits(), readAll)
	const size = 2 << 20
	for name, head := range map[string]string{
		"length":  "Content-Length: " + strconv.Itoa(size) + "\r\n\r\n" + strings.Repeat("x", size),
		"chunked": "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("400\r\n"+strings.Repeat("x", 1024)+"\r\n", size/1024) + "0\r\n\r\n",
	} {
		c := dial(t, s, "POST / HTTP/1.1\r\nHost: h\r\n"+head)
		in := bufio.NewReader(c)
		answer, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != 413 || string(text) != tooLargeAnswer || !answer.Close {
			t.Errorf("%s: answered %d %s, close %v, %v", name, answer.StatusCode, text, answer.Close, err)
		}
		if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
			t.Errorf("%s: not closed cleanly: %q, %v", name, rest, err)
		}
	}
}

func TestTooLargeIsToldBeforeTheGoAhead(t *testing.T) {
	s := serveLimited(t, testLimits(), readAll)
	c := dial(t, s, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2000000\r\n\r\n")
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != 413 {
		t.Errorf("answered %d", answer.StatusCode)
	}
}

func TestSlowBodyIsCut(t *testing.T) {
	limits := testLimits()
	limits.Grace = 200 * time.Millisecond
	fault := make(chan error, 2)
	s := serveLimited(t, limits, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		fault <- err
		http.Error(w, "bad", http.StatusBadRequest)
	})
	for _, head := range []string{"Content-Length: 1000000\r\n\r\nx", "Transfer-Encoding: chunked\r\n\r\n4\r\nx"} {
		in := bufio.NewReader(dial(t, s, "POST / HTTP/1.1\r\nHost: h\r\n"+head))
		answer, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		want := `{"__type":"RequestTimeoutException","message":"The request body arrived too slowly"}`
		if answer.StatusCode != 408 || string(text) != want || !answer.Close {
			t.Errorf("answered %d %s, close %v", answer.StatusCode, text, answer.Close)
		}
		if _, err := in.ReadByte(); err != io.EOF {
			t.Errorf("connection is open: %v", err)
		}
		if <-fault == nil {
			t.Error("the handler took half a body for the whole")
		}
	}
	waitFor(t, func() bool { return limits.Budget.Used() == 0 })
}

func TestSlowBodyOverHTTP2IsCut(t *testing.T) {
	limits := testLimits()
	limits.Grace = 200 * time.Millisecond
	s := serveLimited(t, limits, readAll)
	body, hold := io.Pipe()
	t.Cleanup(func() { _ = hold.Close() })
	answer, text := post(t, client(t, true, nil), s.url(), body)
	if answer.StatusCode != 408 {
		t.Errorf("answered %d %s", answer.StatusCode, text)
	}
}

func TestSteadyBodyMayTakeLongerThanTheGrace(t *testing.T) {
	limits := testLimits()
	limits.Grace = 300 * time.Millisecond
	s := serveLimited(t, limits, readAll)
	body, feed := io.Pipe()
	go func() {
		defer func() { _ = feed.Close() }()
		for range 10 {
			time.Sleep(100 * time.Millisecond)
			_, _ = feed.Write(make([]byte, 1<<10))
		}
	}()
	answer, text := post(t, client(t, false, nil), s.url(), body)
	if answer.StatusCode != 200 || text != "10240" {
		t.Errorf("answered %d %s", answer.StatusCode, text)
	}
}

func TestUnreadBodyIsNotWaitedForLong(t *testing.T) {
	limits := testLimits()
	limits.Grace = 200 * time.Millisecond
	s := serveLimited(t, limits, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	c := dial(t, s, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nx")
	in := bufio.NewReader(c)
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusForbidden {
		t.Errorf("answered %d", answer.StatusCode)
	}
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("connection is open: %v", err)
	}
}

func TestLongWorkIsNotCancelledByTheBodysDeadline(t *testing.T) {
	limits := testLimits()
	limits.Grace = 100 * time.Millisecond
	s := serveLimited(t, limits, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
			http.Error(w, "cancelled", http.StatusConflict)
		case <-time.After(400 * time.Millisecond):
		}
	})
	for _, overHTTP2 := range []bool{false, true} {
		c := client(t, overHTTP2, nil)
		for range 2 { // on one connection
			if answer, text := post(t, c, s.url(), strings.NewReader("body")); answer.StatusCode != 200 {
				t.Errorf("HTTP/2 %v: answered %d %s", overHTTP2, answer.StatusCode, text)
			}
		}
	}
}

func TestBytesInFlightAreBounded(t *testing.T) {
	limits := testLimits()
	limits.Budget = NewBudget(3<<20/2, 10*time.Millisecond)
	inside, leave := make(chan struct{}), make(chan struct{})
	s := serveLimited(t, limits, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Skip") == "" {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				http.Error(w, err.Error(), http.StatusTeapot)
				return
			}
		}
		inside <- struct{}{}
		<-leave
	})
	full := func() io.Reader { return strings.NewReader(strings.Repeat("x", 1<<20)) }
	chunked := func() io.Reader { return iotest.DataErrReader(full()) }
	holder := make(chan int, 1)
	go func() {
		answer, _ := post(t, client(t, false, nil), s.url(), full())
		holder <- answer.StatusCode
	}()
	<-inside
	for _, body := range []io.Reader{full(), chunked()} {
		answer, text := post(t, client(t, false, nil), s.url(), body)
		if want := `{"__type":"ThrottlingException","message":"Rate exceeded"}`; answer.StatusCode != 400 || text != want {
			t.Errorf("answered %d %s", answer.StatusCode, text)
		}
	}
	if used := limits.Budget.Used(); used != 1<<20 {
		t.Errorf("%d bytes in flight, want one body", used)
	}
	leave <- struct{}{}
	if status := <-holder; status != 200 {
		t.Errorf("the holder was answered %d", status)
	}
	go func() {
		<-inside
		leave <- struct{}{}
	}()
	if answer, _ := post(t, client(t, false, nil), s.url(), full()); answer.StatusCode != 200 {
		t.Errorf("after it, answered %d", answer.StatusCode)
	}
	waitFor(t, func() bool { return limits.Budget.Used() == 0 })
}

func TestSmallThrottledBodyKeepsItsConnection(t *testing.T) {
	limits := testLimits()
	s := serveLimited(t, limits, readAll)
	if err := limits.Budget.take(context.Background(), 4<<20, false); err != nil {
		t.Fatal(err)
	}
	answer, _ := post(t, client(t, false, nil), s.url(), strings.NewReader(strings.Repeat("x", firstStep+1)))
	if answer.StatusCode != 400 || answer.Close {
		t.Errorf("answered %d, close %v", answer.StatusCode, answer.Close)
	}
	limits.Budget.give(4 << 20)
}

// held answers requests only once it is told to.
func held(t *testing.T, limits Limits) (s *site, inside <-chan string, leave chan<- bool) {
	t.Helper()
	in, out := make(chan string), make(chan bool)
	s = serveLimited(t, limits, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusTeapot)
			return
		}
		in <- r.Header.Get("X-Kind")
		<-out
	})
	return s, in, out
}

func TestRequestsAtWorkAreBounded(t *testing.T) {
	limits := testLimits()
	limits.Work = NewBudget(1, 10*time.Millisecond)
	limits.Budget = NewBudget(3, 10*time.Millisecond)
	limits.Body = 3
	limits.Writes = NewBudget(1, 10*time.Millisecond)
	limits.Priority = byKind
	for _, c := range []struct {
		name, first, second string
		bodies              [2]string
		refused             bool
	}{
		{"a second one waits for its place, and is sent away", "ordinary", "ordinary", [2]string{"a", "b"}, true},
		{"an urgent one waits for no place", "ordinary", "urgent", [2]string{"a", "b"}, false},
		{"one that waits for news takes no place", "idle", "ordinary", [2]string{"a", "b"}, false},
		{"nor is it kept from waiting", "ordinary", "idle", [2]string{"a", "b"}, false},
		{"memory is for all", "idle", "idle", [2]string{"aaa", "b"}, true},
		{"a second one that writes waits for its place", "writing", "writing", [2]string{"a", "b"}, true},
		{"what asks needs no place of what writes", "writing", "ordinary", [2]string{"a", "b"}, false},
		{"nor the other way round", "ordinary", "writing", [2]string{"a", "b"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, inside, leave := held(t, limits)
			ask := func(kind, body string) <-chan int {
				status := make(chan int, 1)
				go func() { status <- s.ask(t, kind, body) }()
				return status
			}
			first := ask(c.first, c.bodies[0])
			<-inside
			second := ask(c.second, c.bodies[1])
			if c.refused {
				if status := <-second; status != http.StatusBadRequest {
					t.Errorf("the second is answered %d", status)
				}
			} else {
				<-inside
				leave <- true
			}
			leave <- true
			if !c.refused && <-second != http.StatusOK {
				t.Error("the second is refused")
			}
			if status := <-first; status != http.StatusOK {
				t.Errorf("the first is answered %d", status)
			}
			waitFor(t, func() bool { return limits.Budget.Used() == 0 && limits.Work.Used() == 0 && limits.Writes.Used() == 0 })
		})
	}
}

func TestUrgentBodiesPassAFullBudgetWithinBounds(t *testing.T) {
	b := NewBudget(8, time.Millisecond)
	if err := b.take(t.Context(), 8, false); err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, true, false} {
		if got := b.force(1, Urgent.beyond()); got != want {
			t.Errorf("the urgent byte %d is taken: %v", i, got)
		}
	}
}

func TestBudgetServesInOrder(t *testing.T) {
	b := NewBudget(10, testTimeout)
	if err := b.take(context.Background(), 8, false); err != nil {
		t.Fatal(err)
	}
	order := make(chan int64)
	for i, n := range []int64{7, 2, 1} {
		go func() {
			if err := b.take(context.Background(), n, false); err != nil {
				t.Error(err)
			}
			order <- n
		}()
		waitFor(t, func() bool { return b.inLine() == i+1 })
	}
	select {
	case n := <-order:
		t.Errorf("%d passed those before it", n)
	default:
	}
	b.give(8)
	got := map[int64]bool{}
	for range 3 {
		got[<-order] = true
	}
	if len(got) != 3 || b.Used() != 10 {
		t.Errorf("served %v, %d used", got, b.Used())
	}
}

// waiting gives the number of those in line.
func (b *Budget) inLine() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waiting()
}

// waitFor waits until a condition holds that another goroutine brings about.
func waitFor(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(testTimeout); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
	}
}

func TestBudgetWaitsAreBounded(t *testing.T) {
	b := NewBudget(10, 5*time.Millisecond)
	if err := b.take(context.Background(), 11, false); !errors.Is(err, errBudget) {
		t.Errorf("more than there is: %v", err)
	}
	if err := b.take(context.Background(), 10, false); err != nil {
		t.Fatal(err)
	}
	if err := b.take(context.Background(), 1, false); !errors.Is(err, errBudget) {
		t.Errorf("after the wait: %v", err)
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if err := b.take(cancelled, 0, false); err != nil {
		t.Errorf("nothing always fits: %v", err)
	}
	b.wait = testTimeout
	if err := b.take(cancelled, 1, false); !errors.Is(err, errBudget) {
		t.Errorf("a peer that is gone: %v", err)
	}
	b.give(10)
	if b.Used() != 0 || b.inLine() != 0 {
		t.Errorf("%d used, %d waiting", b.Used(), b.inLine())
	}
}

func TestBudgetServesTheNextWhenTheFirstGivesUp(t *testing.T) {
	b := NewBudget(10, testTimeout)
	if err := b.take(context.Background(), 5, false); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { first <- b.take(ctx, 10, false) }()
	waitFor(t, func() bool { return b.inLine() == 1 })
	go func() { second <- b.take(context.Background(), 5, false) }()
	waitFor(t, func() bool { return b.inLine() == 2 })
	cancel()
	if err := <-first; !errors.Is(err, errBudget) {
		t.Errorf("the first: %v", err)
	}
	if err := <-second; err != nil {
		t.Errorf("the second: %v", err)
	}
}

func TestLimitsCheck(t *testing.T) {
	good := DefaultLimits(16 << 20)
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	small := DefaultLimits(16<<20 - 1)
	if err := small.Check(); err == nil || !strings.Contains(err.Error(), "16777215") {
		t.Errorf("got %v", err)
	}
	good.Rate = 0
	if err := good.Check(); err == nil {
		t.Error("a rate of zero passes")
	}
}
