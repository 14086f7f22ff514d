package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"syscall"
	"time"

	"stocktake/internal/audit"
	"stocktake/internal/httpd"
	"stocktake/internal/iam"
	"stocktake/internal/replica"
	"stocktake/internal/ssm"
	"stocktake/internal/store"
	"stocktake/internal/transfer"
)

type serveCommand struct{ settings }

// Help is shown below the usage.
func (serveCommand) Help() string {
	return `    stocktake serve --data ./data
    export AWS_SHARED_CREDENTIALS_FILE=./data/root-credentials AWS_ENDPOINT_URL=http://127.0.0.1:7540 AWS_DEFAULT_REGION=us-east-1
    stocktake collect
    aws ssm get-inventory

The log is JSON on standard error. SIGTERM or Ctrl-C: readiness fails, requests finish, the index is written; a second
Ctrl-C ends at once, and loses nothing that was acknowledged.`
}

// Run serves until the process is told to stop.
func (c *serveCommand) Run(p *process) error {
	resolved, err := c.resolve(p.layers)
	if err != nil {
		return err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(resolved.LogLevel)); err != nil {
		return err
	}
	useMemory()
	log := slog.New(slog.NewJSONHandler(p.stderr, &slog.HandlerOptions{Level: level}))
	s := &server{config: resolved, process: p, log: log, metrics: httpd.NewMetrics()}
	return errors.Join(s.run(p.ctx), s.close())
}

// The folders of the data folder.
const (
	storeFolder = "store"
	indexFolder = "index"
	tlsFolder   = "tls"
)

// server is a service with all its rooms. What is opened is closed in the opposite order.
type server struct {
	config  config
	process *process
	log     *slog.Logger

	health  httpd.Health
	metrics *httpd.Metrics
	keys    *iam.Directory
	users   *iam.Identities
	tls     httpd.CertificateSource // nil: plain text
	clients *httpd.ClientAuthorities
	api     net.Listener
	store   storage
	trail   *audit.Trail // nil: there is none
	replica *replica.Replica
	service *ssm.Service
	closers []func() error

	// onReady, where not nil, is called once requests are about to be answered.
	onReady func()
}

// closeTime is how long the last uses of access keys are waited for at a stop.
const closeTime = 5 * time.Second

func (s *server) onClose(f func() error) { s.closers = append(s.closers, f) }

// close closes what was opened, the newest first.
func (s *server) close() error {
	var failed []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		failed = append(failed, s.closers[i]())
	}
	return errors.Join(failed...)
}

// run opens the rooms and serves until ctx is done, also when that is before it is ready.
func (s *server) run(ctx context.Context) error {
	started := time.Now()
	if err := s.open(ctx); err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			s.log.Info("told to stop before it was ready")
			return nil
		}
		return err
	}
	handler, err := s.handler()
	if err != nil {
		return err
	}
	if err := s.register(); err != nil {
		return err
	}
	s.health.Add("start", func(context.Context) error { return nil })
	s.log.Info("ready", "duration", time.Since(started), "version", version())
	server := httpd.Server{
		Name: "api", Handler: handler, Log: s.log,
		BeforeStop: s.health.Stop, LameDuck: time.Duration(s.config.StopDelay), BeforeDrain: s.service.EndPolls,
		MaxConnections: s.config.MaxConnections,
	}
	if s.tls != nil {
		server.TLS = httpd.TLSConfig(s.tls, s.clients)
	}
	if err := s.metrics.Gauge("stocktake_connections", "Connections open to the API.", nil,
		func() float64 { return float64(server.Connections()) }); err != nil {
		return err
	}
	if s.onReady != nil {
		s.onReady()
	}
	return server.Run(ctx, s.api)
}

// open opens the rooms but for the API's. The admin listener is there first: while the store is waited for and the index
// is loaded the process lives, and is not ready.
func (s *server) open(ctx context.Context) error {
	s.unready("the store is being opened")
	if err := s.openAdmin(ctx); err != nil {
		return err
	}
	if err := s.awaiting(ctx, s.openStore); err != nil {
		return err
	}
	s.onClose(s.store.Close)
	if err := s.awaiting(ctx, s.checkStore); err != nil {
		return err
	}
	if !s.config.shared() {
		if err := s.openControl(ctx); err != nil {
			return err
		}
	}
	s.health.Add("store", func(context.Context) error { return s.store.Health() })
	if err := s.openKeys(); err != nil {
		return err
	}
	if err := s.awaiting(ctx, s.checkSecrets); err != nil {
		return err
	}
	if err := s.openAPI(ctx); err != nil {
		return err
	}
	if err := s.awaiting(ctx, s.openTrail); err != nil {
		return err
	}
	s.unready("the index is being loaded")
	return s.awaiting(ctx, s.openService)
}

// unready fails readiness until the start is over, and says why.
func (s *server) unready(why string) {
	s.health.Add("start", func(context.Context) error { return errors.New(why) })
}

// awaiting opens a room, and again for as long as the store does not answer: servers and their database come up in any
// order. An attempt takes as long as the store is patient, so the log has a line every ten seconds or so.
func (s *server) awaiting(ctx context.Context, open func(context.Context) error) error {
	for {
		err := open(ctx)
		if !errors.Is(err, store.ErrUnavailable) {
			return err
		}
		s.log.Warn("the start waits for the database", "error", err)
		s.unready(fmt.Sprintf("the start waits for the database: %v", err))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(awaitEvery):
		}
	}
}

// awaitEvery is the pause between attempts to start. They wait themselves, but for a database that refuses for a moment.
const awaitEvery = time.Second

// url is where the API answers.
func (s *server) url() string {
	if s.tls != nil {
		return "https://" + s.api.Addr().String()
	}
	return "http://" + s.api.Addr().String()
}

