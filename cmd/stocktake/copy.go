package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"stocktake/internal/transfer"
)

type copyCommand struct {
	From       string `required:"" placeholder:"DIR|URL" help:"The store to read: the data folder of an embedded one, or the URL of a database. Nobody may write to it meanwhile."`
	To         string `required:"" placeholder:"DIR|URL" help:"The store to write: an empty folder, or a database without tables of Stocktake; or the target of the same copy, interrupted."`
	VerifyOnly bool   `help:"Copy nothing: compare the two stores."`
	Workers    int    `default:"0" placeholder:"N" help:"Shards carried at a time; 0: one a core, two at least (${default})."`
}

// Help is shown below the usage.
func (copyCommand) Help() string {
	return `    stocktake copy --from ./data --to postgres://stocktake@db.example.org/stocktake

Carries everything between an embedded store and a database, either way: the store's keys, nodes, documents, the feed and
all records, so that clients notice nothing, page tokens included. Afterwards both are read back and compared. Stop every
server of the source first: a source that moved meanwhile is an error. A copy that was interrupted goes on when it is run
again; until it has ended, serve refuses the target. Run it as the user of the service: a folder of another user is refused.

Root credentials are no part of a store: a database's servers get theirs by settings. Passwords of databases are better
in PGPASSWORD or ~/.pgpass than on the command line. Exit codes: 0 both are equal, 1 not, or not known.`
}

// Run copies and compares.
func (c *copyCommand) Run(p *process) (err error) {
	if c.Workers < 0 {
		return &usageError{fmt.Sprintf("workers is %d, not 0 or more", c.Workers), ""}
	}
	log := slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	from, err := openExisting(p.ctx, c.From, log)
	if err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := c.openTarget(p, from, log)
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	told := &copyProgress{process: p}
	options := transfer.Options{Workers: c.Workers, Progress: told.tell}
	started := time.Now()
	work, done := transfer.Copy, "carried"
	if c.VerifyOnly {
		work, done = transfer.Verify, "compared"
	}
	report, err := work(p.ctx, from, to, options)
	told.end()
	if err != nil {
		return copyError(err, c.To)
	}
	if report.Resumed > 0 {
		fmt.Fprintf(p.stdout, "went on after %d shards of an interrupted copy\n", report.Resumed)
	}
	fmt.Fprintf(p.stdout, "%s %d nodes, %d changes and %d records in %d shards in %.1f s; both stores give the same digests\n",
		done, report.Nodes, report.Changes, report.Records, report.Shards, time.Since(started).Seconds())
	if !c.VerifyOnly {
		c.next(p)
	}
	return nil
}

// openTarget opens what is to be written, made like the source where there is nothing yet.
func (c *copyCommand) openTarget(p *process, from storage, log *slog.Logger) (storage, error) {
	if c.VerifyOnly {
		return openExisting(p.ctx, c.To, log)
	}
	return openLike(p.ctx, c.To, from.Identity(), log)
}

// next tells what is to be done after a copy.
func (c *copyCommand) next(p *process) {
	if isDatabase(c.To) {
		fmt.Fprintf(p.stdout, "next: stocktake serve --database-url %s, with the same root credentials on every server\n", shownStore(c.To))
	} else {
		fmt.Fprintf(p.stdout, "next: stocktake serve --data %s\n", c.To)
	}
	if isDatabase(c.From) {
		return
	}
	path := filepath.Join(c.From, rootFile)
	if _, err := os.Stat(path); err == nil {
		fmt.Fprintf(p.stdout, "root credentials are no part of a store: those of the source are in %s\n", path)
	}
}

// copyError adds the next step to an error of a copy.
func copyError(err error, to string) error {
	empty := "remove the folder " + to
	if isDatabase(to) {
		empty = "drop the schema stocktake of the target"
	}
	hint := ""
	switch {
	case errors.Is(err, transfer.ErrMoved):
		hint = "stop every server of the source, " + empty + ", and begin again"
	case errors.Is(err, transfer.ErrNotEmpty), errors.Is(err, transfer.ErrOther):
		hint = "copy into an empty folder, or a database without tables of Stocktake: the copy makes them"
	case errors.Is(err, transfer.ErrUnfinished):
		hint = "end the copy into it first, with the command that began it"
	case errors.Is(err, transfer.ErrDiffers):
		hint = "the source was written to, or one of the two is damaged: " + empty + ", and begin again with every server stopped"
	default:
		return err
	}
	return fmt.Errorf("%w\nhint: %s", err, hint)
}

// copyProgress shows how far a copy is: a bar on a terminal, elsewhere a line now and then.
type copyProgress struct {
	*process
	mu    sync.Mutex
	phase transfer.Phase
	bar   *progressbar.ProgressBar // nil off a terminal
	told  time.Time
}

// progressEvery is how often a line is printed where there is no terminal.
const progressEvery = 5 * time.Second

func (c *copyProgress) tell(p transfer.Progress) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.Phase != c.phase {
		c.begin(p)
	}
	if c.bar != nil {
		c.bar.Describe(fmt.Sprintf("%s, %d nodes", p.Phase, p.Nodes))
		_ = c.bar.Set(p.Shards) // a bar that cannot be drawn is no reason to stop
		return
	}
	if time.Since(c.told) >= progressEvery {
		c.told = time.Now()
		fmt.Fprintf(c.stderr, "%s: %d of %d shards, %d nodes\n", p.Phase, p.Shards, p.Of, p.Nodes)
	}
}

// begin starts a phase.
func (c *copyProgress) begin(p transfer.Progress) {
	c.phase, c.told = p.Phase, time.Time{}
	if !terminal(c.stderr) {
		return
	}
	if c.bar != nil {
		_ = c.bar.Finish()
	}
	c.bar = progressbar.NewOptions(p.Of, progressbar.OptionSetWriter(c.stderr), progressbar.OptionShowCount(),
		progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(50*time.Millisecond))
}

func (c *copyProgress) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bar != nil {
		_ = c.bar.Finish()
	}
}
