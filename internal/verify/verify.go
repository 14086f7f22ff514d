// Package verify looks a store over from its first byte to its last, and says exactly what does not fit together.
//
// Begin with Store, for a store at one moment; or with New, a Checker that is a loader, for what comes from elsewhere (a
// backup). Both give a Report.
//
// What is recomputed: the name of every shape from its text; every document from the feed, as far back as the feed goes,
// held against the document stored; what each change says it added to and took from a document; the sequences and the
// heads of the feed; the counts and revisions in nodes' records; the sequences and the heads of the journal; and, where there is an index, its postings from the
// documents, both ways, and the texts behind them. ContentHash is opaque (clients' own) and cannot be recomputed.
//
// It refuses to mend anything, and to stop at the first finding: a shard that cannot be read on is one finding, and the
// next shard is looked at.
package verify

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"stocktake/internal/index"
	"stocktake/internal/inventory"
	"stocktake/internal/store"
	"stocktake/internal/transfer"
)

// Options say how to verify.
type Options struct {
	// Index is what is held against the documents; nil for none.
	Index *index.Index
	// Most bounds the findings that are kept, 100 unless given; the others are counted.
	Most int
	// Progress, if set, is told after every shard, by several goroutines at once.
	Progress func(transfer.Progress)
}

// Report is what was looked at, and found.
type Report struct {
	Shards, Nodes, Documents, Entries, Shapes, Changes, Records int
	// Lines and Intentions are the journal's.
	Lines, Intentions int
	// Recomputed is how many documents the feed reaches back far enough to make anew.
	Recomputed int
	// Postings is how many pairs of a node and a shape were compared with an index.
	Postings int
	// Findings are sentences, one a thing that does not fit; More is how many there are beyond them.
	Findings []string
	More     int
}

// Checker is a loader that checks what it is given, of several shards at once: of each the shapes before what names them
// and nodes before changes, as transfer.Stream and backup.Read give them; then End, and after all shards Finish.
type Checker struct {
	id     store.Identity
	most   int
	index  *postings // nil without one
	shards []*shardChecker
	keys   records
	chains [store.JournalChains]chainChecker

	mu      sync.Mutex
	report  Report
	partial bool // a shard was not read to its end
}

var _ store.Loader = (*Checker)(nil)

// New makes a checker of what a store of this identity holds.
func New(id store.Identity, o Options) *Checker {
	c := &Checker{id: id, most: o.Most, shards: make([]*shardChecker, id.Shards)}
	if c.most == 0 {
		c.most = 100
	}
	if o.Index != nil {
		c.index = &postings{index: o.Index, want: map[shapeKey]int{}, types: map[typeKey]int{}}
	}
	c.report.Shards = id.Shards
	for shard := range c.shards {
		c.shards[shard] = newShardChecker(c, shard)
	}
	return c
}

// find keeps a finding.
func (c *Checker) find(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.report.Findings) >= c.most {
		c.report.More++
		return
	}
	c.report.Findings = append(c.report.Findings, fmt.Sprintf(format, args...))
}

func (c *Checker) count(add func(r *Report)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	add(&c.report)
}

// shard gives a shard's checker.
func (c *Checker) shard(shard int) (*shardChecker, error) {
	if shard < 0 || shard >= len(c.shards) {
		return nil, fmt.Errorf("there is no shard %d of %d", shard, len(c.shards))
	}
	return c.shards[shard], nil
}

// LoadShapes implements store.Loader.
func (c *Checker) LoadShapes(_ context.Context, shard int, shapes []store.Typed) error {
	s, err := c.shard(shard)
	if err == nil {
		s.shapes(shapes)
	}
	return err
}

// LoadNodes implements store.Loader.
func (c *Checker) LoadNodes(_ context.Context, shard int, nodes []store.NodeScan) error {
	s, err := c.shard(shard)
	if err == nil {
		s.nodes(nodes)
	}
	return err
}

// LoadChanges implements store.Loader.
func (c *Checker) LoadChanges(_ context.Context, shard int, changes []inventory.Change) error {
	s, err := c.shard(shard)
	if err == nil {
		s.changes(changes)
	}
	return err
}

// End compares what a shard's feed comes to with its documents. head is the newest change by the store's own account, nil
// where there is none to compare with.
func (c *Checker) End(shard int, head *inventory.Position) {
	c.shards[shard].end(head)
	c.shards[shard] = newShardChecker(c, shard) // what it held is not needed any more
}

// Finish ends the check and gives what was found.
func (c *Checker) Finish() Report {
	if c.index != nil && !c.partial {
		c.index.finish(c)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.report
}

// Store checks a store at one moment. Its error is of a store that does not answer, or of ctx; damage is a finding.
func Store(ctx context.Context, v store.View, o Options) (Report, error) {
	c := New(v.Identity(), o)
	heads, err := v.Heads(ctx)
	if err != nil {
		return c.report, err
	}
	if err := c.eachShard(ctx, v, heads, o); err != nil {
		return c.Finish(), err
	}
	if err := transfer.StreamRecords(ctx, v, c); err != nil {
		if gone(ctx, err) {
			return c.Finish(), err
		}
		c.find("the records cannot be read on: %v", err)
	}
	if err := transfer.StreamJournal(ctx, v, c); err != nil {
		if gone(ctx, err) {
			return c.Finish(), err
		}
		c.find("the journal cannot be read on: %v", err)
		return c.Finish(), nil
	}
	err = c.checkChainHeads(ctx, v)
	return c.Finish(), err
}

// cut notes that documents were not seen, so that the index may know of more.
func (c *Checker) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.partial = true
}

// gone tells a store that does not answer from one that answers with damage.
func gone(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrClosed)
}

func (c *Checker) eachShard(ctx context.Context, v store.View, heads []inventory.Position, o Options) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var working sync.WaitGroup
	var mu sync.Mutex
	done := 0
	for range min(len(heads), max(2, runtime.GOMAXPROCS(0))) {
		working.Go(func() {
			for shard := range next {
				err := transfer.StreamShard(ctx, v, shard, c)
				switch {
				case err == nil:
					c.End(shard, &heads[shard])
				case gone(ctx, err):
					cancel(err)
				default:
					c.find("it cannot be read on: %v", err)
					c.cut()
				}
				mu.Lock()
				done++
				if o.Progress != nil {
					o.Progress(transfer.Progress{Phase: transfer.Verifying, Shards: done, Of: len(heads), Nodes: c.nodesSeen()})
				}
				mu.Unlock()
			}
		})
	}
	for shard := range heads {
		select {
		case next <- shard:
		case <-ctx.Done():
		}
	}
	close(next)
	working.Wait()
	return context.Cause(ctx)
}

func (c *Checker) nodesSeen() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.report.Nodes
}
