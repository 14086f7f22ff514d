package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// append adds lines to a chain.
func (r *trial) append(chain int, after uint64, texts ...string) {
	r.Helper()
	r.check(r.tryAppend(chain, after, texts, nil))
}

func (r *trial) tryAppend(chain int, after uint64, texts, settled []string) error {
	lines := make([][]byte, len(texts))
	for i, text := range texts {
		lines[i] = []byte(text)
	}
	return r.s.AppendJournal(r.Context(), chain, after, lines, settled)
}

func (r *trial) intend(chain int, id, text string) {
	r.Helper()
	r.check(r.s.Intend(r.Context(), chain, id, []byte(text)))
}

// lines reads a chain after a sequence, so many a page.
func (r *trial) lines(chain int, after uint64, page int) (texts []string) {
	r.Helper()
	lines, err := JournalLines(r.Context(), r.s, chain, after, page)
	r.check(err)
	for _, l := range lines {
		texts = append(texts, fmt.Sprint(l.Seq, " ", string(l.Text)))
	}
	return texts
}

func (r *trial) sameLines(what string, chain int, want ...string) {
	r.Helper()
	if got := r.lines(chain, 0, 3); !slices.Equal(got, want) {
		r.Errorf("%s, chain %d is %q, want %q", what, chain, got, want)
	}
}

// intended gives the ids and texts of a chain's intentions.
func (r *trial) intended(chain, limit int) (all []string) {
	r.Helper()
	intentions, err := r.s.Intentions(r.Context(), chain, limit)
	r.check(err)
	for _, in := range intentions {
		all = append(all, in.ID+" "+string(in.Text))
	}
	return all
}

func (r *trial) sameIntentions(what string, chain int, want ...string) {
	r.Helper()
	if got := r.intended(chain, 100); !slices.Equal(got, want) {
		r.Errorf("%s, the intentions of chain %d are %q, want %q", what, chain, got, want)
	}
}

func journalKeepsOrder(t *testing.T, m Maker) {
	r := newTrial(t, m)
	const last = store.JournalChains - 1
	r.sameLines("before the first line", 0)
	r.append(0, 0, "a")
	r.append(0, 1, "b", "b", "c\x00\xff")
	r.append(last, 0, "z")
	r.append(0, 4, "d")
	r.sameLines("after five lines", 0, "1 a", "2 b", "3 b", "4 c\x00\xff", "5 d")
	r.sameLines("of another", last, "1 z")
	r.sameLines("that has none", 1)
	for after := range uint64(7) {
		for _, limit := range []int{1, 2, 100} {
			lines, err := r.s.ReadJournal(t.Context(), 0, after, limit)
			r.check(err)
			if want := max(0, min(limit, 5-int(after))); len(lines) != want || want > 0 && lines[0].Seq != after+1 {
				t.Errorf("%d lines after %d at most %d: %v", len(lines), after, limit, lines)
			}
		}
	}
	long := bytes.Repeat([]byte{0xfe}, store.MaxJournalText)
	r.check(r.s.AppendJournal(t.Context(), 1, 0, [][]byte{long, long}, nil))
	if lines, err := r.s.ReadJournal(t.Context(), 1, 0, 5); err != nil || len(lines) != 2 || !bytes.Equal(lines[1].Text, long) {
		t.Errorf("two longest lines became %d (%v)", len(lines), err)
	}
}

// journalKeepsItsBytes changes what was handed in and given out.
func journalKeepsItsBytes(t *testing.T, m Maker) {
	r := newTrial(t, m)
	text := []byte("a")
	r.check(r.s.Intend(t.Context(), 0, "id", text))
	r.check(r.s.AppendJournal(t.Context(), 0, 0, [][]byte{text}, nil))
	text[0] = 'x'
	for range 2 {
		r.sameLines("after the caller's bytes changed", 0, "1 a")
		r.sameIntentions("after the caller's bytes changed", 0, "id a")
		lines, err := r.s.ReadJournal(t.Context(), 0, 0, 1)
		r.check(err)
		lines[0].Text[0] = 'y'
		intentions, err := r.s.Intentions(t.Context(), 0, 1)
		r.check(err)
		intentions[0].Text[0] = 'y'
	}
}

