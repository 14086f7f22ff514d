package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/schollz/progressbar/v3"

	"stocktake/internal/bench"
)

// baselineMost is the greatest fleet the baseline is measured with: it needs minutes for what the service does in seconds,
// and takes 200 KB of disk a node.
const baselineMost = 20_000

type benchCommand struct {
	connection
	Nodes       []int    `default:"2000" placeholder:"N,..." help:"Simulated nodes; several numbers are measured one after the other (${default})."`
	Rounds      int      `default:"3" help:"Repeat everything so often, the sides by turns (${default})."`
	Samples     int      `default:"100" help:"Ask a question so often in a round, expensive ones a tenth of that (${default})."`
	Seed        uint64   `default:"1" help:"Of the fleet and of every choice (${default})."`
	Workers     int      `default:"16" help:"Send so many reports at a time (${default})."`
	Sides       []string `placeholder:"NAME,..." help:"What to measure: embedded, postgres (the service over a database), baseline. Else embedded, and baseline where PostgreSQL is installed."`
	Postgres    string   `placeholder:"URL" help:"A PostgreSQL server to make databases on for the time of the run. Else a throw-away one of the programs installed here."`
	Peer        string   `placeholder:"URL" help:"Measure this endpoint of the same API too, with the credentials and the region of --profile and --region."`
	Data        string   `placeholder:"DIR" help:"Make the temporary folder in this one; else where temporary files go."`
	Memory      size     `default:"2GiB" placeholder:"SIZE" help:"The memory a server is to stay within (${default})."`
	JSON        string   `name:"json" placeholder:"FILE" help:"Write the figures to this file too."`
	HTML        string   `name:"html" placeholder:"FILE" help:"Write a page with charts to this file."`
	Allocations string   `placeholder:"FILE" help:"Fail when a request allocates more objects than this file allows: lines of a number and an operation."`

	Agents   int           `placeholder:"N" help:"Measure something else: so many simulated agents that register, poll and report on their schedules."`
	For      time.Duration `default:"10m" placeholder:"TIME" help:"With --agents: how long they are measured once all have registered (${default})."`
	Part     time.Duration `default:"1h" placeholder:"TIME" help:"With --agents: tell a longer time by parts of so long (${default})."`
	Packages int           `default:"60" placeholder:"N" help:"With --agents: packages on each node (${default})."`
}

// Help is shown below the usage.
func (benchCommand) Help() string {
	return `Starts servers of its own on a temporary folder, reports a simulated fleet to each over its API, asks them questions,
starts them again in every way, and prints what all that took, side by side; docs/performance.md tells how to read it.

  embedded   stocktake serve --data
  postgres   stocktake serve --database-url, over PostgreSQL
  baseline   what one would build instead: a JSONB document for each node and type with a GIN index, in PostgreSQL
  http       a floor: a server that reads a request and answers as many bytes; and the same with signatures verified

With --endpoint-url a running server is measured in place of embedded: the account and region must hold nothing yet, and the
fleet stays there. The same holds for --peer.

With --agents one server is measured with agents on their schedules: heartbeats every 5 minutes, polls for associations every
10, reports every 30, and a poll for messages open all the time; all spread evenly. Then the server is killed and started
again, and all agents come back at once. Exit code 1: a node was lost, a call failed, or on their schedules p99 was over 250 ms;
over 12 hours and more also memory that grows over 1 % a day, and a p99 that doubles.

Every answer of every side is held against the simulation: a wrong one is exit code 1. Ctrl-C leaves nothing behind.`
}

// Run measures and prints.
func (c *benchCommand) Run(p *process) error {
	if c.Agents != 0 {
		return c.runAgents(p)
	}
	if c.Rounds < 1 || c.Samples < 1 || c.Workers < 1 || len(c.Nodes) == 0 || slices.Min(c.Nodes) < c.Rounds {
		return &usageError{"rounds, samples and workers are numbers from 1, and nodes from that of the rounds", ""}
	}
	ceilings, err := c.ceilings()
	if err != nil {
		return err
	}
	slices.Sort(c.Nodes)
	var report bench.Report
	for _, nodes := range c.Nodes {
		result, err := c.measure(p, nodes)
		if err != nil {
			return err
		}
		// What is known already is told, whatever becomes of the larger fleets.
		report.Runs = append(report.Runs, result)
		if err := errors.Join(result.Table(p.stdout), c.write(&report)); err != nil {
			return err
		}
	}
	var over []error
	for _, result := range report.Runs {
		over = append(over, ceilings.Check(result))
	}
	return errors.Join(over...)
}

// measure is one run, with servers of its own.
func (c *benchCommand) measure(p *process, nodes int) (_ *bench.Result, err error) {
	s := &sides{command: c, process: p, nodes: nodes}
	defer func() { err = errors.Join(err, s.remove()) }()
	if err := s.open(); err != nil {
		return nil, err
	}
	bars := &phases{process: p, nodes: nodes, began: time.Now()}
	defer bars.end()
	return bench.Run(p.ctx, bench.Options{
		Nodes: nodes, Seed: c.Seed, Workers: c.Workers, Rounds: c.Rounds, Samples: c.Samples, Sides: s.all, Data: s.dir, Notes: s.notes,
		Progress: bars.begin,
	})
}

func (c *benchCommand) ceilings() (bench.Ceilings, error) {
	if c.Allocations == "" {
		return nil, nil
	}
	f, err := os.Open(c.Allocations)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all, err := bench.ReadCeilings(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Allocations, err)
	}
	return all, nil
}

// write writes the files that were asked for.
func (c *benchCommand) write(report *bench.Report) error {
	if err := c.writeJSON(report); err != nil {
		return err
	}
	if c.HTML == "" {
		return nil
	}
	f, err := os.Create(c.HTML)
	if err != nil {
		return err
	}
	return errors.Join(report.Page(f), f.Close())
}

func (c *benchCommand) writeJSON(result any) error {
	if c.JSON == "" {
		return nil
	}
	text, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(c.JSON, append(text, '\n'), 0o644)
}

// phases shows how far each phase is: on a terminal as a bar, elsewhere by a line when it begins.
type phases struct {
	process *process
	nodes   int
	began   time.Time
	bar     *progressbar.ProgressBar
}

func (b *phases) begin(phase string, steps int) func(n int) {
	b.end()
	if !terminal(b.process.stderr) {
		fmt.Fprintf(b.process.stderr, "%6.0f s  %d nodes: %s\n", time.Since(b.began).Seconds(), b.nodes, phase)
		return func(int) {}
	}
	bar := progressbar.NewOptions(steps, progressbar.OptionSetWriter(b.process.stderr),
		progressbar.OptionSetDescription(fmt.Sprintf("%d nodes: %s", b.nodes, phase)),
		progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish(),
		progressbar.OptionThrottle(100*time.Millisecond))
	b.bar = bar
	return func(n int) { _ = bar.Add(n) } // a bar that cannot be drawn is no reason to stop
}

func (b *phases) end() {
	if b.bar != nil {
		_ = b.bar.Finish()
	}
}
