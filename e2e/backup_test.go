package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"stocktake/internal/pgtest"
)

// stocktake runs the binary with these arguments, and gives what it printed on both outputs.
func stocktake(ctx context.Context, args ...string) (string, error) {
	var printed bytes.Buffer
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Stdout, cmd.Stderr = &printed, &printed
	err := cmd.Run()
	return printed.String(), err
}

func mustStocktake(t *testing.T, args ...string) string {
	t.Helper()
	printed, err := stocktake(t.Context(), args...)
	if err != nil {
		t.Fatalf("stocktake %v: %v\n%s", args, err, printed)
	}
	return printed
}

// writing lets writers write until stop is called.
func (s *service) writing(all []*writer) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	for _, w := range all {
		group.Go(func() {
			client := s.client(killRegion)
			for ctx.Err() == nil {
				w.report(context.WithoutCancel(ctx), client)
			}
		})
	}
	return func() {
		cancel()
		group.Wait()
	}
}

// backedUpUnder has writers write, makes a backup while they go on, and gives them as they were when it began: acked is
// what was acknowledged before, attempted what was tried until it ended.
func backedUpUnder(t *testing.T, s *service, backup func()) []*writer {
	t.Helper()
	all := make([]*writer, writers)
	for i := range all {
		all[i] = &writer{node: fmt.Sprintf("i-%017d", i)}
	}
	stop := s.writing(all)
	time.Sleep(300 * time.Millisecond) // for each to be acknowledged something
	stop()
	then := make([]*writer, len(all))
	for i, w := range all {
		then[i] = &writer{node: w.node, acked: w.acked}
		if w.acked == 0 {
			t.Fatalf("%s was acknowledged nothing", w.node)
		}
	}
	stop = s.writing(all)
	backup()
	stop()
	more := 0
	for i, w := range all {
		then[i].attempted = w.attempted
		more += w.attempted - then[i].acked
	}
	if more == 0 {
		t.Error("nothing was written while the backup was made: nothing was tested")
	}
	t.Logf("%d reports before the backup began, %d tried until it ended", total(then), more)
	return then
}

// holdsAll reads every node of a restored service back.
func holdsAll(t *testing.T, s *service, then []*writer) {
	t.Helper()
	for _, w := range then {
		one := *w
		one.readBack(t, s, 0)
	}
}

// rootCredentials puts the root credentials of a service beside a restored store, as an administrator does.
func rootCredentials(t *testing.T, s *service, dir string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "root-credentials"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "root-credentials"), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestBackupUnderWritersLosesNothing backs an embedded service up while eight writers report, and restores it into a folder
// and into a database.
func TestBackupUnderWritersLosesNothing(t *testing.T) {
	t.Parallel()
	s := startRaced(t, t.TempDir())
	file := filepath.Join(t.TempDir(), "a.backup")
	then := backedUpUnder(t, s, func() {
		t.Log(mustStocktake(t, "backup", "--data", s.dir, "--to", file))
	})
	dir, url := t.TempDir(), pgtest.Database(t)
	mustStocktake(t, "restore", "--from", file, "--data", dir)
	mustStocktake(t, "restore", "--from", file, "--database-url", url)
	rootCredentials(t, s, dir)
	holdsAll(t, start(t, dir), then)
	holdsAll(t, startServers(t, binary, killRegion, same(url, 1)).server(0), then)
}

// TestBackupOfDatabaseUnderWritersLosesNothing does so the other way round.
func TestBackupOfDatabaseUnderWritersLosesNothing(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	migrate(t, url)
	s := startServers(t, binary, killRegion, same(url, 1)).server(0)
	file := filepath.Join(t.TempDir(), "a.backup")
	then := backedUpUnder(t, s, func() {
		t.Log(mustStocktake(t, "backup", "--database-url", url, "--to", file))
	})
	dir := t.TempDir()
	mustStocktake(t, "restore", "--from", file, "--data", dir)
	restored := embedded(dir)
	restored.process.Env = append(os.Environ(),
		"STOCKTAKE_ROOT_ACCESS_KEY_ID="+s.key.AccessKeyID, "STOCKTAKE_ROOT_SECRET_ACCESS_KEY="+s.key.SecretAccessKey)
	restored.key = s.key
	if _, err := restored.run(); err != nil {
		t.Fatal(err)
	}
	restored.watch(t)
	holdsAll(t, restored, then)
}

// TestKilledBackupAndRestoreLeaveNothingFalse kills backups, restores and the service itself at random moments.
func TestKilledBackupAndRestoreLeaveNothingFalse(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, %d rounds", seed, *rounds)
	random := rand.New(rand.NewPCG(seed, 0))
	s := startRaced(t, t.TempDir())
	backups := t.TempDir()
	whole := filepath.Join(backups, "whole.backup")
	then := backedUpUnder(t, s, func() { mustStocktake(t, "backup", "--data", s.dir, "--to", whole) })
	for round := range *rounds {
		path := filepath.Join(backups, fmt.Sprintf("%d.backup", round))
		killed := killedAfter(t, time.Duration(random.IntN(400))*time.Millisecond, "backup", "--data", s.dir, "--to", path)
		if _, err := os.Stat(path); killed && err == nil {
			mustStocktake(t, "restore", "--from", path, "--data", filepath.Join(t.TempDir(), "whole")) // it came in time
		}
		dir := filepath.Join(t.TempDir(), "restored")
		if killedAfter(t, time.Duration(random.IntN(800))*time.Millisecond, "restore", "--from", whole, "--data", dir) {
			refusedUnfinished(t, dir)
		}
		printed, err := stocktake(t.Context(), "restore", "--from", whole, "--data", dir)
		if err != nil && !strings.Contains(printed, "not empty") { // it had ended
			t.Fatalf("round %d: restoring again: %v\n%s", round, err, printed)
		}
		rootCredentials(t, s, dir)
		restored := start(t, dir)
		holdsAll(t, restored, then)
		restored.kill()
	}
	stop := s.writing(then[:1])
	ended := make(chan error, 1)
	late := filepath.Join(backups, "late.backup")
	go func() {
		_, err := stocktake(context.WithoutCancel(t.Context()), "backup", "--data", s.dir, "--to", late)
		ended <- err
	}()
	time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
	s.kill()
	stop()
	failed := <-ended
	if _, err := os.Stat(late); (failed == nil) != (err == nil) {
		t.Errorf("the service was killed: backup says %v, and of its file %v", failed, err)
	}
}

// killedAfter runs the binary and kills it after a while; false when it was quicker.
func killedAfter(t *testing.T, after time.Duration, args ...string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), after)
	defer cancel()
	_, err := stocktake(ctx, args...)
	var exited *exec.ExitError
	if err != nil && !errors.As(err, &exited) && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	return err != nil
}

// refusedUnfinished holds a service to what a killed restore left: nothing yet, all of it, or a store that is refused.
func refusedUnfinished(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, "store")); err != nil {
		return
	}
	served, err := launch(dir)
	if err == nil {
		t.Log("the restore had ended")
		served.kill()
	} else if !strings.Contains(err.Error(), "did not end") {
		t.Errorf("a store that a restore was killed over: %v", err)
	}
}
