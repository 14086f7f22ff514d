package audit

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"stocktake/internal/store"
)

// A Choice says which lines Tail gives.
type Choice struct {
	// Account is whose lines to give, 12 digits; empty: everybody's.
	Account string
	// Newest is how many to begin with, the newest; 0 or less: all there are.
	Newest int
	// Every is how often to look for more lines after those, until ctx is done; 0: never.
	Every time.Duration
}

// Tail gives lines of a journal, the oldest first: those there are by their times, and then, when it is to follow, those
// that come. Each is told as it stands in the journal, without an end of line. It gives the first error of tell.
func Tail(ctx context.Context, j store.JournalReader, c Choice, tell func(line []byte) error) error {
	t := tail{journal: j, choice: c}
	if err := t.begin(ctx); err != nil {
		return err
	}
	for {
		if err := t.past(ctx, tell); err != nil {
			return err
		}
		t.choice.Newest = 0
		if c.Every <= 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(c.Every):
		}
	}
}

// tail reads all chains at once.
type tail struct {
	journal store.JournalReader
	choice  Choice
	cursors []*cursor
}

// cursor is where a chain is read.
type cursor struct {
	chain int
	after uint64
	lines []told // read, and not told yet
	ended bool   // for now
}

// told is a line and the time it says.
type told struct {
	text []byte
	at   string
}

// begin finds where to read the chains from.
func (t *tail) begin(ctx context.Context) error {
	for number := range Chains {
		if t.choice.Account != "" && number != chainOf(t.choice.Account) && number != chainOf("") {
			continue
		}
		c := &cursor{chain: number}
		t.cursors = append(t.cursors, c)
		if t.choice.Newest <= 0 {
			continue
		}
		if err := t.rewind(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// rewind finds a place in a chain that has as many lines after it as are wanted.
func (t *tail) rewind(ctx context.Context, c *cursor) error {
	head, err := headOf(ctx, t.journal, c.chain)
	if err != nil {
		return err
	}
	size := uint64(max(t.choice.Newest, window))
	for c.after = head.sequence; c.after > 0; {
		c.after -= min(size, c.after)
		lines, err := t.journal.ReadJournal(ctx, c.chain, c.after, int(size))
		if err != nil {
			return err
		}
		found := 0
		for _, l := range lines {
			if _, ok := t.wanted(l); ok {
				found++
			}
		}
		// Fewer than the window: the lines before it are pruned.
		if found >= t.choice.Newest || uint64(len(lines)) < min(size, head.sequence) {
			return nil
		}
		size *= 2
	}
	return nil
}

// past tells what there is, in the order of time, from where the cursors are.
func (t *tail) past(ctx context.Context, tell func([]byte) error) error {
	for _, c := range t.cursors {
		c.ended = false
	}
	var newest [][]byte
	for {
		next, err := t.next(ctx)
		if err != nil {
			return err
		}
		if next == nil {
			break
		}
		if t.choice.Newest <= 0 {
			if err := tell(next); err != nil {
				return err
			}
			continue
		}
		if newest = append(newest, next); len(newest) >= 2*t.choice.Newest {
			newest = append(newest[:0], newest[len(newest)-t.choice.Newest:]...)
		}
	}
	for _, text := range newest[max(0, len(newest)-t.choice.Newest):] {
		if err := tell(text); err != nil {
			return err
		}
	}
	return nil
}

// next gives the oldest of the lines the cursors stand before; nil where there are no more.
func (t *tail) next(ctx context.Context) ([]byte, error) {
	for _, c := range t.cursors {
		if err := t.fill(ctx, c); err != nil {
			return nil, err
		}
	}
	first := slices.MinFunc(t.cursors, func(a, b *cursor) int {
		switch {
		case len(a.lines) == 0 || len(b.lines) == 0:
			return cmp.Compare(len(b.lines), len(a.lines)) // what has none is last
		case a.lines[0].at != b.lines[0].at:
			return cmp.Compare(a.lines[0].at, b.lines[0].at)
		}
		return cmp.Compare(a.chain, b.chain)
	})
	if len(first.lines) == 0 {
		return nil, nil
	}
	text := first.lines[0].text
	first.lines = first.lines[1:]
	return text, nil
}

// fill reads on in a chain until there is a line to tell or it ends.
func (t *tail) fill(ctx context.Context, c *cursor) error {
	for len(c.lines) == 0 && !c.ended {
		lines, err := t.journal.ReadJournal(ctx, c.chain, c.after, window)
		if err != nil {
			return err
		}
		for _, l := range lines {
			c.after = l.Seq
			if at, ok := t.wanted(l); ok {
				c.lines = append(c.lines, told{l.Text, at})
			}
		}
		c.ended = len(lines) < window
	}
	return nil
}

// wanted reports whether a line is to be told. Who asks for everybody's lines is given damaged ones too.
func (t *tail) wanted(l store.JournalLine) (at string, ok bool) {
	account := []byte(`"` + t.choice.Account + `"`)
	if t.choice.Account != "" && !bytes.Contains(l.Text, account) {
		return "", false
	}
	s, _ := skim(l.Text)
	return s.EventTime, t.choice.Account == "" || s.RecipientAccountID == t.choice.Account
}

// skimmed is what has to be known of a line to choose it.
type skimmed struct {
	EventTime          string `json:"eventTime"`
	RecipientAccountID string `json:"recipientAccountId"`
}

func skim(text []byte) (s skimmed, err error) {
	err = json.Unmarshal(text, &s)
	return s, err
}
