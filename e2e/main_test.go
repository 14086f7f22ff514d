// Package e2e holds tests of the built binary, as its users have it: over the network, with the real AWS clients, killed,
// restarted and fed nonsense. TestMain builds the binary once, as make build does; begin with start, which runs it, or
// startRaced, which runs one with the race detector. Tests share one service and are kept apart by region, but for those
// about a service's life, which run their own.
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
	"slices"
	"strings"
	"sync"
	"testing"
)

var rounds = flag.Int("rounds", 4, "rounds of the kill -9 test, and half as many over a database")

// binary is the path of the stocktake that TestMain built, as users have it.
var binary string

// detector is the binary with the race detector, built when a test first needs it.
var detector struct {
	build sync.Once
	path  string
	err   error
}

// racedBinary gives the binary with the race detector if the tests have it, else the one users have. The services of tests
// about what goes on at once in a service, or between several, run it, and the shared service, and with it every action
// once. All others have the binary as it is, for a fifth of the processor time and less.
func racedBinary() (string, error) {
	if !raceEnabled {
		return binary, nil
	}
	detector.build.Do(func() {
		detector.path = binary + "-race"
		detector.err = build(detector.path, "-race")
	})
	return detector.path, detector.err
}

// raced is racedBinary for tests.
func raced(t testing.TB) string {
	t.Helper()
	path, err := racedBinary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// build compiles the command.
func build(to string, args ...string) error {
	cmd := exec.Command("go", append(append([]string{"build", "-buildvcs=false", "-o", to}, args...), "stocktake/cmd/stocktake")...)
	if cmd.Env = os.Environ(); !slices.Contains(args, "-race") {
		cmd.Env = append(cmd.Env, "CGO_ENABLED=0")
	}
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the binary under test: %w\n%s", err, said)
	}
	return nil
}

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
	if err := build(binary, "-trimpath", "-ldflags=-s -w"); err != nil {
		fmt.Fprintln(os.Stderr, err)
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
			shared.service = embedded(dir)
			if shared.service.process.Path, shared.err = racedBinary(); shared.err == nil {
				shared.service, shared.err = shared.service.run()
			}
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
