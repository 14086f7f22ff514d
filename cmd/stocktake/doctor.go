package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"time"

	"stocktake/internal/httpd"
	"stocktake/internal/iam"
	"stocktake/internal/store"
	"stocktake/internal/transfer"
)

type doctorCommand struct{ settings }

// Help is shown below the usage.
func (doctorCommand) Help() string {
	return `    stocktake doctor --config /etc/stocktake/stocktake.yaml

Looks at all that the service needs of its settings, this machine and its database, and changes nothing: settings, folders
and who may read them, room on the disk, the clock, limits, certificates, addresses, the database and whether it keeps what
it acknowledges. Give it the settings of serve, and run it as the user of the service, whether the service runs or not.

A line each: ok, warn or fail, and the next step. Exit codes: 0 nothing failed, 1 something did, 2 a setting is wrong.`
}

// Run examines, and prints what it finds.
func (c *doctorCommand) Run(p *process) error {
	d := &doctor{out: p.stdout}
	d.ok("version", "stocktake %s, %s, %s/%s", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	resolved, err := c.resolve(p.layers)
	if err != nil {
		return err
	}
	d.config = resolved
	ctx, cancel := context.WithTimeout(p.ctx, time.Minute)
	defer cancel()
	d.settings()
	d.machine()
	if d.config.Data != "" {
		d.folder()
	}
	d.certificates(time.Now())
	d.addresses(ctx)
	if d.config.shared() {
		d.database(ctx)
	}
	switch {
	case d.failed > 0:
		return fmt.Errorf("%d checks failed, %d more want a look", d.failed, d.warned)
	case d.warned > 0:
		fmt.Fprintf(p.stdout, "nothing failed, %d want a look\n", d.warned)
	default:
		fmt.Fprintln(p.stdout, "all is well")
	}
	return nil
}

// doctor examines one thing after another.
type doctor struct {
	config         config
	out            io.Writer
	warned, failed int
	// served: a service runs over the data folder.
	served bool
}

func (d *doctor) line(verdict, subject, text string) {
	text, hints, _ := strings.Cut(text, "\nhint: ")
	fmt.Fprintf(d.out, "%-4s  %s: %s\n", verdict, subject, text)
	for hint := range strings.SplitSeq(hints, "\nhint: ") {
		if hint != "" {
			fmt.Fprintf(d.out, "      next: %s\n", hint)
		}
	}
}

func (d *doctor) ok(subject, format string, args ...any) {
	d.line("ok", subject, fmt.Sprintf(format, args...))
}

// warn tells of what may be wanted so; next is what to do where it is not.
func (d *doctor) warn(subject, next, format string, args ...any) {
	d.warned++
	d.line("warn", subject, fmt.Sprintf(format, args...)+"\nhint: "+next)
}

// fail tells of what keeps the service from starting, or from keeping its promises.
func (d *doctor) fail(subject, next, format string, args ...any) {
	d.failed++
	d.line("fail", subject, fmt.Sprintf(format, args...)+"\nhint: "+next)
}

// settings looks at those that are legal, and may not be meant.
func (d *doctor) settings() {
	c := &d.config
	before := d.warned
	if !c.encrypted() && !httpd.IsLoopback(c.Listen) {
		d.warn("settings", "--tls-self-signed, or a certificate; or be sure that something else protects the connection",
			"the API answers other machines at %s in the clear (insecure_listen)", c.Listen)
	}
	if c.TLSSelfSigned && len(c.TLSNames) == 0 && !httpd.IsLoopback(c.Listen) {
		d.warn("settings", "--tls-names, with each name and address that clients call the service by",
			"the certificate will be for this machine's own name alone: clients that use another refuse it")
	}
	if c.AdminListen != "" && !httpd.IsLoopback(c.AdminListen) {
		d.warn("settings", "let nobody but your monitoring reach it", "health and metrics answer other machines at %s, without a password", c.AdminListen)
	}
	if c.Retention != 0 && c.FeedAge > c.Retention {
		d.warn("settings", "a smaller feed_age takes less disk", "the feed keeps changes for %v, longer than content is kept (%v)", c.FeedAge, c.Retention)
	}
	if before == d.warned {
		d.ok("settings", "they go together")
	}
}

// addresses tries to take those the service will listen on.
func (d *doctor) addresses(ctx context.Context) {
	for _, a := range []struct{ flag, address string }{{"listen", d.config.Listen}, {"admin-listen", d.config.AdminListen}} {
		if a.address == "" {
			continue
		}
		l, err := listen(ctx, a.flag, a.address, false, true)
		switch {
		case err == nil:
			_ = l.Close() // nobody was told of it
			d.ok(a.flag, "%s is free", a.address)
		case addressInUse(err) && d.served:
			d.ok(a.flag, "%s is taken, by the service of this folder it seems", a.address)
		default:
			text, next, _ := strings.Cut(err.Error(), "\nhint: ")
			if next == "" {
				next = "choose another address with --" + a.flag
			}
			d.fail(a.flag, next, "%s", text)
		}
	}
}

// database looks at the database server and its settings.
func (d *doctor) database(ctx context.Context) {
	where := shownStore(d.config.DatabaseURL)
	s, err := openDatabase(ctx, d.config.DatabaseURL, slog.New(slog.DiscardHandler))
	if err != nil {
		text, next, _ := strings.Cut(err.Error(), "\nhint: ")
		if next == "" {
			next = "look at the database, the network to it, and its URL; tables are made by stocktake migrate"
		}
		d.fail("database", next, "%s", text)
		return
	}
	defer func() {
		if err := s.Close(); err != nil {
			d.fail("database", "look at the database's log", "%v", err)
		}
	}()
	server, err := s.(database).Examine(ctx)
	if err != nil {
		d.fail("database", "look at the database's log", "%v", err)
		return
	}
	d.ok("database", "%s answers, PostgreSQL %s, and has the tables of this release", where, server.Version)
	d.judge(server)
	if err := transfer.Unfinished(ctx, s); err != nil {
		d.fail("database", "run the stocktake copy or restore that began it again", "%v", err)
		return
	}
	d.secrets(ctx, s)
}

// secrets tries whether the secrets of users' keys open. Of a folder the service tries it at its start: it has it to itself.
func (d *doctor) secrets(ctx context.Context, s store.Store) {
	users, err := iam.Open(iam.Options{Store: s, SecretKey: d.config.SecretKey, Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		err = users.Examine(ctx)
	}
	switch {
	case errors.Is(err, iam.ErrSecretKey):
		d.fail("secret_key", "set secret_key to what it was when that key was made, the same at every server", "%v", err)
	case err != nil:
		d.fail("database", "look at the database's log", "%v", err)
	default:
		d.ok("secret_key", "the secrets of users' access keys open")
	}
}