// openStore opens the store: a data folder, which from here on no other process has, or a database.
func (s *server) openStore(ctx context.Context) (err error) {
	if !s.config.shared() {
		if err := unfinished(checkRestoring(s.config.Data)); err != nil {
			return err
		}
	}
	s.store, err = openStorage(ctx, s.config.Data, s.config.DatabaseURL, s.log)
	return err
}

// checkStore refuses a store that a copy is still to fill.
func (s *server) checkStore(ctx context.Context) error {
	return unfinished(transfer.Unfinished(ctx, s.store))
}

// unfinished adds the next step to the error of a store that is still to be filled.
func unfinished(err error) error {
	if errors.Is(err, transfer.ErrUnfinished) {
		err = fmt.Errorf("%w\nhint: run the stocktake copy or restore that began it again: it goes on; or begin with an empty store", err)
	}
	return err
}

// openKeys makes the keys known, the root key in the data folder where none is given, and the certificate.
func (s *server) openKeys() (err error) {
	root := s.config.Root
	switch {
	case root.ID == "" && s.config.shared():
		root = newKey() // whose secret nobody learns: the accounts' keys are all there are
	case root.ID == "":
		var path string
		if root, path, err = rootKey(s.config.Data); err != nil {
			return err
		}
		s.say("root credentials", path)
	}
	if s.keys, err = s.config.directory(root); err != nil {
		return err
	}
	if s.users, err = iam.Open(iam.Options{Store: s.store, SecretKey: s.config.SecretKey, Declared: s.keys, Shared: s.config.shared(), Log: s.log}); err != nil {
		return err
	}
	s.onClose(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), closeTime)
		defer cancel()
		s.users.Close(ctx)
		return nil
	})
	return s.openTLS()
}

// checkSecrets refuses a secret_key under which the secrets of the store do not open.
func (s *server) checkSecrets(ctx context.Context) error {
	err := s.users.Examine(ctx)
	if errors.Is(err, iam.ErrSecretKey) {
		err = fmt.Errorf("%w\nhint: set secret_key to what it was when that key was made, the same at every server; it is never stored", err)
	}
	return err
}

// openAPI takes the API's address, so that a taken one is told before the index is loaded.
func (s *server) openAPI(ctx context.Context) (err error) {
	if s.api, err = listen(ctx, "listen", s.config.Listen, s.tls != nil, s.config.InsecureListen); err != nil {
		return err
	}
	s.onClose(func() error {
		_ = s.api.Close() // closed already, unless the start failed
		return nil
	})
	s.say("api", s.url())
	return nil
}

func listen(ctx context.Context, flag, address string, tls, insecure bool) (net.Listener, error) {
	l, err := httpd.Listen(ctx, address, tls, insecure)
	if errors.Is(err, syscall.EADDRINUSE) {
		err = fmt.Errorf("%w\nhint: is it served already? Or choose another address with --%s; port 0 takes a free one", err, flag)
	}
	return l, err
}

// openAdmin serves health and metrics until everything else is closed: at a stop readiness has to be seen failing.
func (s *server) openAdmin(ctx context.Context) error {
	if s.config.AdminListen == "" {
		s.say("admin", "off")
		return nil
	}
	l, err := listen(ctx, "admin-listen", s.config.AdminListen, false, true)
	if err != nil {
		return err
	}
	server := httpd.Server{Name: "admin", Handler: httpd.AdminHandler(&s.health, s.metrics), Log: s.log, MaxConnections: 256}
	running, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(running, l) }()
	s.onClose(func() error {
		stop()
		return <-ended
	})
	s.say("admin", "http://"+l.Addr().String())
	return nil
}

// followEvery is how often a server reads the heads of a store it shares while nobody asks: often enough that a question
// finds little left to read, seldom enough that an idle server costs the database nothing to speak of.
const followEvery = 50 * time.Millisecond

// openService loads the index and starts the rules over it. What fails leaves nothing open.
func (s *server) openService(ctx context.Context) error {
	limits := s.config.limits()
	every := time.Duration(s.config.SnapshotInterval)
	if every == 0 {
		every = -1 // at the stop alone; the replica's zero is its own choice
	}
	options := replica.Options{Dir: s.config.indexDir(), Every: every, Limits: limits, Logger: s.log}
	if options.Shared = s.store.snapshots(); options.Shared != nil {
		options.Follow = followEvery
	}
	index, err := replica.Open(ctx, s.store, options)
	if err != nil {
		return err
	}
	service, err := ssm.New(s.store, index, ssm.Config{
		Limits: limits, Extensions: s.config.Extensions, StrictEnrollment: s.config.Enrollment == "strict",
		RefuseUnknownAttributes: s.config.UnknownAttributes == "refuse", FeedAge: time.Duration(s.config.FeedAge),
		ConnectionLostAfter: time.Duration(s.config.ConnectionLostAfter), ScheduleFloor: time.Duration(s.config.ScheduleFloor),
		RoleTokenTTL: time.Duration(s.config.RoleTokenTTL), KeyRotation: time.Duration(s.config.KeyRotation),
		Exclusive: options.Shared == nil, Upkeep: s.pruneTrail, Logger: s.log,
	})
	if err != nil {
		return errors.Join(err, index.Close())
	}
	if err := service.Start(ctx); err != nil {
		service.Stop()
		return errors.Join(err, index.Close())
	}
	s.replica, s.service = index, service
	s.onClose(index.Close)
	s.onClose(func() error {
		service.Stop()
		return nil
	})
	return nil
}

// say prints a line for people, and for programs that start the service: a name, a colon and a value.
func (s *server) say(name, value string) { fmt.Fprintf(s.process.stdout, "%s: %s\n", name, value) }