func appendIsConditional(t *testing.T, m Maker) {
	r := newTrial(t, m)
	r.append(3, 0, "a", "b")
	r.intend(3, "one", "1")
	for _, after := range []uint64{0, 1, 3, 1 << 40} {
		if err := r.tryAppend(3, after, []string{"late"}, []string{"one"}); !errors.Is(err, store.ErrConflict) {
			t.Errorf("a line after %d of a chain that ends at 2: %v, want ErrConflict", after, err)
		}
	}
	if err := r.tryAppend(4, 1, []string{"late"}, nil); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a line after 1 of an empty chain: %v, want ErrConflict", err)
	}
	r.sameLines("after conflicts", 3, "1 a", "2 b")
	r.sameLines("after a conflict", 4)
	r.sameIntentions("after conflicts", 3, "one 1")
	r.append(3, 2, "c")
	r.sameLines("after another line", 3, "1 a", "2 b", "3 c")
}

func racingAppendsOneWins(t *testing.T, m Maker) { newTrial(t, m).raceAppends() }

// raceAppends has eight append at the same place of a chain, in two chains at once, each with an intention of its own.
func (r *trial) raceAppends() {
	r.Helper()
	const rounds, racers = 8, 8
	for round := range uint64(rounds) {
		var group sync.WaitGroup
		var won [2]atomic.Int64
		for i := range 2 * racers {
			chain, on := i%2, r.on(i/2)
			id, text := fmt.Sprint(round, "-", i), fmt.Sprint("by ", i)
			group.Go(func() {
				if err := on.s.Intend(r.Context(), chain, id, []byte(text)); err != nil {
					r.Errorf("racing intention: %v", err)
				}
				switch err := on.tryAppend(chain, 2*round, []string{text, "and " + text}, []string{id}); {
				case err == nil:
					won[chain].Add(1)
				case !errors.Is(err, store.ErrConflict):
					r.Errorf("racing lines: %v", err)
				}
			})
		}
		group.Wait()
		for chain := range won {
			lines := r.lines(chain, 2*round, 100)
			if won[chain].Load() != 1 || len(lines) != 2 || lines[1] != fmt.Sprint(2*round+2, " and ", lines[0][len(fmt.Sprint(2*round+1))+1:]) {
				r.Fatalf("round %d: %d of %d racing appends won: %q", round, won[chain].Load(), racers, lines)
			}
			if left := r.intended(chain, 1000); len(left) != int(round+1)*(racers-1) {
				r.Fatalf("round %d: %d intentions are left: %q", round, len(left), left)
			}
		}
	}
}

func intentionsLastUntilSettled(t *testing.T, m Maker) {
	r := newTrial(t, m)
	begin := time.Now()
	r.sameIntentions("before the first", 0)
	for _, id := range []string{"b", "\x00\xff", "a", "c"} {
		r.intend(0, id, "of "+id)
	}
	r.intend(1, "a", "elsewhere")
	r.intend(0, "a", "of a")
	if err := r.s.Intend(t.Context(), 0, "a", []byte("other")); !errors.Is(err, store.ErrConflict) {
		t.Errorf("another text under an id: %v, want ErrConflict", err)
	}
	got, err := r.s.Intentions(t.Context(), 0, 100)
	r.check(err)
	if len(got) != 4 || !slices.IsSortedFunc(got, func(a, b store.Intention) int { return a.Since.Compare(b.Since) }) {
		t.Errorf("intentions are %v", got)
	}
	for _, in := range got {
		if off := in.Since.Sub(begin); off < -time.Hour || off > time.Hour || in.Since.Location() != time.UTC || in.Since.Nanosecond()%1000 != 0 {
			t.Errorf("intention %q is of %v", in.ID, in.Since)
		}
	}
	if first := r.intended(0, 2); len(first) != 2 || first[0] != got[0].ID+" of "+got[0].ID {
		t.Errorf("the oldest two of %v are %q", got, first)
	}
	r.check(r.tryAppend(0, 0, []string{"1", "2"}, []string{"a", "\x00\xff", "a", "never"}))
	r.check(r.tryAppend(2, 0, []string{"1"}, []string{"b"}))
	left := r.intended(0, 100)
	slices.Sort(left)
	if !slices.Equal(left, []string{"b of b", "c of c"}) {
		t.Errorf("after two were settled %q are left", left)
	}
	r.sameIntentions("of another chain", 1, "a elsewhere")
	r.intend(0, "a", "anew")
	if again := r.intended(0, 100); len(again) != 3 {
		t.Errorf("after one was intended anew there are %q", again)
	}
}

