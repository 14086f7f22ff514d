package audit

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

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
