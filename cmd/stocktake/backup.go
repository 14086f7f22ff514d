package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"stocktake/internal/backup"
	"stocktake/internal/store"
	"stocktake/internal/transfer"
)

// storeSettings name the store a command works on, as serve's own settings do.
type storeSettings struct {
	Config string `help:"Read settings from this YAML file." placeholder:"FILE"`
	Data   string `group:"service" placeholder:"DIR" help:"The data folder of an embedded store."`
	databaseSetting
}

// where gives the store's folder or URL. As with serve, the store is in the database where there is a URL.
func (s *storeSettings) where() (string, error) {
	if err := s.checkURL(); err != nil {
		return "", err
	}
	switch {
	case s.DatabaseURL != "":
		return s.DatabaseURL, nil
	case s.Data != "":
		return s.Data, nil
	}
	return "", &usageError{"neither data nor database_url is set", "name the store as serve does: --data DIR, --database-url URL, or --config FILE"}
}

type backupCommand struct {
	storeSettings
	To string `required:"" placeholder:"DIR|FILE" help:"Write this file, which must not be there yet, or one named for the time in this folder; -: standard output."`
}

// Help is shown below the usage.
func (backupCommand) Help() string {
	return `    stocktake backup --data /var/lib/stocktake --to /backup/
    stocktake backup --data /var/lib/stocktake --to - | ssh backup.example.org 'cat > stocktake.backup'

Writes all of a store, as it is at one moment, into one compressed file with checksums, which restore reads into a store of
any kind. The service may run, and reports go on: for a data folder in use the process that has it makes the backup, asked
through control/socket in that folder, which its owner and root may open. The file has another name until it is whole, on
disk and read back. It holds the store's keys and all that the fleet reported: keep it as you keep the store. Root
credentials and certificates are no part of a store: keep those of the data folder too.

Run it as the user of the service (or as root while the service runs). Passwords of databases are better in PGPASSWORD or
~/.pgpass than on the command line. Exit codes: 0 the backup is there and whole, 1 there is none, 2 a setting is wrong.`
}

// Run writes a backup.
func (c *backupCommand) Run(p *process) (err error) {
	where, err := c.where()
	if err != nil {
		return err
	}
	told := &copyProgress{process: p}
	options := transfer.Options{Progress: told.tell}
	write, closeStore, err := c.source(p, where, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	started := time.Now()
	if c.To == "-" {
		summary, err := passOn(p.ctx, write, p.stdout)
		told.end()
		if err == nil {
			say(p.stderr, summary, "standard output", started)
		}
		return backupError(err)
	}
	path := c.path(started)
	summary, err := backup.Save(p.ctx, path, write, options)
	told.end()
	if err != nil {
		return backupError(err)
	}
	say(p.stdout, summary, path, started)
	return nil
}

// path gives the name of the file.
func (c *backupCommand) path(now time.Time) string {
	info, err := os.Stat(c.To)
	if err == nil && info.IsDir() || strings.HasSuffix(c.To, string(filepath.Separator)) {
		return filepath.Join(c.To, "stocktake-"+now.UTC().Format("20060102T150405Z")+".backup")
	}
	return c.To
}

// source opens the store, and gives what writes a backup of it: of a data folder in use, what its process sends.
func (c *backupCommand) source(p *process, where string, o transfer.Options) (write func(io.Writer) error, closeStore func() error, err error) {
	s, err := openExisting(p.ctx, where, quiet(p))
	if errors.Is(err, store.ErrInUse) {
		r, err := askControl(p.ctx, where, "/backup")
		if err != nil {
			return nil, nil, err
		}
		return func(w io.Writer) error {
			_, err := io.Copy(w, r)
			return err
		}, r.Close, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if err := errors.Join(transfer.Unfinished(p.ctx, s), checkRestoring(where)); err != nil {
		return nil, nil, errors.Join(copyError(err, where), s.Close())
	}
	return func(w io.Writer) error { return writeBackup(p.ctx, s, w, o) }, s.Close, nil
}

// quiet is the log of a command that opens a store.
func quiet(p *process) *slog.Logger {
	return slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// writeBackup writes a backup of an open store as it is now.
func writeBackup(ctx context.Context, s store.Store, w io.Writer, o transfer.Options) (err error) {
	v, err := s.View(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	_, err = backup.Write(ctx, v, w, backup.Header{Created: time.Now().UTC(), Program: version()}, o)
	return err
}

// passOn writes a backup to a stream, and checks what passes by.
func passOn(ctx context.Context, write func(io.Writer) error, to io.Writer) (backup.Summary, error) {
	r, w := io.Pipe()
	go func() {
		buffered := bufio.NewWriterSize(w, 1<<16)
		err := write(buffered)
		if err == nil {
			err = buffered.Flush()
		}
		_ = w.CloseWithError(err) // gives no error
	}()
	summary, err := backup.Check(ctx, io.TeeReader(r, to), transfer.Options{})
	_ = r.CloseWithError(err) // gives no error
	return summary, err
}

func say(to io.Writer, s backup.Summary, where string, started time.Time) {
	fmt.Fprintf(to, "backed up %d nodes, %d changes and %d records of %s to %s: %s in %.1f s, read back whole\n",
		s.Nodes, s.Changes, s.Records, s.Created.Format(time.RFC3339), where, megabytes(s.Bytes), time.Since(started).Seconds())
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// backupError adds the next step to an error of a backup.
func backupError(err error) error {
	switch {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%w\nhint: a backup is never written over: choose another name, or give a folder", err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("%w\nhint: make room, or choose another place; no file was left behind", err)
	case errors.Is(err, backup.ErrDamaged):
		return fmt.Errorf("%w\nhint: the disk, or memory, of this machine is not sound", err)
	}
	return err
}
