package backup

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
	"stocktake/internal/transfer"
)

// Restore fills a store with what a file holds, and reads it back. The file is checked first: open, which gives the empty
// store to fill, made with the identity of the header, is called only when all of it is as it was written. A store that
// holds anything is refused (transfer.ErrNotEmpty) unless it is what an interrupted Restore of the same file left: then
// the rest is filled in. Nobody else may use the store.
func Restore(ctx context.Context, from io.ReadSeeker, open func(Header) (store.Store, error), o transfer.Options) (Summary, error) {
	checked, err := survey(ctx, from, o)
	if err != nil {
		return checked, err
	}
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return checked, err
	}
	to, err := open(checked.Header)
	if err != nil {
		return checked, err
	}
	if to.Identity() != checked.Identity {
		return checked, transfer.ErrOther
	}
	mark, err := transfer.Begin(ctx, to, fmt.Sprintf("backup %x", checked.Name))
	if err != nil {
		return checked, err
	}
	summary, want, err := fill(ctx, from, to, mark, o)
	if err != nil {
		return summary, err
	}
	if err := compare(ctx, to, want, o); err != nil {
		return summary, err
	}
	return summary, mark.End(ctx, to)
}

// content is what a file's content comes to.
type content struct {
	shards           []transfer.Sum
	records, journal transfer.Sum
}

func newContent(shards int) *content { return &content{shards: make([]transfer.Sum, shards)} }

// fill reads the file into the store but for the shards it has, and gives what its content comes to.
func fill(ctx context.Context, from io.Reader, to store.Store, mark *transfer.Mark, o transfer.Options) (Summary, *content, error) {
	l := newLanes(ctx, to, o.Workers)
	want := newContent(to.Identity().Shards)
	had := make([]bool, to.Identity().Shards)
	for shard := range had {
		had[shard] = mark.Has(shard)
	}
	o.Progress = telling(o.Progress, transfer.Copying)
	sums := transfer.NewSums(to.Identity())
	summary, err := Read(ctx, from, o, func(Header) (Sink, error) {
		return Sink{Loader: &without{l, had, sums}, Unsummed: true, Ended: func(_ context.Context, shard int, sum transfer.Sum) error {
			want.shards[shard] = sum
			if had[shard] {
				return nil
			}
			return l.do(shard, func(ctx context.Context) error { return mark.Add(ctx, to, shard) })
		}}, nil
	})
	want.records, want.journal = sums.Records(), sums.Journal()
	if failed := l.end(); failed != nil {
		err = failed // what Read gives then is no more than that
	}
	return summary, want, err
}

// Compare reports whether a store holds just what a file does; ErrDiffers says which part does not.
func Compare(ctx context.Context, from io.Reader, with store.View, o transfer.Options) (Summary, error) {
	want := newContent(with.Identity().Shards)
	sums := transfer.NewSums(with.Identity())
	summary, err := Read(ctx, from, o, func(h Header) (Sink, error) {
		if h.Identity != with.Identity() {
			return Sink{}, transfer.ErrOther
		}
		return Sink{Loader: &without{nowhere{}, make([]bool, h.Identity.Shards), sums}, Unsummed: true, Ended: func(_ context.Context, shard int, sum transfer.Sum) error {
			want.shards[shard] = sum
			return nil
		}}, nil
	})
	if err != nil {
		return summary, err
	}
	want.records, want.journal = sums.Records(), sums.Journal()
	return summary, compare(ctx, with, want, o)
}

// compare reads a store back.
func compare(ctx context.Context, to store.View, want *content, o transfer.Options) error {
	sums := transfer.NewSums(to.Identity())
	o.Progress = telling(o.Progress, transfer.Verifying)
	if err := transfer.Stream(ctx, to, sums, o, nil); err != nil {
		return err
	}
	for shard, sum := range want.shards {
		if sums.Shard(shard) != sum {
			return fmt.Errorf("%w: shard %d is not as it was backed up", transfer.ErrDiffers, shard)
		}
	}
	if sums.Records() != want.records {
		return fmt.Errorf("%w: the records are not as they were backed up", transfer.ErrDiffers)
	}
	if sums.Journal() != want.journal {
		return fmt.Errorf("%w: the journal is not as it was backed up", transfer.ErrDiffers)
	}
	return nil
}

