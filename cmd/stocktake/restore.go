package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"stocktake/internal/backup"
	"stocktake/internal/durable"
	"stocktake/internal/store"
	"stocktake/internal/transfer"
)

type restoreCommand struct {
	storeSettings
	placeSettings
	From string `required:"" placeholder:"FILE|s3://BUCKET/KEY" help:"The backup to read."`
}

// Help is shown below the usage.
func (restoreCommand) Help() string {
	return `    stocktake restore --from /backup/stocktake-20260102T030405Z.backup --data /var/lib/stocktake
    stocktake restore --from s3://backups/stocktake/stocktake-20260102T030405Z.backup --seal-key backup.key --data /srv/restored

Fills an empty store with what is in a backup: a folder without one, or a database without tables of Stocktake, whichever of
the two the backup was made of. The whole file is checked before anything is written, and what was written is read back
and compared. A restore that was interrupted goes on when it is run again with the same file; until it has ended, serve
refuses the store. What the store holds already is never touched. Run it as the user of the service, in whose folder the
store is to be.

Root credentials are no part of a store: put the old root-credentials file into the data folder before the first start, or
a new one is made. Exit codes: 0 the store is as it was backed up, 1 it is not, 2 a setting is wrong.`
}

// Run restores a backup.
func (c *restoreCommand) Run(p *process) (err error) {
	where, err := c.where()
	if err != nil {
		return err
	}
	f, err := c.open(p, c.From)
	if err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	told := &copyProgress{process: p}
	started := time.Now()
	var target storage
	summary, err := backup.Restore(p.ctx, f, func(h backup.Header) (store.Store, error) {
		if err := announce(p.ctx, where); err != nil {
			return nil, err
		}
		target, err = openLike(p.ctx, where, h.Identity, quiet(p))
		return target, err
	}, transfer.Options{Progress: told.tell})
	if errors.Is(err, transfer.ErrNotEmpty) && checkRestoring(where) != nil {
		// A restore ended, and was killed before it could say so.
		if _, err = f.Seek(0, io.SeekStart); err == nil {
			summary, err = backup.Compare(p.ctx, f, target, transfer.Options{Progress: told.tell})
		}
	}
	if target != nil {
		err = errors.Join(err, target.Close())
	}
	if err == nil {
		err = withdraw(where)
	}
	told.end()
	if err != nil {
		return restoreError(err, c.From, where)
	}
	fmt.Fprintf(p.stdout, "restored %d nodes, %d changes and %d records of %s in %.1f s; the store gives the digests of the backup\n",
		summary.Nodes, summary.Changes, summary.Records, summary.Created.Format(time.RFC3339), time.Since(started).Seconds())
	if isDatabase(where) {
		fmt.Fprintf(p.stdout, "next: stocktake serve --database-url %s, with the same root credentials on every server\n", shownStore(where))
		return nil
	}
	fmt.Fprintf(p.stdout, "next: stocktake serve --data %s, with the old %s in it: a new one is made otherwise\n", where, rootFile)
	return nil
}

// restoringFile stands in a data folder from before a restore makes the store there until the restore has ended: a store
// that was made and is not marked yet looks like one that nobody has reported to.
const restoringFile = "restoring"

// announce puts the file into a data folder that has no store.
func announce(ctx context.Context, where string) error {
	if isDatabase(where) {
		return nil
	}
	if err := checkOwner(ctx, where); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(where, storeFolder)); !errors.Is(err, fs.ErrNotExist) {
		return err // nil where there is one: whatever it is, it is known by itself
	}
	if err := durable.MakeFolder(where); err != nil {
		return err
	}
	return durable.ReplaceBytes(filepath.Join(where, restoringFile), 0o600, nil)
}

// withdraw takes it away.
func withdraw(where string) error {
	if isDatabase(where) {
		return nil
	}
	return durable.Remove(filepath.Join(where, restoringFile))
}

// checkRestoring refuses a data folder whose store was not made whole.
func checkRestoring(where string) error {
	if isDatabase(where) {
		return nil
	}
	switch _, err := os.Stat(filepath.Join(where, restoringFile)); {
	case err == nil:
		return fmt.Errorf("%w: a restore was begun in it", transfer.ErrUnfinished)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return nil
}

// restoreError adds the next step to an error of a restore.
func restoreError(err error, from, where string) error {
	empty := "remove the folder " + where
	if isDatabase(where) {
		empty = "drop the schema stocktake of the database"
	}
	hint := ""
	switch {
	case errors.Is(err, backup.ErrDamaged):
		return fmt.Errorf("%s: %w\nhint: nothing was written; take another backup, or another copy of this one", from, err)
	case errors.Is(err, backup.ErrNoBackup), errors.Is(err, backup.ErrSealed), errors.Is(err, backup.ErrNotSealed), errors.Is(err, backup.ErrSealKey):
		return fmt.Errorf("%s: %w", from, sealError(err))
	case errors.Is(err, transfer.ErrNotEmpty), errors.Is(err, transfer.ErrOther):
		hint = "restore into an empty folder, or a database without tables of Stocktake; what is there stays as it is"
	case errors.Is(err, transfer.ErrMoved):
		hint = "end the restore that was begun, with its own file; or " + empty + ", and begin again"
	case errors.Is(err, transfer.ErrDiffers):
		hint = "the disk or database did not keep what it was given: " + empty + ", and begin again elsewhere"
	case errors.Is(err, store.ErrInUse):
		hint = "a service runs over that folder: restore beside it"
	default:
		return err
	}
	return fmt.Errorf("%s: %w\nhint: %s", shownStore(where), err, hint)
}
