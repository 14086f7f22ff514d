package collect

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"
)

// Daemon keeps a service up to date about this machine: a heartbeat every five minutes, a report every so often.
type Daemon struct {
	Machine *Machine
	Options Options
	Sender  *Sender
	// Beat sends a heartbeat; Remote.Heartbeat is one.
	Beat func(ctx context.Context, h Heartbeat) error
	// Every is the time between two reports.
	Every time.Duration
	// Hint gives the next step for a person after an error that does not pass by itself, and "" for others.
	Hint func(error) string
	Log  *slog.Logger
}

const (
	// beatEvery is how often the service hears of the node.
	beatEvery = 5 * time.Minute
	// mostDelay bounds the time before the first report; it is a tenth of the period where that is shorter.
	mostDelay = time.Minute
	// firstRetry is the least time before a report or a heartbeat that failed is tried again; it doubles up to the period.
	firstRetry = time.Minute
	// refusedRetry is the time after the service refused the node itself.
	refusedRetry = 25 * time.Minute
)

// Run goes on until ctx ends. No error ends it: each is logged and tried again later, with pauses that grow. Machines that
// are started together spread: the first report comes within a minute, the second at a random point of the period.
func (d *Daemon) Run(ctx context.Context) {
	d.Log.Info("started", "node", d.Options.Node, "service", d.Sender.Endpoint, "every", d.Every.String())
	heart := pulse{name: "heartbeat", do: d.beat, every: beatEvery, next: time.Now()}
	report := pulse{name: "report", do: d.report, every: d.Every, next: time.Now().Add(rand.N(min(d.Every/10, mostDelay)))}
	spread := false
	for {
		next := &heart
		if report.next.Before(heart.next) {
			next = &report
		}
		if !wait(ctx, next.next) {
			d.Log.Info("stopped")
			return
		}
		d.turn(ctx, next)
		if next == &report && next.failures == 0 && !spread {
			spread = true
			next.next = time.Now().Add(rand.N(d.Every) + time.Second)
		}
	}
}

// pulse is something to do again and again.
type pulse struct {
	name     string
	do       func(ctx context.Context) error
	every    time.Duration
	next     time.Time
	failures int // in a row
}

// turn does it once and says when next.
func (d *Daemon) turn(ctx context.Context, p *pulse) {
	err := p.do(ctx)
	switch {
	case ctx.Err() != nil:
	case err == nil:
		if p.failures > 0 {
			d.Log.Info("succeeded again", "what", p.name, "failures", p.failures)
		}
		p.failures = 0
		p.next = later(p.next, p.every)
	default:
		p.failures++
		pause := min(firstRetry<<min(p.failures-1, 16), p.every)
		pause = pause/2 + rand.N(pause/2+1)
		hint := d.Hint(err)
		if hint != "" {
			pause = refusedRetry + rand.N(5*time.Minute)
		}
		p.next = time.Now().Add(pause)
		attributes := []any{"what", p.name, "error", err, "next", pause.Round(time.Second).String()}
		if hint != "" {
			attributes = append(attributes, "hint", hint)
		}
		d.Log.Error("failed", attributes...)
	}
}

// later is the next time of a rhythm, past now: a machine that slept does not catch up.
func later(last time.Time, every time.Duration) time.Time {
	next := last.Add(every)
	if now := time.Now(); next.Before(now) {
		next = now.Add(every)
	}
	return next
}

func wait(ctx context.Context, until time.Time) bool {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}

func (d *Daemon) beat(ctx context.Context) error {
	h, err := d.Machine.Heartbeat(d.Options)
	if err != nil {
		return err
	}
	return d.Beat(ctx, h)
}

// report gathers and sends once.
func (d *Daemon) report(ctx context.Context) error {
	gathered, err := d.Machine.Gather(ctx, d.Options)
	for _, problem := range gathered.Problems {
		d.Log.Warn("not gathered", "type", problem.Type, "error", problem.Err)
	}
	if err != nil {
		return err
	}
	sent, err := d.Sender.Send(ctx, d.Options.Node, gathered.Items)
	for _, warning := range sent.Warnings {
		d.Log.Warn("something is odd about the report", "warning", warning)
	}
	if err != nil {
		return err
	}
	if len(gathered.Items) == 0 {
		return errors.New("nothing could be gathered")
	}
	d.Log.Info("reported", "full", sent.Full, "unchanged", sent.HashOnly, "again", sent.Again)
	return nil
}
