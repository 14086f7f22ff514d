package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"stocktake/internal/bench"
	"stocktake/internal/bench/baseline"
)

// serveBaseline is the first argument of this program when it is to be the baseline's server.
const serveBaseline = "serve-baseline"

// side makes one side, and what removes it again.
func (s settings) side(ctx context.Context, name, dir string) (bench.Side, func() error, error) {
	p := &process{name: name, dir: filepath.Join(dir, name), memory: s.memory, workers: s.Workers}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return bench.Side{}, p.Kill, err
	}
	if name == "embedded" {
		p.command = []string{s.binary, "serve", "--data", p.data()}
		return bench.Side{Name: name, Control: p, HasSnapshot: true, Bytes: p.bytes}, p.Kill, nil
	}
	database := fmt.Sprintf("scaleout_%s_%d", name, os.Getpid())
	remove := func() error {
		return errors.Join(p.Kill(), baseline.DropDatabase(context.WithoutCancel(ctx), s.databaseURL, database))
	}
	url, err := baseline.CreateDatabase(ctx, s.databaseURL, database)
	if err != nil {
		return bench.Side{}, remove, err
	}
	if p.database, err = postmaster(ctx, url); err != nil {
		return bench.Side{}, remove, err
	}
	side := bench.Side{
		Name: name, Control: p,
		Settle: func(ctx context.Context) error { return baseline.Settle(ctx, url) },
		Bytes:  func(ctx context.Context) (int64, error) { return baseline.Bytes(ctx, url) },
	}
	switch name {
	case "baseline":
		self, err := os.Executable()
		if err != nil {
			return bench.Side{}, remove, err
		}
		p.command = []string{self, serveBaseline, url}
		return side, remove, baseline.Create(ctx, url)
	case "postgres":
		side.HasSnapshot = true
		side.DropShared = func(ctx context.Context) error {
			return baseline.Execute(ctx, url, "DELETE FROM stocktake.snapshot_part", "DELETE FROM stocktake.snapshot")
		}
		p.command = []string{s.binary, "serve", "--database-url", url, "--data", p.data()}
		migrate := exec.CommandContext(ctx, s.binary, "migrate", "--database-url", url)
		if out, err := migrate.CombinedOutput(); err != nil {
			return bench.Side{}, remove, fmt.Errorf("migrate: %w: %s", err, out)
		}
		return side, remove, nil
	}
	return bench.Side{}, remove, errors.New("there is no such side: baseline, postgres or embedded")
}

// postmaster gives the process whose descendants serve a database of this machine; 0 for one elsewhere.
func postmaster(ctx context.Context, url string) (pid int, err error) {
	err = baseline.Backend(ctx, url, func(backend int) {
		if strings.HasPrefix(bench.NameOf(backend), "postgres") {
			pid = bench.ParentOf(backend)
		}
	})
	return pid, err
}

// baselineServer serves the baseline until it is told to stop.
func baselineServer(ctx context.Context, url string) error {
	s, err := baseline.New(ctx, url)
	if err != nil {
		return err
	}
	defer s.Close()
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("api: http://%s\n", l.Addr())
	server := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	defer context.AfterFunc(ctx, func() { _ = server.Shutdown(context.WithoutCancel(ctx)) })()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// bytes sums up the blocks of all files of the data folder.
func (p *process) bytes(context.Context) (int64, error) {
	var sum int64
	err := filepath.WalkDir(p.data(), func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && d.IsDir() {
			return nil // removed meanwhile
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
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