func pruneKeepsTheNewestLine(t *testing.T, m Maker) {
	r := newTrial(t, m)
	prune := func(through uint64) {
		t.Helper()
		r.check(r.s.PruneJournal(t.Context(), 0, through))
	}
	prune(100)
	r.append(0, 0, "a", "b", "c", "d")
	r.append(1, 0, "z")
	r.intend(0, "id", "x")
	prune(0)
	r.sameLines("after nothing was pruned", 0, "1 a", "2 b", "3 c", "4 d")
	prune(2)
	r.sameLines("pruned through 2", 0, "3 c", "4 d")
	prune(2)
	r.append(0, 4, "e")
	prune(1 << 63)
	r.sameLines("pruned whole", 0, "5 e")
	r.sameLines("not pruned", 1, "1 z")
	r.sameIntentions("pruned whole", 0, "id x")
	if err := r.tryAppend(0, 0, []string{"f"}, nil); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a first line of a pruned chain: %v, want ErrConflict", err)
	}
	r.append(0, 5, "f")
	r.sameLines("gone on", 0, "5 e", "6 f")
}

// journalMovesNoHead writes of all kinds to the journal, and none of what caches and readers go by moves.
func journalMovesNoHead(t *testing.T, m Maker) {
	r := newTrial(t, m)
	r.put("k", "1", 0)
	r.report(Node(1), Epoch, packages("a"))
	records, heads, node := r.recordsHead(), r.heads(), r.node(Node(1))
	r.intend(0, "id", "x")
	r.check(r.tryAppend(0, 0, []string{"a", "b"}, []string{"id"}))
	r.check(r.s.PruneJournal(t.Context(), 0, 1))
	if again := r.recordsHead(); again != records {
		t.Errorf("the journal moved the records' head from %v to %v", records, again)
	}
	if again := r.heads(); !slices.Equal(again, heads) {
		t.Errorf("the journal moved a feed: %v to %v", heads, again)
	}
	if again := r.node(Node(1)); again.Revision != node.Revision {
		t.Errorf("the journal moved a node's revision")
	}
}

func soundLinesOnly(t *testing.T, m Maker) {
	r := newTrial(t, m)
	ctx := t.Context()
	long := make([]byte, store.MaxJournalText+1)
	text := []byte("x")
	_, head := r.s.JournalHead(ctx, -1)
	_, read := r.s.ReadJournal(ctx, store.JournalChains, 0, 1)
	_, intentions := r.s.Intentions(ctx, store.JournalChains, 1)
	for what, err := range map[string]error{
		"the head of no chain":            head,
		"lines of no chain":               read,
		"intentions of no chain":          intentions,
		"a line to no chain":              r.s.AppendJournal(ctx, store.JournalChains, 0, [][]byte{text}, nil),
		"no line":                         r.s.AppendJournal(ctx, 0, 0, nil, nil),
		"an empty line":                   r.s.AppendJournal(ctx, 0, 0, [][]byte{text, nil}, nil),
		"too long a line":                 r.s.AppendJournal(ctx, 0, 0, [][]byte{long}, nil),
		"a line after the last sequence":  r.s.AppendJournal(ctx, 0, 1<<63-1, [][]byte{text}, nil),
		"an intention to no chain":        r.s.Intend(ctx, -1, "id", text),
		"an intention without an id":      r.s.Intend(ctx, 0, "", text),
		"an intention of too long an id":  r.s.Intend(ctx, 0, string(long[:store.MaxIntentionID+1]), text),
		"an intention without a text":     r.s.Intend(ctx, 0, "id", nil),
		"an intention of too long a text": r.s.Intend(ctx, 0, "id", long),
		"a pruning of no chain":           r.s.PruneJournal(ctx, -1, 1),
	} {
		if err == nil || errors.Is(err, store.ErrConflict) {
			t.Errorf("%s: %v", what, err)
		}
	}
	r.sameLines("after what was refused", 0)
	r.sameIntentions("after what was refused", 0)
	id := string(bytes.Repeat([]byte{0xff}, store.MaxIntentionID))
	r.check(r.s.Intend(ctx, 0, id, long[1:]))
	r.check(r.tryAppend(0, 0, []string{"a"}, []string{id}))
	r.sameIntentions("after the longest was settled", 0)
}

