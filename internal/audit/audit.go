// Package audit keeps the trail of who did what: one line of JSON, shaped as CloudTrail's, for each administrative call
// and each refusal, and by choice for questions and nodes' own reports.
//
// Call [Open] over a store's journal, [Trail.Begin] before a call that writes and [Trail.End] before its answer goes out;
// [Trail.Note] takes what nobody waits for, [Trail.Refuse] what was refused. [Tail] reads lines, [Verify] checks them.
//
// Promises:
//   - A call that writes has its line, and one line, once End returned nil: durable, with the write. A call that began and
//     whose end nobody wrote becomes a line that says so, at the next start or after [StaleAfter]. No write is ever without.
//   - Lines of an account are in one order, in one of [Chains] chains. Each has its sequence, the hash of the line before it
//     and its own, the SHA-256 of all its bytes before that member. An altered, missing or moved line is found by Verify;
//     lines cut off at a chain's end only by who remembers its head.
//   - No line is longer than a few kilobytes, whatever a caller sends, and all are valid UTF-8.
//
// It knows no action and no protocol, and writes what it is given: who calls it keeps content and secrets out. It refuses
// to guess: a journal that cannot be written is an error of Begin and End, and the call is to fail with it.
package audit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"stocktake/internal/store"
)

// Chains is how many chains a journal has.
const Chains = 16

// chainOf gives the chain of an account's lines; that of nobody is the empty account's.
func chainOf(account string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(account)) // a hash does not fail
	sum := h.Sum32()
	return int((sum ^ sum>>16) % Chains)
}

// A Level says which calls have lines.
type Level uint8

// The levels, each with all of the one before.
const (
	Writes Level = iota // administrative writes, and every refusal
	Calls               // questions too
	All                 // nodes' own reports too
)

// The bounds of time.
const (
	// StaleAfter is when a call that began counts as interrupted, whatever server it ran on.
	StaleAfter = 15 * time.Minute
	// patience is how long a group of lines is tried to be written.
	patience = 15 * time.Second
	// answerWithin is how long a call waits to begin, and for its line with all that is written before it.
	answerWithin = 10 * time.Second
	// settleEvery is how often calls that were interrupted are looked for.
	settleEvery = 5 * time.Minute
	// sumEvery is how often refusals that had no line are summed up in one.
	sumEvery = time.Minute
)

// ErrClosed is of a trail that was closed.
var ErrClosed = errors.New("audit: the trail is closed")

// Options say how a trail is kept.
type Options struct {
	Level Level
	// Age is how long lines are kept, by Prune; 0: for ever.
	Age time.Duration
	// Exclusive says that no other process can have the store: what began and did not end is then of a dead one.
	Exclusive bool
	// Log gets what goes wrong; nil: slog.Default().
	Log *slog.Logger
	// Now is the clock of lines; nil: time.Now.
	Now func() time.Time
}

// A Trail writes lines. All methods may be called at any time from any goroutine.
type Trail struct {
	journal  store.Journal
	options  Options
	chains   [Chains]*chain
	refusals *refusals
	counters counters

	answerWithin time.Duration // answerWithin, but in tests

	mu   sync.Mutex
	open map[string]bool // ids of intentions that calls of this process have

	seen sightings // of the last look; for settle alone

	stop    context.CancelFunc
	working sync.WaitGroup
}

type counters struct {
	lines   [kinds]atomic.Int64
	dropped atomic.Int64
	summed  atomic.Int64
}

// Open starts a trail over a journal, and writes the lines of calls that an earlier process began and did not end.
func Open(ctx context.Context, journal store.Journal, o Options) (*Trail, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	t := &Trail{journal: journal, options: o, open: map[string]bool{}, refusals: newRefusals(), answerWithin: answerWithin}
	age := StaleAfter
	if o.Exclusive {
		age = 0
	}
	if err := t.settle(ctx, age); err != nil {
		return nil, fmt.Errorf("audit: lines of calls that were interrupted: %w", err)
	}
	var upkeep context.Context
	upkeep, t.stop = context.WithCancel(context.Background())
	for i := range t.chains {
		t.chains[i] = newChain(t, i)
		t.working.Go(t.chains[i].run)
	}
	t.working.Go(func() { t.upkeep(upkeep) })
	return t, nil
}

