package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"stocktake/internal/bench"
	"stocktake/internal/client"
	"stocktake/internal/sigv4"
)

const region = "eu-central-1"

// process is a server of one side, started and stopped by the benchmark.
type process struct {
	name     string
	dir      string
	command  []string
	memory   int64
	workers  int
	database int // the process that its database's processes come from; 0: not known
	key      sigv4.Credentials

	running *exec.Cmd
	ended   chan error
	client  *client.Client
}

func (p *process) data() string { return filepath.Join(p.dir, "data") }
func (p *process) log() string  { return filepath.Join(p.dir, "log") }

// Start starts the server and waits until it names its address.
func (p *process) Start(ctx context.Context) (bench.Server, error) {
	log, err := os.OpenFile(p.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return bench.Server{}, err
	}
	defer log.Close()
	p.running = exec.CommandContext(context.WithoutCancel(ctx), p.command[0], p.command[1:]...)
	p.running.Env, p.running.Stderr = p.environment(), log
	p.running.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, err := p.running.StdoutPipe()
	if err != nil {
		return bench.Server{}, err
	}
	began := time.Now()
	if err := p.running.Start(); err != nil {
		p.running = nil
		return bench.Server{}, err
	}
	address := make(chan string, 1)
	running, ended := p.running, make(chan error, 1)
	p.ended = ended
	go func() {
		defer close(address)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if at, ok := strings.CutPrefix(lines.Text(), "api: http://"); ok {
				address <- strings.TrimSuffix(at, "/")
				break
			}
		}
		_, _ = io.Copy(io.Discard, out) // so that it never waits for a reader
		ended <- running.Wait()
	}()
	at := ""
	select {
	case at = <-address:
	case <-ctx.Done():
	case <-time.After(2 * time.Minute):
	}
	if at == "" {
		return bench.Server{}, errors.Join(ctx.Err(), fmt.Errorf("%s did not start:\n%s", p.name, p.lastWords()), p.Kill())
	}
	p.client, err = client.New(client.Config{
		Endpoint: "http://" + at, Region: region, Connections: p.workers, Attempts: 1, Timeout: 10 * time.Minute,
		Credentials: func(context.Context) (sigv4.Credentials, error) { return p.key, nil },
	})
	pid := running.Process.Pid
	return bench.Server{Client: p.client, Address: at, PID: pid, Began: began, CPU: func() time.Duration {
		sum := bench.CPUOfTree(pid)
		if p.database != 0 {
			sum += bench.CPUOfTree(p.database)
		}
		return sum
	}}, err
}

// environment is that of this process without the settings of a service, and with a key and the memory limit. A Go
// process takes more than what the limit counts, so it is set an eighth lower.
func (p *process) environment() []string {
	if p.key.AccessKeyID == "" {
		p.key = sigv4.Credentials{AccessKeyID: "AKIA" + rand.Text()[:16], SecretAccessKey: rand.Text() + rand.Text()[:14]}
	}
	env := []string{
		"STOCKTAKE_ROOT_ACCESS_KEY_ID=" + p.key.AccessKeyID, "STOCKTAKE_ROOT_SECRET_ACCESS_KEY=" + p.key.SecretAccessKey,
		fmt.Sprintf("GOMEMLIMIT=%d", p.memory-p.memory/8), "STOCKTAKE_LISTEN=127.0.0.1:0", "STOCKTAKE_ADMIN_LISTEN=127.0.0.1:0",
	}
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "STOCKTAKE_") && !strings.HasPrefix(pair, "GOMEMLIMIT=") {
			env = append(env, pair)
		}
	}
	return env
}

// Stop ends the server by SIGTERM.
func (p *process) Stop(ctx context.Context) error {
	if err := p.running.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	p.client.Close()
	select {
	case err := <-p.ended:
		p.running = nil
		if err != nil {
			err = fmt.Errorf("%s ended badly: %w\n%s", p.name, err, p.lastWords())
		}
		return err
	case <-time.After(2 * time.Minute):
		return fmt.Errorf("%s did not end within two minutes of SIGTERM", p.name)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Kill ends the server by SIGKILL. A server that ended already is no error.
func (p *process) Kill() error {
	if p.running == nil {
		return nil
	}
	if err := p.running.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.ended //nolint:errcheck // it was killed, which is no news
	p.running = nil
	return nil
}

// DropSnapshot removes the folder of the index, the only one besides the embedded store's.
func (p *process) DropSnapshot() error { return os.RemoveAll(filepath.Join(p.data(), "index")) }

// DiskBytes is not asked for here.
func (p *process) DiskBytes() (int64, error) { return 0, nil }

// lastWords are the ends of the server's log.
func (p *process) lastWords() string {
	text, _ := os.ReadFile(p.log()) // an unreadable log has none
	const most = 2000
	return string(text[max(0, len(text)-most):])
}
