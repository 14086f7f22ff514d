package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"
)

// The root key of every server over a database: they cannot each make their own.
const (
	rootID     = "AKIASERVERS"
	rootSecret = "servers-secret-servers-secret"
)

// requestTime bounds a request of a client whose servers and databases die.
const requestTime = 15 * time.Second

// servers are `stocktake serve` processes over one database. Any of them may be killed and started again beside requests.
type servers struct {
	region string
	mu     sync.Mutex
	all    []*service
	urls   []string
	args   []string
	// program is the binary that servers are started with.
	program string
}

// migrate makes the tables of a database, as an administrator does.
func migrate(t testing.TB, url string) {
	t.Helper()
	migrateBy(t, binary, url)
}

func migrateBy(t testing.TB, program, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if out, err := exec.CommandContext(ctx, program, "migrate", "--database-url", url).CombinedOutput(); err != nil {
		t.Fatalf("stocktake migrate: %v\n%s", err, out)
	}
}

// startServers starts a server for each URL, all of which lead to one migrated database. They are killed when the test
// ends. Tests of what goes on between servers have them run [raced].
func startServers(t testing.TB, program, region string, urls []string, args ...string) *servers {
	t.Helper()
	s := &servers{program: program, region: region, urls: urls, args: args, all: make([]*service, len(urls))}
	for i := range urls {
		s.restart(t, i)
	}
	return s
}

// restart starts the server of a number, in place of one that was killed. It has no disk of its own.
func (s *servers) restart(t testing.TB, i int) {
	t.Helper()
	if err := s.tryRestart(t, i); err != nil {
		t.Fatal(err)
	}
}

func (s *servers) tryRestart(t testing.TB, i int) error {
	t.Helper()
	next := over(s.urls[i], s.args...)
	next.process.Path = s.program
	fresh, err := next.run()
	if err != nil {
		return err
	}
	fresh.watch(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[i] = fresh
	return nil
}

// over is a service over a database that was not begun.
func over(url string, args ...string) *service {
	s := &service{key: aws.Credentials{AccessKeyID: rootID, SecretAccessKey: rootSecret}}
	s.process = exec.Command(binary, append([]string{
		"serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--database-url", url,
	}, args...)...)
	s.process.Env = append(os.Environ(), "STOCKTAKE_ROOT_ACCESS_KEY_ID="+rootID, "STOCKTAKE_ROOT_SECRET_ACCESS_KEY="+rootSecret)
	return s
}

// server gives the process of a number.
func (s *servers) server(i int) *service {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[i]
}

// client is one of the server of a number, as it is now.
func (s *servers) client(i int) *ssm.Client { return s.server(i).client(s.region) }

// any is a client of some server.
func (s *servers) any(random *rand.Rand) *ssm.Client { return s.client(random.IntN(len(s.urls))) }

// same repeats a URL for so many servers.
func same(url string, n int) []string {
	urls := make([]string, n)
	for i := range urls {
		urls[i] = url
	}
	return urls
}

// unavailable judges the failure of a request whose server or database may have died: no connection, no answer in time,
// or one that says no more than that the service failed. Anything else is a wrong answer.
func unavailable(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return true
	}
	return api.ErrorCode() == "InternalServerError"
}

// eventually tries until it succeeds, for things that take the time they take.
func eventually(t testing.TB, what string, limit time.Duration, try func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	t.Fatalf("%s: not within %v: %v", what, limit, err)
}

// readyOn gives why a server is not ready.
func (s *servers) readyOn(i int) error {
	status, said, err := s.server(i).get("/readyz")
	if err == nil && status != 200 {
		err = fmt.Errorf("server %d: %d %s", i, status, said)
	}
	return err
}
