// Package e2e holds tests of the built binary, as its users have it: over the network, with the real AWS clients, killed,
// restarted and fed nonsense. TestMain builds the binary once; begin with start, which runs it. Tests share one service
// and are kept apart by region, but for those about a service's life, which run their own.
//
// The package promises that nothing is left out in silence: a missing tool fails the test that needs it, with its name.
package e2e

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

var rounds = flag.Int("rounds", 4, "rounds of the kill -9 test, and half as many over a database")

// binary is the path of the stocktake that TestMain built.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "stocktake-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer remove(dir)
	binary = filepath.Join(dir, "stocktake")
	args := []string{"build", "-o", binary}
	if raceEnabled {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "stocktake/cmd/stocktake")...)
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building the binary under test:", err)
		return 1
	}
	defer cli.stop()
	defer stopShared()
	return m.Run()
}

// The shared service, started when a test first asks for it.
var shared struct {
	once    sync.Once
	service *service
	err     error
}

// sharedService gives the service that tests of behaviour share. Use a region of your own.
func sharedService(t testing.TB) *service {
	t.Helper()
	shared.once.Do(func() {
		var dir string
		if dir, shared.err = os.MkdirTemp("", "stocktake-e2e-data-"); shared.err == nil {
			shared.service, shared.err = launch(dir)
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.service
}

func stopShared() {
	if s := shared.service; s != nil {
		if err := s.stop(); err != nil {
			fmt.Fprintf(os.Stderr, "the shared service did not stop well: %v\n%s", err, s.log.String())
		}
		remove(s.dir)
	}
}

func remove(dir string) {
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// tool gives the path of a program that a test drives.
func tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: run scripts/need %s", name, name)
	}
	return path
}

// command runs a program with the environment of an AWS client of the service: key, region, nothing of the user's.
func (s *service) command(ctx context.Context, region, name string, args ...string) (stdout, stderr string, err error) {
	env := append(os.Environ(), s.clientEnv(region)...)
	if filepath.Base(name) == "aws" {
		stdout, stderr, err = runAWS(ctx, env, args...)
	} else {
		stdout, stderr, err = execute(ctx, env, name, args...)
	}
	// Version 2 of the aws CLI adds to every error that it was told not to try again.
	return stdout, strings.ReplaceAll(stderr, " (reached max retries: 0)", ""), err
}

// execute starts a program with an environment, and waits for its end.
func execute(ctx context.Context, env []string, name string, args ...string) (stdout, stderr string, err error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = env
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	err = cmd.Run()
	return out.String(), log.String(), err
}
