package postgres_test

import (
	"compress/gzip"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"stocktake/internal/pgtest"
	"stocktake/internal/store"
	"stocktake/internal/store/postgres"
	"stocktake/internal/store/storetest"
)

var every = flag.Bool("every", false, "cut a migration off at every single message instead of at a sample of them")

// olderTables puts the tables of the release before, and a store in them, in the place of whatever there is.
func olderTables(t *testing.T, url string) {
	t.Helper()
	f, err := os.Open("../testdata/upgrade/c84b02d.sql.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	plain, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	statements, err := io.ReadAll(plain)
	if err != nil {
		t.Fatal(err)
	}
	execute(t, url, `DROP SCHEMA IF EXISTS stocktake CASCADE`)
	execute(t, url, string(statements))
}

// asOlder reads a store's identity as the release before does, which must go on being able to.
func asOlder(t *testing.T, url string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	var version, shards, heads int
	err = conn.QueryRow(t.Context(), `SELECT version, shards, (SELECT count(*) FROM stocktake.head) FROM stocktake.identity WHERE shard = 0`).Scan(&version, &shards, &heads)
	if err != nil || version > 1 || heads != shards {
		t.Errorf("the release before finds version %d, %d shards and %d heads (%v)", version, shards, heads, err)
	}
}

// upgraded opens a store and checks that it holds what the older one did, and has a journal.
func upgraded(t *testing.T, url, what string) {
	t.Helper()
	s := open(t, url, 0)
	defer func() { _ = s.Close() }() // once more when the test ends, with its error
	nodes := 0
	for shard := range s.Identity().Shards {
		scanned, err := storetest.ScanAll(t.Context(), s, shard, 10)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		nodes += len(scanned)
	}
	records, err := s.ListRecords(t.Context(), "", "", 100)
	if err != nil || nodes != 5 || len(records) < 3 {
		t.Errorf("%s: the store has %d nodes and %d records (%v)", what, nodes, len(records), err)
	}
	for chain := range store.JournalChains {
		if err := s.AppendJournal(t.Context(), chain, 0, [][]byte{[]byte("first")}, nil); err != nil {
			t.Errorf("%s: first line of chain %d: %v", what, chain, err)
		}
	}
}

func TestOlderTablesAreUpgraded(t *testing.T) {
	url := pgtest.Database(t)
	olderTables(t, url)
	if s, err := postgres.Open(t.Context(), postgres.Options{URL: url}); err == nil {
		_ = s.Close()
		t.Fatal("tables of the release before were opened")
	} else if !strings.Contains(err.Error(), "of version 1") || !strings.Contains(err.Error(), "stocktake migrate --database-url") {
		t.Errorf("tables of the release before: %v", err)
	}
	for range 2 {
		migrate(t, url, postgres.MigrateOptions{})
		asOlder(t, url)
	}
	upgraded(t, url, "migrated")
	asOlder(t, url)
}

// cutter is a network before a database that ends with the n-th message of clients, all connections together: before it
// gets through, or before its answer does.
type cutter struct {
	listener net.Listener
	to       string
	through  bool
	at, seen atomic.Int64

	mu    sync.Mutex
	conns []net.Conn
	work  sync.WaitGroup
}

func startCutter(t *testing.T, address string, at int64, through bool) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: l, to: address, through: through}
	c.at.Store(at)
	c.work.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			c.serve(from)
		}
	})
	return c
}

func (c *cutter) close() {
	_ = c.listener.Close() // whatever is left of it
	c.cut()
	c.work.Wait()
}

func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close() // may be closed already
	}
	c.conns = nil
}

func (c *cutter) serve(from net.Conn) {
	to, err := net.Dial("tcp", c.to)
	if err != nil {
		_ = from.Close()
		return
	}
	c.mu.Lock()
	c.conns = append(c.conns, from, to)
	c.mu.Unlock()
	c.work.Go(func() {
		_, _ = io.Copy(from, to) // until one of them ends
		_ = from.Close()
	})
	c.work.Go(func() {
		defer to.Close()
		message := make([]byte, 1<<20)
		for {
			n, err := from.Read(message)
			if err != nil {
				return
			}
			seen := c.seen.Add(1)
			last := c.at.Load() != 0 && seen >= c.at.Load()
			if last && seen == c.at.Load() && c.through {
				_, _ = to.Write(message[:n])
			}
			if last {
				c.cut()
				return
			}
			if _, err := to.Write(message[:n]); err != nil {
				return
			}
		}
	})
}

// migrateThrough migrates behind a network that is cut at the n-th message (0: never), and gives how many there were.
func migrateThrough(t *testing.T, database string, at int64, through bool) (int64, error) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	c := startCutter(t, u.Host, at, through)
	defer c.close()
	u.Host = c.listener.Addr().String()
	err = postgres.Migrate(t.Context(), u.String(), postgres.MigrateOptions{})
	return c.seen.Load(), err
}

// TestMigrationCutOffAnywhere cuts the connections of a migration at each of its messages, with the statement done or not:
// the release before goes on, and migrating again ends it.
func TestMigrationCutOffAnywhere(t *testing.T) {
	url := pgtest.Database(t)
	olderTables(t, url)
	n, err := migrateThrough(t, url, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	chance := rand.New(rand.NewPCG(seed, 0))
	tried := 0
	for at := int64(1); at <= n; at++ {
		for _, through := range []bool{false, true} {
			if !*every && chance.IntN(12) != 0 {
				continue
			}
			tried++
			what := fmt.Sprintf("seed %d, message %d of %d, done %v", seed, at, n, through)
			olderTables(t, url)
			seen, err := migrateThrough(t, url, at, through)
			if err == nil && seen >= at && at < n-1 { // the last ones only say goodbye
				t.Errorf("%s: the migration tells of no error", what)
			}
			asOlder(t, url)
			migrate(t, url, postgres.MigrateOptions{})
			asOlder(t, url)
			upgraded(t, url, what)
		}
	}
	t.Logf("seed %d: cut at %d of %d messages", seed, tried, 2*n)
}

// TestFirstMigrationCutOffAnywhere does so where there is nothing yet.
func TestFirstMigrationCutOffAnywhere(t *testing.T) {
	url := pgtest.Database(t)
	n, err := migrateThrough(t, url, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	chance := rand.New(rand.NewPCG(seed, 0))
	tried := 0
	for at := int64(1); at <= n; at++ {
		if !*every && chance.IntN(10) != 0 {
			continue
		}
		tried++
		execute(t, url, `DROP SCHEMA IF EXISTS stocktake CASCADE`)
		_, _ = migrateThrough(t, url, at, at%2 == 0) // what came of it is told below
		migrate(t, url, postgres.MigrateOptions{})
		s := open(t, url, 0)
		report(t, s, 1, packages("a"))
		if err := s.AppendJournal(t.Context(), 0, 0, [][]byte{[]byte("first")}, nil); err != nil {
			t.Errorf("seed %d, message %d of %d: %v", seed, at, n, err)
		}
		_ = s.Close() // once more when the test ends, with its error
	}
	t.Logf("seed %d: cut at %d of %d messages", seed, tried, n)
}
