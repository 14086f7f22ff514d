package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"stocktake/internal/client"
	"stocktake/internal/simulate"
)

// Options say what to measure.
type Options struct {
	Nodes   int    // of the simulated fleet, from that of the rounds
	Seed    uint64 // of the fleet and of every choice
	Workers int    // requests at a time while reports are sent, from 1
	Rounds  int    // of everything that can be repeated, from 1
	// Samples is how often a question is asked in a round, from 1; the expensive ones are asked a tenth as often.
	Samples int
	// Sides are measured in turn within each round. There is at least one of kind Product, and floors come last: they
	// answer with as many bytes as the others did.
	Sides []Side
	// Data is a folder on the disk that the products write to, for the floor of fsync.
	Data string
	// Notes go into the result.
	Notes []string
	// Progress, where not nil, is told when a phase of so many steps begins; the function it gives, of steps done. It is
	// called by many goroutines at once.
	Progress func(phase string, steps int) (done func(n int))
}

// Side is a server in a run, with nothing in it yet.
type Side struct {
	SideResult
	Control Control
	// Settle lets its database do now what it does in quieter times; Bytes is what it then takes on disk. nil: not known.
	Settle func(ctx context.Context) error
	Bytes  func(ctx context.Context) (int64, error)
	// DropSnapshot removes what only makes its next start faster, DropShared what it shares with other servers of that.
	// nil where there is none.
	DropSnapshot func() error
	DropShared   func(ctx context.Context) error
	// Size tells a floor how many bytes its next answers have.
	Size func(ctx context.Context, bytes int) error
}

// Control starts and stops the server under test. Its methods are called by one goroutine.
type Control interface {
	// Start starts the server over what it stored before and gives it before it answers, as early as it can be talked to.
	Start(ctx context.Context) (Server, error)
	// Stop ends the server as an operator does and waits for it; Kill ends it at once.
	Stop(ctx context.Context) error
	Kill() error
}

// Server is a running server.
type Server struct {
	Client *client.Client
	// Address, where not empty, is the host and port of the server for plain text: reports are then signed before the
	// clock runs, and sent over connections that cost the clients as little as they can.
	Address string
	// PID is the process whose memory is measured, and which is started anew; 0: unknown.
	PID int
	// CPU gives the processor time used so far by all that serves the requests; nil: unknown.
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

// bench is all sides under way, all with the same fleet.
type bench struct {
	Options
	runs   []*run
	result *Result
	floors floors
	// probe are cheap questions for the first answer after a start, with what they should find.
	probe  []*variant
	probed *truth
}

// run is one side under way.
type run struct {
	Options
	side   *Side
	fleet  *simulate.Fleet
	server Server
	cores  int
	// round is the newest round of the fleet that every node has reported.
	round int
	ticks int
	// scraped and ticked are how many objects the server allocates for being asked for its metrics, and for a tick.
	scraped, ticked float64
	// rate is how many reports a second it took, 5 % of them changed.
	rate float64
	// acked are the reports acknowledged before the process was last killed.
	acked []acknowledged
}

func (r *run) is(kinds ...Kind) bool { return slices.Contains(kinds, r.side.Kind) }

// Run loads the fleet into all sides and asks them the same, each in its turn in every round, measures what it took, and
// starts them again in every way. It fails when a server fails, or gives an answer that is not that of the simulation; the
// servers are left as the last calls of their Controls left them.
func Run(ctx context.Context, o Options) (*Result, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Progress == nil {
		o.Progress = func(string, int) func(int) { return silent }
	}
	b := &bench{Options: o, result: &Result{
		Date: time.Now().UTC().Truncate(time.Second), Nodes: o.Nodes, Seed: o.Seed, Workers: o.Workers, Rounds: o.Rounds,
		Samples: o.Samples, Machine: describeMachine(), Notes: o.Notes,
	}}
	fleet := simulate.New(o.Seed, o.Nodes)
	for i := range o.Sides {
		side := &o.Sides[i]
		b.result.Sides = append(b.result.Sides, side.SideResult)
		r := &run{Options: o, side: side, fleet: fleet, cores: b.result.Machine.Cores}
		var err error
		if r.server, err = side.Control.Start(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", side.Name, err)
		}
		b.runs = append(b.runs, r)
	}
	for _, phase := range []func(context.Context) error{b.load, b.reports, b.questions, b.starts} {
		if err := phase(ctx); err != nil {
			return nil, err
		}
	}
	b.result.Floors = b.floors.result()
	return b.result, nil
}

func (o *Options) check() error {
	if o.Rounds < 1 || o.Nodes < o.Rounds || o.Workers < 1 || o.Samples < 1 {
		return errors.New("workers, rounds and samples are numbers from 1, nodes from that of the rounds")
	}
	products, floor := 0, false
	for _, s := range o.Sides {
		if s.Kind == Product {
			products++
		}
		if floor && s.Kind != Floor {
			return errors.New("the floors come after all other sides")
		}
		floor = floor || s.Kind == Floor
	}
	if products == 0 {
		return errors.New("no side is the product")
	}
	return nil
}

// silent is a progress nobody is told.
func silent(int) {}

func (b *bench) checked(what string, count int) {
	b.result.Checked = append(b.result.Checked, Checked{what, count})
}

// everyone and answers say which sides take part: all, and those whose answers are true.
func everyone(*run) bool  { return true }
func answers(r *run) bool { return !r.is(Floor) }
