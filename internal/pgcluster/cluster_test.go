package pgcluster

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// patience bounds whatever should be quick, on a machine as busy as a test run makes it.
const patience = 60 * time.Second

// The tests have a process of their own, so that its end can be tried too.
const suicide = "PGTEST_SUICIDE"

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func started(t *testing.T, options Options) *Cluster {
	t.Helper()
	c, err := Start(within(t), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(c.site.dir); !os.IsNotExist(err) {
			t.Errorf("%s is still there after Close: %v", c.site.dir, err)
		}
	})
	return c
}

// holds fails the test unless the answer is the one wanted.
func holds(t *testing.T, c *Cluster, question, want string) {
	t.Helper()
	if got, err := c.Query(within(t), question); err != nil || got != want {
		t.Fatalf("%s: %q, %v, want %q\n%s", question, got, err, want, tail(c.Log(), 2000))
	}
}

func TestKilledClusterKeepsWhatItCommitted(t *testing.T) {
	c := started(t, Options{Settings: map[string]string{"work_mem": "5MB"}})
	holds(t, c, "CREATE TABLE t AS SELECT 7 AS n; SELECT current_setting('fsync'), current_setting('work_mem'), n FROM t", "on|5MB|7")
	pid := c.process.Process.Pid
	workers := children(pid)
	c.Kill()
	for _, pid := range append(workers, pid) {
		if runs(pid) {
			t.Errorf("process %d runs after Kill", pid)
		}
	}
	if len(workers) == 0 || c.Running() {
		t.Errorf("%d children seen, running %v", len(workers), c.Running())
	}
	if _, err := c.Query(within(t), "SELECT 1"); err == nil {
		t.Error("a killed cluster answers")
	}
	url := c.URL()
	if err := c.Restart(within(t)); err != nil {
		t.Fatal(err)
	}
	holds(t, c, "SELECT n FROM t", "7")
	if c.URL() != url {
		t.Errorf("%s before the restart, %s after", url, c.URL())
	}
	if err := c.Stop(); err != nil || c.Running() {
		t.Errorf("the stop: %v, running %v", err, c.Running())
	}
}

// TestNothingOutlivesItsProcess runs a process that starts a cluster and is killed.
func TestNothingOutlivesItsProcess(t *testing.T) {
	if os.Getenv(suicide) != "" {
		c, err := Start(t.Context(), Options{NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(os.Getenv(suicide), []byte(c.data), 0o600); err != nil {
			t.Fatal(err)
		}
		select {}
	}
	note := t.TempDir() + "/data"
	child := exec.CommandContext(within(t), os.Args[0], "-test.run", "^"+t.Name()+"$")
	child.Env = append(os.Environ(), suicide+"="+note)
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var data string
	for data == "" {
		text, err := os.ReadFile(note)
		if err != nil && !os.IsNotExist(err) || within(t).Err() != nil {
			t.Fatal(err)
		}
		data = string(text)
		time.Sleep(5 * time.Millisecond)
	}
	text, err := os.ReadFile(data + "/postmaster.pid")
	if err != nil {
		t.Fatal(err)
	}
	pid, _, _ := strings.Cut(string(text), "\n")
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // says that it was killed
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		cwd, gone := os.Readlink("/proc/" + pid + "/cwd")
		_, removed := os.Stat(data)
		if gone != nil && os.IsNotExist(removed) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after its process was killed the postmaster is in %q (%v), its folder: %v", cwd, gone, removed)
		}
	}
}
