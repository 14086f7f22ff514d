package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/schollz/progressbar/v3"

	"stocktake/internal/bench"
	"stocktake/internal/client"
	"stocktake/internal/iam"
	"stocktake/internal/sigv4"
)

type benchCommand struct {
	connection
	Nodes   int    `default:"2000" help:"Simulated nodes (${default})."`
	Rounds  int    `default:"3" help:"Repeat what can be repeated so often (${default})."`
	Samples int    `default:"100" help:"Ask a question so often in a round, expensive ones a tenth of that (${default})."`
	Seed    uint64 `default:"1" help:"Of the fleet and of every choice (${default})."`
	Workers int    `default:"16" help:"Send so many reports at a time (${default})."`
	Data    string `placeholder:"DIR" help:"Make the temporary folder in this one; else where temporary files go."`
	Memory  size   `default:"2GiB" placeholder:"SIZE" help:"The memory the server is to stay within (${default})."`
	JSON    string `name:"json" placeholder:"FILE" help:"Write the figures to this file too."`
}

// Help is shown below the usage.
func (benchCommand) Help() string {
	return `Starts a server of its own on a temporary folder, reports a simulated fleet to it over its API, asks it questions,
starts it again in every way, and prints what all that took; docs/performance.md tells how to read it. With --endpoint-url
a running server is measured instead: the account and region must hold nothing yet, and the fleet stays there.

Every answer is held against the simulation: a wrong one is exit code 1.`
}

// Run measures and prints.
func (c *benchCommand) Run(p *process) error {
	if c.Nodes < 1 || c.Rounds < 1 || c.Samples < 1 || c.Workers < 1 {
		return &usageError{"nodes, rounds, samples and workers are numbers from 1", ""}
	}
	control, cleanUp, err := c.control(p)
	if err != nil {
		return err
	}
	bars := &phases{process: p}
	result, err := bench.Run(p.ctx, bench.Options{
		Nodes: c.Nodes, Seed: c.Seed, Workers: c.Workers, Rounds: c.Rounds, Samples: c.Samples, Control: control, Progress: bars.begin,
	})
	bars.end()
	if err != nil {
		return errors.Join(err, cleanUp())
	}
	if err := errors.Join(result.Table(p.stdout), cleanUp()); err != nil || c.JSON == "" {
		return err
	}
	text, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(c.JSON, append(text, '\n'), 0o644)
}

// control gives the server to measure, and what removes all trace of it.
func (c *benchCommand) control(p *process) (bench.Control, func() error, error) {
	if c.EndpointURL != "" {
		config, err := c.config(p.ctx)
		if err != nil {
			return nil, nil, err
		}
		config.Connections = c.Workers
		connected, err := client.New(config)
		if err != nil {
			return nil, nil, err
		}
		return bench.Fixed{Server: bench.Server{Client: connected}}, func() error { connected.Close(); return nil }, nil
	}
	binary, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp(c.Data, "stocktake-bench-")
	if err != nil {
		return nil, nil, err
	}
	s := &child{binary: binary, dir: dir, key: newKey(), workers: c.Workers, memory: int64(c.Memory), env: p.env}
	return s, s.remove, nil
}

// child is a server started by the benchmark, in a folder of its own.
type child struct {
	binary  string
	dir     string
	key     iam.Key
	workers int
	memory  int64
	env     map[string]string

	command *exec.Cmd
	ended   chan error // of Wait, once
	client  *client.Client
}

func (s *child) data() string { return filepath.Join(s.dir, "data") }
func (s *child) log() string  { return filepath.Join(s.dir, "log.json") }

