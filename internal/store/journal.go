package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// The bounds of a journal.
const (
	// JournalChains is how many chains of lines a store keeps, numbered from 0, whatever its shards.
	JournalChains = 16
	// MaxJournalText is the most bytes of a line, or of an intention's text.
	MaxJournalText = 256 << 10
	// MaxIntentionID is the most bytes of an intention's id.
	MaxIntentionID = 200
)

// JournalLine is one line of a chain. Text is opaque, of any bytes; sequences go from 1 without a gap.
type JournalLine struct {
	Seq  uint64
	Text []byte
}

// Intention says that something is about to be done whose line cannot be written yet. Since is when it was stored, in
// UTC to the microsecond, by the clock of the server that did.
type Intention struct {
	ID    string
	Text  []byte
	Since time.Time
}

// Journal is the store's role for lines that say what was done, in the order it was: what is in it can be added to at
// the new end and dropped from the old one, and changed in no way. Writing to it moves neither a feed nor the records'
// head. A chain's lines are in one order for every server.
//
// A store that refuses writes while its disk is nearly full goes on longer with intentions and with lines that settle one:
// a call that makes room has them too.
//
// Callers keep to some hundreds of lines a call.
type Journal interface {
	JournalReader
	// Intend stores an intention, durable on return. An id and text that are stored already are no error; another text
	// under the id is ErrConflict.
	Intend(ctx context.Context, chain int, id string, text []byte) error
	// AppendJournal adds lines, at least one, with the sequences after+1 and so on, and removes the intentions they settle
	// in the same write, which is durable on return. ErrConflict when the newest line is not `after` (0: there must be
	// none): of racing calls one wins. An intention that is not there is no error.
	AppendJournal(ctx context.Context, chain int, after uint64, texts [][]byte, settled []string) error
	// PruneJournal drops the lines with sequences up to the given one, but never the newest.
	PruneJournal(ctx context.Context, chain int, through uint64) error
}

// JournalReader is the part of a journal that reads it.
type JournalReader interface {
	// JournalHead gives the newest line, or ErrNotFound of a chain that never had any.
	JournalHead(ctx context.Context, chain int) (JournalLine, error)
	// ReadJournal gives up to limit lines with sequences above after, in order; fewer means the end was reached. Lines
	// that were pruned are passed over, so the first may be later than after+1.
	ReadJournal(ctx context.Context, chain int, after uint64, limit int) ([]JournalLine, error)
	// Intentions gives up to limit intentions that are not settled, the oldest first, those of one moment by id.
	Intentions(ctx context.Context, chain int, limit int) ([]Intention, error)
}

// CheckChain reports whether there is such a chain.
func CheckChain(chain int) error {
	if chain < 0 || chain >= JournalChains {
		return fmt.Errorf("there is no chain %d of the journal's %d", chain, JournalChains)
	}
	return nil
}

// CheckIntention reports what is wrong with what is given to Intend.
func CheckIntention(chain int, id string, text []byte) error {
	if err := CheckChain(chain); err != nil {
		return err
	}
	if id == "" || len(id) > MaxIntentionID {
		return fmt.Errorf("an intention's id has 1 to %d bytes, not %d", MaxIntentionID, len(id))
	}
	return checkText(text)
}

// CheckAppend reports what is wrong with what is given to AppendJournal as far as it alone can tell.
func CheckAppend(chain int, after uint64, texts [][]byte) error {
	if err := CheckChain(chain); err != nil {
		return err
	}
	if len(texts) == 0 {
		return errors.New("the journal is to be added no line to")
	}
	if after > math.MaxInt64-uint64(len(texts)) {
		return fmt.Errorf("no line of the journal has a sequence after %d", after)
	}
	for _, text := range texts {
		if err := checkText(text); err != nil {
			return err
		}
	}
	return nil
}

// CheckJournal reports what is wrong with what is given to LoadJournal as far as it alone can tell.
func CheckJournal(chain int, lines []JournalLine, intentions []Intention) error {
	if err := CheckChain(chain); err != nil {
		return err
	}
	for i, l := range lines {
		switch {
		case l.Seq == 0 || l.Seq > math.MaxInt64:
			return fmt.Errorf("a line of the journal has the sequence %d, which no store gives", l.Seq)
		case i > 0 && l.Seq != lines[i-1].Seq+1:
			return fmt.Errorf("the lines %d and %d of the journal's chain %d do not follow one another", lines[i-1].Seq, l.Seq, chain)
		}
		if err := checkText(l.Text); err != nil {
			return err
		}
	}
	for _, in := range intentions {
		if err := CheckIntention(chain, in.ID, in.Text); err != nil {
			return err
		}
	}
	return nil
}

func checkText(text []byte) error {
	if len(text) == 0 || len(text) > MaxJournalText {
		return fmt.Errorf("a line of the journal has 1 to %d bytes, not %d", MaxJournalText, len(text))
	}
	return nil
}

// PassOver gives what of the lines to load goes after a chain's newest one, head (0: it has none, and begins with
// whatever comes). stored gives the text of a line the chain holds, nil where it was pruned. ErrConflict when they do not
// meet.
func PassOver(chain int, head uint64, lines []JournalLine, stored func(seq uint64) []byte) ([]JournalLine, error) {
	for i, l := range lines {
		switch {
		case head == 0 || l.Seq == head+1:
			return lines[i:], nil
		case l.Seq > head:
			return nil, fmt.Errorf("chain %d of the journal goes on with line %d, not %d: %w", chain, head+1, l.Seq, ErrConflict)
		case !bytes.Equal(stored(l.Seq), l.Text):
			return nil, fmt.Errorf("chain %d of the journal has another line %d: %w", chain, l.Seq, ErrConflict)
		}
	}
	return nil, nil
}

// SortIntentions puts intentions in the order Intentions gives them in, and cuts them to the limit.
func SortIntentions(all []Intention, limit int) []Intention {
	slices.SortFunc(all, func(a, b Intention) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return bytes.Compare([]byte(a.ID), []byte(b.ID))
	})
	return all[:min(limit, len(all))]
}
