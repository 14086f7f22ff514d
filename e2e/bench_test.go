package e2e

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestBenchMeasuresAnotherEndpoint(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir())
	out, log, err := s.command(t.Context(), "us-east-1", binary, "bench", "--nodes", "5", "--rounds", "1", "--samples", "2",
		"--data", t.TempDir(), "--sides", "embedded", "--peer", s.endpoint)
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	if !strings.Contains(out, "the server at "+s.endpoint) || !strings.Contains(out, "; peer ") && !strings.Contains(out, "| peer ") {
		t.Errorf("the other endpoint is not in the table:\n%s", out)
	}
	// What it was sent is there, so it was measured and not only named.
	found, log, err := s.command(t.Context(), "us-east-1", tool(t, "aws"), "--endpoint-url", s.endpoint, "ssm", "get-inventory",
		"--query", "length(Entities)", "--output", "text")
	if err != nil || strings.TrimSpace(found) != "5" {
		t.Errorf("%s nodes, %v\n%s", found, err, log)
	}
}

func TestInterruptedBenchLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	bench := exec.Command(binary, "bench", "--nodes", "2000", "--data", dir, "--sides", "embedded")
	var log bytes.Buffer
	bench.Stderr = &log
	if err := bench.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- bench.Wait() }()
	for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) { // until a server of its own has stored something
		folders, err := os.ReadDir(dir)
		if err != nil || time.Since(begun) > patience {
			t.Fatalf("no server was started: %v", err)
		}
		if len(folders) > 0 {
			if _, err := os.Stat(dir + "/" + folders[0].Name() + "/embedded/data/store"); err == nil {
				break
			}
		}
	}
	if err := bench.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 {
			t.Errorf("interrupted, it ended with %v\n%s", err, log.String())
		}
	case <-time.After(patience):
		t.Fatal("it did not end")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range commands {
		if line, _ := os.ReadFile(path); bytes.Contains(line, []byte(dir)) { // one that ended meanwhile has none
			t.Errorf("a process is left: %q", line)
		}
	}
}
