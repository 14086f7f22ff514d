package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"stocktake/internal/client"
)

// round is what one round of an operation took.
type round struct {
	took        []float64 // milliseconds, one a request
	wall        time.Duration
	cpu         time.Duration // or unknown
	bytes       int64         // of the answers
	allocations float64       // a request, where they were counted
	counted     bool
}

// unknown is the processor time of a round in which the server did other things too.
const unknown = time.Duration(-1)

// lines measures kinds of requests that are made together: do is called once for each side in every round, each round
// beginning with another, and fills in what each kind took. A side of kind Other that refuses a question has no part in it.
func (b *bench) lines(names []string, rate bool, part func(r *run) bool, do func(r *run, round int, into []round) error) error {
	done := b.Progress(names[0], b.Rounds*len(b.runs))
	took := make([][][]round, len(names))
	for k := range took {
		took[k] = make([][]round, len(b.runs))
	}
	missing := make([]string, len(b.runs))
	answered := 0 // bytes, by the products so far
	for i := range b.Rounds {
		for n := range b.runs {
			side := b.turn(i, n)
			r := b.runs[side]
			if part(r) && missing[side] == "" {
				into := make([]round, len(names))
				err := b.takeTurn(r, i, &answered, into, do)
				refused, isRefusal := errors.AsType[*client.Error](err)
				switch {
				case err == nil:
					for k := range names {
						if len(into[k].took) > 0 {
							took[k][side] = append(took[k][side], into[k])
						}
					}
				case !rate && r.is(Other) && isRefusal && refused.Status < 500:
					missing[side] = refused.Code
				default:
					return fmt.Errorf("%s: %s: %w", names[0], r.side.Name, err)
				}
			}
			done(1)
		}
	}
	for k, name := range names {
		b.line(name, rate, took[k], missing)
	}
	return nil
}

// turn gives the side whose turn it is: each round begins with another of those that are not floors.
func (b *bench) turn(round, n int) int {
	real := len(b.runs)
	for real > 0 && b.runs[real-1].is(Floor) {
		real--
	}
	if n >= real {
		return n
	}
	return (round + n) % real
}

func (b *bench) takeTurn(r *run, i int, answered *int, into []round, do func(r *run, round int, into []round) error) error {
	if r.is(Floor) && r.side.Size != nil {
		if err := r.side.Size(context.Background(), *answered); err != nil {
			return err
		}
	}
	before, err := r.allocations()
	if err != nil {
		return err
	}
	ticks := r.ticks
	if err := do(r, i, into); err != nil {
		return err
	}
	after, err := r.allocations()
	if err != nil {
		return err
	}
	requests := 0
	for k := range into {
		requests += len(into[k].took)
	}
	if r.is(Product) && len(into[0].took) > 0 {
		*answered = int(into[0].bytes) / len(into[0].took)
	}
	if requests == len(into[0].took) { // those of kinds that are made together cannot be told apart
		// What the server allocates beside the requests is an estimate: after a few of them it can be more than all of it.
		into[0].allocations = max(0, after-before-r.scraped-float64(r.ticks-ticks)*r.ticked) / float64(max(requests, 1))
		into[0].counted = after > 0
	}
	return nil
}

// line adds what the rounds of one kind of request took to the result, nothing when no side took part.
func (b *bench) line(name string, rate bool, took [][]round, missing []string) {
	l := Line{Name: name, Sides: make([]*Operation, len(b.runs)), Missing: missing}
	some := false
	for n, r := range b.runs {
		if len(took[n]) > 0 {
			l.Sides[n] = r.summary(took[n], rate)
			some = true
		}
	}
	if some {
		l.compare(b.result.Sides)
		b.result.Lines = append(b.result.Lines, l)
	}
}

// summary sums up rounds. rate is true for requests that were sent many at a time.
func (r *run) summary(rounds []round, rate bool) *Operation {
	o := &Operation{}
	var all, p50, perSecond, cpu, allocations []float64
	var bytes int64
	for _, one := range rounds {
		slices.Sort(one.took)
		all = append(all, one.took...)
		n := float64(len(one.took))
		p50 = append(p50, quantile(one.took, 0.5))
		perSecond = append(perSecond, n/one.wall.Seconds())
		cpu = append(cpu, float64(one.cpu.Nanoseconds())/1000/n)
		if one.counted {
			allocations = append(allocations, one.allocations)
		}
		bytes += one.bytes
	}
	slices.Sort(all)
	o.Samples, o.P50, o.P90, o.P99 = len(all), spreadOf(p50), quantile(all, 0.9), quantile(all, 0.99)
	o.P999, o.Max = quantile(all, 0.999), quantile(all, 1)
	for percent := 1; percent < 100; percent++ {
		o.Quantiles = append(o.Quantiles, quantile(all, float64(percent)/100))
	}
	o.AnswerBytes = int(bytes / int64(len(all)))
	o.ByRound = p50
	if rate {
		s := spreadOf(perSecond)
		o.PerSecond, o.ByRound = &s, perSecond
	}
	if r.server.CPU != nil && rounds[0].cpu != unknown {
		s := spreadOf(cpu)
		o.CPU = &s
	}
	if len(allocations) > 0 {
		s := spreadOf(allocations)
		o.Allocations = &s
	}
	return o
}

// cpu is the processor time the server has used so far.
func (r *run) cpu() time.Duration {
	if r.server.CPU == nil {
		return 0
	}
	return r.server.CPU()
}

// call is one request to send.
type call struct {
	action string
	body   []byte
}

// drive sends calls, as many at a time as there are workers, and adds what it took to the round. It stops at the first
// failure.
func (r *run) drive(ctx context.Context, calls []call, into *round) error {
	p, err := r.prepare(ctx, calls)
	if err != nil {
		return err
	}
	return p.send(ctx, 0, into)
}

// prepared are calls that are ready to be sent.
type prepared struct {
	*run
	calls  int
	worker func() (send func(i int) ([]byte, error), hangUp func())
}

func (r *run) prepare(ctx context.Context, calls []call) (prepared, error) {
	worker, err := r.sender(ctx, calls)
	return prepared{r, len(calls), worker}, err
}

// send sends them. With a rate each is sent when it is due, and what it took counts from then.
func (p prepared) send(ctx context.Context, perSecond float64, into *round) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	took := make([]float64, p.calls)
	var next, bytes atomic.Int64
	var sending sync.WaitGroup
	before, began := p.cpu(), time.Now()
	for range min(p.Workers, p.calls) {
		sending.Go(func() {
			send, hangUp := p.worker()
			defer hangUp()
			for i := int(next.Add(1)) - 1; i < p.calls && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				start := time.Now()
				if perSecond > 0 {
					start = began.Add(time.Duration(float64(i) / perSecond * float64(time.Second)))
					time.Sleep(time.Until(start))
				}
				answer, err := send(i)
				if err != nil {
					cancel(err)
					return
				}
				took[i] = milliseconds(time.Since(start))
				bytes.Add(int64(len(answer)))
			}
		})
	}
	sending.Wait()
	into.wall += time.Since(began)
	into.cpu += p.cpu() - before
	into.took = append(into.took, took...)
	into.bytes += bytes.Load()
	return context.Cause(ctx)
}

// ask sends one request and adds what it took to the round.
func (r *run) ask(ctx context.Context, c call, into *round) ([]byte, error) {
	before, began := r.cpu(), time.Now()
	answer, err := r.server.Client.Do(ctx, c.action, c.body)
	took := time.Since(began)
	into.cpu += r.cpu() - before
	into.wall += took
	into.took = append(into.took, milliseconds(took))
	into.bytes += int64(len(answer))
	return answer, err
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