// Close writes what is still to be written and stops. Calls may no longer be under way.
func (t *Trail) Close() error {
	t.stop()
	t.sumUp()
	for _, c := range t.chains {
		c.close()
	}
	t.working.Wait()
	return nil
}

// Keeps reports whether calls of a kind have lines when they end well.
func (t *Trail) Keeps(k Kind) bool {
	switch k {
	case Question:
		return t.options.Level >= Calls
	case Report:
		return t.options.Level >= All
	}
	return true
}

// Begin makes durable that a call which will write is about to run, and gives the event its id. The call may not run when
// it fails. What runs is to be told to End, with the same event, whatever became of it.
func (t *Trail) Begin(ctx context.Context, e *Event) error {
	e.complete(t.options.Now())
	t.hold(e.ID)
	// Not given up with the caller: whether it was stored would not be known.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.answerWithin)
	defer cancel()
	if err := t.journal.Intend(ctx, e.chain(), e.ID, e.interrupted()); err != nil {
		t.release(e.ID)
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// End writes the line of a call that began. Its answer may go out only when it returns nil. It gives up after some
// seconds, with ErrUnavailable: the line may then be written yet.
func (t *Trail) End(e *Event) error {
	done := t.chains[e.chain()].add(&entry{kind: e.Kind, body: e.Append(nil), settles: e.ID, waited: true})
	late := time.NewTimer(t.answerWithin)
	defer late.Stop()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		return nil
	case <-late.C:
		return fmt.Errorf("audit: the line was not written within %v: %w", t.answerWithin, store.ErrUnavailable)
	}
}

// Note writes the line of a call that nobody waits for: one that asked or reported. When more come than can be written
// they are dropped, and counted.
func (t *Trail) Note(e *Event) {
	e.complete(t.options.Now())
	t.chains[e.chain()].add(&entry{kind: e.Kind, body: e.Append(nil)})
}

// Refuse writes the line of a call that was refused, or counts it for the line that sums up a minute: when its source was
// refused often, or many were.
func (t *Trail) Refuse(e *Event) {
	if !t.refusals.take(e, t.options.Now()) {
		t.counters.summed.Add(1)
		return
	}
	e.Kind = Refusal
	t.Note(e)
}

// Lines gives how many lines of a kind this process wrote.
func (t *Trail) Lines(k Kind) int64 { return t.counters.lines[k].Load() }

// Dropped gives how many lines were lost: of those that nobody waits for.
func (t *Trail) Dropped() int64 { return t.counters.dropped.Load() }

// Summed gives how many refusals had no line of their own.
func (t *Trail) Summed() int64 { return t.counters.summed.Load() }

// hold keeps a call of this process from being taken for interrupted.
func (t *Trail) hold(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open[id] = true
}

func (t *Trail) release(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, id)
}

func (t *Trail) holds(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.open[id]
}

// upkeep sums up refusals, and looks for calls that were interrupted.
func (t *Trail) upkeep(ctx context.Context) {
	sums, stale := time.NewTicker(sumEvery), time.NewTicker(settleEvery)
	defer sums.Stop()
	defer stale.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-sums.C:
			t.sumUp()
		case <-stale.C:
			if err := t.settle(ctx, StaleAfter); err != nil && ctx.Err() == nil {
				t.options.Log.Error("lines of interrupted calls are not written yet; it is tried again", "error", err)
			}
		}
	}
}

// sumUp writes the lines of what was refused without one.
func (t *Trail) sumUp() {
	for _, e := range t.refusals.sums(t.options.Now()) {
		t.Note(e)
	}
}

// newID makes a random UUID.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it does not fail
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
