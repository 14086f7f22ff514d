package pgtest

import (
	"context"
	"strings"
	"testing"
	"time"

	"stocktake/internal/pgcluster"
)

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func TestDatabasesAreApart(t *testing.T) {
	t.Setenv(Environment, "")
	first, second := Database(t), Database(t)
	if _, err := pgcluster.Query(within(t), first, "CREATE TABLE t (n int)"); err != nil {
		t.Fatal(err)
	}
	if _, err := pgcluster.Query(within(t), second+"&pool_max_conns=3", "SELECT n FROM t"); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("the second database sees the first one's table: %v", err)
	}
	if order, err := pgcluster.Query(within(t), first, "SELECT 'a' < 'B', current_setting('fsync')"); err != nil || order != "t|off" {
		t.Errorf("a sorts before B in English, and nothing is synced: %s, %v", order, err)
	}
}

func TestDatabaseIsDroppedAtTheEnd(t *testing.T) {
	t.Setenv(Environment, "")
	t.Run("uses one", func(t *testing.T) { Database(t) })
	if got, err := Shared(t).Query(within(t), "SELECT count(*) FROM pg_database WHERE datname LIKE 'test%'"); err != nil || got != "0" {
		t.Errorf("databases left: %q, %v", got, err)
	}
}

// TestDatabaseOfTheEnvironment gives a cluster by the variable, as a user gives a coordinator.
func TestDatabaseOfTheEnvironment(t *testing.T) {
	t.Setenv(Environment, "")
	given := Database(t)
	t.Setenv(Environment, given)
	for range 2 { // one after the other gets it, empty
		t.Run("user", func(t *testing.T) {
			if got := Database(t); got != given {
				t.Errorf("%s, want %s", got, given)
			}
			if other := Database(t); other == given {
				t.Error("one database is given twice")
			} else if _, err := pgcluster.Query(within(t), other, "CREATE SCHEMA stocktake"); err != nil {
				t.Error(err)
			}
			if _, err := pgcluster.Query(within(t), given, "CREATE SCHEMA stocktake", "CREATE TABLE stocktake.t (n int)"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestProxyFailsOnDemand(t *testing.T) {
	p, err := StartProxy(Shared(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ask := func(limit time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		_, err := pgcluster.Query(ctx, p.URL(), "SELECT repeat('x', 100000)")
		return err
	}
	for _, step := range []struct {
		name  string
		do    func() error
		limit time.Duration
		fails bool
	}{
		{"as it comes", func() error { return nil }, patience, false},
		{"cut", func() error { p.Cut(); return nil }, patience, true},
		{"restored", p.Restore, patience, false},
		{"cut in the middle of the answer", func() error { return p.CutAnswers(5000) }, patience, true},
		{"restored after the limit", p.Restore, patience, false},
		{"cut in the middle of the question", func() error { return p.CutAfter(20) }, patience, true},
		{"restored after the other limit", p.Restore, patience, false},
		{"hanging", p.Hang, 500 * time.Millisecond, true},
		{"restored after it hung", p.Restore, patience, false},
		{"late", func() error { return p.Delay(300 * time.Millisecond) }, 250 * time.Millisecond, true},
		{"late, with time", func() error { return nil }, patience, false},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if err := ask(step.limit); (err != nil) != step.fails {
			t.Errorf("%s: %v, want a failure: %v", step.name, err, step.fails)
		}
	}
}
