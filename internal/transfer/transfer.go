// Package transfer carries the whole content of one store to another, of whatever kinds: identity, shapes, nodes,
// documents, the feed, the control-plane records and the journal, so that what follows the feed or holds a page token notices nothing.
//
// Begin with Copy, between a source nobody writes to and a target made with the source's identity. Unfinished tells
// whoever opens a store that it is the target of a copy that did not end; Verify compares two stores without writing.
// Stream gives all of a store to any loader, a backup or Sums, which says what a store's content comes to.
//
// Promises: Copy returns without error only when both stores give the same digest of every shard, of the records and of the journal, each
// read back after the last write. A copy that was interrupted goes on where it stopped when it is called again. A source
// that moved meanwhile is ErrMoved, never a mixture. It refuses a target that holds anything else.
//
// It does not carry what belongs to the servers over a store: fences, readers of the feed and snapshots.
package transfer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"stocktake/internal/store"
)

// The sentinels; test with errors.Is.
var (
	// ErrMoved: the source was written to while it was copied, or between two parts of the copy.
	ErrMoved = errors.New("the source was written to since the copy began")
	// ErrNotEmpty: the target holds something else than the beginning of this copy.
	ErrNotEmpty = errors.New("the target is not empty")
	// ErrOther: the target is of another identity, so that nothing the source named by its keys could be found in it.
	ErrOther = errors.New("the target was made as a store of its own")
	// ErrUnfinished: the store is the target of a copy that did not end.
	ErrUnfinished = errors.New("the store is the target of a copy that did not end")
	// ErrDiffers: the digests of the two stores are not equal.
	ErrDiffers = errors.New("the stores differ")
)

// Phase is what a copy is doing.
type Phase string

// The phases: those of a copy in order.
const (
	Copying   Phase = "copying"
	Verifying Phase = "verifying"
	Reading   Phase = "reading" // of Stream
)

// Progress is how far a phase is.
type Progress struct {
	Phase Phase
	// Shards are done out of Of.
	Shards, Of int
	// Nodes have been read in this phase.
	Nodes int
}

// Options say how to copy.
type Options struct {
	// Workers is how many shards are worked on at a time; 0: as many as there are cores, two at least.
	Workers int
	// Progress, if set, is told after every page of nodes and every shard, by several goroutines at once.
	Progress func(Progress)
}

// Report says what was carried or compared.
type Report struct {
	Shards, Nodes, Changes, Records int
	// Lines are those of the journal.
	Lines int
	// Resumed is how many shards an earlier, interrupted copy had carried already.
	Resumed int
}

// Copy carries everything from one store to another and verifies it. Nobody may write to either.
func Copy(ctx context.Context, from, to store.Store, o Options) (Report, error) {
	if from.Identity() != to.Identity() {
		return Report{}, ErrOther
	}
	if err := Unfinished(ctx, from); err != nil {
		return Report{}, fmt.Errorf("the source cannot be copied: %w", err)
	}
	standing, err := standingOf(ctx, from)
	if err != nil {
		return Report{}, err
	}
	m, err := Begin(ctx, to, standing)
	if err != nil {
		return Report{}, err
	}
	report := Report{Resumed: len(m.Done)}
	if err := copyShards(ctx, from, to, m, o); err != nil {
		return report, moved(err)
	}
	if err := StreamRecords(ctx, from, to); err != nil {
		return report, moved(err)
	}
	if err := StreamJournal(ctx, from, to); err != nil {
		return report, moved(err)
	}
	verified, err := Verify(ctx, from, to, o)
	if now, failed := standingOf(ctx, from); failed == nil && now != standing {
		return report, ErrMoved
	}
	if err != nil {
		return report, err
	}
	verified.Resumed = report.Resumed
	return verified, m.End(ctx, to)
}

// moved tells what only a source that moves can do: take away what it has just named.
func moved(err error) error {
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrBehind) {
		return fmt.Errorf("%w (%w)", ErrMoved, err)
	}
	return err
}

// standingOf names the place a store's feeds, records and journal are at. It moves with every change, write to a record and
// line; an unchanged report moves a node's record alone, which the digests find.
func standingOf(ctx context.Context, s store.Store) (string, error) {
	heads, err := s.Heads(ctx)
	if err != nil {
		return "", err
	}
	records, err := s.RecordsHead(ctx)
	if err != nil {
		return "", err
	}
	var c canon
	for _, h := range append(heads, records) {
		c.number(h.Seq)
		c.bytes(h.ID[:])
	}
	for chain := range store.JournalChains {
		line, err := s.JournalHead(ctx, chain)
		switch {
		case err == nil:
			c.number(uint64(chain))
			c.line(line)
		case !errors.Is(err, store.ErrNotFound):
			return "", err
		}
	}
	return fmt.Sprintf("%x", c.sum()), nil
}

