package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"stocktake/internal/simulate"
	"stocktake/internal/wire"
)

// Side is a server in a comparison, with nothing in it yet.
type Side struct {
	Name    string
	Control Control
	// Settle lets its database do now what it does in quieter times; Bytes is what it then takes on disk. nil: not known.
	Settle func(ctx context.Context) error
	Bytes  func(ctx context.Context) (int64, error)
	// HasSnapshot is true when it can start with what DropSnapshot removes.
	HasSnapshot bool
	// DropShared removes the snapshot it shares with other servers; nil where there is none.
	DropShared func(ctx context.Context) error
}

// CompareOptions say what to compare. Control is not used.
type CompareOptions struct {
	Options
	// Sides are measured in turn within each round; the first is what the others are compared with.
	Sides []Side
}

// Comparison is what servers did with the same requests, of the same clients, in one run.
type Comparison struct {
	Result
	Sides []string
	Lines []Line
	// Stored is what each side takes on disk, by moment.
	Stored []Stored
	// Began is how each side starts, by way.
	Began []Beginning
}

// Line is one kind of request. Sides are in the order of the comparison; Times says how many times as fast as the first
// each was, round by round: by rate where there is one, else by the median.
type Line struct {
	Name  string
	Sides []Operation
	Times []Spread
}

// Stored is bytes a node, by side; 0 where it is not known.
type Stored struct {
	When  string
	Bytes []float64
}

// Beginning is one way to start, by side; nil where a side has none.
type Beginning struct {
	Name  string
	Sides []*Start
}

// comparison is one under way: a run for each side, all of the same fleet.
type comparison struct {
	CompareOptions
	runs   []*run
	result *Comparison
}

// Compare loads the fleet into all sides and asks them the same, each in its turn in every round, and measures what it
// took. Like Run it fails when a server fails, or gives an answer that is not that of the simulation.
func Compare(ctx context.Context, o CompareOptions) (*Comparison, error) {
	if o.Nodes < o.Rounds || o.Workers < 1 || o.Rounds < 1 || o.Samples < 1 || len(o.Sides) < 2 {
		return nil, fmt.Errorf("workers, rounds and samples are numbers from 1, nodes from that of the rounds, and there are two sides or more")
	}
	if o.Progress == nil {
		o.Progress = func(string, int) func(int) { return func(int) {} }
	}
	c := &comparison{CompareOptions: o, result: &Comparison{Result: Result{
		Date: time.Now().UTC().Truncate(time.Second), Nodes: o.Nodes, Seed: o.Seed, Workers: o.Workers, Rounds: o.Rounds, Machine: describeMachine(),
	}}}
	fleet := simulate.New(o.Seed, o.Nodes)
	for _, side := range o.Sides {
		c.result.Sides = append(c.result.Sides, side.Name)
		r := &run{Options: o.Options, fleet: fleet, result: &Result{Machine: c.result.Machine}}
		r.Control = side.Control
		var err error
		if r.server, err = r.Control.Start(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", side.Name, err)
		}
		c.runs = append(c.runs, r)
	}
	for _, phase := range []func(context.Context) error{c.load, c.reports, c.questions, c.starts} {
		if err := phase(ctx); err != nil {
			return nil, err
		}
	}
	return c.result, nil
}

// line measures one kind of request: do is called once for each side in every round, each round beginning with another.
func (c *comparison) line(name string, rate bool, do func(r *run, round int, into *round) error) error {
	done := c.Progress(name, c.Rounds*len(c.runs))
	took := make([][]round, len(c.runs))
	for i := range c.Rounds {
		for n := range c.runs {
			side := (i + n) % len(c.runs)
			var one round
			if err := do(c.runs[side], i, &one); err != nil {
				return fmt.Errorf("%s: %s: %w", name, c.Sides[side].Name, err)
			}
			took[side] = append(took[side], one)
			done(1)
		}
	}
	l := Line{Name: name}
	for n, r := range c.runs {
		l.Sides = append(l.Sides, r.summary(name, took[n], rate))
		l.Times = append(l.Times, timesAs(l.Sides[0], l.Sides[n]))
	}
	c.result.Lines = append(c.result.Lines, l)
	return nil
}

