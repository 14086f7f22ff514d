package bench

import (
	"context"
	"fmt"
	"time"

	"stocktake/internal/client"
	"stocktake/internal/simulate"
)

// Options say what to measure.
type Options struct {
	Nodes   int    // of the simulated fleet, from 1
	Seed    uint64 // of the fleet and of every choice
	Workers int    // requests at a time while reports are sent, from 1
	Rounds  int    // of everything that can be repeated, from 1
	// Samples is how often a question is asked in a round, from 1; the expensive ones are asked a tenth as often.
	Samples int
	Control Control
	// Progress, where not nil, is told when a phase of so many steps begins; the function it gives, of steps done. It is
	// called by many goroutines at once.
	Progress func(phase string, steps int) (done func(n int))
}

// Control starts and stops the server under test. Its methods are called by one goroutine.
type Control interface {
	// Start starts the server over what it stored before and gives it before it answers, as early as it can be talked to.
	Start(ctx context.Context) (Server, error)
	// Stop ends the server as an operator does and waits for it; Kill ends it at once.
	Stop(ctx context.Context) error
	Kill() error
	// DropSnapshot removes what only makes the next start faster. DiskBytes is what the stopped server takes on disk.
	DropSnapshot() error
	DiskBytes() (int64, error)
}

// Server is a running server.
type Server struct {
	Client *client.Client
	// Address, where not empty, is the host and port of the server for plain text: reports are then signed before the
	// clock runs, and sent over connections that cost the clients as little as they can.
	Address string
	// PID is the process whose costs are measured; 0: unknown.
	PID int
	// CPU gives the processor time used so far by all that serves the requests, where that is more than the process.
	CPU func() time.Duration
	// Began is when the process was started.
	Began time.Time
	// Metrics is the URL of its metrics; "": none.
	Metrics string
}

// Fixed is a server that runs already and is left running: it is not stopped, and its starts are not measured. The account
// and region it is asked for must hold nothing yet.
type Fixed struct{ Server }

// Start gives the server.
func (f Fixed) Start(context.Context) (Server, error) { return f.Server, nil }

// Stop does nothing.
func (Fixed) Stop(context.Context) error { return nil }

// Kill does nothing.
func (Fixed) Kill() error { return nil }

// DropSnapshot does nothing.
func (Fixed) DropSnapshot() error { return nil }

// DiskBytes is not known.
func (Fixed) DiskBytes() (int64, error) { return 0, nil }

// run is one benchmark under way.
type run struct {
	Options
	fleet  *simulate.Fleet
	server Server
	result *Result
	// round is the newest round of the fleet that every node has reported.
	round int
	ticks int
	// probe are cheap questions for the first answer after a start, with what they should find.
	probe  []*variant
	probed *truth
	// acked are the reports acknowledged before the process was last killed, lost counts those that are gone.
	acked []acknowledged
	lost  *int
}

// Run loads the fleet, asks the questions, and starts the server again in every way. It fails when the server fails or
// gives a wrong answer; the server is left as Control's last call left it.
func Run(ctx context.Context, o Options) (*Result, error) {
	if o.Nodes < 1 || o.Workers < 1 || o.Rounds < 1 || o.Samples < 1 {
		return nil, fmt.Errorf("nodes, workers, rounds and samples are numbers from 1")
	}
	if o.Progress == nil {
		o.Progress = func(string, int) func(int) { return func(int) {} }
	}
	r := &run{Options: o, fleet: simulate.New(o.Seed, o.Nodes)}
	r.result = &Result{
		Date: time.Now().UTC().Truncate(time.Second), Nodes: o.Nodes, Seed: o.Seed, Workers: o.Workers, Rounds: o.Rounds, Machine: describeMachine(),
	}
	var err error
	if r.server, err = o.Control.Start(ctx); err != nil {
		return nil, err
	}
	for _, phase := range []func(context.Context) error{r.load, r.reports, r.questions, r.starts} {
		if err := phase(ctx); err != nil {
			return nil, err
		}
	}
	return r.result, nil
}
