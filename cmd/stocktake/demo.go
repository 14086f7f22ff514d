package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"

	"stocktake/internal/client"
	"stocktake/internal/collect"
	"stocktake/internal/httpd"
	"stocktake/internal/inventory"
	"stocktake/internal/sigv4"
	"stocktake/internal/simulate"
)

type demoCommand struct {
	settings
	Once  bool `help:"End after the questions, with exit code 0."`
	Nodes int  `default:"300" help:"Simulated nodes (${default})."`
}

// The demo's data folder and region, and the seed of its fleet.
const (
	demoData   = ".demo"
	demoRegion = "us-east-1"
	demoSeed   = 1
)

// demo is a service of its own with this machine and a simulated fleet in it.
type demo struct {
	*process
	client *client.Client
	url    string
	data   string
	node   inventory.NodeID // this machine
}

// Run sets the service up, fills it, asks it, and leaves it running.
func (c *demoCommand) Run(p *process) error {
	if c.DatabaseURL != "" {
		return &usageError{"database_url is set, and the demo fills its store with nodes that do not exist", "unset it: the demo has a store of its own"}
	}
	if c.Data == "" {
		c.Data = demoData
	}
	if c.Once {
		c.Listen, c.AdminListen = "127.0.0.1:0", "127.0.0.1:0"
	}
	resolved, err := c.resolve(p.layers)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	s, log, err := demoServer(p, resolved)
	if err != nil {
		return err
	}
	ready, ended := make(chan struct{}), make(chan error, 1)
	s.onReady = func() { close(ready) }
	go func() { ended <- errors.Join(s.run(ctx), s.close(), log.Close()) }()
	select {
	case err := <-ended:
		return err
	case <-ready:
	}
	err = c.show(ctx, p, s)
	if err == nil && !c.Once {
		return <-ended
	}
	cancel()
	return errors.Join(err, <-ended)
}

// demoServer makes the service; its log goes to a file, so that it does not run through what is shown.
func demoServer(p *process, c config) (*server, io.Closer, error) {
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return nil, nil, err
	}
	path := filepath.Join(c.Data, "log.json")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, err
	}
	quiet := *p
	quiet.stdout = io.Discard
	return &server{config: c, process: &quiet, log: slog.New(slog.NewJSONHandler(log, nil)), metrics: httpd.NewMetrics()}, log, nil
}

// show fills the service and asks it.
func (c *demoCommand) show(ctx context.Context, p *process, s *server) error {
	data, err := filepath.Abs(s.config.Data)
	if err != nil {
		return err
	}
	d := &demo{process: p, url: s.url(), data: data}
	root, _, err := rootKey(s.config.Data)
	if s.config.Root.ID != "" {
		root, err = s.config.Root, nil
	}
	if err != nil {
		return err
	}
	d.client, err = client.New(client.Config{
		Endpoint: d.url, Region: demoRegion,
		Credentials: func(context.Context) (sigv4.Credentials, error) {
			return sigv4.Credentials{AccessKeyID: root.ID, SecretAccessKey: root.Secret}, nil
		},
	})
	if err != nil {
		return err
	}
	defer d.client.Close()
	fmt.Fprintf(d.stdout, "Stocktake answers at %s; what it stores is in %s.\n\n", d.url, d.data)
	if err := d.collect(ctx); err != nil {
		return err
	}
	if err := d.simulate(ctx, c.Nodes); err != nil {
		return err
	}
	if err := d.ask(ctx); err != nil {
		return err
	}
	if c.Once {
		fmt.Fprintf(d.stdout, "\nThe service ends here, and what it stored stays; without --once it goes on.\n")
	} else {
		d.next()
	}
	return nil
}

// collect reports this machine.
func (d *demo) collect(ctx context.Context) error {
	machine := collect.Local()
	node, _, err := machine.Identify(ctx, "")
	if err != nil {
		return err
	}
	d.node = node
	report, err := machine.Gather(ctx, collect.Options{Node: node, AgentVersion: agentVersion(version())})
	if err != nil {
		return err
	}
	sender := collect.Sender{Service: collect.Remote{Caller: d.client}, Endpoint: d.url, StateDir: filepath.Join(d.data, "collect")}
	if _, err := sender.Send(ctx, node, report.Items); err != nil {
		return err
	}
	entries := 0
	for _, item := range report.Items {
		entries += len(item.Content)
	}
	fmt.Fprintf(d.stdout, "This machine is %s: %d types, %d entries reported.\n", node, len(report.Items), entries)
	return nil
}

// simulate reports a made-up fleet, as many nodes at a time as suit the machine.
func (d *demo) simulate(ctx context.Context, nodes int) error {
	fleet := simulate.New(demoSeed, nodes)
	bar := d.progress(nodes)
	began := time.Now()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next, bytes atomic.Int64
	var reporting sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) {
		reporting.Go(func() {
			var body []byte
			for n := int(next.Add(1)) - 1; n < nodes && ctx.Err() == nil; n = int(next.Add(1)) - 1 {
				body = fleet.Report(n, 0).AppendPutInventory(body[:0])
				if _, err := d.client.Do(ctx, "PutInventory", body); err != nil {
					cancel(fmt.Errorf("simulated node %s: %w", fleet.ID(n), err))
				}
				bytes.Add(int64(len(body)))
				_ = bar.Add(1) // a bar that cannot be drawn is no reason to stop
			}
		})
	}
	reporting.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	took := time.Since(began)
	fmt.Fprintf(d.stdout, "%d simulated nodes reported %d MB in %.1f s, each report on disk before it was answered.\n",
		nodes, bytes.Load()>>20, took.Seconds())
	return nil
}

// progress is a bar on a terminal, and nothing elsewhere.
func (d *demo) progress(nodes int) *progressbar.ProgressBar {
	if !terminal(d.stderr) {
		return progressbar.DefaultSilent(int64(nodes))
	}
	return progressbar.NewOptions(nodes, progressbar.OptionSetWriter(d.stderr), progressbar.OptionSetDescription("simulated nodes"),
		progressbar.OptionShowCount(), progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(50*time.Millisecond))
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
