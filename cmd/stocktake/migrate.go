package main

import (
	"fmt"

	"stocktake/internal/store/postgres"
)

type migrateCommand struct {
	Config string `help:"Read settings from this YAML file." placeholder:"FILE"`
	databaseSetting
	Shards int `default:"0" placeholder:"N" help:"Shards of a store that is made now, 1 to 1024; 0: 64, or what a store that is there has (${default})."`
}

// Help is shown below the usage.
func (migrateCommand) Help() string {
	return `    stocktake migrate --database-url postgres://stocktake@db.example.org/stocktake

Makes the tables of a store in the schema stocktake of a database, or brings them to the version of this release. Needs an
ordinary role that may create a schema there (the database's owner may), no superuser and no extension; where Citus is an
extension of the database, run it against the coordinator: it distributes the tables over the workers.

May be run any number of times, also by several at once and while servers run: nothing is done twice, and what was
interrupted goes on. Serve never migrates by itself, and refuses tables it does not know.

Upgrading servers without a stop: run migrate of the new release, then replace the servers one after the other. A release
only adds to tables; what the release before still needs is taken away by a later one.

A password is better in PGPASSWORD or ~/.pgpass than in the URL. Exit codes: 0 the tables are of this release, 1 they are
not (try again), 2 a setting is wrong.`
}

// Run makes or updates the tables, and says what it does.
func (c *migrateCommand) Run(p *process) error {
	switch {
	case c.DatabaseURL == "":
		return &usageError{"database_url is not set", "say which database, for example --database-url postgres://stocktake@db.example.org/stocktake"}
	case c.Shards < 0 || c.Shards > 1024:
		return &usageError{fmt.Sprintf("shards is %d, not between 1 and 1024", c.Shards), ""}
	}
	if err := c.checkURL(); err != nil {
		return err
	}
	steps := 0
	err := postgres.Migrate(p.ctx, c.DatabaseURL, postgres.MigrateOptions{Shards: c.Shards, Log: func(format string, args ...any) {
		steps++
		fmt.Fprintf(p.stdout, format+"\n", args...)
	}})
	if err != nil {
		return fmt.Errorf("%s: %w", shownStore(c.DatabaseURL), err)
	}
	if steps == 0 {
		fmt.Fprintf(p.stdout, "nothing to do\n")
	}
	fmt.Fprintf(p.stdout, "%s has the tables of this release\n", shownStore(c.DatabaseURL))
	return nil
}
