// Command scaleout measures the service over PostgreSQL side by side with the baseline over the same PostgreSQL, and with
// the service over its embedded store, in one run: the same fleet, the same requests, the same clients, by turns.
//
// Begin with `make bench-scale-out`. The database is a throw-away cluster, durable and with room for its buffers, or the
// server of --database-url, where it makes two databases and drops them at the end. The run fails when any answer of any
// side is wrong.
//
// The CPU time of a side is that of its server and of all processes of PostgreSQL while it is that side's turn; over a
// database of another machine it is the server's alone.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"stocktake/internal/bench"
	"stocktake/internal/pgcluster"
)

// settings are of the run.
type settings struct {
	bench.Options
	databaseURL string
	binary      string
	sides       string
	memory      int64
	data        string
	json        string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if len(os.Args) == 3 && os.Args[1] == serveBaseline {
		err = baselineServer(ctx, os.Args[2])
	} else {
		err = run(ctx, parse())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "scaleout:", err)
		os.Exit(1)
	}
}

func parse() settings {
	var s settings
	flag.IntVar(&s.Nodes, "nodes", 20_000, "simulated nodes")
	flag.IntVar(&s.Rounds, "rounds", 3, "rounds of everything")
	flag.IntVar(&s.Samples, "samples", 30, "ask a question so often in a round, expensive ones a tenth of that")
	flag.IntVar(&s.Workers, "workers", 16, "reports at a time")
	flag.Uint64Var(&s.Seed, "seed", 1, "of the fleet and of every choice")
	flag.StringVar(&s.databaseURL, "database-url", "", "a PostgreSQL server to make databases on; empty: a throw-away cluster")
	flag.StringVar(&s.binary, "binary", "bin/stocktake", "the service")
	flag.StringVar(&s.sides, "sides", "baseline,postgres,embedded", "what to compare; the first is what the others are compared with")
	flag.Int64Var(&s.memory, "memory", 2<<30, "bytes of memory a server of the service is to stay within")
	flag.StringVar(&s.data, "data", "", "make the temporary folder in this one")
	flag.StringVar(&s.json, "json", "", "write the figures to this file too")
	flag.Parse()
	return s
}

func run(ctx context.Context, s settings) (err error) {
	dir, err := os.MkdirTemp(s.data, "stocktake-scaleout-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if s.databaseURL == "" {
		cluster, err := pgcluster.Start(ctx, pgcluster.Options{Settings: roomy()})
		if err != nil {
			return err
		}
		defer cluster.Close() //nolint:errcheck // it goes with this process in any case
		s.databaseURL = cluster.URL()
	}
	sides, cleanUp, err := s.open(ctx, dir)
	defer func() { err = errors.Join(err, cleanUp()) }()
	if err != nil {
		return err
	}
	began := time.Now()
	s.Progress = func(phase string, _ int) func(int) {
		fmt.Fprintf(os.Stderr, "%6.0f s  %s\n", time.Since(began).Seconds(), phase)
		return func(int) {}
	}
	result, err := bench.Compare(ctx, bench.CompareOptions{Options: s.Options, Sides: sides})
	if err != nil {
		return err
	}
	if err := result.Table(os.Stdout); err != nil || s.json == "" {
		return err
	}
	text, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(s.json, append(text, '\n'), 0o644)
}

// roomy are the settings of a PostgreSQL that is made for this work: what is written is synced, as it comes.
func roomy() map[string]string {
	return map[string]string{"shared_buffers": "2GB", "max_wal_size": "8GB", "checkpoint_timeout": "15min", "effective_cache_size": "8GB"}
}

// open makes the sides asked for, and what removes all trace of them.
func (s settings) open(ctx context.Context, dir string) ([]bench.Side, func() error, error) {
	var sides []bench.Side
	var undo []func() error
	cleanUp := func() error {
		var all error
		for _, one := range undo {
			all = errors.Join(all, one())
		}
		return all
	}
	for name := range strings.SplitSeq(s.sides, ",") {
		side, remove, err := s.side(ctx, name, dir)
		undo = append(undo, remove)
		if err != nil {
			return nil, cleanUp, fmt.Errorf("%s: %w", name, err)
		}
		sides = append(sides, side)
	}
	return sides, cleanUp, nil
}
