package pgcluster

import (
	"context"
	"strings"
	"testing"
	"time"
)

func replicated(t *testing.T, quorum bool) *Replicated {
	t.Helper()
	began := time.Now()
	r, err := StartReplicated(within(t), Options{NoSync: true}, quorum)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("up after %v", time.Since(began))
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// psql asks whichever member takes writes, as clients do.
func (r *Replicated) psql(t *testing.T, limit time.Duration, statements ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	return r.site.psql(ctx, r.URL(), statements...)
}

// TestQuorumLosesNothing kills two primaries in turn; each comes back as a standby.
func TestQuorumLosesNothing(t *testing.T) {
	r := replicated(t, true)
	if _, err := r.psql(t, patience, "CREATE TABLE t (n int)"); err != nil {
		t.Fatal(err)
	}
	for round, want := range []string{"1", "2"} {
		if _, err := r.psql(t, patience, "INSERT INTO t VALUES (1)"); err != nil {
			t.Fatal(err)
		}
		killed := r.Primary()
		killed.Kill()
		began := time.Now()
		if err := r.Promote(within(t)); err != nil {
			t.Fatal(err)
		}
		got, err := r.psql(t, patience, "SELECT count(*) FROM t")
		if err != nil || got != want || r.Primary() == killed {
			t.Fatalf("round %d: %s rows, %v, want %s", round, got, err, want)
		}
		t.Logf("promoted after %v", time.Since(began))
		if err := r.Rejoin(within(t)); err != nil {
			t.Fatal(err)
		}
		if got := len(r.Standbys()); got != replicas-1 {
			t.Errorf("%d standbys after the return", got)
		}
		holds(t, killed, "SELECT pg_is_in_recovery()", "t")
	}
}

// TestQuorumWaitsForAStandby holds what makes a quorum safe: alone, the primary acknowledges nothing.
func TestQuorumWaitsForAStandby(t *testing.T) {
	r := replicated(t, true)
	if err := r.CutOff(within(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.psql(t, time.Second, "CREATE TABLE t (n int)"); err == nil {
		t.Error("a write was acknowledged without a standby")
	}
}

// TestLaggingStandbyLosesWrites is the counterpart: without a quorum, what was acknowledged can be lost, and the old
// primary's writes are undone when it comes back.
func TestLaggingStandbyLosesWrites(t *testing.T) {
	r := replicated(t, false)
	if _, err := r.psql(t, patience, "CREATE TABLE t (n int)"); err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Standbys() {
		if err := r.await(within(t), c, "SELECT count(*) FROM pg_class WHERE relname = 't'", "1"); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.CutOff(within(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.psql(t, patience, "INSERT INTO t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	if err := r.Promote(within(t)); err == nil || !strings.Contains(err.Error(), "still runs") {
		t.Errorf("a promotion beside a primary that runs: %v", err)
	}
	old := r.Primary()
	old.Kill()
	if err := r.Promote(within(t)); err != nil {
		t.Fatal(err)
	}
	if got, err := r.psql(t, patience, "INSERT INTO t VALUES (2), (3)", "SELECT count(*) FROM t"); err != nil || got != "2" {
		t.Errorf("%s rows after the promotion, %v, want the two new ones", got, err)
	}
	if err := r.Rejoin(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := r.await(within(t), old, "SELECT count(*) FROM t", "2"); err != nil {
		t.Error(err)
	}
}
