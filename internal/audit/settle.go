package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"time"

	"stocktake/internal/store"
)

// sightings say since when this process has known of an intention that is none of its own. The clocks of servers are not
// compared: what stands for [StaleAfter] by this one's is stale.
type sightings map[string]time.Time

// settle writes the lines of calls that began and whose end nobody writes any more: of every one where nobody else can
// have the store, else of those seen for so long.
func (t *Trail) settle(ctx context.Context, age time.Duration) error {
	seen := make(sightings, len(t.seen))
	for number := range Chains {
		for {
			more, err := t.settleSome(ctx, number, age, seen)
			if err != nil {
				return err
			}
			if !more {
				break
			}
		}
	}
	t.seen = seen
	return nil
}

// settleSome writes some of a chain's lines, and reports whether there may be more to write.
func (t *Trail) settleSome(ctx context.Context, number int, age time.Duration, seen sightings) (more bool, err error) {
	// The head first: who else settles the same moves it.
	head, err := headOf(ctx, t.journal, number)
	if err != nil {
		return false, err
	}
	// Those that are not stale are few: they are calls under way.
	began, err := t.journal.Intentions(ctx, number, mostIntentions)
	if err != nil {
		return false, err
	}
	var bodies [][]byte
	var ids []string
	for _, in := range began {
		if t.holds(in.ID) {
			continue
		}
		since, known := t.seen[in.ID]
		if !known {
			since = time.Now()
		}
		if seen[in.ID] = since; time.Since(since) < age {
			continue
		}
		bodies, ids = append(bodies, t.bodyOf(in)), append(ids, in.ID)
		if len(bodies) == mostGroup {
			break
		}
	}
	if len(bodies) == 0 {
		return false, nil
	}
	err = t.journal.AppendJournal(ctx, number, head.sequence, sealAfter(number, head, bodies).texts, ids)
	if errors.Is(err, store.ErrConflict) {
		return pause(ctx, leastPause), ctx.Err()
	}
	if err == nil {
		t.counters.lines[Interrupted].Add(int64(len(bodies)))
	}
	return err == nil, err
}

// mostIntentions is how many calls under way of one chain are looked at.
const mostIntentions = 4096

// bodyOf gives the body of the line of an interrupted call, which is the intention's text.
func (t *Trail) bodyOf(in store.Intention) []byte {
	if json.Valid(in.Text) && bytes.HasPrefix(in.Text, []byte(`{"`)) && bytes.HasSuffix(in.Text, []byte("}")) {
		return in.Text
	}
	t.options.Log.Error("what is stored of a call that began is damaged", "event", in.ID)
	e := ofService(Interrupted, "DamagedIntention", "", nil)
	e.ID, e.Time, e.ErrorCode = in.ID, in.Since, codeInterrupted
	return e.Append(nil)
}
