package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"stocktake/internal/simulate"
)

const (
	// paceFor is how long reports come at a fixed rate in a round, where the fleet is large enough.
	paceFor = 8 * time.Second
	// askEvery is how often a question is asked meanwhile.
	askEvery = 20 * time.Millisecond
	// steadyRate is how many reports a second a million nodes send that report every half hour, rounded up.
	steadyRate = 560
	steadyFor  = 10 * time.Second
)

// underReports asks questions while reports come at half the rate the server can take, each when it is due: 5 % of them
// changed. Questions come at a fixed rate too.
func (b *bench) underReports(ctx context.Context, t *truth, kinds []kind) error {
	const suffix = ", while reports come"
	kinds = kinds[:len(kinds)-1] // the last one reads documents by the hundred
	asked := []string{"report mixed, at half the rate", "ListInventoryEntries, page of 50" + suffix}
	for _, k := range kinds {
		asked = append(asked, k.name+suffix)
	}
	part := func(r *run) bool { return r.is(Product) }
	return b.lines(asked, false, part, func(r *run, i int, into []round) error {
		next, err := r.nextRound(ctx)
		if err != nil {
			return err
		}
		over, ended := make(chan struct{}), make(chan error, 1)
		go func() {
			defer close(over)
			ended <- next.send(ctx, r.rate/2, &into[0])
		}()
		fault := r.askUntil(ctx, over, i, t, kinds, into[1:])
		if fault = errors.Join(<-ended, fault); fault == nil {
			fault = next.finish(ctx)
		}
		for k := range into {
			into[k].cpu = unknown // whose it was cannot be told
		}
		return fault
	})
}

// askUntil asks a question every askEvery, every kind in its turn, until over is closed and each was asked once at the least.
// What a question took counts from when it was due.
func (r *run) askUntil(ctx context.Context, over <-chan struct{}, i int, t *truth, kinds []kind, into []round) error {
	choice := rand.New(rand.NewPCG(r.Seed, uint64(i)))
	began := time.Now()
	for n := 0; ; n++ {
		if n >= len(into) {
			select {
			case <-over:
				return nil
			default:
			}
		}
		due := began.Add(time.Duration(n) * askEvery)
		time.Sleep(time.Until(due))
		late := time.Since(due)
		k := n % len(into)
		if err := r.askKind(ctx, t, kinds, k, n/len(into), choice.IntN(r.Nodes), &into[k]); err != nil {
			return err
		}
		took := into[k].took
		took[len(took)-1] += milliseconds(late)
	}
}

// askKind asks for a listing of a node, which is kind 0, or one of the variants of a kind. What reports may change is not
// held against the simulation.
func (r *run) askKind(ctx context.Context, t *truth, kinds []kind, k, turn, node int, into *round) error {
	if k == 0 {
		return r.list(ctx, node, nil, into)
	}
	one := kinds[k-1]
	v := one.variants[turn%len(one.variants)]
	if one.stable {
		return r.askVariant(ctx, t, v, into)
	}
	_, err := r.ask(ctx, v.call, into)
	return err
}

// nextRound prepares what as many nodes report, in the fleet's next round, as do in paceFor at half the rate that the
// server took.
func (r *run) nextRound(ctx context.Context) (prepared, error) {
	r.round++
	calls := make([]call, min(r.Nodes, max(1, int(r.rate/2*paceFor.Seconds()))))
	r.parallel(len(calls), func(n int) { calls[n] = call{"PutInventory", r.fleet.Slim(n, r.round).AppendPutInventory(nil)} })
	return r.prepare(ctx, calls)
}

// finish has the others report, so that all nodes are of one round.
func (p prepared) finish(ctx context.Context) error {
	_, err := p.report(ctx, p.calls, p.Nodes, hashBatch, new(round), func(n int) simulate.Report { return p.fleet.Slim(n, p.round) })
	return err
}

// steady has the fleet report hashes at the rate of a million nodes.
func (b *bench) steady(ctx context.Context) error {
	done := b.Progress("reports of a million nodes at rest", len(b.runs))
	for _, r := range b.runs {
		if r.is(Product) && r.server.CPU != nil {
			calls := make([]call, min(int(steadyRate*steadyFor.Seconds()), 4*r.Nodes))
			r.parallel(len(calls), func(n int) {
				calls[n] = call{"PutInventory", r.fleet.Hashes(n%r.Nodes, r.round).AppendPutInventory(nil)}
			})
			var took round
			p, err := r.prepare(ctx, calls)
			if err == nil {
				err = p.send(ctx, steadyRate, &took)
			}
			if err != nil {
				return fmt.Errorf("%s: reports at a fixed rate: %w", r.side.Name, err)
			}
			o := r.summary([]round{took}, true)
			b.result.Steady = append(b.result.Steady, Steady{
				Side: r.side.Name, PerSecond: o.PerSecond.Median, Seconds: took.wall.Seconds(),
				CoreShare: took.cpu.Seconds() / took.wall.Seconds(), P50: o.P50.Median, P99: o.P99,
			})
		}
		done(1)
	}
	return nil
}
