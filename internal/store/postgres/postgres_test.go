package postgres_test

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"stocktake/internal/inventory"
	"stocktake/internal/pgcluster"
	"stocktake/internal/pgtest"
	"stocktake/internal/store"
	"stocktake/internal/store/postgres"
	"stocktake/internal/store/storetest"
)

// open opens a store of a test; closing it twice is no harm.
func open(tb testing.TB, url string, patience time.Duration) *postgres.Store {
	tb.Helper()
	s, err := postgres.Open(tb.Context(), postgres.Options{URL: url, Logger: slog.New(slog.DiscardHandler), Patience: patience})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func migrate(tb testing.TB, url string, options postgres.MigrateOptions) {
	tb.Helper()
	if err := postgres.Migrate(tb.Context(), url, options); err != nil {
		tb.Fatal(err)
	}
}

// execute does something to a database that no store does.
func execute(tb testing.TB, url, statement string) {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), url)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(tb.Context(), statement); err != nil {
		tb.Fatal(err)
	}
}

// packages makes an item of AWS:Application of these names.
func packages(names ...string) inventory.Item {
	item := inventory.Item{Type: "AWS:Application", SchemaVersion: "1.1", CaptureTime: "2024-05-01T11:59:58Z", HasContent: true}
	for _, name := range names {
		item.Content = append(item.Content, inventory.Entry{
			{Name: "InstalledTime", Value: "2023-01-02T03:04:05Z"}, {Name: "Name", Value: name},
		})
	}
	return item
}

func report(tb testing.TB, s store.Store, node int, items ...inventory.Item) store.Committed {
	tb.Helper()
	done, err := storetest.NewWriter(s).Report(tb.Context(), storetest.Node(node), storetest.Epoch, items...)
	if err != nil {
		tb.Fatal(err)
	}
	return done
}

