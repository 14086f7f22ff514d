package verify

import (
	"context"
	"errors"

	"stocktake/internal/store"
)

// chainChecker checks a chain of the journal.
type chainChecker struct{ last uint64 }

// LoadJournal implements store.Loader.
func (c *Checker) LoadJournal(_ context.Context, chain int, lines []store.JournalLine, intentions []store.Intention) error {
	if err := store.CheckChain(chain); err != nil {
		return err
	}
	c.mu.Lock()
	last := &c.chains[chain].last
	before := *last
	if len(lines) > 0 {
		*last = lines[len(lines)-1].Seq
	}
	c.report.Lines += len(lines)
	c.report.Intentions += len(intentions)
	c.mu.Unlock()
	if err := store.CheckJournal(chain, lines, intentions); err != nil {
		c.find("%v", err)
	}
	if len(lines) > 0 && before != 0 && lines[0].Seq != before+1 {
		c.find("chain %d of the journal goes on with line %d after line %d", chain, lines[0].Seq, before)
	}
	return nil
}

// checkChainHeads holds the newest line of each chain against what the store says is the newest. Its error is of a store
// that does not answer.
func (c *Checker) checkChainHeads(ctx context.Context, v store.View) error {
	for chain := range c.chains {
		last := c.chains[chain].last
		switch head, err := v.JournalHead(ctx, chain); {
		case errors.Is(err, store.ErrNotFound) && last == 0:
		case err == nil && head.Seq == last:
		case gone(ctx, err):
			return err
		case err != nil:
			c.find("chain %d of the journal ends at line %d, and its newest cannot be read: %v", chain, last, err)
		default:
			c.find("chain %d of the journal ends at line %d, and its newest is %d", chain, last, head.Seq)
		}
	}
	return nil
}
