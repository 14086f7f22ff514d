package e2e

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/pgcluster"
	"stocktake/internal/pgtest"
	"stocktake/internal/store/postgres"
)

var failing = flag.Duration("failing", 10*time.Second, "how long the fail-over test kills servers and primaries")

// replicated starts a primary and two standbys.
func replicated(t testing.TB, quorum bool) *pgcluster.Replicated {
	t.Helper()
	pgtest.Own(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := pgcluster.StartReplicated(ctx, pgcluster.Options{}, quorum)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the primary's log ends in:\n%s", tail(r.Primary().Log(), 2000))
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// TestFailOverLosesNothing kills servers and primaries under eight writers. Whatever was acknowledged is there afterwards,
// and no answer was older than a write acknowledged before its question.
func TestFailOverLosesNothing(t *testing.T) {
	t.Parallel()
	url, database := "", (*pgcluster.Replicated)(nil)
	if os.Getenv(pgtest.Environment) == "" {
		database = replicated(t, true)
		url = database.URL()
	} else {
		t.Logf("the database of %s is not the test's to kill: servers alone are killed, and no primary", pgtest.Environment)
		url = pgtest.Database(t)
	}
	migrate(t, url)
	s := startServers(t, raced(t), "failover-1", same(url, 3), "--extensions")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	r := record(t, s, 0, writers)
	kills, promotions := 0, 0
	for end := time.Now().Add(*failing); time.Now().Before(end) && !t.Failed(); {
		if database == nil || kills <= 2*promotions {
			i := random.IntN(len(s.urls))
			s.server(i).kill()
			pause(t, random, time.Second)
			s.restart(t, i)
			kills++
		} else {
			failOver(t, random, database, r)
			promotions++
		}
		pause(t, random, 2*time.Second)
	}
	r.stop()
	r.report()
	t.Logf("%d servers and %d primaries killed", kills, promotions)
	if r.stored.Load() == 0 || r.answers.Load() == 0 || kills == 0 || database != nil && promotions == 0 {
		t.Error("nothing was tested")
	}
	for i := range s.urls {
		r.holds(i)
	}
}

// pause waits for a random time up to a bound.
func pause(t testing.TB, random *rand.Rand, most time.Duration) {
	select {
	case <-time.After(most/4 + time.Duration(random.Int64N(int64(3*most/4)))):
	case <-t.Context().Done():
	}
}

// failOver kills the primary, promotes a standby, and has the old one come back as a standby.
func failOver(t testing.TB, random *rand.Rand, database *pgcluster.Replicated, r *recording) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r.longest()
	began := time.Now()
	database.Primary().Kill()
	if err := database.Promote(ctx); err != nil {
		t.Fatal(err)
	}
	promoted := time.Since(began)
	pause(t, random, 2*time.Second)
	gap := r.longest()
	began = time.Now()
	if err := database.Rejoin(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("promoted %v after the kill; longest time without an acknowledged write %v; the old primary was back after %v", promoted, gap, time.Since(began))
}

// holds fails the test unless a server answers everything that was acknowledged.
func (r *recording) holds(i int) {
	r.t.Helper()
	var found map[string]string
	eventually(r.t, "reading all back", patience, func() (err error) {
		found, err = r.everything(i)
		return err
	})
	lost := r.lost(found)
	if len(lost) > 0 {
		r.t.Errorf("server %d answers %d of %d acknowledged values not, as %s", i, len(lost), r.stored.Load(), lost[0])
	}
}

// TestLostHistoryIsNoticed promotes a standby that lags: acknowledged writes are lost, which shows that the check of
// TestFailOverLosesNothing can see it, and the servers come to answer what the database has, no more and no less.
func TestLostHistoryIsNoticed(t *testing.T) {
	t.Parallel()
	database := replicated(t, false)
	migrate(t, database.URL())
	s := startServers(t, binary, "failover-2", same(database.URL(), 3), "--extensions")
	r := record(t, s, 0, writers)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	time.Sleep(time.Second)
	if err := database.CutOff(ctx); err != nil {
		t.Fatal(err)
	}
	before := r.stored.Load()
	eventually(t, "writes while the standbys are cut off", patience, func() error {
		if n := r.stored.Load() - before; n < 100 {
			return fmt.Errorf("%d of 100", n)
		}
		return nil
	})
	r.stop() // what comes after the promotion would be older than what was acknowledged and lost
	database.Primary().Kill()
	if err := database.Promote(ctx); err != nil {
		t.Fatal(err)
	}
	after := record(t, s, writers, writers)
	time.Sleep(2 * time.Second)
	after.stop()
	r.report()
	after.report()
	stored := open(t, database.URL())
	found := scan(t, stored)
	lost := r.lost(found)
	if len(lost) == 0 {
		t.Error("a standby that was cut off was promoted, and the check finds nothing lost")
	}
	t.Logf("%d of %d acknowledged values lost, as they must be", len(lost), r.stored.Load())
	if lost := after.lost(found); len(lost) > 0 {
		t.Errorf("%d values acknowledged after the promotion are lost, as %s", len(lost), lost[0])
	}
	for i := range s.urls {
		eventually(t, fmt.Sprintf("server %d answers what is stored", i), patience, func() error {
			// Reports that were cut off may still be stored.
			found, err := after.everything(i)
			if diff := cmp.Diff(scan(t, stored), found); err == nil && diff != "" {
				err = fmt.Errorf("(-stored +answered):\n%s", tail(diff, 1000))
			}
			return err
		})
	}
}

func open(t *testing.T, url string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), postgres.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// scan reads what is stored, by the content hashes of the nodes' records: see put.
func scan(t *testing.T, s *postgres.Store) map[string]string {
	t.Helper()
	found := map[string]string{}
	for shard := range s.Identity().Shards {
		nodes, more, err := s.Scan(t.Context(), shard, nil, 1_000_000)
		if err != nil || more {
			t.Fatalf("shard %d: more %v, %v", shard, more, err)
		}
		for _, n := range nodes {
			for _, item := range n.Node.Items {
				if item.Type == keptType || item.Type == counterType {
					found[string(n.Node.Key.Node)] = item.Hash
				}
			}
		}
	}
	return found
}
