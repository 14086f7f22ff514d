package audit

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stocktake/internal/store"
)

// unconfirmed is a journal whose database shows lines before its standby has them: what an append wrote whose answer was
// lost stays so until a later one returns.
type unconfirmed struct {
	store.Journal
	lost      atomic.Int32 // answers still to be lost
	confirmed atomic.Uint64
}

func (u *unconfirmed) AppendJournal(ctx context.Context, chain int, after uint64, texts [][]byte, settled []string) error {
	if err := u.Journal.AppendJournal(ctx, chain, after, texts, settled); err != nil {
		return err
	}
	if u.lost.Add(-1) >= 0 {
		return errDown
	}
	u.confirmed.Store(after + uint64(len(texts)))
	return nil
}

// TestNoCallEndsOnAnUnconfirmedLine loses the answers of appends: what is found in the journal afterwards may be lost with a
// fail-over yet.
func TestNoCallEndsOnAnUnconfirmedLine(t *testing.T) {
	for lost := range int32(4) {
		j := &unconfirmed{Journal: newJournal(t)}
		trail := open(t, j, Options{})
		for range 2 {
			j.lost.Store(lost)
			e := called("X", alice)
			if err := errors.Join(trail.Begin(t.Context(), e), trail.End(e)); err != nil {
				t.Fatal(err)
			}
			lines, err := j.ReadJournal(t.Context(), e.chain(), j.confirmed.Load(), 10)
			if err != nil || len(lines) > 0 {
				t.Errorf("with %d answers lost the call ended while %d lines of its chain were unconfirmed, %v", lost, len(lines), err)
			}
		}
		closed(t, trail)
		calls, confirmations := 0, 0
		for _, s := range brief(t, all(t, j)) {
			switch s {
			case "X":
				calls++
			case nameOfConfirming:
				confirmations++
			}
		}
		if calls != 2 || confirmations != int(2*lost) {
			t.Errorf("with %d answers lost: %d lines of 2 calls, and %d that confirm", lost, calls, confirmations)
		}
		if n := trail.Lines(Write); n != 2 {
			t.Errorf("%d lines are counted", n)
		}
	}
}

// stuck is a journal that answers no append before it is let go.
type stuck struct {
	store.Journal
	free chan struct{}
}

func (s stuck) AppendJournal(ctx context.Context, chain int, after uint64, texts [][]byte, settled []string) error {
	select {
	case <-s.free:
		return s.Journal.AppendJournal(ctx, chain, after, texts, settled)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestCallDoesNotWaitForItsLineForEver: it is answered soon, and its line is written when the journal can be again, once.
func TestCallDoesNotWaitForItsLineForEver(t *testing.T) {
	j := stuck{newJournal(t), make(chan struct{})}
	trail := open(t, j, Options{})
	trail.answerWithin = 20 * time.Millisecond
	e := called("X", alice)
	if err := trail.Begin(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if err := trail.End(e); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("the end of a call whose line is not written: %v", err)
	}
	if !trail.holds(e.ID) {
		t.Error("the call counts as interrupted while its line is still to be written")
	}
	close(j.free)
	closed(t, trail)
	if got := strings.Join(brief(t, all(t, j)), ", "); got != "X" {
		t.Errorf("the lines are %s", got)
	}
	if trail.holds(e.ID) {
		t.Error("the call is held for ever")
	}
}

// full is a journal on a disk with little room: it takes what calls wait for, and nothing else.
type full struct{ store.Journal }

func (f full) AppendJournal(ctx context.Context, chain int, after uint64, texts [][]byte, settled []string) error {
	if len(settled) == 0 {
		return errors.New("the disk is full")
	}
	return f.Journal.AppendJournal(ctx, chain, after, texts, settled)
}

// TestNearlyFullDiskTakesWhatMakesRoom has lines that nobody waits for stand before that of a call, more than are written at
// once; and old lines pruned.
func TestNearlyFullDiskTakesWhatMakesRoom(t *testing.T) {
	j := newJournal(t)
	old := open(t, j, Options{Now: func() time.Time { return time.Now().Add(-100 * time.Hour) }})
	for range 3 {
		e := called("Old", alice)
		if err := errors.Join(old.Begin(t.Context(), e), old.End(e)); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, old)
	trail := open(t, full{j}, Options{Level: Calls, Age: time.Hour})
	for range 3 * mostGroup {
		trail.Note(called("GetInventory", alice))
	}
	e := called("DeleteActivation", alice)
	if err := errors.Join(trail.Begin(t.Context(), e), trail.End(e)); err != nil {
		t.Error(err)
	}
	if err := trail.Prune(t.Context()); err != nil {
		t.Error(err)
	}
	closed(t, trail)
	seen := map[string]int{}
	for _, s := range brief(t, all(t, j)) {
		seen[s]++
	}
	if seen["Old"] > 0 || seen["DeleteActivation"] != 1 || seen[nameOfPruning] != 1 || seen["GetInventory"]+int(trail.Dropped()) != 3*mostGroup {
		t.Errorf("the lines are %v, and %d were dropped", seen, trail.Dropped())
	}
}
