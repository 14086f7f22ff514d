package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/store"
	"stocktake/internal/store/memory"
)

const alice = "111122223333"

func newJournal(t *testing.T) *memory.Store {
	t.Helper()
	s, err := memory.New(1)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func open(t *testing.T, j store.Journal, o Options) *Trail {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	trail, err := Open(t.Context(), j, o)
	if err != nil {
		t.Fatal(err)
	}
	return trail
}

func closed(t *testing.T, trail *Trail) {
	t.Helper()
	if err := trail.Close(); err != nil {
		t.Fatal(err)
	}
}

// called is an event of an account.
func called(name, account string) *Event {
	return &Event{Name: name, Account: account, Source: "ssm.amazonaws.com", Address: "192.0.2.7"}
}

// all gives the lines of a journal in the order Tail tells them, which verify.
func all(t *testing.T, j store.JournalReader) []string {
	t.Helper()
	var lines []string
	err := Tail(t.Context(), j, Choice{}, func(line []byte) error {
		lines = append(lines, string(line))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found := verified(t, j); len(found) > 0 {
		t.Error(strings.Join(found, "\n"))
	}
	return lines
}

func verified(t *testing.T, j store.JournalReader, heads ...Head) []string {
	t.Helper()
	v, err := Verify(t.Context(), j, heads)
	if err != nil {
		t.Fatal(err)
	}
	return v.Findings
}

// brief says of each line its action, its error and what it sums up.
func brief(t *testing.T, lines []string) []string {
	t.Helper()
	var short []string
	for _, text := range lines {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err)
		}
		s := l.EventName + " " + l.ErrorCode
		if l.AdditionalEventData != nil && l.AdditionalEventData.Count > 0 {
			s += fmt.Sprint(" ", l.AdditionalEventData.Count)
		}
		short = append(short, strings.TrimSpace(s))
	}
	return short
}

func TestWritesHaveALineEach(t *testing.T) {
	j := newJournal(t)
	trail := open(t, j, Options{})
	const callers, calls = 8, 50
	var working sync.WaitGroup
	for n := range callers {
		working.Go(func() {
			for i := range calls {
				e := called(fmt.Sprintf("Call-%d-%d", n, i), fmt.Sprintf("%012d", n/2))
				if err := trail.Begin(t.Context(), e); err != nil {
					t.Error(err)
					return
				}
				if err := trail.End(e); err != nil {
					t.Error(err)
				}
			}
		})
	}
	working.Wait()
	if n := trail.Lines(Write); n != callers*calls {
		t.Errorf("%d lines are counted", n)
	}
	closed(t, trail)
	seen := map[string]int{}
	for _, name := range brief(t, all(t, j)) {
		seen[name]++
	}
	for n := range callers {
		for i := range calls {
			if name := fmt.Sprintf("Call-%d-%d", n, i); seen[name] != 1 {
				t.Errorf("%s has %d lines", name, seen[name])
			}
		}
	}
}

// TestServersShareChains has two trails write to one journal at once.
func TestServersShareChains(t *testing.T) {
	j := newJournal(t)
	a, b := open(t, j, Options{}), open(t, j, Options{})
	var working sync.WaitGroup
	for _, trail := range []*Trail{a, b} {
		working.Go(func() {
			for range 100 {
				e := called("X", alice)
				if err := errors.Join(trail.Begin(t.Context(), e), trail.End(e)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	working.Wait()
	closed(t, a)
	closed(t, b)
	if n := len(all(t, j)); n != 200 {
		t.Errorf("%d lines of 200 calls", n)
	}
}

func TestWhatBeganAndDidNotEndIsInterrupted(t *testing.T) {
	j := newJournal(t)
	dead := open(t, j, Options{Exclusive: true})
	for _, name := range []string{"One", "Two"} {
		if err := dead.Begin(t.Context(), called(name, alice)); err != nil {
			t.Fatal(err)
		}
	}
	ended := called("Three", alice)
	if err := errors.Join(dead.Begin(t.Context(), ended), dead.End(ended)); err != nil {
		t.Fatal(err)
	}
	closed(t, dead)
	if err := j.Intend(t.Context(), 5, "damaged", []byte("no json")); err != nil {
		t.Fatal(err)
	}

	shared := open(t, j, Options{})
	if n := len(all(t, j)); n != 1 {
		t.Errorf("%d lines: a server that is not alone took calls of another for interrupted", n)
	}
	closed(t, shared)
	for range 2 {
		closed(t, open(t, j, Options{Exclusive: true}))
	}
	got := map[string]int{}
	for _, s := range brief(t, all(t, j)) {
		got[s]++
	}
	want := map[string]int{"Three": 1, "One Interrupted": 1, "Two Interrupted": 1, "DamagedIntention Interrupted": 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestServersSettleOnce has servers race for the lines of interrupted calls, beside calls of their own that are not.
func TestServersSettleOnce(t *testing.T) {
	j := newJournal(t)
	dead := open(t, j, Options{})
	for range 20 {
		if err := dead.Begin(t.Context(), called("Lost", alice)); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, dead)
	var racing sync.WaitGroup
	for range 4 {
		trail := open(t, j, Options{})
		own := called("Own", alice)
		racing.Go(func() {
			defer closed(t, trail)
			for range 3 {
				if err := trail.settle(t.Context(), 50*time.Millisecond); err != nil {
					t.Error(err)
				}
				time.Sleep(60 * time.Millisecond)
			}
			if err := errors.Join(trail.Begin(t.Context(), own), trail.settle(t.Context(), 0), trail.End(own)); err != nil {
				t.Error(err)
			}
		})
	}
	racing.Wait()
	got := map[string]int{}
	for _, s := range brief(t, all(t, j)) {
		got[s]++
	}
	if got["Lost Interrupted"] != 20 || got["Own"] != 4 {
		t.Error(got)
	}
}

// faulty fails when it is told to: before it does what is asked, or after.
type faulty struct {
	store.Journal
	before, after atomic.Int32
	down          atomic.Bool
}

var errDown = fmt.Errorf("it is down: %w", store.ErrUnavailable)

func (f *faulty) AppendJournal(ctx context.Context, chain int, after uint64, texts [][]byte, settled []string) error {
	if f.down.Load() || f.before.Add(-1) >= 0 {
		return errDown
	}
	if err := f.Journal.AppendJournal(ctx, chain, after, texts, settled); err != nil {
		return err
	}
	if f.after.Add(-1) >= 0 {
		return errDown
	}
	return nil
}

func (f *faulty) Intend(ctx context.Context, chain int, id string, text []byte) error {
	if f.down.Load() {
		return errDown
	}
	return f.Journal.Intend(ctx, chain, id, text)
}

func TestLinesOfUnknownOutcomeAreNotWrittenTwice(t *testing.T) {
	j := &faulty{Journal: newJournal(t)}
	a, b := open(t, j, Options{}), open(t, j.Journal, Options{})
	for i := range 20 {
		j.after.Store(int32(i % 3))
		j.before.Store(int32(i % 2))
		var both sync.WaitGroup
		for _, trail := range []*Trail{a, b} {
			both.Go(func() {
				e := called("X", alice)
				if err := errors.Join(trail.Begin(t.Context(), e), trail.End(e)); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
	}
	closed(t, a)
	closed(t, b)
	n := 0
	for _, name := range brief(t, all(t, j)) {
		if name == "X" {
			n++
		}
	}
	if n != 40 {
		t.Errorf("%d lines of 40 calls", n)
	}
}

func TestAJournalThatIsDownFailsCalls(t *testing.T) {
	j := &faulty{Journal: newJournal(t)}
	trail := open(t, j, Options{})
	j.down.Store(true)
	if err := trail.Begin(t.Context(), called("X", alice)); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("begun: %v", err)
	}
	j.down.Store(false)
	e := called("X", alice)
	if err := errors.Join(trail.Begin(t.Context(), e), trail.End(e)); err != nil {
		t.Errorf("back again: %v", err)
	}
	closed(t, trail)
	if err := trail.End(e); !errors.Is(err, ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
	all(t, j)
}

func TestRefusalsAreSummed(t *testing.T) {
	j := newJournal(t)
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	trail := open(t, j, Options{Now: func() time.Time { return now }})
	for i := range 1000 {
		e := called("GetInventory", alice)
		e.ErrorCode = "AccessDeniedException"
		if i%10 == 0 {
			e.ErrorCode = "ThrottlingException"
		}
		trail.Refuse(e)
	}
	other := called("GetInventory", alice)
	other.Address, other.ErrorCode = "192.0.2.8", "AccessDeniedException"
	trail.Refuse(other)
	if n := trail.Summed(); n != 1000-refusalsAtOnce {
		t.Errorf("%d summed", n)
	}
	closed(t, trail)
	got := map[string]int{}
	for _, s := range brief(t, all(t, j)) {
		got[s]++
	}
	want := map[string]int{
		"GetInventory AccessDeniedException": refusalsAtOnce, "GetInventory ThrottlingException": 1,
		"RefusedCalls AccessDeniedException 891": 1, "RefusedCalls ThrottlingException 99": 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestAFloodOfSourcesIsBounded refuses five thousand sources once each.
func TestAFloodOfSourcesIsBounded(t *testing.T) {
	j := newJournal(t)
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	trail := open(t, j, Options{Now: func() time.Time { return now }})
	const n = 5_000
	for i := range n {
		trail.Refuse(&Event{Name: "X", Address: fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), ErrorCode: "MissingAuthenticationTokenException"})
	}
	closed(t, trail)
	counted, lines := int64(0), all(t, j)
	for _, text := range lines {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err)
		}
		if l.AdditionalEventData == nil {
			counted++
		} else {
			counted += l.AdditionalEventData.Count
		}
	}
	if counted != n || len(lines) > mostSums+2*refusalsOfAll+10 {
		t.Errorf("%d refusals in %d lines", counted, len(lines))
	}
}

func TestLevels(t *testing.T) {
	for level, want := range map[Level][3]bool{Writes: {true, false, false}, Calls: {true, true, false}, All: {true, true, true}} {
		trail := open(t, newJournal(t), Options{Level: level})
		if got := [3]bool{trail.Keeps(Write), trail.Keeps(Question), trail.Keeps(Report)}; got != want {
			t.Errorf("level %d keeps %v", level, got)
		}
		closed(t, trail)
	}
}
