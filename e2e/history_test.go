package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// register names a value that can be put and asked for: what one node says of one type.
type register struct{ node, kind string }

// registers are what a history is of, as one of its clients has them: a server, or a handle of a store.
type registers interface {
	// put sets a register. An error leaves it unknown whether and when it took effect, unless it is errNothingDone.
	put(ctx context.Context, at register, value string) error
	// get gives the value, "" where none was put, in one of the ways there are to ask, by a number from 0.
	get(ctx context.Context, at register, way int) (string, error)
	// same says whether a value is the one held: by a report that nothing changed, which is taken or not, or by a question.
	same(ctx context.Context, at register, value string, way int) (bool, error)
}

// errNothingDone is of a put that certainly took no effect.
var errNothingDone = errors.New("nothing was done")

// The operations of a history.
const (
	opPut  = "put"
	opGet  = "get"
	opSame = "same"
)

// operation is what a client did, and what it was told.
type operation struct {
	Client   int
	Register register
	Op       string
	Value    string // put, got, or compared
	Taken    bool   // of same
	Open     bool   // a put without an answer, which may take effect at any later time
	Call     int64  // nanoseconds since the history began
	Return   int64
}

const (
	historyClients = 8
	// registersAtOnce is how many are written at a time; each is left for another after so many operations.
	registersAtOnce, operationsEach = 4, 150
	// checkTime bounds the check of one history. One that is not decided within it is a failure.
	checkTime = 60 * time.Second
)

// history records concurrent clients of registers. The operations of a run are those of its seed, their order is not.
type history struct {
	t       testing.TB
	name    string
	seed    uint64
	clients []registers
	want    int                                 // operations to record
	disturb func(ctx context.Context, done int) // told how many were recorded, by one goroutine; nil: nothing disturbs

	began time.Time
	mu    sync.Mutex
	all   []operation
	now   []register // those written
	used  map[register]int
	left  []register // those written before
	next  int
	puts  int
}

// record runs the clients until there are enough operations, then has each of them read every register once more.
func (h *history) record() []operation {
	h.began, h.used = time.Now(), map[register]int{}
	for range registersAtOnce {
		h.now = append(h.now, h.fresh())
	}
	ctx, cancel := context.WithCancel(h.t.Context())
	defer cancel()
	var running sync.WaitGroup
	for n, c := range h.clients {
		running.Go(func() {
			random := rand.New(rand.NewPCG(h.seed, uint64(n)))
			for h.done() < h.want && ctx.Err() == nil {
				h.step(ctx, n, c, random)
			}
		})
	}
	if h.disturb != nil {
		for h.done() < h.want && ctx.Err() == nil && !h.t.Failed() {
			h.disturb(ctx, h.done())
			time.Sleep(time.Millisecond)
		}
		if h.t.Failed() {
			cancel()
		}
	}
	running.Wait()
	h.readAll()
	return h.all
}

// readAll has one client after the other ask for every register, once whatever disturbed is over.
func (h *history) readAll() {
	every := slices.Concat(h.left, h.now)
	for n := range min(len(h.clients), 2) {
		for way, at := range every {
			eventually(h.t, "the last read of "+at.node, patience, func() error {
				return h.get(h.t.Context(), n, h.clients[n], at, way)
			})
		}
	}
}

func (h *history) done() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.all)
}

// fresh names a register that nobody used.
func (h *history) fresh() register {
	h.next++
	return register{node: fmt.Sprintf("i-%017d", h.next), kind: []string{keptType, counterType}[h.next%2]}
}

// choose gives a register to use: now and then, for reading alone, one that is not written any more.
func (h *history) choose(random *rand.Rand) (at register, old bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.left) > 0 && random.IntN(10) == 0 {
		return h.left[len(h.left)-1-random.IntN(min(len(h.left), 3*registersAtOnce))], true
	}
	n := random.IntN(len(h.now))
	if h.used[h.now[n]]++; h.used[h.now[n]] > operationsEach {
		h.replace(h.now[n])
	}
	return h.now[n], false
}

// replace leaves a register for another. Each put without an answer doubles what the check has to think of.
func (h *history) replace(at register) {
	if n := slices.Index(h.now, at); n >= 0 {
		h.left = append(h.left, at)
		h.now[n] = h.fresh()
	}
}

func (h *history) step(ctx context.Context, n int, c registers, random *rand.Rand) {
	at, old := h.choose(random)
	way := random.IntN(1 << 10)
	var err error
	switch roll := random.IntN(10); {
	case old || roll < 5:
		err = h.get(ctx, n, c, at, way)
	case roll < 8:
		err = h.put(ctx, n, c, at)
	default:
		err = h.same(ctx, n, c, at, way, random)
	}
	if err != nil {
		time.Sleep(time.Duration(random.IntN(int(5 * time.Millisecond)))) // somebody has to bring the server back
	}
}

