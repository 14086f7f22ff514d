package bench

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// round is what one round of an operation took.
type round struct {
	took  []float64 // milliseconds, one a request
	wall  time.Duration
	cpu   time.Duration
	bytes int64 // of the answers
}

// operation adds the sum of rounds to the result.
func (r *run) operation(name string, rounds []round, rate bool) {
	r.result.Operations = append(r.result.Operations, r.summary(name, rounds, rate))
}

// summary sums up rounds. rate is true for requests that were sent many at a time.
func (r *run) summary(name string, rounds []round, rate bool) Operation {
	o := Operation{Name: name}
	var all, p50, perSecond, cpu []float64
	var bytes int64
	for _, one := range rounds {
		slices.Sort(one.took)
		all = append(all, one.took...)
		n := float64(len(one.took))
		p50 = append(p50, quantile(one.took, 0.5))
		perSecond = append(perSecond, n/one.wall.Seconds())
		cpu = append(cpu, float64(one.cpu.Nanoseconds())/1000/n)
		bytes += one.bytes
	}
	slices.Sort(all)
	o.Samples, o.P50, o.P99, o.P999, o.Max = len(all), spreadOf(p50), quantile(all, 0.99), quantile(all, 0.999), quantile(all, 1)
	o.AnswerBytes = int(bytes / int64(len(all)))
	if rate {
		s := spreadOf(perSecond)
		o.PerSecond, o.rounds = &s, perSecond
	} else {
		o.rounds = p50
	}
	if r.server.PID != 0 {
		s := spreadOf(cpu)
		o.CPU = &s
	}
	return o
}

// cpu is the processor time the server has used so far.
func (r *run) cpu() time.Duration {
	if r.server.CPU != nil {
		return r.server.CPU()
	}
	return cpuOf(r.server.PID)
}

// call is one request to send.
type call struct {
	action string
	body   []byte
}

// drive sends calls, as many at a time as there are workers, and adds what it took to the round. It stops at the first
// failure.
func (r *run) drive(ctx context.Context, calls []call, into *round, done func(n int)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	took := make([]float64, len(calls))
	var next, bytes atomic.Int64
	var sending sync.WaitGroup
	send, err := r.sender(ctx, calls)
	if err != nil {
		return err
	}
	before, began := r.cpu(), time.Now()
	for range min(r.Workers, len(calls)) {
		sending.Go(func() {
			send, hangUp := send()
			defer hangUp()
			for i := int(next.Add(1)) - 1; i < len(calls) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				start := time.Now()
				answer, err := send(i)
				if err != nil {
					cancel(err)
					return
				}
				took[i] = milliseconds(time.Since(start))
				bytes.Add(int64(len(answer)))
				done(1)
			}
		})
	}
	sending.Wait()
	into.wall += time.Since(began)
	into.cpu += r.cpu() - before
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
