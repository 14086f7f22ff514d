package httpd

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
)

const (
	// firstStep is what a body of unknown length takes of the budget at first, budgetStep at a time once it is large: the
	// signed calls of agents, which come by the thousand, are small and of unknown length.
	firstStep  = 4 << 10
	budgetStep = 256 << 10
	// patientBody is the largest body that is waited for with patience: the report of an agent with some thousands of packages.
	// A few large ones in line would keep all behind them from the memory they wait for.
	patientBody = 1 << 20
	// drainTime bounds how long a refused body is read on, so that the peer gets to see the answer; shortDrain, how much of
	// one that nobody looked at, as there is too much to do.
	drainTime  = 5 * time.Second
	shortDrain = 1 << 20
	// politeDrain is what net/http reads on by itself without giving up the connection.
	politeDrain = 256 << 10

	// throttled is the code of what is refused because there is too much; throttledForm, what the protocol of forms calls it.
	throttled     = "ThrottlingException"
	throttledForm = "Throttling"
)

// Limits bounds the bodies of requests, how many are worked on at once, and the time that bodies and answers take.
//
// A body is charged to the budget when the handler first reads it, not before: requests refused by their headers cost
// nothing. A request is at work once its body is there: a slow peer takes no one's place. Those that write and those that ask
// are counted apart, so that neither takes the places of the other: a disk that stands still keeps all who write. Its place is
// given back when its answer begins, or by [Leave] before, so that a peer that takes it slowly takes no one's place either, and all
// else when the handler returns.
type Limits struct {
	Body   int64   // bytes of one body; one of exactly that size passes; must not exceed the budget
	Budget *Budget // bytes of all bodies together
	// Answers is for the bytes of all large answers that are on their way, but for those to who writes: what was done is told.
	Answers *Budget
	Work    *Budget // requests at work together, but for those that write
	Writes  *Budget // requests at work together that write
	// Sources bounds the requests of each source address; nil: nothing does.
	Sources *Sources
	// Priority says how a request stands to others when there is too much to do; nil: all alike. It may go by what nobody
	// has verified yet: who lies about it gains a place in the line, and no more.
	Priority func(r *http.Request) Priority
	// Patient says who waits in turn when there is too much, for ten seconds if need be: see [Budget]; nil: nobody. For memory
	// only small bodies do. It may go by what nobody has verified yet, too.
	Patient func(r *http.Request) bool
	// Grace is how long a body or an answer may take in any case; Rate, in bytes a second, is what it must achieve on
	// average beyond that. Of an answer no step of [answerStep] bytes may take longer than Grace and what it takes at that
	// rate, however quickly those before it were taken.
	Grace time.Duration
	Rate  int64
}

// Priority is how a request stands to others when there is too much to do.
type Priority uint8

// The priorities.
const (
	Ordinary Priority = iota
	// Writing is a request that may wait for the disk, however long that takes.
	Writing
	// Urgent is small and may not be refused: it waits for nothing, as long as bodies go beyond the budget by less than a
	// quarter of it.
	Urgent
	// Idle is a request that waits for news: it is not at work.
	Idle
)

// beyond is which part of the budget small bodies of the priority may go beyond it, one in so many; 0: none. What writes may
// fill the memory while the disk stands still.
func (p Priority) beyond() int64 {
	switch p {
	case Urgent:
		return 4
	case Ordinary:
		return 8
	default:
		return 0
	}
}

// DefaultLimits gives the limits of a server that has memory bytes to spare for bodies, and half as many for answers: 16 MiB a
// body, 8 KiB a second after 8 seconds, 1 second of waiting for memory; 256 requests at work a core that write, as most of them
// may wait for the disk, and as many that ask, down to 4 of each where it is the processor they wait for (16 where others take
// that), and 2 seconds of waiting for them. The patient wait longer: see [Budget].
func DefaultLimits(memory int64) Limits {
	cores := int64(runtime.GOMAXPROCS(0))
	l := Limits{Body: 16 << 20, Budget: NewBudget(memory, time.Second), Answers: NewBudget(memory/2, time.Second), Grace: 8 * time.Second, Rate: 8 << 10}
	l.Work, l.Writes = newWork(4*cores, 256*cores, 2*time.Second)
	return l
}

