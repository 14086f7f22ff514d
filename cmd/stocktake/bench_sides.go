package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"stocktake/internal/bench"
	"stocktake/internal/bench/baseline"
	"stocktake/internal/bench/front"
	"stocktake/internal/client"
	"stocktake/internal/pgcluster"
)

// anyRate lets the benchmark ask as often as the service can answer.
var anyRate = []string{"--rate-source", "0", "--rate-account", "0", "--rate-key", "0", "--rate-node", "0"}

// sides are the servers of one run, and what removes all trace of them.
type sides struct {
	command *benchCommand
	process *process
	nodes   int

	dir     string
	binary  string
	all     []bench.Side
	notes   []string
	cluster string // the URL of the PostgreSQL server; empty until it is needed
	undo    []func() error
}

// remove does it all, the newest first, whatever fails.
func (s *sides) remove() error {
	var all error
	for _, one := range slices.Backward(s.undo) {
		all = errors.Join(all, one())
	}
	return all
}

// open makes the sides that were asked for, and the floors.
func (s *sides) open() error {
	if err := s.folder(); err != nil {
		return err
	}
	for _, name := range s.names() {
		if err := s.add(name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// folder makes the temporary folder that all servers are in.
func (s *sides) folder() (err error) {
	if s.binary, err = os.Executable(); err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp(s.command.Data, "stocktake-bench-"); err == nil {
		s.undo = append(s.undo, func() error { return os.RemoveAll(s.dir) })
	}
	return err
}

// names gives the sides to measure, the floors last.
func (s *sides) names() []string {
	names := slices.Clone(s.command.Sides)
	if len(names) == 0 {
		names = []string{"embedded"}
		if s.command.EndpointURL != "" {
			names = []string{"running"}
		}
		switch err := pgcluster.Installed(); {
		case s.nodes > baselineMost:
			s.notes = append(s.notes, fmt.Sprintf("The baseline was left out: it is measured up to %d nodes.", baselineMost))
		case err != nil && s.command.Postgres == "":
			s.notes = append(s.notes, "The baseline was left out: "+err.Error())
		default:
			names = append(names, "baseline")
		}
	}
	if s.command.Peer != "" {
		names = append(names, "peer")
	}
	return append(names, "http", "http and signature")
}

func (s *sides) add(name string) error {
	side := bench.Side{SideResult: bench.SideResult{Name: name, Kind: bench.Product}}
	var err error
	switch name {
	case "embedded":
		err = s.embedded(&side)
	case "postgres":
		err = s.postgres(&side)
	case "baseline":
		err = s.baseline(&side)
	case "running", "peer":
		err = s.elsewhere(&side)
	case "http", "http and signature":
		err = s.floor(&side)
	default:
		return &usageError{fmt.Sprintf("there is no side %q", name), "the sides are embedded, postgres and baseline; --peer adds another server"}
	}
	s.all = append(s.all, side)
	return err
}

// child makes a server of this binary.
func (s *sides) child(name string, args ...string) (*child, error) {
	dir := filepath.Join(s.dir, strings.ReplaceAll(name, " ", "-"))
	c := &child{
		name: name, binary: s.binary, dir: dir, args: args, says: []string{"api"}, key: newKey(), workers: s.command.Workers, memory: int64(s.command.Memory),
		env: s.process.env,
	}
	s.undo = append(s.undo, c.Kill)
	return c, os.Mkdir(dir, 0o700)
}

func (s *sides) embedded(side *bench.Side) error {
	c, err := s.child("embedded", append([]string{"serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"}, anyRate...)...)
	c.args, c.says = append(c.args, "--data", c.data()), []string{"api", "admin"}
	side.About = "stocktake serve --data: every report is on disk, synced, before it is answered"
	side.Control, side.DropSnapshot = c, c.dropSnapshot
	side.Bytes = func(context.Context) (int64, error) { return diskBytes(c.data()) }
	return err
}

func (s *sides) postgres(side *bench.Side) error {
	url, err := s.database("postgres", side)
	if err != nil {
		return err
	}
	migrate := exec.CommandContext(s.process.ctx, s.binary, "migrate", "--database-url", url)
	if out, err := migrate.CombinedOutput(); err != nil {
		return fmt.Errorf("migrate: %w: %s", err, out)
	}
	c, err := s.child("postgres", append([]string{"serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--database-url", url}, anyRate...)...)
	c.args, c.says = append(c.args, "--data", c.data()), []string{"api", "admin"}
	c.database = postmaster(s.process.ctx, url)
	side.About = "stocktake serve --database-url, over PostgreSQL as it comes: fsync and synchronous_commit are on"
	side.Control, side.DropSnapshot = c, c.dropSnapshot
	side.DropShared = func(ctx context.Context) error {
		return baseline.Execute(ctx, url, "DELETE FROM stocktake.snapshot_part", "DELETE FROM stocktake.snapshot")
	}
	return err
}

func (s *sides) baseline(side *bench.Side) error {
	url, err := s.database("baseline", side)
	if err != nil {
		return err
	}
	if err := baseline.Create(s.process.ctx, url); err != nil {
		return err
	}
	c, err := s.child("baseline", "bench-side", "baseline", "--postgres", url)
	c.database = postmaster(s.process.ctx, url)
	side.Kind, side.Control = bench.Other, c
	side.About = "a JSONB document for each node and type with a GIN index (jsonb_path_ops) in PostgreSQL as it comes, fsync and synchronous_commit on"
	return err
}

// database makes an empty database for a side, on a server that is started where none was given.
func (s *sides) database(name string, side *bench.Side) (string, error) {
	ctx := s.process.ctx
	if s.cluster == "" {
		s.cluster = s.command.Postgres
	}
	if s.cluster == "" {
		// With room for what it is used for; all else is PostgreSQL as it comes.
		cluster, err := pgcluster.Start(ctx, pgcluster.Options{Settings: map[string]string{
			"shared_buffers": "2GB", "max_wal_size": "8GB", "checkpoint_timeout": "15min", "effective_cache_size": "8GB",
		}})
		if err != nil {
			return "", err
		}
		s.undo = append(s.undo, cluster.Close)
		s.cluster = cluster.URL()
	}
	database := "stocktake_bench_" + name + "_" + strconv.Itoa(os.Getpid())
	s.undo = append(s.undo, func() error { return baseline.DropDatabase(context.WithoutCancel(ctx), s.cluster, database) })
	url, err := baseline.CreateDatabase(ctx, s.cluster, database)
	side.Settle = func(ctx context.Context) error { return baseline.Settle(ctx, url) }
	side.Bytes = func(ctx context.Context) (int64, error) { return baseline.Bytes(ctx, url) }
	return url, err
}

// postmaster gives the process whose descendants serve a database of this machine; 0 for one elsewhere.
func postmaster(ctx context.Context, url string) (pid int) {
	_ = baseline.Backend(ctx, url, func(backend int) { // what it costs is then not known
		if strings.HasPrefix(bench.NameOf(backend), "postgres") {
			pid = bench.ParentOf(backend)
		}
	})
	return pid
}

// elsewhere is a server that runs already.
func (s *sides) elsewhere(side *bench.Side) error {
	connection := s.command.connection
	side.About = "the server at " + connection.EndpointURL
	if side.Name == "peer" {
		connection.EndpointURL, side.Kind = s.command.Peer, bench.Other
		side.About = "the server at " + s.command.Peer
	}
	config, err := connection.config(s.process.ctx)
	if err != nil {
		return err
	}
	config.Connections = s.command.Workers
	c, err := client.New(config)
	if err != nil {
		return err
	}
	s.undo = append(s.undo, func() error { c.Close(); return nil })
	side.Control = bench.Fixed{Server: bench.Server{Client: c}}
	return nil
}

func (s *sides) floor(side *bench.Side) error {
	args := []string{"bench-side", "floor"}
	side.About = "a floor: requests are read, their signatures verified, and answered with as many bytes"
	if side.Name == "http" {
		args = append(args, "--unsigned")
		side.About = "a floor: requests are read and answered with as many bytes"
	}
	c, err := s.child(side.Name, args...)
	side.Kind, side.Control = bench.Floor, c
	side.Size = func(ctx context.Context, bytes int) error {
		_, err := c.client.Do(ctx, front.SizeAction, strconv.AppendInt(nil, int64(bytes), 10))
		return err
	}
	return err
}

// diskBytes sums up the blocks of all files of a folder.
func diskBytes(dir string) (sum int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			sum += stat.Blocks * 512
		}
		return nil
	})
	return sum, err
}
