package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"stocktake/internal/bench"
	"stocktake/internal/bench/baseline"
	"stocktake/internal/bench/front"
	"stocktake/internal/client"
	"stocktake/internal/iam"
	"stocktake/internal/sigv4"
)

// child is a server of this binary, started by the benchmark with a folder of its own.
type child struct {
	name     string
	binary   string
	args     []string
	says     []string // the names of the addresses it takes
	dir      string
	key      iam.Key
	workers  int
	memory   int64
	database int // the process that its database's processes come from; 0: none, or not known
	env      map[string]string

	command *exec.Cmd
	ended   chan error // of Wait, once
	client  *client.Client
}

func (s *child) data() string        { return filepath.Join(s.dir, "data") }
func (s *child) log() string         { return filepath.Join(s.dir, "log.json") }
func (s *child) dropSnapshot() error { return os.RemoveAll(filepath.Join(s.data(), indexFolder)) }

// Start starts the server and waits until it has taken its addresses.
func (s *child) Start(ctx context.Context) (bench.Server, error) {
	began := time.Now()
	said, err := s.launch(ctx)
	if err != nil {
		return bench.Server{}, err
	}
	s.client, err = client.New(client.Config{
		Endpoint: said["api"], Region: demoRegion, Connections: s.workers, Attempts: 1, Timeout: 10 * time.Minute,
		Credentials: func(context.Context) (sigv4.Credentials, error) {
			return sigv4.Credentials{AccessKeyID: s.key.ID, SecretAccessKey: s.key.Secret}, nil
		},
	})
	pid := s.command.Process.Pid
	server := bench.Server{
		Client: s.client, Address: strings.TrimSuffix(strings.TrimPrefix(said["api"], "http://"), "/"), PID: pid, Began: began,
		CPU: func() time.Duration { return bench.CPUOf(pid, s.database) },
	}
	if said["admin"] != "" {
		server.Metrics = said["admin"] + "/metrics"
	}
	return server, err
}

// launch starts the process and gives the addresses it says, by name.
func (s *child) launch(ctx context.Context) (map[string]string, error) {
	log, err := os.OpenFile(s.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	command := exec.CommandContext(context.WithoutCancel(ctx), s.binary, s.args...)
	command.Env, command.Stderr = s.environment(), log
	// A group of its own: Ctrl-C on a terminal is for the benchmark, which then ends the server; so does its own death.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	ended, lines := make(chan error, 1), make(chan string)
	s.command, s.ended = command, ended
	go func() {
		defer close(lines)
		for text := bufio.NewScanner(out); text.Scan(); {
			lines <- text.Text()
		}
	}()
	said := map[string]string{}
	for ok := true; ok && !s.complete(said); {
		var line string
		select {
		case line, ok = <-lines:
			name, value, _ := strings.Cut(line, ": ")
			said[name] = value
		case <-ctx.Done():
			ok = false
		case <-time.After(2 * time.Minute):
			ok = false
		}
	}
	go func() { drain(lines); ended <- command.Wait() }()
	if !s.complete(said) {
		return nil, errors.Join(ctx.Err(), fmt.Errorf("the server did not start:\n%s", s.lastWords()), s.Kill())
	}
	return said, nil
}

func (s *child) complete(said map[string]string) bool {
	return !slices.ContainsFunc(s.says, func(name string) bool { return said[name] == "" })
}

func drain(lines <-chan string) {
	for range lines { //nolint:revive // nobody reads them
	}
}

// environment is the benchmark's own without the settings of a service, and with the key and the memory limit. A Go
// process takes more than what the limit counts, so it is set an eighth lower.
func (s *child) environment() []string {
	env := []string{
		rootID + "=" + s.key.ID, rootSecret + "=" + s.key.Secret,
		fmt.Sprintf("GOMEMLIMIT=%d", s.memory-s.memory/8),
	}
	for name, value := range s.env {
		if !strings.HasPrefix(name, "STOCKTAKE_") && name != "GOMEMLIMIT" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// rootID and rootSecret are the environment variables of the root credentials.
const (
	rootID     = "STOCKTAKE_ROOT_ACCESS_KEY_ID"
	rootSecret = "STOCKTAKE_ROOT_SECRET_ACCESS_KEY"
)

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
	case <-time.After(2 * time.Minute):
		return errors.New("the server did not end within two minutes of SIGTERM")
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

// lastWords are the ends of the server's log.
func (s *child) lastWords() string {
	text, _ := os.ReadFile(s.log()) // an unreadable log has none
	const most = 2000
	return string(text[max(0, len(text)-most):])
}

// benchSideCommand is a server that the benchmark compares with. It takes the root credentials from the environment.
type benchSideCommand struct {
	Name     string `arg:"" enum:"baseline,floor" help:"What to serve."`
	Postgres string `placeholder:"URL" help:"The database of the baseline."`
	Unsigned bool   `help:"Do not look at signatures."`
}

// Run serves until it is told to stop.
func (c *benchSideCommand) Run(p *process) error {
	var handler front.Handler = &front.Floor{}
	if c.Name == "baseline" {
		server, err := baseline.New(p.ctx, c.Postgres)
		if err != nil {
			return err
		}
		defer server.Close()
		handler = server
	}
	o := front.Options{Key: sigv4.Credentials{AccessKeyID: p.env[rootID], SecretAccessKey: p.env[rootSecret]}, Unsigned: c.Unsigned}
	return front.Serve(p.ctx, handler, o, func(address string) { fmt.Fprintf(p.stdout, "api: http://%s\n", address) })
}
