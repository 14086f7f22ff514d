package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"stocktake/internal/pgcluster"
	"stocktake/internal/pgtest"
)

// away is how long the database is: longer than the servers wait for it before they say so.
var away = flag.Duration("away", 12*time.Second, "how long the database is away in the outage tests")

const (
	// notice is how soon a server has to say that it cannot serve, though nobody asks it to.
	notice = 10 * time.Second
	// recovery is how soon after its return every server has to serve again.
	recovery = 5 * time.Second
	// swelling bounds what a server's memory may grow by meanwhile, in bytes.
	swelling = 256 << 20
	// sentinel is the node that has to be found again.
	sentinel = "i-00000000000000001"
)

// TestDatabaseRefuses takes the database from two servers that clients go on asking: nobody listens there.
func TestDatabaseRefuses(t *testing.T) {
	behindProxy(t, raced(t), func(p *pgtest.Proxy) error { p.Cut(); return nil })
}

// TestDatabaseIsSilent has the network keep its connections, and say nothing.
func TestDatabaseIsSilent(t *testing.T) {
	behindProxy(t, binary, (*pgtest.Proxy).Hang)
}

// TestDatabaseStops shuts the database down in order, and starts it again.
func TestDatabaseStops(t *testing.T) {
	t.Parallel()
	cluster, err := pgcluster.Start(t.Context(), pgcluster.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Close(); err != nil {
			t.Error(err)
		}
	})
	outage(t, binary, cluster.URL(), cluster.Stop, func() error { return cluster.Restart(t.Context()) })
}

func behindProxy(t *testing.T, program string, take func(*pgtest.Proxy) error) {
	t.Parallel()
	proxy, err := pgtest.StartProxy(pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	outage(t, program, proxy.URL(), func() error { return take(proxy) }, proxy.Restore)
}

// outage takes the database at a URL away, and gives it back. Readiness tells without anybody asking for anything else.
func outage(t *testing.T, program, url string, take, restore func() error) {
	migrate(t, url)
	s := startServers(t, program, "outage-1", same(url, 2), "--extensions")
	put(t, s.client(0), sentinel, "Custom:Rack", "1.0", map[string]string{"Row": "a"})
	before := s.memory(t)
	r := record(t, s, 0, 2)
	eventually(t, "reports before the outage", patience, func() error {
		if r.stored.Load() < 20 {
			return errors.New("too few")
		}
		return nil
	})
	if err := take(); err != nil {
		t.Fatal(err)
	}
	for i := range s.urls {
		eventually(t, fmt.Sprintf("server %d says that it is not ready", i), notice, func() error {
			if s.readyOn(i) == nil {
				return errors.New("it is ready")
			}
			return nil
		})
	}
	s.besiege(t)
	for i := range s.urls {
		status, said, err := s.server(i).get("/readyz")
		if err != nil || status != http.StatusServiceUnavailable || !strings.Contains(said, "database") {
			t.Errorf("/readyz of server %d without its database: %d %q, %v", i, status, said, err)
		}
	}
	for i, after := range s.memory(t) {
		t.Logf("server %d: %d MiB before, %d after", i, before[i]>>20, after>>20)
		if after > before[i]+swelling {
			t.Errorf("server %d grew by %d bytes while the database was away", i, after-before[i])
		}
	}
	if err := restore(); err != nil {
		t.Fatal(err)
	}
	returned := time.Now()
	for i := range s.urls {
		eventually(t, fmt.Sprintf("server %d serves again", i), recovery-time.Since(returned), func() error { return s.serves(t, i) })
	}
	t.Logf("served again %v after the return", time.Since(returned))
	r.stop()
	r.report()
	for i := range s.urls {
		r.holds(i)
		eventually(t, fmt.Sprintf("server %d has given all connections to the database back", i), patience, func() error { return s.idle(i) })
	}
}

// idle gives why a server that nobody asks has connections to its database in use.
func (s *servers) idle(i int) error {
	_, text, err := s.server(i).get("/metrics")
	if err == nil && !strings.Contains(text, "\nstocktake_store_connections_busy 0\n") {
		_, text, _ = strings.Cut(text, "\nstocktake_store_connections")
		err = errors.New(text[:min(len(text), 200)])
	}
	return err
}

// besiege reports and asks while the database is away, at all servers, and fails the test by every answer that is not a
// failure of the service.
func (s *servers) besiege(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), *away)
	defer cancel()
	var requests sync.WaitGroup
	var refused atomic.Int64
	for n := range 4 * writers {
		requests.Go(func() {
			random := rand.New(rand.NewPCG(uint64(n), 2))
			for ctx.Err() == nil {
				client, node := s.any(random), fmt.Sprintf("i-%017d", random.IntN(1000))
				var err error
				if n%2 == 0 {
					_, err = client.GetInventory(ctx, rackFilter("a"))
				} else {
					_, err = client.PutInventory(ctx, &ssm.PutInventoryInput{InstanceId: &node, Items: rackItems(strings.Repeat("x", 4000))})
				}
				if ctx.Err() != nil {
					return
				}
				if code(err) != "InternalServerError" {
					t.Errorf("an answer without a database: %v", err)
				}
				refused.Add(1)
			}
		})
	}
	requests.Wait()
	t.Logf("%d requests were refused in %v", refused.Load(), *away)
	if refused.Load() < 4*writers {
		t.Errorf("%d clients had no answer while the database was away", 4*writers-refused.Load())
	}
}

// serves gives why a server does not serve: readiness, a question, a report.
func (s *servers) serves(t *testing.T, i int) error {
	if err := s.readyOn(i); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(t.Context(), recovery)
	defer cancel()
	out, err := s.client(i).GetInventory(ctx, rackFilter("a"))
	if err != nil {
		return err
	}
	if len(out.Entities) != 1 || aws.ToString(out.Entities[0].Id) != sentinel {
		return fmt.Errorf("row a is %v", out.Entities)
	}
	_, err = s.client(i).PutInventory(ctx, &ssm.PutInventoryInput{InstanceId: aws.String("i-00000000000000002"), Items: rackItems("other")})
	return err
}

// memory gives what each server's process takes, in bytes.
func (s *servers) memory(t *testing.T) []int {
	t.Helper()
	found := make([]int, len(s.urls))
	for i := range found {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.server(i).process.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(text), "VmRSS:")
		if _, err := fmt.Sscanf(rest, "%d kB", &found[i]); err != nil {
			t.Fatalf("no VmRSS in %s: %v", text, err)
		}
		found[i] <<= 10
	}
	return found
}
