package audit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"stocktake/internal/store"
)

// A Head is the newest line of a chain, as somebody remembers it who wants to know that it is still there.
type Head struct {
	Chain    int
	Sequence uint64
	Hash     Hash
}

// String gives the head as CHAIN:SEQUENCE:HASH.
func (h Head) String() string { return fmt.Sprintf("%d:%d:%s", h.Chain, h.Sequence, h.Hash) }

// ParseHead reads what String gives.
func ParseHead(s string) (h Head, err error) {
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return h, fmt.Errorf("%q is no head of a chain: write CHAIN:SEQUENCE:HASH, as audit verify prints it", s)
	}
	if h.Chain, err = strconv.Atoi(parts[0]); err != nil || h.Chain < 0 || h.Chain >= Chains {
		return h, fmt.Errorf("%q: there are chains 0 to %d, not %s", s, Chains-1, parts[0])
	}
	if h.Sequence, err = strconv.ParseUint(parts[1], 10, 63); err != nil || h.Sequence == 0 {
		return h, fmt.Errorf("%q: %s is no line's number", s, parts[1])
	}
	if err := unhex(&h.Hash, parts[2]); err != nil {
		return h, fmt.Errorf("%q: the hash: %w", s, err)
	}
	return h, nil
}

// A Verdict is what Verify found.
type Verdict struct {
	Lines int // looked at
	Began int // calls that began and have no line yet: they are under way, or were interrupted
	// Heads are where the chains end: what to remember, and give the next time. Chains without lines have none.
	Heads []string
	// Findings say what is not as it was written, each in a sentence that names chain and line; More counts those beyond
	// the first hundred.
	Findings []string
	More     int
}

// mostFindings bounds the findings told.
const mostFindings = 100

func (r *Verdict) find(format string, values ...any) {
	if len(r.Findings) < mostFindings {
		r.Findings = append(r.Findings, fmt.Sprintf(format, values...))
		return
	}
	r.More++
}

// Verify looks all lines of a journal over: that each has the hash of its bytes, the hash of the line before it and the
// sequence after that one's; and that the lines of the remembered heads are there, without which lines cut off at the end
// of a chain cannot be missed. Lines may be written meanwhile. Its error is of reading; what it found is in the verdict.
func Verify(ctx context.Context, j store.JournalReader, heads []Head) (Verdict, error) {
	var r Verdict
	for number := range Chains {
		c := checker{report: &r, chain: number, gone: map[uint64]place{}, pruned: map[uint64]string{}}
		for _, h := range heads {
			if h.Chain == number {
				c.heads = append(c.heads, h)
			}
		}
		if err := c.look(ctx, j); err != nil {
			return r, err
		}
	}
	return r, nil
}

// checker looks one chain over.
type checker struct {
	report *Verdict
	chain  int
	heads  []Head

	last   place // the line before
	stated Hash  // what that line says is its hash
	// gone are the lines that are not there: by the first that is again, with the hash it says stands before it.
	gone map[uint64]place
	// pruned are what the lines of pruning say was dropped: the last sequence, and its hash.
	pruned map[uint64]string
	most   uint64 // of pruned
}

func (c *checker) find(format string, values ...any) {
	c.report.find("chain %d, %s", c.chain, fmt.Sprintf(format, values...))
}

func (c *checker) look(ctx context.Context, j store.JournalReader) error {
	for {
		lines, err := j.ReadJournal(ctx, c.chain, c.last.sequence, window)
		if errors.Is(err, store.ErrCorrupt) {
			c.find("after line %d cannot be read: %v", c.last.sequence, err)
			return nil
		}
		if err != nil {
			return fmt.Errorf("chain %d: %w", c.chain, err)
		}
		for _, l := range lines {
			c.line(l)
		}
		if len(lines) < window {
			break
		}
	}
	c.end()
	began, err := j.Intentions(ctx, c.chain, mostIntentions)
	if err != nil {
		return fmt.Errorf("chain %d: %w", c.chain, err)
	}
	c.report.Began += len(began)
	return nil
}

// line looks at the next line.
func (c *checker) line(l store.JournalLine) {
	c.report.Lines++
	before := c.last
	computed := hashOf(l.Text)
	c.last = place{l.Seq, computed}
	c.remembered(c.last)
	s, prev, hash, err := read(l.Text)
	beforeStated := c.stated
	c.stated = hash
	if err != nil {
		c.stated = computed
		c.find("line %d is damaged: %v", l.Seq, err)
		return
	}
	if hash != computed {
		c.find("line %d was altered: it says its hash is %s, and its bytes make %s", l.Seq, hash, computed)
	} else if d := s.Additional; d != nil && d.PrunedThrough > 0 {
		c.pruned[d.PrunedThrough] = d.PrunedHash
		c.most = max(c.most, d.PrunedThrough)
	}
	if *s.Chain != c.chain || s.Sequence != l.Seq {
		c.find("line %d is in another's place: it says it is line %d of chain %d", l.Seq, s.Sequence, *s.Chain)
		return
	}
	switch {
	case l.Seq != before.sequence+1:
		c.gone[l.Seq] = place{before.sequence, prev}
	case prev != before.hash && prev != beforeStated:
		c.find("line %d does not follow the line %d that is there: it follows one with the hash %s", l.Seq, before.sequence, prev)
	}
}

// remembered holds a line to the heads somebody remembers.
func (c *checker) remembered(at place) {
	for i := range c.heads {
		h := &c.heads[i]
		if h.Sequence != at.sequence {
			continue
		}
		if h.Hash != at.hash {
			c.find("line %d is not the one that is remembered, whose hash is %s", at.sequence, h.Hash)
		}
		h.Sequence = 0 // seen
	}
}

// end judges what only the whole chain tells.
func (c *checker) end() {
	for _, at := range slices.Sorted(maps.Keys(c.gone)) {
		before := c.gone[at]
		from, to := before.sequence+1, at-1
		hash, here := c.pruned[to]
		switch {
		case c.most > to || here && hash == before.hash.String():
		case here:
			c.find("line %d does not follow line %d, which was pruned", at, to)
		case from == to:
			c.find("line %d is missing", from)
		default:
			c.find("lines %d to %d are missing", from, to)
		}
	}
	for _, h := range c.heads {
		if h.Sequence > c.last.sequence {
			c.find("line %d is remembered, and the chain ends with line %d: its end was cut off", h.Sequence, c.last.sequence)
		}
	}
	if c.last.sequence > 0 {
		c.report.Heads = append(c.report.Heads, Head{c.chain, c.last.sequence, c.last.hash}.String())
	}
}