func reopenKeepsTheJournal(t *testing.T, m Maker) {
	r := newTrial(t, m)
	r.append(0, 0, "a", "b", "c")
	r.append(7, 0, "z")
	r.intend(7, "id", "x")
	r.intend(0, "other", "y")
	r.check(r.s.PruneJournal(t.Context(), 0, 2))
	before, err := r.s.Intentions(t.Context(), 7, 1)
	r.check(err)
	records := inventory.Position{}
	for range 2 {
		r.reopen(m)
		r.sameLines("reopened", 0, "3 c")
		r.sameLines("reopened", 7, "1 z")
		r.sameIntentions("reopened", 7, "id x")
		after, err := r.s.Intentions(t.Context(), 7, 1)
		r.check(err)
		if !after[0].Since.Equal(before[0].Since) {
			t.Errorf("reopening moved an intention from %v to %v", before[0].Since, after[0].Since)
		}
		if head := r.recordsHead(); head != records {
			t.Errorf("the records' head of a store without any is %v", head)
		}
	}
	if err := r.tryAppend(0, 0, []string{"late"}, nil); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a first line of a chain that was reopened: %v, want ErrConflict", err)
	}
	if err := r.s.Intend(t.Context(), 7, "id", []byte("other")); !errors.Is(err, store.ErrConflict) {
		t.Errorf("another text under an id after reopening: %v, want ErrConflict", err)
	}
	r.check(r.tryAppend(0, 3, []string{"d"}, []string{"other"}))
	r.sameLines("gone on", 0, "3 c", "4 d")
	r.sameIntentions("gone on", 0)
}

// handlesShareTheJournal reads by one handle what the other has just been told is durable, turn about.
func handlesShareTheJournal(t *testing.T, m Maker) {
	r := newTrialBy2(t, m)
	var want []string
	for round := range 12 {
		here, there := r.on(round), r.on(round+1)
		id := fmt.Sprint("id ", round)
		here.intend(5, id, "x")
		there.sameIntentions("by another handle", 5, id+" x")
		here.check(there.tryAppend(5, uint64(round), []string{id}, []string{id}))
		want = append(want, fmt.Sprint(round+1, " ", id))
		here.sameLines("by another handle", 5, want...)
		here.sameIntentions("by another handle", 5)
	}
}

// loaderRefusesAnotherJournal loads what does not go on from what is there, and what no store has.
func loaderRefusesAnotherJournal(t *testing.T, m Maker) {
	r := newTrial(t, m)
	ctx := t.Context()
	at := time.UnixMicro(1_700_000_000_123_456).UTC()
	lines := func(from uint64, texts ...string) (all []store.JournalLine) {
		for i, text := range texts {
			all = append(all, store.JournalLine{Seq: from + uint64(i), Text: []byte(text)})
		}
		return all
	}
	load := func(lines []store.JournalLine, ids ...string) error {
		var intentions []store.Intention
		for _, id := range ids {
			intentions = append(intentions, store.Intention{ID: id, Text: []byte("of " + id), Since: at})
		}
		return r.s.LoadJournal(ctx, 2, lines, intentions)
	}
	r.check(load(lines(5, "e", "f"), "b", "a"))
	r.check(load(lines(6, "f", "g"), "a"))
	r.check(load(nil))
	other := []store.Intention{{ID: "a", Text: []byte("other"), Since: at}}
	for what, err := range map[string]error{
		"another line":               load(lines(7, "x")),
		"a line before the first":    load(lines(4, "d", "e")),
		"a line beyond the next":     load(lines(9, "i")),
		"another intention":          r.s.LoadJournal(ctx, 2, nil, other),
		"a line and another of them": r.s.LoadJournal(ctx, 2, lines(8, "h"), other),
	} {
		if !errors.Is(err, store.ErrConflict) {
			t.Errorf("loading %s: %v, want ErrConflict", what, err)
		}
	}
	for what, err := range map[string]error{
		"lines of no chain":          r.s.LoadJournal(ctx, store.JournalChains, nil, nil),
		"a line without a sequence":  load(lines(0, "x")),
		"a line without a text":      load(lines(8, "")),
		"lines that leave one out":   load(append(lines(8, "h"), lines(10, "j")...)),
		"an intention without an id": load(nil, ""),
	} {
		if err == nil {
			t.Errorf("%s was loaded", what)
		}
	}
	r.sameLines("loaded", 2, "5 e", "6 f", "7 g")
	r.sameIntentions("loaded", 2, "a of a", "b of b")
	in, err := r.s.Intentions(ctx, 2, 1)
	r.check(err)
	if !in[0].Since.Equal(at) {
		t.Errorf("an intention of %v is loaded as of %v", at, in[0].Since)
	}
	r.append(2, 7, "h")
	r.sameLines("loaded and gone on", 2, "5 e", "6 f", "7 g", "8 h")
}
