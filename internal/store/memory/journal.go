package memory

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"stocktake/internal/store"
)

// chain is one of the journal's. Its lines end with the newest, which is never pruned.
type chain struct {
	lines      []store.JournalLine
	intentions []store.Intention
}

func (c *chain) head() uint64 {
	if len(c.lines) == 0 {
		return 0
	}
	return c.lines[len(c.lines)-1].Seq
}

func (c *chain) clone() chain {
	return chain{slices.Clone(c.lines), slices.Clone(c.intentions)}
}

// intend adds an intention that the chain does not have.
func (c *chain) intend(in store.Intention) {
	in.Text = slices.Clone(in.Text)
	c.intentions = append(c.intentions, in)
}

// intended reports whether an intention is there; another under its id is a conflict.
func (c *chain) intended(id string, text []byte) (bool, error) {
	i := slices.IndexFunc(c.intentions, func(in store.Intention) bool { return in.ID == id })
	if i >= 0 && !bytes.Equal(c.intentions[i].Text, text) {
		return false, fmt.Errorf("intention %q: %w", id, store.ErrConflict)
	}
	return i >= 0, nil
}

func (c *chain) append(seq uint64, text []byte) {
	c.lines = append(c.lines, store.JournalLine{Seq: seq, Text: slices.Clone(text)})
}

// JournalHead implements store.JournalReader.
func (s *Store) JournalHead(ctx context.Context, chain int) (store.JournalLine, error) {
	if err := store.CheckChain(chain); err != nil {
		return store.JournalLine{}, err
	}
	if err := s.enter(ctx); err != nil {
		return store.JournalLine{}, err
	}
	defer s.mu.Unlock()
	lines := s.journal[chain].lines
	if len(lines) == 0 {
		return store.JournalLine{}, fmt.Errorf("newest line of the journal's chain %d: %w", chain, store.ErrNotFound)
	}
	return cloneLine(lines[len(lines)-1]), nil
}

// ReadJournal implements store.JournalReader.
func (s *Store) ReadJournal(ctx context.Context, chain int, after uint64, limit int) ([]store.JournalLine, error) {
	if err := store.CheckChain(chain); err != nil {
		return nil, err
	}
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var lines []store.JournalLine
	for _, l := range s.journal[chain].lines {
		if l.Seq > after && len(lines) < limit {
			lines = append(lines, cloneLine(l))
		}
	}
	return lines, nil
}

// Intentions implements store.JournalReader.
func (s *Store) Intentions(ctx context.Context, chain int, limit int) ([]store.Intention, error) {
	if err := store.CheckChain(chain); err != nil {
		return nil, err
	}
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	all := slices.Clone(s.journal[chain].intentions)
	for i := range all {
		all[i].Text = slices.Clone(all[i].Text)
	}
	return store.SortIntentions(all, limit), nil
}

// Intend implements store.Journal.
func (s *Store) Intend(ctx context.Context, chain int, id string, text []byte) error {
	if err := store.CheckIntention(chain, id, text); err != nil {
		return err
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	c := &s.journal[chain]
	there, err := c.intended(id, text)
	if err != nil || there {
		return err
	}
	c.intend(store.Intention{ID: id, Text: text, Since: time.Now().UTC().Truncate(time.Microsecond)})
	return nil
}

// AppendJournal implements store.Journal.
func (s *Store) AppendJournal(ctx context.Context, chain int, after uint64, texts [][]byte, settled []string) error {
	if err := store.CheckAppend(chain, after, texts); err != nil {
		return err
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	c := &s.journal[chain]
	if c.head() != after {
		return fmt.Errorf("chain %d of the journal ends at line %d, not %d: %w", chain, c.head(), after, store.ErrConflict)
	}
	for i, text := range texts {
		c.append(after+1+uint64(i), text)
	}
	c.intentions = slices.DeleteFunc(c.intentions, func(in store.Intention) bool { return slices.Contains(settled, in.ID) })
	return nil
}

// PruneJournal implements store.Journal.
func (s *Store) PruneJournal(ctx context.Context, chain int, through uint64) error {
	if err := store.CheckChain(chain); err != nil {
		return err
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	c := &s.journal[chain]
	head := c.head()
	c.lines = slices.DeleteFunc(c.lines, func(l store.JournalLine) bool { return l.Seq <= through && l.Seq != head })
	return nil
}

// LoadJournal implements store.Loader.
func (s *Store) LoadJournal(ctx context.Context, chain int, lines []store.JournalLine, intentions []store.Intention) error {
	if err := store.CheckJournal(chain, lines, intentions); err != nil {
		return err
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	c := s.journal[chain].clone()
	fresh, err := store.PassOver(chain, c.head(), lines, func(seq uint64) []byte {
		for _, l := range c.lines {
			if l.Seq == seq {
				return l.Text
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, l := range fresh {
		c.append(l.Seq, l.Text)
	}
	for _, in := range intentions {
		there, err := c.intended(in.ID, in.Text)
		if err != nil {
			return err
		}
		if !there {
			c.intend(in)
		}
	}
	s.journal[chain] = c
	return nil
}

// cloneLine keeps the caller's bytes and the store's apart.
func cloneLine(l store.JournalLine) store.JournalLine {
	l.Text = slices.Clone(l.Text)
	return l
}
