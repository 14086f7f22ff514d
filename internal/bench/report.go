package bench

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"stocktake/internal/simulate"
)

// How many bodies are made at a time before the clock runs: tens of megabytes.
const (
	fullBatch = 256
	hashBatch = 4096
)

// load reports every node for the first time, in four parts of the fleet.
func (r *run) load(ctx context.Context) error {
	parts := min(4, r.Nodes)
	done := r.Progress("load, full reports", r.Nodes)
	rounds := make([]round, parts)
	var bytes int64
	for i := range rounds {
		sent, err := r.report(ctx, r.Nodes*i/parts, r.Nodes*(i+1)/parts, fullBatch, &rounds[i], done,
			func(n int) simulate.Report { return r.fleet.Report(n, 0) })
		if err != nil {
			return fmt.Errorf("load: %w", err)
		}
		bytes += sent
	}
	r.result.FullBytes = int(bytes / int64(r.Nodes))
	r.operation("report in full, new nodes", rounds, true)
	return r.remember(ctx, "after the load")
}

// reports sends the reports of a fleet at rest.
func (r *run) reports(ctx context.Context) error {
	unchanged := make([]round, r.Rounds)
	for i := range unchanged {
		sent, err := r.report(ctx, 0, r.Nodes, hashBatch, &unchanged[i], r.Progress("unchanged, hashes only", r.Nodes),
			func(n int) simulate.Report { return r.fleet.Hashes(n, r.round) })
		if err != nil {
			return fmt.Errorf("unchanged reports: %w", err)
		}
		r.result.HashBytes = int(sent / int64(r.Nodes))
	}
	r.operation("report unchanged, hashes only", unchanged, true)
	full := make([]round, 1)
	if _, err := r.report(ctx, 0, min(r.Nodes, 2000), fullBatch, &full[0], r.Progress("unchanged, in full", min(r.Nodes, 2000)),
		func(n int) simulate.Report { return r.fleet.Report(n, r.round) }); err != nil {
		return fmt.Errorf("unchanged reports in full: %w", err)
	}
	r.operation("report unchanged, in full", full, true)
	mixed := make([]round, r.Rounds)
	for i := range mixed {
		r.round++
		if _, err := r.report(ctx, 0, r.Nodes, hashBatch, &mixed[i], r.Progress("mixed 95/5, hashes", r.Nodes),
			func(n int) simulate.Report { return r.fleet.Slim(n, r.round) }); err != nil {
			return fmt.Errorf("mixed reports: %w", err)
		}
	}
	r.operation("report mixed, 5 % changed, else hashes", mixed, true)
	r.round++
	mixedFull := make([]round, 1)
	if _, err := r.report(ctx, 0, r.Nodes, fullBatch, &mixedFull[0], r.Progress("mixed 95/5, in full", r.Nodes),
		func(n int) simulate.Report { return r.fleet.Report(n, r.round) }); err != nil {
		return fmt.Errorf("mixed reports in full: %w", err)
	}
	r.operation("report mixed, 5 % changed, in full", mixedFull, true)
	return r.remember(ctx, "after all reports")
}

// report sends one report of each node from one number to below another, and gives how many bytes they had. Bodies of a
// batch are made before it is sent.
func (r *run) report(ctx context.Context, from, to, batch int, into *round, done func(n int), what func(n int) simulate.Report) (int64, error) {
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
		if err := r.drive(ctx, calls, into, done); err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// parallel does n independent things.
func (r *run) parallel(n int, do func(i int)) {
	var next atomic.Int64
	var working sync.WaitGroup
	for range min(r.Workers, r.result.Machine.Cores, n) {
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
	r.ticks++
	body := fmt.Appendf(nil, `{"InstanceId":%q,"Items":[{"TypeName":"Custom:BenchTick","SchemaVersion":"1.0",`+
		`"CaptureTime":"2026-01-01T00:00:00Z","Content":[{"Tick":"%d"}]}]}`, r.fleet.ID(0), r.ticks%2)
	_, err := r.server.Client.Do(ctx, "PutInventory", body)
	return err
}