// Check says what is wrong with the limits.
func (l Limits) Check() error {
	switch {
	case l.Budget == nil || l.Answers == nil || l.Work == nil || l.Writes == nil || l.Body <= 0 || l.Grace <= 0 || l.Rate <= 0:
		return errors.New("limits: body size, budgets, work, grace and rate must be above zero")
	case l.Body > l.Budget.size:
		return fmt.Errorf("limits: a body of %d bytes would never fit the %d bytes for all bodies; raise the latter", l.Body, l.Budget.size)
	}
	return nil
}

// Middleware belongs inside [Requests.Middleware]. When a limit cuts a body, reading it fails, and whatever the handler
// then answers is replaced: 413 RequestEntityTooLargeException, 408 RequestTimeoutException, or 400 ThrottlingException
// "Rate exceeded" when no memory and no place came free, each put as [Requests.Refuse] says; so is the large answer to a
// question for which there is no memory. A source that asks too often is answered with the last as well, and so is everybody not
// urgent while far too much is asked: then the handler is not called.
func (l Limits) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		body := &limitedBody{from: r.Body, limits: l, r: r, control: control, length: r.ContentLength, ended: r.ContentLength == 0}
		if l.Priority != nil {
			body.priority = l.Priority(r)
		}
		if l.Patient != nil {
			body.isPatient = l.Patient(r)
		}
		out := &limitedWriter{ResponseWriter: w, body: body}
		defer body.release()
		if rec := recordOf(r.Context()); rec != nil {
			rec.leave = body.leave
		}
		if !body.ended {
			// Also bounds what net/http reads on after a handler that did not look at the body.
			body.setDeadline(time.Now().Add(l.Grace))
		}
		r.Body = body
		switch { // what fails is answered below
		case !l.Sources.take(r, body.priority), l.line(body.priority).shed(body.isPatient):
			body.unseen = true
			_ = body.throttle()
		case r.ContentLength > l.Body:
			_ = body.fail(l.tooLarge())
		default:
			next.ServeHTTP(out, r)
		}
		out.finish()
	})
}

// line gives where a request waits for its place; nil: it needs none.
func (l Limits) line(p Priority) *Budget {
	switch p {
	case Ordinary:
		return l.Work
	case Writing:
		return l.Writes
	default:
		return nil
	}
}

func (l Limits) tooLarge() *Refusal {
	return &Refusal{
		http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException",
		"The request body must not exceed " + strconv.FormatInt(l.Body, 10) + " bytes",
	}
}

// limitedBody reads a body within the limits. It is used by one goroutine.
type limitedBody struct {
	from    io.ReadCloser
	r       *http.Request
	limits  Limits
	control *http.ResponseController

	priority  Priority
	isPatient bool
	length    int64 // -1: unknown
	read      int64
	charged   int64
	answered  int64     // of the budget of answers
	at        *Budget   // where it has a place among the requests at work; nil: nowhere
	start     time.Time // of the first read
	deadline  time.Time
	ended     bool
	unseen    bool // refused before anybody looked at it
	refusal   *Refusal
	answer    Answer // to the refused request
}

func (b *limitedBody) Close() error { return b.from.Close() }

