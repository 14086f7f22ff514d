package httpd

import (
	"net/http"
	"strconv"
	"time"
)

const (
	// answerStep is how much of an answer is written at a time, with a deadline of its own.
	answerStep = 64 << 10
	// freeAnswer is how large an answer may be that no memory is waited for: the system takes it off this process's hands.
	freeAnswer = 64 << 10
)

// limitedWriter puts the answer of a refused body in the place of the handler's, and cuts peers that take answers too slowly. It
// does so too with a large answer to a question for which there is no memory while it is on its way.
type limitedWriter struct {
	http.ResponseWriter
	body     *limitedBody
	begun    bool
	replaced bool
	start    time.Time
	written  int64
}

// Unwrap is for http.ResponseController.
func (w *limitedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *limitedWriter) WriteHeader(status int) {
	if w.begun {
		return
	}
	if w.body.refusal == nil && status >= 200 {
		w.settle()
	}
	if w.body.refusal != nil {
		w.refuse()
		return
	}
	w.begun = status >= 200
	w.ResponseWriter.WriteHeader(status)
}

// settle has the answer, which is there in full, take memory in the place of its place among the requests at work.
func (w *limitedWriter) settle() {
	b := w.body
	length, err := strconv.ParseInt(w.Header().Get("Content-Length"), 10, 64)
	if err == nil && length > freeAnswer && b.priority != Writing {
		want := min(length, b.limits.Answers.size)
		if b.limits.Answers.take(b.r.Context(), want, false) != nil {
			_ = b.throttle() // what fails is answered by the caller
			return
		}
		b.answered = want
	}
	b.leave()
}

func (w *limitedWriter) Write(p []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	if w.replaced {
		return len(p), nil
	}
	if w.start.IsZero() {
		w.start = time.Now()
	}
	written := 0
	for {
		step := p[written:min(written+answerStep, len(p))]
		w.extend(int64(len(step)))
		n, err := w.ResponseWriter.Write(step)
		written += n
		w.written += int64(n)
		if err != nil || written == len(p) {
			return written, err
		}
	}
}

// extend gives the next step of so many bytes its time: no more than the answer has on average, and no more than a step has,
// whatever those before it left of theirs.
func (w *limitedWriter) extend(step int64) {
	limits := w.body.limits
	deadline := w.start.Add(limits.Grace + limits.timeFor(w.written+step))
	if most := time.Now().Add(limits.Grace + limits.timeFor(step)); most.Before(deadline) {
		deadline = most
	}
	// Only test doubles of a response writer know no deadlines.
	_ = w.body.control.SetWriteDeadline(deadline)
}

// finish answers for a handler that did not.
func (w *limitedWriter) finish() {
	if w.body.refusal != nil && !w.begun {
		w.refuse()
	}
}

func (w *limitedWriter) refuse() {
	w.begun, w.replaced = true, true
	body := w.body
	// What is read from here on is not kept.
	body.release()
	isOver := body.refusal.Status == http.StatusRequestTimeout
	small := body.length >= 0 && body.length-body.read < politeDrain
	if body.r.ProtoMajor > 1 || small && !isOver {
		if small && body.unseen {
			body.skip()
		}
		body.answer.write(w.ResponseWriter)
		return
	}
	w.Header().Set("Connection", "close")
	// Without it, net/http may not read on once the answer has begun. Test doubles refuse it.
	_ = body.control.EnableFullDuplex()
	body.answer.write(w.ResponseWriter)
	_ = body.control.Flush()
	// A peer that asked first waits for the go-ahead, and gets the answer instead.
	if !isOver && body.r.Header.Get("Expect") == "" {
		body.drain()
	}
}
