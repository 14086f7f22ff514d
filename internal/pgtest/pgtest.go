// Package pgtest gives tests the PostgreSQL they need: databases of throw-away clusters (package pgcluster) and a network
// that fails.
//
// Begin with Database, which gives a test the URL of an empty database; StartProxy puts a network that fails on demand
// before any of them.
//
// A machine without PostgreSQL fails the test and is told how to install it; no test is skipped.
package pgtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"stocktake/internal/pgcluster"
)

// Environment names the variable with the URL of another PostgreSQL-wire engine that Database gives instead of its own.
const Environment = "STOCKTAKE_TEST_DATABASE_URL"

// patience bounds whatever should be quick, on a machine as busy as a test run makes it.
const patience = 60 * time.Second

// turn bounds how long a test waits for the one database that the environment names.
const turn = 10 * time.Minute

// shared is the cluster of this process, and the test that has the environment's database.
var shared struct {
	start   sync.Once
	cluster *pgcluster.Cluster
	err     error

	mu     sync.Mutex
	holder string
}

// Shared gives the one cluster of this process, started by the first call and ended with the process. It does not sync its
// files, which no kill of a process can tell, and its databases sort text as English does, so that nothing comes to rely
// on a database whose order is that of bytes.
func Shared(tb testing.TB) *pgcluster.Cluster {
	tb.Helper()
	shared.start.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		shared.cluster, shared.err = pgcluster.Start(ctx, pgcluster.Options{NoSync: true, English: true})
	})
	if shared.err != nil {
		tb.Fatal(shared.err)
	}
	return shared.cluster
}

// Database gives the URL of an empty database: a new one of the shared cluster, dropped when the test ends, or the one
// that the environment names, without its schema stocktake, for one test at a time. A test that asks for more than the one
// the environment names is given the others of the shared cluster, and its log says so.
func Database(tb testing.TB) string {
	tb.Helper()
	if given := os.Getenv(Environment); given != "" {
		return external(tb, given)
	}
	return DatabaseOf(tb, Shared(tb))
}

// DatabaseOf creates a database in a cluster, dropped when the test ends, and gives its URL.
func DatabaseOf(tb testing.TB, c *pgcluster.Cluster) string {
	tb.Helper()
	name := "test_" + strings.ToLower(rand.Text())
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := c.Query(ctx, "CREATE DATABASE "+name); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if _, err := c.Query(ctx, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil && c.Running() {
			tb.Error(err)
		}
	})
	return c.DatabaseURL(name)
}

// Own says in a test's log that it starts, kills and promotes servers, and so has a cluster of its own whatever the
// environment names.
func Own(tb testing.TB) {
	tb.Helper()
	if os.Getenv(Environment) != "" {
		tb.Logf("servers of the database are killed and promoted here: it is a PostgreSQL of the test's own, not that of %s", Environment)
	}
}

// external empties the database at a URL and keeps it to one test of this machine at a time.
func external(tb testing.TB, given string) string {
	tb.Helper()
	name := tb.Name()
	shared.mu.Lock()
	holder := shared.holder
	shared.mu.Unlock()
	if holder != "" && (name == holder || strings.HasPrefix(name, holder+"/")) {
		tb.Logf("%s names one database, and this is the second that is asked for: it is of a PostgreSQL of the test's own", Environment)
		return DatabaseOf(tb, Shared(tb))
	}
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(given)) // never fails
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), fmt.Sprintf("stocktake-test-database-%x.lock", sum.Sum64())), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		tb.Fatal(err)
	}
	for deadline := time.Now().Add(turn); ; time.Sleep(20 * time.Millisecond) {
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			tb.Fatalf("another test has the database of %s: %v", Environment, err)
		}
	}
	hold(name)
	tb.Cleanup(func() {
		hold("")
		if err := lock.Close(); err != nil {
			tb.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := pgcluster.Query(ctx, given, "DROP SCHEMA IF EXISTS stocktake CASCADE"); err != nil {
		tb.Fatal(err)
	}
	return given
}

func hold(name string) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.holder = name
}
