package main

import (
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
	"stocktake/internal/backup/bucket"
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
	placeSettings
	To string `required:"" placeholder:"DIR|FILE|s3://BUCKET/KEY" help:"Write this file or object, which must not be there yet, or one named for the time in this folder (s3://BUCKET/FOLDER/); -: standard output."`
}

// Help is shown below the usage.
func (backupCommand) Help() string {
	return `    stocktake backup --data /var/lib/stocktake --to /backup/
    stocktake backup --data /var/lib/stocktake --to s3://backups/stocktake/ --seal-key /etc/stocktake/backup.key
    stocktake backup --data /var/lib/stocktake --to - | ssh backup.example.org 'cat > stocktake.backup'

Writes all of a store, as it is at one moment, into one compressed file with checksums, which restore reads into a store of
any kind. The service may run, and reports go on: for a data folder in use the process that has it makes the backup, asked
through control/socket in that folder, which its owner and root may open. The file has another name until it is whole, on
disk and read back; an object comes to be when all of it was uploaded, as often as that takes, with credentials as every AWS
client finds them. It holds the store's keys and all that the fleet reported: keep it as you keep the store, or seal it
(AES-256-GCM) with a key that you keep elsewhere, as without it nobody opens the backup. Root credentials and certificates are no part of a store: keep those of the data folder too.

Run it as the user of the service (or as root while the service runs). Passwords of databases are better in PGPASSWORD or
~/.pgpass than on the command line. Exit codes: 0 the backup is there and whole, 1 there is none, 2 a setting is wrong.`
}

// Run writes a backup.
func (c *backupCommand) Run(p *process) (err error) {
	where, err := c.where()
	if err != nil {
		return err
	}
	key, err := c.key(p)
	if err != nil {
		return err
	}
	started := time.Now()
	place := c.path(started)
	var object *bucket.Object
	if bucket.IsName(place) {
		if object, err = c.object(p.ctx, place); err != nil {
			return err
		}
	}
	told := &copyProgress{process: p}
	options := transfer.Options{Progress: told.tell}
	write, closeStore, err := c.source(p, where, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	summary, out := backup.Summary{}, p.stdout
	switch {
	case object != nil:
		err = object.Create(p.ctx, func(w io.Writer) (err error) {
			summary, err = backup.Pass(p.ctx, w, key, write, transfer.Options{})
			return err
		})
	case place == "-":
		place, out = "standard output", p.stderr
		summary, err = backup.Pass(p.ctx, p.stdout, key, write, transfer.Options{})
	default:
		summary, err = backup.Save(p.ctx, place, key, write, options)
	}
	told.end()
	if err != nil {
		return backupError(err)
	}
	say(out, summary, place, started)
	return nil
}

// path gives the name of the file or object.
func (c *backupCommand) path(now time.Time) string {
	name := "stocktake-" + now.UTC().Format("20060102T150405Z") + ".backup"
	if bucket.IsName(c.To) {
		if strings.HasSuffix(c.To, "/") {
			return c.To + name
		}
		return c.To
	}
	info, err := os.Stat(c.To)
	if err == nil && info.IsDir() || strings.HasSuffix(c.To, string(filepath.Separator)) {
		return filepath.Join(c.To, name)
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
			if errors.Is(err, io.ErrUnexpectedEOF) { // of the connection, not of the backup
				err = errors.New("the service stopped in the middle of the backup")
			}
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
