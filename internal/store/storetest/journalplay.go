package storetest

import (
	"context"
	"errors"
	"fmt"

	"stocktake/internal/store"
)

// playChains is how many of the journal's chains players write to.
const playChains = 2

// journal plays a step on the journal: an intention, lines that settle one, lines at a wrong place, or a pruning.
func (p *Player) journal(ctx context.Context, src *Source) (string, error) {
	chain := src.IntN(playChains)
	switch src.IntN(6) {
	case 0, 1:
		id := fmt.Sprint("call ", src.IntN(5))
		err := p.Store.Intend(ctx, chain, id, fmt.Appendf(nil, "%s of %d", id, src.IntN(2)))
		if errors.Is(err, store.ErrConflict) {
			return "intention conflicts", nil
		}
		return "intention", err
	case 2:
		through := uint64(src.IntN(int(p.step)))
		return fmt.Sprintf("journal pruned through %d", through), p.Store.PruneJournal(ctx, chain, through)
	}
	head, err := p.Store.JournalHead(ctx, chain)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return "journal's head", err
	}
	after := head.Seq
	if src.IntN(4) == 0 {
		after += uint64(src.IntN(3))
	}
	var texts [][]byte
	for range 1 + src.IntN(3) {
		texts = append(texts, fmt.Appendf(nil, "line %d", src.Uint64()))
	}
	err = p.Store.AppendJournal(ctx, chain, after, texts, []string{fmt.Sprint("call ", src.IntN(5))})
	if errors.Is(err, store.ErrConflict) {
		return fmt.Sprintf("lines after %d conflict", after), nil
	}
	return fmt.Sprintf("%d lines after %d", len(texts), after), err
}

// addJournal reads the journal into the state.
func (state *State) addJournal(ctx context.Context, s store.Store) error {
	for chain := range store.JournalChains {
		lines, err := JournalLines(ctx, s, chain, 0, 3)
		if err != nil {
			return err
		}
		if len(lines) > 0 {
			state.Lines[chain] = lines
		}
		intentions, err := s.Intentions(ctx, chain, 1000)
		if err != nil {
			return err
		}
		for _, in := range intentions {
			if state.Intentions[chain] == nil {
				state.Intentions[chain] = map[string]string{}
			}
			state.Intentions[chain][in.ID] = string(in.Text)
		}
	}
	return nil
}

// readJournal reads the journal into the content.
func (c *content) readJournal(ctx context.Context, s store.View) error {
	for chain := range store.JournalChains {
		lines, err := JournalLines(ctx, s, chain, 0, 5)
		if err != nil {
			return err
		}
		intentions, err := s.Intentions(ctx, chain, 1000)
		if err != nil {
			return err
		}
		if len(lines) > 0 {
			c.Lines[chain] = lines
		}
		if len(intentions) > 0 {
			c.Intentions[chain] = intentions
		}
	}
	return nil
}

// JournalLines reads a chain's lines after a sequence, so many a page, and holds the last against the chain's head.
func JournalLines(ctx context.Context, s store.JournalReader, chain int, after uint64, page int) (all []store.JournalLine, err error) {
	for at := after; ; {
		lines, err := s.ReadJournal(ctx, chain, at, page)
		if err != nil {
			return nil, err
		}
		all = append(all, lines...)
		if len(lines) < page {
			break
		}
		at = lines[len(lines)-1].Seq
	}
	for i := 1; i < len(all); i++ {
		if all[i].Seq != all[i-1].Seq+1 {
			return nil, fmt.Errorf("line %d of chain %d follows line %d", all[i].Seq, chain, all[i-1].Seq)
		}
	}
	head, err := s.JournalHead(ctx, chain)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	switch {
	case len(all) > 0 && differ(head, all[len(all)-1]) != "":
		return nil, fmt.Errorf("head of chain %d is %d, and its last line %d", chain, head.Seq, all[len(all)-1].Seq)
	case len(all) == 0 && after == 0 && head.Seq != 0:
		return nil, fmt.Errorf("head of chain %d, which has no line, is %d", chain, head.Seq)
	}
	return all, nil
}

// FillJournal gives a store lines in some chains, one of which was pruned, and intentions that are not settled.
func FillJournal(ctx context.Context, s store.Journal) error {
	var errs []error
	for chain := range 4 {
		for i := range uint64(chain * 5) {
			id := fmt.Sprint("call ", i)
			errs = append(errs,
				s.Intend(ctx, chain, id, fmt.Appendf(nil, "%s\x00\xff", id)),
				s.AppendJournal(ctx, chain, 2*i, [][]byte{fmt.Appendf(nil, "line %d", i), []byte("\xff")}, []string{fmt.Sprint("call ", i-2)}))
		}
	}
	return errors.Join(append(errs, s.PruneJournal(ctx, 3, 7))...)
}
