package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"stocktake/internal/client"
)

// starts measures the server's ends and beginnings; the rest of what is known of a stopped server comes with them.
func (r *run) starts(ctx context.Context) error {
	if r.server.PID == 0 {
		return nil
	}
	var stops []float64
	stop := func() error {
		began := time.Now()
		err := r.Control.Stop(ctx)
		stops = append(stops, time.Since(began).Seconds())
		return err
	}
	done := r.Progress("starts", 3*r.Rounds)
	if err := r.start(ctx, "with the snapshot", done, func() error {
		err := stop()
		if err != nil || r.result.DiskBytesPerNode > 0 {
			return err
		}
		bytes, err := r.Control.DiskBytes()
		r.result.DiskBytesPerNode = float64(bytes) / float64(r.Nodes)
		return err
	}); err != nil {
		return err
	}
	d := &Durability{}
	r.result.Durability = d
	if err := r.start(ctx, "after kill -9 under load", done, func() error { return r.killUnderLoad(ctx, d) }); err != nil {
		return err
	}
	if err := r.start(ctx, "without a snapshot, from the documents", done, func() error {
		return errors.Join(stop(), r.Control.DropSnapshot())
	}); err != nil {
		return err
	}
	s := spreadOf(stops)
	r.result.StopSeconds = &s
	return r.remember(ctx, "after a start from the documents")
}

// start ends the server each round by the function given and starts it again, to the first answer.
func (r *run) start(ctx context.Context, name string, done func(int), end func() error) error {
	var first, cpu []float64
	for i := range r.Rounds {
		if err := end(); err != nil {
			return fmt.Errorf("start %s: %w", name, err)
		}
		var err error
		if r.server, err = r.Control.Start(ctx); err != nil {
			return fmt.Errorf("start %s: %w", name, err)
		}
		if err := r.askVariant(ctx, r.probed, r.probe[i%len(r.probe)], new(round)); err != nil {
			return fmt.Errorf("start %s: %w", name, err)
		}
		first = append(first, time.Since(r.server.Began).Seconds())
		cpu = append(cpu, cpuOf(r.server.PID).Seconds())
		if err := r.acknowledgedAreThere(ctx); err != nil {
			return err
		}
		done(1)
	}
	s := spreadOf(cpu)
	r.result.Starts = append(r.result.Starts, Start{Name: name, FirstAnswer: spreadOf(first), CPU: &s})
	return nil
}

// acknowledged is a report the server answered, by node and round.
type acknowledged struct{ node, round int }

// killed is how many reports are acknowledged before the process is killed in the midst of more.
const killedAfter = 200

// killUnderLoad sends changed reports and kills the server while it takes them.
func (r *run) killUnderLoad(ctx context.Context, d *Durability) error {
	sending, stop := context.WithCancel(ctx)
	defer stop()
	var mu sync.Mutex
	var next atomic.Int64
	next.Store(int64(d.Kills * 4 * killedAfter))
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
				if len(r.acked) == killedAfter {
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
	err := r.Control.Kill()
	stop()
	workers.Wait()
	d.Kills++
	d.Acknowledged += len(r.acked)
	r.lost = &d.Lost
	if len(r.acked) < killedAfter {
		err = errors.Join(err, fmt.Errorf("only %d reports were acknowledged in a minute", len(r.acked)))
	}
	return err
}

// acknowledgedAreThere sends the hashes of every report acknowledged before the kill: the server takes them only if it
// has the content.
func (r *run) acknowledgedAreThere(ctx context.Context) error {
	newest := map[int]int{}
	for _, a := range r.acked {
		newest[a.node] = max(newest[a.node], a.round)
	}
	for n, round := range newest {
		_, err := r.server.Client.Do(ctx, "PutInventory", r.fleet.Hashes(n, round).AppendPutInventory(nil))
		var refused *client.Error
		if errors.As(err, &refused) && refused.Code == "ItemContentMismatchException" {
			*r.lost++
			continue
		}
		if err != nil {
			return fmt.Errorf("acknowledged report of node %s: %w", r.fleet.ID(n), err)
		}
	}
	r.acked = nil
	if r.lost != nil && *r.lost > 0 {
		return fmt.Errorf("%d acknowledged reports are lost", *r.lost)
	}
	return nil
}
