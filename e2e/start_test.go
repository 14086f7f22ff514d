package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"stocktake/internal/pgtest"
)

// prompt is how soon a server that is not ready yet ends when it is told to.
const prompt = 3 * time.Second

// starting begins a server over a database and waits for its admin listener.
func starting(t *testing.T, url string) *service {
	t.Helper()
	s := over(url)
	if _, err := s.begin(); err != nil {
		t.Fatal(err)
	}
	s.watch(t)
	select {
	case <-s.watched:
	case <-s.exited:
		t.Fatalf("it ended before it listened: %v", s.exit)
	case <-time.After(patience):
		t.Fatal("it said nothing")
	}
	return s
}

// unready waits until a server says why it is not ready.
func (s *service) unready(t *testing.T, why string) {
	t.Helper()
	eventually(t, "/readyz says "+why, patience, func() error {
		status, said, err := s.get("/readyz")
		if err == nil && (status != http.StatusServiceUnavailable || !strings.Contains(said, why)) {
			err = fmt.Errorf("%d %s", status, said)
		}
		return err
	})
}

// stopsPromptly tells a server to end, and fails the test unless it does so well and soon.
func (s *service) stopsPromptly(t *testing.T, when string) {
	t.Helper()
	began := time.Now()
	if err := s.stop(); err != nil {
		t.Errorf("%s it ended with %v", when, err)
	}
	if took := time.Since(began); took > prompt {
		t.Errorf("%s it ended after %v", when, took)
	}
}

// lock has a session lock a table until the test ends.
func lock(t *testing.T, url, table string) {
	t.Helper()
	session := exec.Command(tool(t, "psql"), url, "-c", "BEGIN; LOCK TABLE "+table+"; SELECT pg_sleep(600)")
	if err := session.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = session.Process.Kill() // ended already
		_ = session.Wait()
	})
	held := "SELECT count(*) FROM pg_locks WHERE granted AND mode = 'AccessExclusiveLock' AND relation = '" + table + "'::regclass"
	eventually(t, table+" is locked", patience, func() error {
		out, err := exec.CommandContext(t.Context(), "psql", url, "-qAtc", held).CombinedOutput()
		if err == nil && strings.TrimSpace(string(out)) != "1" {
			err = fmt.Errorf("the query answers %s", out)
		}
		return err
	})
}

// TestServersWaitForTheirDatabase starts servers before their database: one goes on by itself once it is there, others
// are told to stop while they wait for one that refuses connections, or says nothing.
func TestServersWaitForTheirDatabase(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	migrate(t, url)
	proxy, err := pgtest.StartProxy(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	proxy.Cut()
	s, stopped := starting(t, proxy.URL()), starting(t, proxy.URL())
	s.unready(t, "waits for the database")
	stopped.unready(t, "waits for the database")
	stopped.stopsPromptly(t, "without a database")
	if err := proxy.Restore(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server is ready", recovery, func() error {
		status, said, err := s.get("/readyz")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("%d %s", status, said)
		}
		return err
	})
	s.stopsPromptly(t, "with its database")
	if err := proxy.Hang(); err != nil {
		t.Fatal(err)
	}
	silent := starting(t, proxy.URL())
	silent.unready(t, "being opened")
	silent.stopsPromptly(t, "with a silent database")
}

// TestStopWhileTheIndexIsLoaded has the documents locked, so that a server stands in the midst of its start.
func TestStopWhileTheIndexIsLoaded(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	migrate(t, url)
	lock(t, url, "stocktake.node")
	s := starting(t, url)
	s.unready(t, "being loaded")
	s.stopsPromptly(t, "while its index was loaded")
}

// TestStopAtAnyMomentOfTheStart has an embedded service stop so long after it first said something.
func TestStopAtAnyMomentOfTheStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := start(t, dir)
	for n := range 50 {
		put(t, first.client("start-1"), fmt.Sprintf("i-%017d", n), "Custom:Rack", "1.0", map[string]string{"Row": fmt.Sprint(n)})
	}
	first.kill() // the next start has no snapshot
	for after := time.Duration(0); after < 100*time.Millisecond; after += 10 * time.Millisecond {
		s := embedded(dir)
		if _, err := s.begin(); err != nil {
			t.Fatal(err)
		}
		s.watch(t)
		select {
		case <-s.watched:
		case <-s.exited:
		}
		time.Sleep(after)
		s.stopsPromptly(t, fmt.Sprintf("%v after its first word", after))
	}
}

// TestSecondSignalEndsAtOnce tells a service that takes its time to stop twice.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir(), "--stop-delay", "1h")
	if err := s.process.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	s.unready(t, "the server is stopping")
	if err := s.process.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.exited:
	case <-time.After(patience):
		t.Fatal("it goes on")
	}
	if s.exit == nil {
		t.Error("it says that it ended well")
	}
}
