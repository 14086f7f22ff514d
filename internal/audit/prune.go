package audit

import (
	"context"
	"errors"
	"time"

	"stocktake/internal/store"
)

// nameOfPruning is the action of the lines that say what was dropped.
const nameOfPruning = "PruneAuditLines"

// window is how many lines are read at once.
const window = 512

// Prune drops lines older than the trail's age from the old end of every chain, and says so in a line of the chain before
// it does: that line's prunedThrough and prunedHash are where the chain now begins. It is for one server at a time, every
// hour or so; two at once do no harm.
func (t *Trail) Prune(ctx context.Context) error {
	if t.options.Age <= 0 {
		return nil
	}
	before := t.options.Now().Add(-t.options.Age)
	var failed []error
	for number := range Chains {
		failed = append(failed, t.pruneChain(ctx, number, before))
	}
	return errors.Join(failed...)
}

func (t *Trail) pruneChain(ctx context.Context, number int, before time.Time) error {
	head, err := headOf(ctx, t.journal, number)
	if err != nil {
		return err
	}
	last, err := t.lastBefore(ctx, number, before, head.sequence)
	if err != nil || last.sequence == 0 {
		return err
	}
	e := ofService(Pruning, nameOfPruning, "", &details{PrunedThrough: last.sequence, PrunedHash: last.hash.String()})
	e.home = number + 1
	// As a call that writes: on a disk that is nearly full its line is written yet.
	if err := t.Begin(ctx, e); err != nil {
		return err
	}
	if err := t.End(e); err != nil {
		return err
	}
	return t.journal.PruneJournal(ctx, number, last.sequence)
}

// lastBefore gives the last line that is to go: older than before, as are all in front of it, and not the head. A day's
// lines are let come together, so that a chain has not a line of pruning for each line pruned.
func (t *Trail) lastBefore(ctx context.Context, number int, before time.Time, head uint64) (last place, err error) {
	slack := min(24*time.Hour, t.options.Age/10)
	for {
		lines, err := t.journal.ReadJournal(ctx, number, last.sequence, window)
		if err != nil {
			return place{}, err
		}
		for _, l := range lines {
			at, ok := timeOf(l)
			if last.sequence == 0 && ok && at.After(before.Add(-slack)) {
				return place{}, nil
			}
			if l.Seq >= head || ok && !at.Before(before) {
				return last, nil
			}
			last = place{l.Seq, hashOf(l.Text)} // a line without a time goes with those around it
		}
		if len(lines) < window {
			return last, nil
		}
	}
}

// timeOf gives when a line was written.
func timeOf(l store.JournalLine) (time.Time, bool) {
	s, err := skim(l.Text)
	if err != nil {
		return time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339, s.EventTime)
	return at, err == nil
}
