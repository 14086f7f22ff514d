package audit

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/store"
)

// tampered is a journal that somebody changed behind the service's back: one chain is other lines.
type tampered struct {
	store.JournalReader
	chain int
	lines []store.JournalLine
}

func (f *tampered) ReadJournal(ctx context.Context, chain int, after uint64, limit int) ([]store.JournalLine, error) {
	if chain != f.chain {
		return f.JournalReader.ReadJournal(ctx, chain, after, limit)
	}
	var found []store.JournalLine
	for _, l := range f.lines {
		if l.Seq > after && len(found) < limit {
			found = append(found, l)
		}
	}
	return found, nil
}

// written gives a journal with so many lines of an account, and them.
func written(t *testing.T, n int) (store.Journal, []store.JournalLine) {
	t.Helper()
	j := newJournal(t)
	trail := open(t, j, Options{Level: Calls})
	for i := range n {
		e := called(fmt.Sprint("Call", i+1), alice)
		if i%3 > 0 {
			trail.Note(e)
			continue
		}
		if err := trail.Begin(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if err := trail.End(e); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, trail)
	lines, err := j.ReadJournal(t.Context(), chainOf(alice), 0, n+1)
	if err != nil || len(lines) != n {
		t.Fatalf("%d lines of %d: %v", len(lines), n, err)
	}
	return j, lines
}

// resealed gives a line with something in it replaced, and a hash that fits.
func resealed(l store.JournalLine, old, replacement string) store.JournalLine {
	text := bytes.Replace(l.Text[:len(l.Text)-hashTail], []byte(old), []byte(replacement), 1)
	l.Text = fmt.Appendf(nil, `%s%s%s"}`, text, hashMember, hashOf(text))
	return l
}

func TestVerifySaysWhichLineDiffers(t *testing.T) {
	j, lines := written(t, 12)
	at := func(n int) *store.JournalLine { return &lines[n-1] }
	head := Head{chainOf(alice), 12, hashOf(at(12).Text)}
	cases := []struct {
		name   string
		change func(l []store.JournalLine) []store.JournalLine
		heads  []Head
		want   []string
	}{
		{"nothing", func(l []store.JournalLine) []store.JournalLine { return l }, []Head{head}, nil},
		{"a byte altered", func(l []store.JournalLine) []store.JournalLine {
			l[4].Text = bytes.Replace(l[4].Text, []byte("Call5"), []byte("Call6"), 1)
			return l
		}, nil, []string{"line 5 was altered"}},
		{"altered, and sealed anew", func(l []store.JournalLine) []store.JournalLine {
			l[4] = resealed(l[4], "Call5", "Call6")
			return l
		}, nil, []string{"line 6 does not follow the line 5 that is there"}},
		{"no line at all", func(l []store.JournalLine) []store.JournalLine {
			l[4].Text = []byte("x")
			return l
		}, nil, []string{"line 5 is damaged", "line 6 does not follow the line 5"}},
		{"one missing", func(l []store.JournalLine) []store.JournalLine { return slices.Delete(l, 4, 5) }, nil, []string{"line 5 is missing"}},
		{"several missing", func(l []store.JournalLine) []store.JournalLine { return slices.Delete(l, 4, 7) }, nil, []string{"lines 5 to 7 are missing"}},
		{"the first missing", func(l []store.JournalLine) []store.JournalLine { return l[3:] }, nil, []string{"lines 1 to 3 are missing"}},
		{"two exchanged", func(l []store.JournalLine) []store.JournalLine {
			l[4].Text, l[5].Text = l[5].Text, l[4].Text
			return l
		}, nil, []string{"line 5 is in another's place: it says it is line 6", "line 6 is in another's place: it says it is line 5", "line 7 does not follow"}},
		{"the end cut off", func(l []store.JournalLine) []store.JournalLine { return l[:10] }, nil, nil},
		{"the end cut off, and remembered", func(l []store.JournalLine) []store.JournalLine { return l[:10] }, []Head{head}, []string{"line 12 is remembered, and the chain ends with line 10"}},
		{"the end written anew, and remembered", func(l []store.JournalLine) []store.JournalLine {
			l[11] = resealed(l[11], "Call12", "Call13")
			return l
		}, []Head{head}, []string{"line 12 is not the one that is remembered"}},
	}
	for _, c := range cases {
		changed := make([]store.JournalLine, len(lines))
		for i, l := range lines {
			changed[i] = store.JournalLine{Seq: l.Seq, Text: bytes.Clone(l.Text)}
		}
		found := verified(t, &tampered{j, head.Chain, c.change(changed)}, c.heads...)
		if len(found) != len(c.want) {
			t.Errorf("%s: found %q", c.name, found)
			continue
		}
		for i, want := range c.want {
			if !strings.HasPrefix(found[i], fmt.Sprintf("chain %d, %s", head.Chain, want)) {
				t.Errorf("%s: found %q, not %q", c.name, found[i], want)
			}
		}
	}
}

// TestAnyFlippedBitIsFound flips a bit anywhere in a chain, many times over.
func TestAnyFlippedBitIsFound(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	j, lines := written(t, 4)
	for range 300 {
		n := random.IntN(len(lines))
		l := &lines[n]
		at, bit := random.IntN(len(l.Text)), byte(1)<<random.IntN(8)
		l.Text[at] ^= bit
		found := verified(t, &tampered{j, chainOf(alice), lines})
		if !slices.ContainsFunc(found, func(s string) bool { return strings.Contains(s, fmt.Sprintf("line %d ", n+1)) }) {
			t.Fatalf("bit %x of byte %d of line %d: %q", bit, at, n+1, found)
		}
		l.Text[at] ^= bit
	}
}

func TestPruningKeepsTheChainWhole(t *testing.T) {
	j := newJournal(t)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	trail := open(t, j, Options{Age: 30 * 24 * time.Hour, Now: func() time.Time { return now }})
	for day := range 90 {
		for i := range 1 + day%5 {
			e := called(fmt.Sprintf("Day%d-%d", day, i), alice)
			if err := trail.Begin(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			if err := trail.End(e); err != nil {
				t.Fatal(err)
			}
		}
		now = now.Add(24 * time.Hour)
		if err := trail.Prune(t.Context()); err != nil {
			t.Fatal(err)
		}
		if day%10 > 0 {
			continue
		}
		if found := verified(t, j); len(found) > 0 {
			t.Fatalf("day %d: %q", day, found)
		}
	}
	lines := brief(t, all(t, j))
	calls := slices.DeleteFunc(slices.Clone(lines), func(s string) bool { return s == nameOfPruning })
	if first := calls[0]; first != "Day60-0" && first != "Day59-0" {
		t.Errorf("the oldest is of %s", first)
	}
	if n := len(lines) - len(calls); n == 0 || n > 45 {
		t.Errorf("%d lines of pruning", n)
	}
	now = now.Add(1000 * 24 * time.Hour)
	for range 3 {
		if err := trail.Prune(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, trail)
	if got := brief(t, all(t, j)); len(got) > 2 || got[len(got)-1] != nameOfPruning {
		t.Errorf("long after: %q", got)
	}
	rest, err := j.ReadJournal(t.Context(), chainOf(alice), 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	if found := verified(t, &tampered{j, chainOf(alice), rest[1:]}); len(rest) > 1 && len(found) == 0 {
		t.Error("one line more was dropped than the chain says, and that is not found")
	}
}

func TestTail(t *testing.T) {
	j := newJournal(t)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	trail := open(t, j, Options{Level: Calls, Now: func() time.Time { return now }})
	const others = 1500
	for i := range others {
		trail.Note(called(fmt.Sprint("Other", i), "999988887777"))
		if i%100 == 0 {
			trail.Note(called(fmt.Sprint("Alice", i), alice))
		}
		now = now.Add(time.Second)
	}
	closed(t, trail)
	tailed := func(c Choice) []string {
		var lines []string
		err := Tail(t.Context(), j, c, func(line []byte) error {
			lines = append(lines, string(line))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return brief(t, lines)
	}
	if diff := cmp.Diff([]string{"Alice1400", "Other1400", "Other1401"}, tailed(Choice{Newest: 101})[:3]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"Alice1200", "Alice1300", "Alice1400"}, tailed(Choice{Newest: 3, Account: alice})); diff != "" {
		t.Error(diff)
	}
	if n := len(tailed(Choice{Account: alice})); n != others/100 {
		t.Errorf("%d lines of one account", n)
	}
	if n := len(tailed(Choice{Newest: 1 << 20})); n != others+others/100 {
		t.Errorf("%d lines of all", n)
	}
	if got := tailed(Choice{Newest: 3, Account: "000000000000"}); len(got) != 0 {
		t.Errorf("of an account without any: %q", got)
	}
}

func TestTailFollows(t *testing.T) {
	j := newJournal(t)
	trail := open(t, j, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan string)
	ended := make(chan error, 1)
	go func() {
		ended <- Tail(ctx, j, Choice{Newest: 1, Every: time.Millisecond}, func(line []byte) error {
			told <- string(line)
			return nil
		})
	}()
	for i := range 5 {
		name := fmt.Sprint("Call", i)
		e := called(name, fmt.Sprintf("%012d", i))
		if err := trail.Begin(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if err := trail.End(e); err != nil {
			t.Fatal(err)
		}
		if got := <-told; !strings.Contains(got, name) {
			t.Errorf("after %s: %s", name, got)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	closed(t, trail)
}

func TestHeadsRead(t *testing.T) {
	h := Head{15, 1<<63 - 1, Hash{1, 2, 0xff}}
	if got, err := ParseHead(h.String()); got != h || err != nil {
		t.Errorf("%v (%v)", got, err)
	}
	for _, s := range []string{"", "1", "1:2", "16:1:" + h.Hash.String(), "-1:1:" + h.Hash.String(), "1:0:" + h.Hash.String(), "1:1:ab", "1:1:" + strings.Repeat("g", 64), h.String() + ":"} {
		if got, err := ParseHead(s); err == nil {
			t.Errorf("%q: %v", s, got)
		}
	}
}