func (b *limitedBody) Read(p []byte) (int, error) {
	if b.refusal != nil {
		return 0, b.refusal
	}
	if b.ended {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	if err := b.charge(); err != nil {
		return 0, err
	}
	// At the end of what is charged, one byte tells the end of the body from a body that goes on.
	p = p[:min(int64(len(p)), max(b.charged-b.read, 1))]
	b.extend()
	n, err := b.from.Read(p)
	b.read += int64(n)
	if b.read > b.limits.Body {
		return 0, b.fail(b.limits.tooLarge())
	}
	switch {
	case err == io.EOF:
		b.ended = true
		// A deadline left standing would cancel the request while it is worked on.
		b.setDeadline(time.Time{})
		if fault := b.work(); fault != nil {
			return 0, fault
		}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return 0, b.fail(&Refusal{http.StatusRequestTimeout, "RequestTimeoutException", "The request body arrived too slowly"})
	}
	return n, err
}

// charge takes from the budget what is about to be read: the whole of a body whose length is known, else a step.
func (b *limitedBody) charge() error {
	var want int64
	switch {
	case b.charged > b.read || b.charged >= b.limits.Body || b.charged > 0 && b.length > 0:
		return nil
	case b.length > 0:
		want = b.length
	default:
		want = min(max(firstStep, b.charged), budgetStep, b.limits.Body-b.charged)
	}
	waited := time.Now()
	if b.charged+want > firstStep || !b.limits.Budget.force(want, b.priority.beyond()) {
		isPatient := b.isPatient && b.charged+want <= patientBody
		if err := b.limits.Budget.take(b.r.Context(), want, isPatient); err != nil {
			return b.throttle()
		}
	}
	b.charged += want
	if b.start.IsZero() {
		b.start = time.Now()
	} else {
		// The wait for memory is not the peer's slowness.
		b.start = b.start.Add(time.Since(waited))
	}
	return nil
}

// work waits for a place among the requests at work.
func (b *limitedBody) work() error {
	line := b.limits.line(b.priority)
	if err := line.take(b.r.Context(), 1, b.isPatient); err != nil {
		return b.throttle()
	}
	b.at = line
	return nil
}

// throttle is an answer that every client takes as a request to come back later.
func (b *limitedBody) throttle() error {
	return b.fail(&Refusal{http.StatusBadRequest, throttled, "Rate exceeded"})
}

// extend moves the deadline on with the bytes that came, in steps, for each move costs a little.
func (b *limitedBody) extend() {
	deadline := b.start.Add(b.limits.Grace + b.limits.timeFor(b.read))
	if deadline.Sub(b.deadline) >= time.Second || b.deadline.IsZero() || b.read == 0 {
		b.setDeadline(deadline)
	}
}

func (l Limits) timeFor(bytes int64) time.Duration {
	return time.Duration(float64(bytes) / float64(l.Rate) * float64(time.Second))
}

func (b *limitedBody) setDeadline(t time.Time) {
	b.deadline = t
	// Only test doubles of a response writer know no deadlines.
	_ = b.control.SetReadDeadline(t)
}

func (b *limitedBody) fail(why *Refusal) error {
	b.refusal, b.answer = why, answerTo(b.r, why)
	if rec := recordOf(b.r.Context()); rec != nil {
		rec.refuse(b.answer.Code)
	}
	return why
}

func (b *limitedBody) release() {
	if b.charged > 0 {
		b.limits.Budget.give(b.charged)
		b.charged = 0
	}
	if b.answered > 0 {
		b.limits.Answers.give(b.answered)
		b.answered = 0
	}
	b.leave()
}

// leave gives its place among the requests at work to others.
func (b *limitedBody) leave() {
	b.at.give(1)
	b.at = nil
}

// drain reads on a while, so that a peer that only sends gets to see that it was refused: a connection closed over unread
// bytes takes the answer with it.
func (b *limitedBody) drain() {
	b.setDeadline(time.Now().Add(drainTime))
	most := b.limits.Body
	if b.unseen {
		most = min(most, shortDrain)
	}
	_, _ = io.CopyN(io.Discard, b.from, most)
}

// skipped is where bodies go that nobody looks at.
var skipped = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// skip reads to the end of a small body, as net/http would before it answers, in steps so large that it costs next to
// nothing: where far too much is asked, this is most of what there is to do.
func (b *limitedBody) skip() {
	buffer, ok := skipped.Get().(*[64 << 10]byte)
	if !ok {
		return
	}
	defer skipped.Put(buffer)
	for {
		if _, err := b.from.Read(buffer[:]); err != nil {
			return
		}
	}
}