// without leaves out the shards a store has, and sums up the records and the journal.
type without struct {
	store.Loader
	had  []bool
	sums *transfer.Sums
}

func (w *without) LoadShapes(ctx context.Context, shard int, shapes []store.Typed) error {
	if w.had[shard] {
		return nil
	}
	return w.Loader.LoadShapes(ctx, shard, shapes)
}

func (w *without) LoadNodes(ctx context.Context, shard int, nodes []store.NodeScan) error {
	if w.had[shard] {
		return nil
	}
	return w.Loader.LoadNodes(ctx, shard, nodes)
}

func (w *without) LoadChanges(ctx context.Context, shard int, changes []inventory.Change) error {
	if w.had[shard] {
		return nil
	}
	return w.Loader.LoadChanges(ctx, shard, changes)
}

func (w *without) LoadRecords(ctx context.Context, records []store.Record) error {
	if err := w.sums.LoadRecords(ctx, records); err != nil {
		return err
	}
	return w.Loader.LoadRecords(ctx, records)
}

func (w *without) LoadJournal(ctx context.Context, chain int, lines []store.JournalLine, intentions []store.Intention) error {
	if err := w.sums.LoadJournal(ctx, chain, lines, intentions); err != nil {
		return err
	}
	return w.Loader.LoadJournal(ctx, chain, lines, intentions)
}

// lanes is a loader that works on several shards at a time, on each in the order it is told. A call gives an error of any
// before it.
type lanes struct {
	to      store.Loader
	lanes   []chan func(ctx context.Context) error
	ctx     context.Context
	cancel  context.CancelCauseFunc
	working sync.WaitGroup
}

func newLanes(ctx context.Context, to store.Loader, workers int) *lanes {
	if workers == 0 {
		workers = max(2, runtime.GOMAXPROCS(0))
	}
	l := &lanes{to: to, lanes: make([]chan func(context.Context) error, workers)}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	for i := range l.lanes {
		lane := make(chan func(context.Context) error, 2)
		l.lanes[i] = lane
		l.working.Go(func() {
			for work := range lane {
				if l.ctx.Err() != nil {
					continue
				}
				if err := work(l.ctx); err != nil {
					l.cancel(err)
				}
			}
		})
	}
	return l
}

// do has something done about a shard.
func (l *lanes) do(shard int, work func(ctx context.Context) error) error {
	select {
	case l.lanes[shard%len(l.lanes)] <- work:
		return nil
	case <-l.ctx.Done():
		return context.Cause(l.ctx)
	}
}

// end waits for all that was told, and gives the first error.
func (l *lanes) end() error {
	for _, lane := range l.lanes {
		close(lane)
	}
	l.working.Wait()
	err := context.Cause(l.ctx)
	l.cancel(nil)
	return err
}

func (l *lanes) LoadShapes(_ context.Context, shard int, shapes []store.Typed) error {
	return l.do(shard, func(ctx context.Context) error { return l.to.LoadShapes(ctx, shard, shapes) })
}

func (l *lanes) LoadNodes(_ context.Context, shard int, nodes []store.NodeScan) error {
	return l.do(shard, func(ctx context.Context) error { return l.to.LoadNodes(ctx, shard, nodes) })
}

func (l *lanes) LoadChanges(_ context.Context, shard int, changes []inventory.Change) error {
	return l.do(shard, func(ctx context.Context) error { return l.to.LoadChanges(ctx, shard, changes) })
}

func (l *lanes) LoadRecords(_ context.Context, records []store.Record) error {
	return l.do(0, func(ctx context.Context) error { return l.to.LoadRecords(ctx, records) })
}

func (l *lanes) LoadJournal(_ context.Context, chain int, lines []store.JournalLine, intentions []store.Intention) error {
	return l.do(chain, func(ctx context.Context) error { return l.to.LoadJournal(ctx, chain, lines, intentions) })
}