func (h *history) since() int64 { return time.Since(h.began).Nanoseconds() }

func (h *history) note(o operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, o)
	if o.Open {
		h.replace(o.Register)
	}
}

func (h *history) put(ctx context.Context, n int, c registers, at register) error {
	h.mu.Lock()
	h.puts++
	o := operation{Client: n, Register: at, Op: opPut, Value: fmt.Sprintf("v%d", h.puts)}
	h.mu.Unlock()
	o.Call = h.since()
	err := c.put(ctx, at, o.Value)
	o.Return = h.since()
	if o.Open = err != nil; o.Open {
		o.Return = math.MaxInt64
	}
	if !errors.Is(err, errNothingDone) {
		h.note(o)
	}
	return err
}

// get records an answer; what was not answered tells nothing.
func (h *history) get(ctx context.Context, n int, c registers, at register, way int) (err error) {
	o := operation{Client: n, Register: at, Op: opGet, Call: h.since()}
	if o.Value, err = c.get(ctx, at, way); err == nil {
		o.Return = h.since()
		h.note(o)
	}
	return err
}

// same reports one of the newest values as unchanged.
func (h *history) same(ctx context.Context, n int, c registers, at register, way int, random *rand.Rand) (err error) {
	o := operation{Client: n, Register: at, Op: opSame, Value: h.recent(at, random), Call: h.since()}
	if o.Taken, err = c.same(ctx, at, o.Value, way); err == nil {
		o.Return = h.since()
		h.note(o)
	}
	return err
}

// recent gives a value that a register may have: one put lately, or one that nobody put.
func (h *history) recent(at register, random *rand.Rand) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, tries := len(h.all)-1, random.IntN(3); i >= 0 && i > len(h.all)-100; i-- {
		if o := h.all[i]; o.Register == at && o.Op == opPut {
			if tries--; tries < 0 {
				return o.Value
			}
		}
	}
	return "v0"
}

// model is a register: a put sets it, what is read is what it holds, and a report of no change is taken if its value is
// the one held. Registers are independent of each other.
var model = porcupine.Model{
	Partition: func(all []porcupine.Operation) [][]porcupine.Operation {
		apart := map[register][]porcupine.Operation{}
		for _, o := range all {
			at := o.Input.(operation).Register
			apart[at] = append(apart[at], o)
		}
		var parts [][]porcupine.Operation
		for _, part := range apart {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return "" },
	Step: func(state, in, _ any) (bool, any) {
		switch o := in.(operation); o.Op {
		case opPut:
			return true, o.Value
		case opGet:
			return o.Value == state, state
		default:
			return o.Taken == (o.Value == state), state
		}
	},
	DescribeOperation: func(in, _ any) string {
		o := in.(operation)
		text := fmt.Sprintf("%s %q of %s %s", o.Op, o.Value, o.Register.node, o.Register.kind)
		if o.Op == opSame {
			text += fmt.Sprintf(": %v", o.Taken)
		}
		return text
	},
}

// linearizable asks whether there is one order of all operations that explains every answer.
func linearizable(all []operation) porcupine.CheckResult {
	return porcupine.CheckOperationsTimeout(model, events(all), checkTime)
}

func events(all []operation) []porcupine.Operation {
	found := make([]porcupine.Operation, len(all))
	for i, o := range all {
		found[i] = porcupine.Operation{ClientId: o.Client, Input: o, Call: o.Call, Return: o.Return}
	}
	return found
}

// check records a history and fails the test unless it is linearizable; one that is not is written down, to be looked at.
func (h *history) check() (operations, open int) {
	h.t.Helper()
	all := h.record()
	if h.t.Failed() {
		return 0, 0
	}
	if verdict := linearizable(all); verdict != porcupine.Ok {
		h.t.Errorf("%s, seed %d: a history of %d operations is %s; see %s", h.name, h.seed, len(all), verdict, keep(h.t, all))
	}
	for _, o := range all {
		if o.Open {
			open++
		}
	}
	return len(all), open
}

// keep writes a history and the page that shows it into a folder that outlives the test.
func keep(t testing.TB, all []operation) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "stocktake-history-")
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b operation) int { return cmp.Compare(a.Call, b.Call) })
	text, err := json.MarshalIndent(all, "", " ")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "history.json"), text, 0o600)
	}
	if err == nil {
		_, found := porcupine.CheckOperationsVerbose(model, events(all), checkTime)
		err = porcupine.VisualizePath(model, found, filepath.Join(dir, "history.html"))
	}
	if err != nil {
		t.Error(err)
	}
	return filepath.Join(dir, "history.html")
}