// timesAs compares an operation with the same of the first side, round by round.
func timesAs(first, other Operation) Spread {
	var times []float64
	for i := range other.rounds {
		if other.PerSecond != nil {
			times = append(times, other.rounds[i]/first.rounds[i])
		} else {
			times = append(times, first.rounds[i]/other.rounds[i])
		}
	}
	return spreadOf(times)
}

// silent is a progress nobody is told.
func silent(int) {}

// load reports every node for the first time, as many parts of the fleet as there are rounds.
func (c *comparison) load(ctx context.Context) error {
	var bytes int64
	err := c.line("report in full, new nodes", true, func(r *run, i int, into *round) error {
		sent, err := r.report(ctx, r.Nodes*i/r.Rounds, r.Nodes*(i+1)/r.Rounds, fullBatch, into, silent,
			func(n int) simulate.Report { return r.fleet.Report(n, 0) })
		bytes += sent
		return err
	})
	c.result.FullBytes = int(bytes / int64(c.Nodes*len(c.runs)))
	if err != nil {
		return err
	}
	return c.stored(ctx, "after the load")
}

// stored takes down what each side takes on disk.
func (c *comparison) stored(ctx context.Context, when string) error {
	s := Stored{When: when}
	for _, side := range c.Sides {
		var bytes int64
		if side.Settle != nil {
			if err := side.Settle(ctx); err != nil {
				return fmt.Errorf("%s: %w", side.Name, err)
			}
		}
		if side.Bytes != nil {
			var err error
			if bytes, err = side.Bytes(ctx); err != nil {
				return fmt.Errorf("%s: %w", side.Name, err)
			}
		}
		s.Bytes = append(s.Bytes, float64(bytes)/float64(c.Nodes))
	}
	c.result.Stored = append(c.result.Stored, s)
	return nil
}

// reports sends the reports of a fleet at rest.
func (c *comparison) reports(ctx context.Context) error {
	err := c.line("report unchanged, hashes only", true, func(r *run, _ int, into *round) error {
		sent, err := r.report(ctx, 0, r.Nodes, hashBatch, into, silent, func(n int) simulate.Report { return r.fleet.Hashes(n, r.round) })
		c.result.HashBytes = int(sent / int64(r.Nodes))
		return err
	})
	if err != nil {
		return err
	}
	err = c.line("report unchanged, in full", true, func(r *run, _ int, into *round) error {
		_, err := r.report(ctx, 0, min(r.Nodes, 2000), fullBatch, into, silent, func(n int) simulate.Report { return r.fleet.Report(n, r.round) })
		return err
	})
	if err != nil {
		return err
	}
	err = c.line("report mixed, 5 % changed, else hashes", true, func(r *run, _ int, into *round) error {
		r.round++
		_, err := r.report(ctx, 0, r.Nodes, hashBatch, into, silent, func(n int) simulate.Report { return r.fleet.Slim(n, r.round) })
		return err
	})
	if err != nil {
		return err
	}
	return c.stored(ctx, "after all reports")
}

// questions asks what all sides can answer. Something changes before each question, so that none is answered from memory.
func (c *comparison) questions(ctx context.Context) error {
	first := c.runs[0]
	picked := first.pick()
	kinds := first.filterKinds(picked)
	kinds = []kind{kinds[0], kinds[1], kinds[2], kinds[3], kinds[5]}
	var variants []*variant
	for _, k := range kinds {
		variants = append(variants, k.variants...)
	}
	t := first.scan(picked.common[0], variants)
	if err := c.listings(ctx); err != nil {
		return err
	}
	for _, k := range kinds {
		if err := c.line(k.name, false, func(r *run, _ int, into *round) error {
			return r.patiently(ctx, r.Samples, func(n int) error { return r.askVariant(ctx, t, k.variants[n%len(k.variants)], into) })
		}); err != nil {
			return err
		}
		found := 0
		for _, v := range k.variants {
			found += len(v.want(t))
		}
		c.result.Checked = append(c.result.Checked, Checked{k.name + ": nodes found", found})
	}
	for _, q := range first.countKinds(t, picked.common[0])[:3] {
		if err := c.line(q.name+", first page", false, func(r *run, _ int, into *round) error {
			return r.patiently(ctx, q.samples, func(int) error { return r.askCount(ctx, q, into) })
		}); err != nil {
			return err
		}
		c.result.Checked = append(c.result.Checked, Checked{q.name + ": the first page's sum", q.top})
	}
	for _, r := range c.runs {
		r.probe, r.probed = kinds[1].variants, t
	}
	return nil
}

