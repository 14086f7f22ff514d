package baseline

import (
	"context"
	"fmt"
	"net/url"

	"github.com/jackc/pgx/v5"
)

// CreateDatabase makes an empty database beside the one of the URL and gives its URL. The name must be one that SQL takes
// without quotes; a database of this name is an error.
func CreateDatabase(ctx context.Context, beside, name string) (string, error) {
	u, err := url.Parse(beside)
	if err != nil {
		return "", fmt.Errorf("database URL: %w", err)
	}
	if err := Execute(ctx, beside, "CREATE DATABASE "+name); err != nil {
		return "", err
	}
	u.Path = "/" + name
	return u.String(), nil
}

// DropDatabase removes a database made by CreateDatabase, whoever is connected.
func DropDatabase(ctx context.Context, beside, name string) error {
	return Execute(ctx, beside, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
}

// Create makes the table of the baseline in an empty database.
func Create(ctx context.Context, url string) error { return Execute(ctx, url, tables) }

// Settle does what a database does by itself in quieter times: it clears away old rows, gathers what plans are made by,
// and writes everything to disk.
func Settle(ctx context.Context, url string) error {
	return Execute(ctx, url, "VACUUM ANALYZE", "CHECKPOINT")
}

// Execute runs statements on a database, one after the other.
func Execute(ctx context.Context, url string, statements ...string) error {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is left to be said
	for _, statement := range statements {
		if _, err := c.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// Bytes gives what the tables of a database take, their indexes and long values included.
func Bytes(ctx context.Context, url string) (n int64, err error) {
	return number(ctx, url, `SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'`)
}

// Backend gives the process id of a database's server process for the connection that asks. It is ended when this
// returns; its parent is the server.
func Backend(ctx context.Context, url string, look func(pid int)) error {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is left to be said
	look(int(c.PgConn().PID()))
	return nil
}

func number(ctx context.Context, url, query string) (n int64, err error) {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return 0, err
	}
	defer c.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is left to be said
	err = c.QueryRow(ctx, query).Scan(&n)
	return n, err
}
