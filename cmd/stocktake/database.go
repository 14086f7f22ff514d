package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"stocktake/internal/httpd"
	"stocktake/internal/store"
	"stocktake/internal/store/postgres"
)

// database is the store in PostgreSQL, which other servers may have open as well.
type database struct{ *postgres.Store }

// openDatabase opens the store at a URL, whose tables are made already. The URL is in no error.
func openDatabase(ctx context.Context, url string, log *slog.Logger) (storage, error) {
	s, err := postgres.Open(ctx, postgres.Options{URL: url, Logger: log})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", shownStore(url), err)
	}
	return database{s}, nil
}

// migrateLike makes the tables at a URL for the content of the store with this identity.
func migrateLike(ctx context.Context, url string, id store.Identity) error {
	err := postgres.Migrate(ctx, url, postgres.MigrateOptions{Identity: &id})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrUnavailable):
		return fmt.Errorf("%s: %w", shownStore(url), err)
	}
	return fmt.Errorf("%s: %w\nhint: a copy makes its tables itself; where stocktake migrate made some and nothing is in them, drop the schema stocktake first", shownStore(url), err)
}

func (d database) snapshots() store.Snapshots { return d.Store }

// register adds what the store counts to the metrics.
func (d database) register(m *httpd.Metrics) error {
	return errors.Join(
		m.Counter("stocktake_store_commits_total", "Commits of nodes acknowledged by the store.", nil,
			func() float64 { return float64(d.Metrics().Commits) }),
		m.Counter("stocktake_store_batches_total", "Batches in which the store made its writes durable.", nil,
			func() float64 { return float64(d.Metrics().Batches) }),
		m.Counter("stocktake_store_retries_total", "What was tried again because the database did not answer or asked for it.", nil,
			func() float64 { return float64(d.Metrics().Retries) }),
		m.Gauge("stocktake_store_connections", "Connections to the database.", nil,
			func() float64 { return float64(d.Metrics().Connections) }),
		m.Gauge("stocktake_store_connections_busy", "Connections to the database in use.", nil,
			func() float64 { return float64(d.Metrics().Busy) }),
	)
}
