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

// way is one way to start: what is done with the server that runs before, and which sides have it.
type way struct {
	name string
	has  func(r *run) bool
	end  func(ctx context.Context, r *run) error
}

// starts measures how soon each side answers after it ended in one way or another.
func (b *bench) starts(ctx context.Context) error {
	stop := func(ctx context.Context, r *run) error { return r.side.Control.Stop(ctx) }
	killed := make([]Durability, len(b.runs))
	ways := []way{
		{"with what was kept at the stop", answers, stop},
		{"with the shared snapshot alone", func(r *run) bool { return r.side.DropShared != nil }, func(ctx context.Context, r *run) error {
			return errors.Join(stop(ctx, r), r.side.DropSnapshot())
		}},
		{"after kill -9 under load", func(r *run) bool { return r.is(Product) }, func(ctx context.Context, r *run) error {
			return r.killUnderLoad(ctx, &killed[slices.Index(b.runs, r)])
		}},
		{"without a snapshot", func(r *run) bool { return r.side.DropSnapshot != nil }, func(ctx context.Context, r *run) error {
			err := errors.Join(stop(ctx, r), r.side.DropSnapshot())
			if err == nil && r.side.DropShared != nil {
				err = r.side.DropShared(ctx)
			}
			return err
		}},
	}
	for _, w := range ways {
		if err := b.start(ctx, w); err != nil {
			return fmt.Errorf("start %s: %w", w.name, err)
		}
	}
	for n, r := range b.runs {
		if killed[n].Side = r.side.Name; killed[n].Kills > 0 {
			b.result.Durability = append(b.result.Durability, killed[n])
		}
	}
	return b.remember(ctx, "after a start from the documents")
}

// start ends each side in its turn and starts it again, to the first answer.
func (b *bench) start(ctx context.Context, w way) error {
	done := b.Progress("start "+w.name, b.Rounds*len(b.runs))
	first, cpu := make([][]float64, len(b.runs)), make([][]float64, len(b.runs))
	for i := range b.Rounds {
		for n, r := range b.runs {
			if r.server.PID != 0 && w.has(r) {
				if err := b.startOne(ctx, w, i, r); err != nil {
					return fmt.Errorf("%s: %w", r.side.Name, err)
				}
				first[n] = append(first[n], time.Since(r.server.Began).Seconds())
				cpu[n] = append(cpu[n], cpuOf(r.server.PID).Seconds())
				if err := r.acknowledgedAreThere(ctx); err != nil {
					return err
				}
			}
			done(1)
		}
	}
	began := Beginning{Name: w.name, Sides: make([]*Start, len(b.runs))}
	some := false
	for n := range b.runs {
		if len(first[n]) > 0 {
			began.Sides[n] = &Start{FirstAnswer: spreadOf(first[n]), CPU: spreadOf(cpu[n])}
			some = true
		}
	}
	if some {
		b.result.Starts = append(b.result.Starts, began)
	}
	return nil
}

func (b *bench) startOne(ctx context.Context, w way, i int, r *run) error {
	if err := w.end(ctx, r); err != nil {
		return err
	}
	var err error
	if r.server, err = r.side.Control.Start(ctx); err != nil {
		return err
	}
	return r.askVariant(ctx, b.probed, b.probe[i%len(b.probe)], new(round))
}

// acknowledged is a report the server answered, by node and round.
type acknowledged struct{ node, round int }

// killedAfter is how many reports are acknowledged before the process is killed in the midst of more.
func (r *run) killedAfter() int { return min(200, 4*r.Nodes) }

// killUnderLoad sends changed reports and kills the server while it takes them.
func (r *run) killUnderLoad(ctx context.Context, d *Durability) error {
	sending, stop := context.WithCancel(ctx)
	defer stop()
	var mu sync.Mutex
	var next atomic.Int64
	next.Store(int64(d.Kills * 4 * r.killedAfter()))
	var workers sync.WaitGroup
	enough := make(chan struct{})
	for range r.Workers {
		workers.Go(func() {
			for sending.Err() == nil {
				n := int(next.Add(1)-1) % r.Nodes
				round := r.round + 1 + d.Kills
				for !r.fleet.Changed(n, round) {
					round++
				}
				body := r.fleet.Report(n, round).AppendPutInventory(nil)
				if _, err := r.server.Client.Do(sending, "PutInventory", body); err != nil {
					continue // not acknowledged
				}
				mu.Lock()
				r.acked = append(r.acked, acknowledged{n, round})
				if len(r.acked) == r.killedAfter() {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	select {
	case <-enough:
	case <-time.After(time.Minute):
	}
	err := r.side.Control.Kill()
	stop()
	workers.Wait()
	d.Kills++
	d.Acknowledged += len(r.acked)
	if len(r.acked) < r.killedAfter() {
		err = errors.Join(err, fmt.Errorf("only %d reports were acknowledged in a minute", len(r.acked)))
	}
	return err
}

// acknowledgedAreThere sends the hashes of every report acknowledged before the kill: the server takes them only if it
// has the content.
func (r *run) acknowledgedAreThere(ctx context.Context) error {
	lost := 0
	newest := map[int]int{}
	for _, a := range r.acked {
		newest[a.node] = max(newest[a.node], a.round)
	}
	for n, round := range newest {
		_, err := r.server.Client.Do(ctx, "PutInventory", r.fleet.Hashes(n, round).AppendPutInventory(nil))
		var refused *client.Error
		if errors.As(err, &refused) && refused.Code == "ItemContentMismatchException" {
			lost++
			continue
		}
		if err != nil {
			return fmt.Errorf("acknowledged report of node %s: %w", r.fleet.ID(n), err)
		}
	}
	r.acked = nil
	if lost > 0 {
		return fmt.Errorf("%d acknowledged reports are lost", lost)
	}
	return nil
}