// copyShards copies the shards the mark does not have yet.
func copyShards(ctx context.Context, from, to store.Store, m *Mark, o Options) error {
	track := &tracker{phase: Copying, of: from.Identity().Shards, tell: o.Progress}
	track.shards.Store(int64(len(m.Done)))
	kept := newTexts()
	return eachShard(ctx, from.Identity().Shards, o.Workers, func(ctx context.Context, shard int) error {
		if m.Has(shard) {
			return nil
		}
		if err := newLoading(from, to, shard, kept, track).run(ctx); err != nil {
			return fmt.Errorf("shard %d: %w", shard, err)
		}
		if err := m.Add(ctx, to, shard); err != nil {
			return err
		}
		track.shard()
		return nil
	})
}

// Verify compares two stores of one identity by the digest of each shard, of the records and of the journal. ErrDiffers names the parts
// that differ.
func Verify(ctx context.Context, from, to store.Store, o Options) (Report, error) {
	if from.Identity() != to.Identity() {
		return Report{}, ErrOther
	}
	shards := from.Identity().Shards
	report := Report{Shards: shards}
	track := &tracker{phase: Verifying, of: shards, tell: o.Progress}
	var mu sync.Mutex
	var differing []int
	keptOurs, keptTheirs := newTexts(), newTexts()
	err := eachShard(ctx, shards, o.Workers, func(ctx context.Context, shard int) error {
		ours, err := sumShard(ctx, from, shard, keptOurs, track)
		if err != nil {
			return fmt.Errorf("source, shard %d: %w", shard, moved(err))
		}
		theirs, err := sumShard(ctx, to, shard, keptTheirs, nil)
		if err != nil {
			return fmt.Errorf("target, shard %d: %w", shard, err)
		}
		mu.Lock()
		defer mu.Unlock()
		report.Nodes += ours.Nodes
		report.Changes += ours.Changes
		if ours != theirs {
			differing = append(differing, shard)
		}
		track.shard()
		return nil
	})
	if err != nil {
		return report, err
	}
	ours, err := sumRecords(ctx, from)
	if err != nil {
		return report, err
	}
	report.Records = ours.Records
	theirs, err := sumRecords(ctx, to)
	if err != nil {
		return report, err
	}
	lines, err := sumJournal(ctx, from)
	if err != nil {
		return report, err
	}
	report.Lines = lines.Lines
	theirLines, err := sumJournal(ctx, to)
	if err != nil {
		return report, err
	}
	return report, differences(differing, ours != theirs, lines != theirLines)
}

func differences(shards []int, records, journal bool) error {
	var parts []string
	if len(shards) > 0 {
		slices.Sort(shards)
		parts = append(parts, fmt.Sprintf("in the shards %v", shards))
	}
	if records {
		parts = append(parts, "in their records")
	}
	if journal {
		parts = append(parts, "in their journals")
	}
	if len(parts) == 0 {
		return nil
	}
	return fmt.Errorf("%w %s", ErrDiffers, strings.Join(parts, " and "))
}

// eachShard calls f for every shard, some at a time, until one fails.
func eachShard(ctx context.Context, shards, workers int, f func(ctx context.Context, shard int) error) error {
	if workers == 0 {
		workers = max(2, runtime.GOMAXPROCS(0))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var working sync.WaitGroup
	var next atomic.Int64
	for range min(workers, shards) {
		working.Go(func() {
			for shard := int(next.Add(1)) - 1; shard < shards && ctx.Err() == nil; shard = int(next.Add(1)) - 1 {
				if err := f(ctx, shard); err != nil {
					cancel(err)
				}
			}
		})
	}
	working.Wait()
	return context.Cause(ctx)
}

// tracker counts for Progress. A nil tracker counts nothing.
type tracker struct {
	phase         Phase
	of            int
	shards, nodes atomic.Int64
	tell          func(Progress)
}

func (t *tracker) read(nodes int) {
	if t != nil {
		t.nodes.Add(int64(nodes))
		t.report()
	}
}

func (t *tracker) shard() {
	t.shards.Add(1)
	t.report()
}

func (t *tracker) report() {
	if t.tell != nil {
		t.tell(Progress{Phase: t.phase, Shards: int(t.shards.Load()), Of: t.of, Nodes: int(t.nodes.Load())})
	}
}
