package bench

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"stocktake/internal/simulate"
)

const (
	// fullBatch and hashBatch are how many bodies are made at a time before the clock runs: tens of megabytes.
	fullBatch = 256
	hashBatch = 4096
	// fullMost is how many full bodies a round sends at most after the load, and of all of them to a floor.
	fullMost = 2000
)

// load reports every node for the first time, as many parts of the fleet as there are rounds.
func (b *bench) load(ctx context.Context) error {
	err := b.lines([]string{"report in full, new nodes"}, true, everyone, func(r *run, i int, into []round) error {
		if err := b.floors.measure(b, i); err != nil {
			return err
		}
		from, to := r.Nodes*i/r.Rounds, r.Nodes*(i+1)/r.Rounds
		if r.is(Floor) {
			to = min(to, from+fullMost)
		}
		sent, err := r.report(ctx, from, to, fullBatch, &into[0], func(n int) simulate.Report { return r.fleet.Report(n, 0) })
		b.result.FullBytes = int(sent / int64(to-from))
		return err
	})
	if err != nil {
		return err
	}
	for _, r := range b.runs {
		if err := r.calibrate(ctx); err != nil {
			return fmt.Errorf("%s: %w", r.side.Name, err)
		}
	}
	return b.stored(ctx, "after the load")
}

// calibrate finds what measuring itself costs the server.
func (r *run) calibrate(ctx context.Context) error {
	const ticks = 50
	var counts [3]float64
	var err error
	for i := range counts {
		switch i {
		case 0: // the first tick makes a type of its own
			err = r.tick(ctx)
		case 2:
			for range ticks {
				if err == nil {
					err = r.tick(ctx)
				}
			}
		}
		if err == nil {
			counts[i], err = r.allocations()
		}
		if err != nil {
			return err
		}
	}
	r.scraped = counts[1] - counts[0]
	r.ticked = max(0, counts[2]-counts[1]-r.scraped) / ticks
	return nil
}

// habit is a kind of report that a fleet sends.
type habit struct {
	name  string
	nodes int
	batch int
	moves bool // the fleet by a round
	what  func(r *run, n int) simulate.Report
}

// reports sends the reports of a fleet at rest.
func (b *bench) reports(ctx context.Context) error {
	full := min(b.Nodes, fullMost)
	hashes := func(r *run, n int) simulate.Report { return r.fleet.Hashes(n, r.round) }
	slim := func(r *run, n int) simulate.Report { return r.fleet.Slim(n, r.round) }
	whole := func(r *run, n int) simulate.Report { return r.fleet.Report(n, r.round) }
	for _, h := range []habit{
		{"report unchanged, hashes only", b.Nodes, hashBatch, false, hashes},
		{"report unchanged, in full", full, fullBatch, false, whole},
		{"report mixed, 5 % changed, else hashes", b.Nodes, hashBatch, true, slim},
		{"report mixed, 5 % changed, in full", full, fullBatch, true, whole},
	} {
		err := b.lines([]string{h.name}, true, everyone, func(r *run, _ int, into []round) error {
			if h.moves {
				r.round++
			}
			sent, err := r.report(ctx, 0, h.nodes, h.batch, &into[0], func(n int) simulate.Report { return h.what(r, n) })
			if h.batch == hashBatch && !h.moves {
				b.result.HashBytes = int(sent / int64(h.nodes))
			}
			if err == nil && h.moves && h.nodes < r.Nodes && answers(r) { // so that all nodes are of one round
				_, err = r.report(ctx, h.nodes, r.Nodes, hashBatch, new(round), func(n int) simulate.Report { return slim(r, n) })
			}
			return err
		})
		if err != nil {
			return err
		}
		if h.moves && h.batch == hashBatch {
			b.keepRates()
		}
	}
	if err := b.stored(ctx, "after all reports"); err != nil {
		return err
	}
	return b.steady(ctx)
}

// keepRates keeps how fast each side took the last kind of report.
func (b *bench) keepRates() {
	l := &b.result.Lines[len(b.result.Lines)-1]
	for i, r := range b.runs {
		if o := l.Sides[i]; o != nil {
			r.rate = o.PerSecond.Median
		}
	}
}

// stored takes down what each side takes in memory and on disk, the latter of a product after a clean stop.
func (b *bench) stored(ctx context.Context, when string) error {
	if err := b.remember(ctx, when); err != nil {
		return err
	}
	s := Stored{When: when}
	for _, r := range b.runs {
		bytes, feed, err := r.stored(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", r.side.Name, err)
		}
		s.Bytes = append(s.Bytes, float64(bytes)/float64(b.Nodes))
		s.Feed = append(s.Feed, feed/float64(b.Nodes))
	}
	b.result.Stored = append(b.result.Stored, s)
	return nil
}

func (r *run) stored(ctx context.Context) (bytes int64, feed float64, err error) {
	if r.side.Bytes == nil {
		return 0, 0, nil
	}
	restarts := r.is(Product) && r.server.PID != 0
	if restarts {
		if err := r.side.Control.Stop(ctx); err != nil {
			return 0, 0, err
		}
	}
	if r.side.Settle != nil {
		if err := r.side.Settle(ctx); err != nil {
			return 0, 0, err
		}
	}
	if bytes, err = r.side.Bytes(ctx); err != nil || !restarts {
		return bytes, 0, err
	}
	if r.server, err = r.side.Control.Start(ctx); err != nil {
		return 0, 0, err
	}
	if err := r.tick(ctx); err != nil { // answered means started
		return 0, 0, err
	}
	values, err := r.metrics(ctx)
	return bytes, values["stocktake_store_feed_bytes"], err
}

// report sends one report of each node from one number to below another, and gives how many bytes they had. Bodies of a
// batch are made before it is sent.
func (r *run) report(ctx context.Context, from, to, batch int, into *round, what func(n int) simulate.Report) (int64, error) {
	bodies := make([][]byte, batch)
	calls := make([]call, 0, batch)
	var sum int64
	for ; from < to; from += batch {
		n := min(batch, to-from)
		r.parallel(n, func(i int) { bodies[i] = what(from + i).AppendPutInventory(bodies[i][:0]) })
		calls = calls[:0]
		for _, body := range bodies[:n] {
			calls = append(calls, call{"PutInventory", body})
			sum += int64(len(body))
		}
		if err := r.drive(ctx, calls, into); err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// parallel does n independent things.
func (r *run) parallel(n int, do func(i int)) {
	var next atomic.Int64
	var working sync.WaitGroup
	for range min(r.Workers, r.cores, n) {
		working.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	working.Wait()
}

// tick changes something that no question asks about, so that no answer can be the one kept from before.
func (r *run) tick(ctx context.Context) error {
	if r.is(Floor) {
		return nil
	}
	r.ticks++
	body := fmt.Appendf(nil, `{"InstanceId":%q,"Items":[{"TypeName":"Custom:BenchTick","SchemaVersion":"1.0",`+
		`"CaptureTime":"2026-01-01T00:00:00Z","Content":[{"Tick":"%d"}]}]}`, r.fleet.ID(0), r.ticks%2)
	_, err := r.server.Client.Do(ctx, "PutInventory", body)
	return err
}