// Start starts the server and waits until it has taken its addresses.
func (s *child) Start(ctx context.Context) (bench.Server, error) {
	log, err := os.OpenFile(s.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return bench.Server{}, err
	}
	defer log.Close()
	s.command = exec.CommandContext(context.WithoutCancel(ctx), s.binary, "serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data", s.data())
	s.command.Env = s.environment()
	s.command.Stderr = log
	// A group of its own: Ctrl-C on a terminal is for the benchmark, which then ends the server; so does its own death.
	s.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, err := s.command.StdoutPipe()
	if err != nil {
		return bench.Server{}, err
	}
	began := time.Now()
	if err := s.command.Start(); err != nil {
		return bench.Server{}, err
	}
	command, ended := s.command, make(chan error, 1)
	s.ended = ended
	lines := make(chan string)
	go func() {
		defer close(lines)
		for text := bufio.NewScanner(out); text.Scan(); {
			lines <- text.Text()
		}
	}()
	said := map[string]string{}
	for said["api"] == "" || said["admin"] == "" {
		var line string
		ok := false
		select {
		case line, ok = <-lines:
		case <-ctx.Done():
		case <-time.After(time.Minute):
		}
		if !ok {
			go func() { drain(lines); ended <- command.Wait() }()
			return bench.Server{}, errors.Join(ctx.Err(), fmt.Errorf("the server did not start:\n%s", s.lastWords()), s.Kill())
		}
		name, value, _ := strings.Cut(line, ": ")
		said[name] = value
	}
	go func() { drain(lines); ended <- command.Wait() }()
	s.client, err = client.New(client.Config{
		Endpoint: said["api"], Region: demoRegion, Connections: s.workers, Attempts: 1, Timeout: 5 * time.Minute,
		Credentials: func(context.Context) (sigv4.Credentials, error) {
			return sigv4.Credentials{AccessKeyID: s.key.ID, SecretAccessKey: s.key.Secret}, nil
		},
	})
	return bench.Server{Client: s.client, PID: s.command.Process.Pid, Began: began, Metrics: said["admin"] + "/metrics"}, err
}

func drain(lines <-chan string) {
	for range lines { //nolint:revive // nobody reads them
	}
}

// environment is the benchmark's own without the settings of a service, and with the key and the memory limit. A Go
// process takes more than what the limit counts, so it is set an eighth lower.
func (s *child) environment() []string {
	env := []string{
		"STOCKTAKE_ROOT_ACCESS_KEY_ID=" + s.key.ID, "STOCKTAKE_ROOT_SECRET_ACCESS_KEY=" + s.key.Secret,
		fmt.Sprintf("GOMEMLIMIT=%d", s.memory-s.memory/8),
	}
	for name, value := range s.env {
		if !strings.HasPrefix(name, "STOCKTAKE_") && name != "GOMEMLIMIT" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// Stop ends the server by SIGTERM.
func (s *child) Stop(ctx context.Context) error {
	if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	s.client.Close()
	select {
	case err := <-s.ended:
		s.command = nil
		if err != nil {
			err = fmt.Errorf("the server ended badly: %w\n%s", err, s.lastWords())
		}
		return err
	case <-time.After(time.Minute):
		return errors.New("the server did not end within a minute of SIGTERM")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Kill ends the server by SIGKILL. A server that ended already is no error.
func (s *child) Kill() error {
	if s.command == nil {
		return nil
	}
	if err := s.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-s.ended //nolint:errcheck // it was killed, which is no news
	s.command = nil
	if s.client != nil {
		s.client.Close()
	}
	return nil
}

// DropSnapshot removes the folder of the index.
func (s *child) DropSnapshot() error { return os.RemoveAll(filepath.Join(s.data(), indexFolder)) }

// DiskBytes sums up the blocks of all files of the data folder.
func (s *child) DiskBytes() (int64, error) {
	var sum int64
	err := filepath.WalkDir(s.data(), func(_ string, d fs.DirEntry, err error) error {
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

func (s *child) remove() error { return errors.Join(s.Kill(), os.RemoveAll(s.dir)) }

// lastWords are the ends of the server's log.
func (s *child) lastWords() string {
	text, _ := os.ReadFile(s.log()) // an unreadable log has none
	const most = 2000
	return string(text[max(0, len(text)-most):])
}

// phases shows on a terminal how far each phase is.
type phases struct {
	process *process
	bar     *progressbar.ProgressBar
}

func (b *phases) begin(phase string, steps int) func(n int) {
	b.end()
	if !terminal(b.process.stderr) {
		return func(int) {}
	}
	bar := progressbar.NewOptions(steps, progressbar.OptionSetWriter(b.process.stderr), progressbar.OptionSetDescription(phase),
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
