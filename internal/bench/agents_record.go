package bench

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"stocktake/internal/simulate/agent"
)

// AgentsResult is what a run with agents found.
type AgentsResult struct {
	Date     time.Time
	Machine  Machine
	Agents   int
	Packages int
	Seconds  float64 // that were measured
	Phases   []AgentsPhase
	Memory   []MemorySample
	// Heard and Back are how many seconds after the server's start every agent had sent a heartbeat, and had polled,
	// reported and waited for messages; 0: there was no start.
	Heard, Back float64
	// Online, Lost and Missing count the agents whose nodes the service in the end lists as such, as anything else, and not
	// at all.
	Online, Lost, Missing int
	Runs, FailedRuns      int64 // of associations, as the agents saw them
	Again                 int64 // reports sent twice because the service knew the node otherwise
}

// AgentsPhase is a part of a run.
type AgentsPhase struct {
	Name    string
	Seconds float64
	CPU     float64 // seconds of the server; 0: not measured
	Actions []AgentsAction
}

// AgentsAction is what became of the attempts of one action.
type AgentsAction struct {
	Name          string
	Attempts      int
	P50, P99, Max float64 // milliseconds; of answered attempts alone
	Retryable     int     // refused for the moment, or not answered
	Errors        int     // refused otherwise
	Codes         map[string]int
}

// MemorySample is the server's memory at one time, in bytes.
type MemorySample struct {
	Seconds              float64 // since the phase began
	Peak, Resident, Live int64
	Connections          int64
}

// record takes down attempts, each in the phase that it began in.
type record struct {
	now atomic.Pointer[phase]
}

func newRecord() *record {
	r := new(record)
	r.begin("")
	return r
}

// phase is a part of a run under way.
type phase struct {
	AgentsPhase
	began time.Time
	mu    sync.Mutex
	seen  map[string]*action
}

// action is what is known of the attempts of one.
type action struct {
	attempts, retryable, errors int
	took                        []float32 // milliseconds
	codes                       map[string]int
}

func (r *record) begin(name string) *phase {
	p := &phase{AgentsPhase: AgentsPhase{Name: name}, began: time.Now(), seen: map[string]*action{}}
	r.now.Store(p)
	return p
}

// channel is refused by design, and no part of what is measured.
const channel = "CreateControlChannel"

// note takes down an attempt.
func (r *record) note(t agent.Attempt) {
	p := r.now.Load()
	if t.Action == channel || t.Began.Before(p.began) || errors.Is(t.Err, context.Canceled) { // which is the run's own end
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.seen[t.Action]
	if a == nil {
		a = &action{codes: map[string]int{}}
		p.seen[t.Action] = a
	}
	a.attempts++
	switch {
	case t.Err != nil:
		a.retryable++
		a.codes[reason(t.Err)]++
		return
	case t.Code == "":
	case t.Status >= 500 || t.Code == "ThrottlingException" || t.Code == "TooManyUpdates":
		a.retryable++
		a.codes[t.Code]++
	default:
		a.errors++
		a.codes[t.Code]++
	}
	a.took = append(a.took, float32(milliseconds(t.Took)))
}

// reason gives a failure without an answer one of few names.
func reason(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), strings.Contains(err.Error(), "server closed idle connection"):
		return "connection closed"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.EADDRNOTAVAIL):
		return "out of files or ports here"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "time-out"
	}
	return "no answer"
}

// result sums the phase up, the actions by name.
func (p *phase) result() AgentsPhase {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.AgentsPhase
	out.Seconds = time.Since(p.began).Seconds()
	for name, a := range p.seen {
		took := slices.Sorted(slices.Values(a.took))
		one := AgentsAction{Name: name, Attempts: a.attempts, Retryable: a.retryable, Errors: a.errors, Codes: maps.Clone(a.codes)}
		if n := len(took); n > 0 {
			one.P50, one.P99, one.Max = float64(took[n/2]), float64(took[n*99/100]), float64(took[n-1])
		}
		out.Actions = append(out.Actions, one)
	}
	slices.SortFunc(out.Actions, func(x, y AgentsAction) int { return strings.Compare(x.Name, y.Name) })
	return out
}
