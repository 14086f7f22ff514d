package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"stocktake/internal/backup"
	"stocktake/internal/index"
	"stocktake/internal/replica"
	"stocktake/internal/store"
	"stocktake/internal/transfer"
	"stocktake/internal/verify"
)

type verifyCommand struct {
	storeSettings
	placeSettings
	Backup string `placeholder:"FILE|s3://BUCKET/KEY" help:"Look over this backup instead of a store."`
}

// Help is shown below the usage.
func (verifyCommand) Help() string {
	return `    stocktake verify --data /var/lib/stocktake
    stocktake verify --backup /backup/stocktake-20260102T030405Z.backup

Reads all there is at one moment and says exactly what does not fit together: shapes against their names, documents made
anew from the feed against those stored, sequences, heads, revisions and counts; the files of a store in a data folder
against their checksums; of a store that is not served its snapshot
of the index against the documents, both ways; of a backup every checksum. A store that is served goes on meanwhile: of a
data folder in use the process that has it looks. Nothing is mended, and nothing that is stored is written. Run it as the user
of the service (or as root while the service runs).

Exit codes: 0 all fits together, 1 something does not, or cannot be read, 2 a setting is wrong.`
}

// Run looks a store or a backup over.
func (c *verifyCommand) Run(p *process) error {
	told := &copyProgress{process: p}
	started := time.Now()
	report, err := c.look(p, verify.Options{Progress: told.tell})
	told.end()
	if err != nil {
		return err
	}
	for _, f := range report.Findings {
		fmt.Fprintf(p.stdout, "%s\n", f)
	}
	if report.More > 0 {
		fmt.Fprintf(p.stdout, "and %d more\n", report.More)
	}
	fmt.Fprintf(p.stdout, "looked at %d nodes, %d documents (%d made anew from the feed), %d entries, %d shapes, %d changes, %d records, %d lines of the journal and %d postings in %.1f s\n",
		report.Nodes, report.Documents, report.Recomputed, report.Entries, report.Shapes, report.Changes, report.Records, report.Lines, report.Postings, time.Since(started).Seconds())
	if n := len(report.Findings) + report.More; n > 0 {
		return fmt.Errorf("%d things do not fit together\nhint: keep what there is, and restore the newest backup that verifies into an empty place", n)
	}
	fmt.Fprintln(p.stdout, "all fits together")
	return nil
}

func (c *verifyCommand) look(p *process, o verify.Options) (verify.Report, error) {
	if c.Backup != "" {
		return c.lookAtBackup(p, o)
	}
	where, err := c.where()
	if err != nil {
		return verify.Report{}, err
	}
	s, err := openExisting(p.ctx, where, quiet(p))
	if errors.Is(err, store.ErrInUse) {
		return askVerify(p.ctx, where)
	}
	if err != nil {
		return verify.Report{}, err
	}
	report, err := c.lookAt(p, s, where, o)
	return report, errors.Join(err, s.Close())
}

// lookAt verifies a store that this process has.
func (c *verifyCommand) lookAt(p *process, s storage, where string, o verify.Options) (report verify.Report, err error) {
	if err := errors.Join(transfer.Unfinished(p.ctx, s), checkRestoring(where)); err != nil {
		return report, copyError(err, where)
	}
	v, err := s.View(p.ctx)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	kept := replica.Options{Dir: filepath.Join(where, indexFolder)}
	if isDatabase(where) {
		kept = replica.Options{Shared: s.snapshots()}
	}
	damaged := ""
	o.Index, err = replica.Recover(p.ctx, v, kept)
	switch {
	case errors.Is(err, index.ErrSnapshot):
		damaged = fmt.Sprintf("%v: without it the next start takes longer, no more", err)
	case errors.Is(err, replica.ErrNoSnapshot), errors.Is(err, store.ErrCorrupt), errors.Is(err, store.ErrNotFound):
		fmt.Fprintf(p.stderr, "the index is not compared: %v\n", err) // what is damaged of the store is found below
	case err != nil:
		return report, err
	}
	if report, err = verify.Store(p.ctx, v, o); err == nil {
		err = checkTables(p.ctx, s, &report)
	}
	if damaged != "" {
		report.Findings = append(report.Findings, damaged)
	}
	return report, err
}

func (c *verifyCommand) lookAtBackup(p *process, o verify.Options) (report verify.Report, err error) {
	f, err := c.open(p, c.Backup)
	if err != nil {
		return report, fmt.Errorf("--backup: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var checker *verify.Checker
	_, err = backup.Read(p.ctx, bufio.NewReaderSize(f, 1<<20), transfer.Options{Progress: o.Progress}, func(h backup.Header) (backup.Sink, error) {
		checker = verify.New(h.Identity, o)
		return backup.Sink{Loader: checker, Ended: func(_ context.Context, shard int, _ transfer.Sum) error {
			checker.End(shard, nil)
			return nil
		}}, nil
	})
	if err != nil {
		return report, fmt.Errorf("%s: %w", c.Backup, sealError(err))
	}
	return checker.Finish(), nil
}

// checkTables adds what is damaged on disk, of a store that has its files itself.
func checkTables(ctx context.Context, s store.Store, report *verify.Report) error {
	own, ok := s.(interface {
		CheckTables(ctx context.Context) ([]string, error)
	})
	if !ok {
		return nil
	}
	findings, err := own.CheckTables(ctx)
	report.Findings = append(report.Findings, findings...)
	return err
}

// askVerify has the process that has a data folder look it over.
func askVerify(ctx context.Context, data string) (report verify.Report, err error) {
	r, err := askControl(ctx, data, "/verify")
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	text, err := io.ReadAll(r)
	if err == nil {
		err = json.Unmarshal(text, &report)
	}
	return report, err
}

// verifyHere looks the service's own store over. The index is not held against it: it goes on.
func verifyHere(ctx context.Context, s store.Store, w io.Writer) (err error) {
	v, err := s.View(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	report, err := verify.Store(ctx, v, verify.Options{})
	if err == nil {
		err = checkTables(ctx, s, &report)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(report)
}
