package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"stocktake/internal/durable"
	"stocktake/internal/httpd"
	"stocktake/internal/store"
	"stocktake/internal/store/pebble"
)

// storage is a store as serve needs it: whatever kind it is, it says whether it can write, and what it counts.
type storage interface {
	store.Store
	store.Journal
	// Health gives why requests cannot be served at present, or nil.
	Health() error
	// register adds what the store counts to the metrics.
	register(m *httpd.Metrics) error
	// snapshots is where the servers of the store share a snapshot of the index, nil where no other process can have it.
	snapshots() store.Snapshots
}

// embedded is the store in the data folder.
type embedded struct{ *pebble.Store }

// openEmbedded opens the store of a data folder, and makes both where there is none. From then on no other process has
// it.
func openEmbedded(ctx context.Context, data string, log *slog.Logger) (storage, error) {
	if err := checkOwner(ctx, data); err != nil {
		return nil, err
	}
	if err := durable.MakeFolder(data); err != nil {
		return nil, err
	}
	s, err := pebble.Open(pebble.Options{Dir: filepath.Join(data, storeFolder), Logger: log})
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w\nhint: a file there may be another user's: stocktake doctor --data %s, run by the user of the service or root, names it", err, data)
	}
	if err != nil {
		return nil, err
	}
	return embedded{s}, nil
}

func (embedded) snapshots() store.Snapshots { return nil }

func (e embedded) register(m *httpd.Metrics) error {
	return errors.Join(
		m.Counter("stocktake_store_fsyncs_total", "Files and folders synced to disk by the store.", nil,
			func() float64 { return float64(e.Metrics().Syncs) }),
		m.Counter("stocktake_store_commits_total", "Commits of nodes acknowledged by the store.", nil,
			func() float64 { return float64(e.Metrics().Commits) }),
		m.Counter("stocktake_store_batches_total", "Batches in which the store made its writes durable.", nil,
			func() float64 { return float64(e.Metrics().Batches) }),
		m.Gauge("stocktake_store_disk_bytes", "What the store takes on disk.", nil,
			func() float64 { return float64(e.Metrics().DiskBytes) }),
		m.Gauge("stocktake_store_feed_bytes", "What of that the feed of changes takes, but for the newest.", nil,
			func() float64 { return float64(e.Metrics().FeedBytes) }),
	)
}

// openStorage opens the store a service is to serve: the one in the database, where there is a URL, else the one in the
// data folder.
func openStorage(ctx context.Context, data, databaseURL string, log *slog.Logger) (storage, error) {
	if databaseURL != "" {
		return openDatabase(ctx, databaseURL, log)
	}
	return openEmbedded(ctx, data, log)
}

// openExisting opens a store of either kind, and makes none.
func openExisting(ctx context.Context, where string, log *slog.Logger) (storage, error) {
	if isDatabase(where) {
		return openDatabase(ctx, where, log)
	}
	if _, err := os.Stat(filepath.Join(where, storeFolder)); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no store in %s\nhint: a folder is what serve has as --data; a database begins postgres://", where)
	}
	return openEmbedded(ctx, where, log)
}

// patient is how long what fills a store waits for the disk: nobody else asks, and what is refused is not tried again.
const patient = time.Hour

// openLike opens a store of either kind that is to take over the content of another, and makes it where there is none.
func openLike(ctx context.Context, where string, id store.Identity, log *slog.Logger) (storage, error) {
	if isDatabase(where) {
		if err := migrateLike(ctx, where, id); err != nil {
			return nil, err
		}
		return openDatabase(ctx, where, log)
	}
	if err := checkOwner(ctx, where); err != nil {
		return nil, err
	}
	if err := durable.MakeFolder(where); err != nil {
		return nil, err
	}
	s, err := pebble.Open(pebble.Options{Dir: filepath.Join(where, storeFolder), Identity: &id, StallAfter: patient, Logger: log})
	if err != nil {
		return nil, err
	}
	return embedded{s}, nil
}

// isDatabase tells the URL of a database from a folder.
func isDatabase(where string) bool {
	return strings.HasPrefix(where, "postgres://") || strings.HasPrefix(where, "postgresql://")
}

// plainURL matches the URL of a database as it should be written; its parts but the password and the parameters.
var plainURL = regexp.MustCompile(`^(postgres(?:ql)?://)(?:([^:@/?#]*)(?::[^@/?#]*)?@)?([\w.-]*(?::\d*)?(?:,[\w.-]*(?::\d*)?)*)(/[\w.%-]*)?(?:\?[^@]*)?$`)

// shownStore names a store for people: of a database's URL neither the password nor the parameters, which may hold one.
func shownStore(where string) string {
	if !isDatabase(where) {
		return where
	}
	parts := plainURL.FindStringSubmatch(where)
	if parts == nil {
		return "the database"
	}
	if parts[2] != "" {
		parts[2] += "@"
	}
	return strings.Join(parts[1:], "")
}
