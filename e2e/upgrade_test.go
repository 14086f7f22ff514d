package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"stocktake/internal/pgtest"
)

var previous = flag.String("previous", "", "the stocktake of the version before, which the upgrade tests begin with and go back to")

// before gives the program of the version before; without one it is the one under test, which is then only restarted.
func before() string {
	if *previous != "" {
		return *previous
	}
	return binary
}

// balancer is a transport that leads each request to a server that was ready when it was last asked, by turns: what stands
// before several servers.
type balancer struct {
	http.RoundTripper
	servers *servers
	ready   []atomic.Bool
	next    atomic.Int64
}

// balance asks every server for its readiness until the test ends.
func balance(t *testing.T, s *servers) *balancer {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 2 * writers}
	t.Cleanup(transport.CloseIdleConnections)
	b := &balancer{RoundTripper: transport, servers: s, ready: make([]atomic.Bool, len(s.urls))}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			for i := range b.ready {
				b.ready[i].Store(s.readyOn(i) == nil)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return b
}

func (b *balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	for range b.ready {
		i := int(b.next.Add(1)) % len(b.ready)
		if !b.ready[i].Load() {
			continue
		}
		to, err := url.Parse(b.servers.server(i).endpoint)
		if err != nil {
			return nil, err
		}
		led := r.Clone(r.Context())
		led.Host, led.URL.Host = r.URL.Host, to.Host // the signature is of the name asked for
		return b.RoundTripper.RoundTrip(led)
	}
	return nil, errors.New("no server is ready")
}

// client is the SDK as it comes, retries included, before all servers.
func (b *balancer) client(region string) *ssm.Client {
	return ssm.New(ssm.Options{
		Region: region, BaseEndpoint: aws.String("http://stocktake.example.org"), HTTPClient: &http.Client{Transport: b, Timeout: requestTime},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: rootID, SecretAccessKey: rootSecret}, nil
		}),
	})
}

// TestRollingUpgrade stops three servers of the version before one after the other, and starts each anew as the version
// under test, once that has migrated the database under them; then back again. Reports and questions go on all the time, and
// none fails.
func TestRollingUpgrade(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	migrateBy(t, before(), url)
	s := startServers(t, before(), "rolling-1", same(url, 3), "--extensions", "--stop-delay", "700ms")
	b := balance(t, s)
	eventually(t, "the balancer knows a server", patience, func() error {
		if !b.ready[0].Load() {
			return errors.New("none")
		}
		return nil
	})
	client := b.client("rolling-1")
	r := recordBy(t, s, func(*rand.Rand) *ssm.Client { return client }, 0, writers)
	migrate(t, url)
	s.roll(t, binary)
	if *previous != "" {
		s.roll(t, *previous)
	}
	r.stop()
	r.report()
	if len(r.failures) > 0 {
		t.Errorf("requests failed, retries and all: %v", r.failures)
	}
	if r.stored.Load() == 0 || r.answers.Load() == 0 {
		t.Error("nothing was tested")
	}
	for i := range s.urls {
		r.holds(i)
	}
}

// roll starts every server anew, one at a time, by a program. A version that refuses what the newer one migrated may say so
// in words; the newer one then goes on.
func (s *servers) roll(t *testing.T, program string) {
	t.Helper()
	for i := range s.urls {
		time.Sleep(300 * time.Millisecond) // in which both versions serve
		if err := s.server(i).stop(); err != nil {
			t.Errorf("the stop of server %d under load: %v", i, err)
		}
		s.program = program
		err := s.tryRestart(t, i)
		if err != nil && program != binary && strings.Contains(err.Error(), "version") {
			t.Logf("the version before refuses what was migrated: %v", err)
			s.program = binary
			err = s.tryRestart(t, i)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestUpgradeOfFolder has the version before write a data folder, the one under test go on with it, and the former again,
// each killed by the next.
func TestUpgradeOfFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for step, program := range []string{before(), binary, before()} {
		s := embedded(dir)
		s.process.Path = program
		if _, err := s.run(); err != nil {
			if step == 2 && strings.Contains(err.Error(), "version") {
				t.Logf("the version before refuses the folder: %v", err)
				return
			}
			t.Fatal(err)
		}
		s.watch(t)
		client := s.client("upgrade-1")
		for n := range step {
			for i := range 20 {
				if got := ids(t, client, rackFilter(fmt.Sprintf("%d-%d", n, i))); len(got) != 1 {
					t.Errorf("step %d: %d nodes have what was put in step %d", step, len(got), n)
				}
			}
		}
		for i := range 20 {
			put(t, client, fmt.Sprintf("i-%d%016d", step, i), "Custom:Rack", "1.0", map[string]string{"Row": fmt.Sprintf("%d-%d", step, i)})
		}
		s.kill()
	}
	if out, err := exec.CommandContext(t.Context(), binary, "verify", "--data", dir).CombinedOutput(); err != nil {
		t.Errorf("verify: %v\n%s", err, out)
	}
}