func (c *comparison) listings(ctx context.Context) error {
	return c.line("ListInventoryEntries, page of 50", false, func(r *run, i int, into *round) error {
		choice := rand.New(rand.NewPCG(r.Seed, uint64(i)))
		return r.patiently(ctx, r.Samples, func(int) error { _, err := r.list(ctx, choice.IntN(r.Nodes), into); return err })
	})
}

// patience is how long one kind of question is asked in a round.
const patience = 5 * time.Second

// patiently asks a question so often, but no more once it took too long.
func (r *run) patiently(ctx context.Context, times int, ask func(n int) error) error {
	began := time.Now()
	for n := range times {
		if n > 0 && time.Since(began) > patience {
			return nil
		}
		if err := r.tick(ctx); err != nil {
			return err
		}
		if err := ask(n); err != nil {
			return err
		}
	}
	return nil
}

// askCount asks for the first page of counts and holds it against the simulation.
func (r *run) askCount(ctx context.Context, q count, into *round) error {
	answer, err := r.ask(ctx, call{"GetInventory", q.request.AppendJSON(nil)}, into)
	if err != nil {
		return err
	}
	var page wire.GetInventoryResponse
	if err := page.Decode(answer); err != nil {
		return err
	}
	rows, sum, err := q.sum(page)
	if want := min(q.rows, pageRows); err == nil && (rows != want || sum != q.top) {
		err = fmt.Errorf("wrong answer: %d rows with a sum of %d, expected %d with %d", rows, sum, want, q.top)
	}
	return err
}

// topOf is the sum of a first page of counts: of the greatest ones.
func topOf(counts map[string]int) int {
	var all []int
	for _, n := range counts {
		all = append(all, n)
	}
	slices.Sort(all)
	sum := 0
	for _, n := range all[max(0, len(all)-pageRows):] {
		sum += n
	}
	return sum
}

// starts measures how soon each side answers after it was stopped, with what it kept and without.
func (c *comparison) starts(ctx context.Context) error {
	ways := []struct {
		name  string
		drops func(Side, *run) []func() error // nothing: it starts with all it kept
		has   func(Side) bool
	}{
		{"with what was kept at the stop", func(Side, *run) []func() error { return nil }, func(Side) bool { return true }},
		{
			"with the shared snapshot alone", func(_ Side, r *run) []func() error { return []func() error{r.Control.DropSnapshot} },
			func(s Side) bool { return s.DropShared != nil },
		},
		{"without a snapshot", func(s Side, r *run) []func() error {
			if s.DropShared == nil {
				return []func() error{r.Control.DropSnapshot}
			}
			return []func() error{r.Control.DropSnapshot, func() error { return s.DropShared(ctx) }}
		}, func(s Side) bool { return s.HasSnapshot }},
	}
	for _, way := range ways {
		began := Beginning{Name: way.name, Sides: make([]*Start, len(c.runs))}
		for n, r := range c.runs {
			side := c.Sides[n]
			if r.server.PID == 0 || !way.has(side) {
				continue
			}
			r.result.Starts = nil
			err := r.start(ctx, side.Name, silent, func() error {
				if err := r.Control.Stop(ctx); err != nil {
					return err
				}
				for _, drop := range way.drops(side, r) {
					if err := drop(); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
			began.Sides[n] = &r.result.Starts[0]
		}
		c.result.Began = append(c.result.Began, began)
	}
	return nil
}