func TestVersionsOfOthersAreRefused(t *testing.T) {
	url := pgtest.Database(t)
	refused := func(want string) {
		t.Helper()
		s, err := postgres.Open(t.Context(), postgres.Options{URL: url})
		if err == nil {
			_ = s.Close()
			t.Fatalf("a store was opened; want an error about %q", want)
		}
		if !strings.Contains(err.Error(), want) || errors.Is(err, store.ErrUnavailable) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	refused("stocktake migrate --database-url")
	migrate(t, url, postgres.MigrateOptions{Shards: 2})
	if err := open(t, url, 0).Close(); err != nil {
		t.Fatal(err)
	}
	execute(t, url, `DELETE FROM stocktake.head WHERE shard = 1`)
	refused("1 of its 2 shards")
	migrate(t, url, postgres.MigrateOptions{})
	execute(t, url, `UPDATE stocktake.identity SET tables = 1`)
	refused("stocktake migrate --database-url")
	execute(t, url, `UPDATE stocktake.identity SET version = 1000`)
	refused("newer stocktake")
	execute(t, url, `INSERT INTO stocktake.migration (version_id, is_applied) VALUES (1000, true)`)
	if err := postgres.Migrate(t.Context(), url, postgres.MigrateOptions{}); err == nil || !strings.Contains(err.Error(), "newer stocktake") {
		t.Errorf("migration of tables of a newer program: %v", err)
	}
}

func TestMigrationsMeet(t *testing.T) {
	url := pgtest.Database(t)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if err := postgres.Migrate(t.Context(), url, postgres.MigrateOptions{Shards: 3}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	s := open(t, url, 0)
	id := s.Identity()
	if id.Shards != 3 || id.RootKey == [32]byte{} {
		t.Errorf("identity %+v", id)
	}
	report(t, s, 1, packages("a"))
	migrate(t, url, postgres.MigrateOptions{Identity: &id})
	other := id
	other.TokenKey[0] ^= 1
	if err := postgres.Migrate(t.Context(), url, postgres.MigrateOptions{Identity: &other}); err == nil {
		t.Error("a store took over the identity of another")
	}
	if err := postgres.Migrate(t.Context(), url, postgres.MigrateOptions{Shards: 4}); err == nil {
		t.Error("a store of 3 shards became one of 4")
	}
	if _, err := s.Node(t.Context(), storetest.Node(1)); err != nil || open(t, url, 0).Identity() != id {
		t.Errorf("migrating again changed something: %v", err)
	}
}

// TestWhatNoWaitingMends opens stores that will not be there however long one waits.
func TestWhatNoWaitingMends(t *testing.T) {
	for what, change := range map[string]func(*url.URL){
		"role":     func(u *url.URL) { u.User = url.User("stocktake_nobody") },
		"database": func(u *url.URL) { u.Path = "/stocktake_nowhere" },
		"tables":   func(*url.URL) {},
	} {
		t.Run(what, func(t *testing.T) {
			u, err := url.Parse(pgtest.Database(t))
			if err != nil {
				t.Fatal(err)
			}
			change(u)
			ctx, cancel := context.WithTimeout(t.Context(), soon)
			defer cancel()
			s, err := postgres.Open(ctx, postgres.Options{URL: u.String(), Patience: time.Hour})
			if err == nil {
				_ = s.Close()
				t.Fatal("it opens")
			}
			if errors.Is(err, store.ErrUnavailable) || ctx.Err() != nil {
				t.Errorf("it is waited for: %v", err)
			}
		})
	}
}

func TestPasswordIsNotTold(t *testing.T) {
	for _, url := range []string{
		"postgres://me:s3cret@127.0.0.1:1/x?connect_timeout=1",
		"postgres://me:s3cret@127.0.0.1:port/x",
		"postgres://me:s3cret@127.0.0.1:1/x?sslmode=what",
		"host=127.0.0.1 port=1 password=s3cret sslmode",
	} {
		_, err := postgres.Open(t.Context(), postgres.Options{URL: url, Patience: time.Millisecond})
		again := postgres.Migrate(t.Context(), url, postgres.MigrateOptions{})
		if err == nil || again == nil || strings.Contains(err.Error()+again.Error(), "s3cret") {
			t.Errorf("opening gives %v, migrating %v", err, again)
		}
	}
}

func TestLongNames(t *testing.T) {
	url := pgtest.Database(t)
	migrate(t, url, postgres.MigrateOptions{Shards: 1})
	s := open(t, url, 0)
	if _, err := s.PutRecord(t.Context(), store.Record{Key: strings.Repeat("k", 5000)}); err == nil {
		t.Error("a record whose key no index takes was stored")
	}
	if err := s.SetReader(t.Context(), strings.Repeat("r", 5000), []uint64{1}); err == nil {
		t.Error("a reader whose name no index takes was registered")
	}
	if err := s.RaiseFence(t.Context(), store.Fence{Lease: strings.Repeat("l", 5000), Number: 1}); err == nil {
		t.Error("a fence whose name no index takes was raised")
	}
	// Sub-types of any length and form are documents of their own, and read back whole.
	var items []inventory.Item
	for _, kind := range []string{"", "\xff", "\xff\xff", strings.Repeat("x", 500), strings.Repeat("x", 501), strings.Repeat("y", 4000), "\x00"} {
		item := packages("of " + kind)
		item.Type, item.Context = inventory.TypeComplianceItem, inventory.Entry{{Name: "ComplianceType", Value: kind}}
		items = append(items, item)
	}
	done := report(t, s, 1, items...)
	changes, err := s.Changes(t.Context(), 0, inventory.Position{}, 100)
	if err != nil || len(changes) != len(items) {
		t.Fatalf("%d changes, %v", len(changes), err)
	}
	for i, item := range items {
		if got := changes[i].Document.SubType; got != storetest.KeyOf(item).SubType || done.Changes[i].Document.SubType != got {
			t.Errorf("sub-type %.20q became %.20q", storetest.KeyOf(item).SubType, got)
		}
	}
	nodes, err := s.Read(t.Context(), []inventory.NodeKey{storetest.Node(1)}, []inventory.TypeName{inventory.TypeComplianceItem})
	if err != nil || len(nodes) != 1 || len(nodes[0].Documents) != len(items) {
		t.Fatalf("read gives %d nodes, %v", len(nodes), err)
	}
	for i, doc := range nodes[0].Documents {
		if len(doc.Refs) != 1 {
			t.Errorf("document %.20q has %d entries", nodes[0].Node.Items[i].SubType, len(doc.Refs))
		}
	}
}

func BenchmarkStore(b *testing.B) {
	cluster, err := pgcluster.Start(b.Context(), pgcluster.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := cluster.Close(); err != nil {
			b.Error(err)
		}
	})
	storetest.Benchmarks(b, storetest.Maker{Open: func(tb testing.TB) store.Store {
		url := pgtest.DatabaseOf(tb, cluster)
		migrate(tb, url, postgres.MigrateOptions{})
		return open(tb, url, 0)
	}})
}
