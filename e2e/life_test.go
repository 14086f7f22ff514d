package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/google/go-cmp/cmp"
)

const lifeNode = "i-0000000000000e001"

// rackFilter finds the nodes of a row.
func rackFilter(row string) *ssm.GetInventoryInput {
	return &ssm.GetInventoryInput{Filters: []types.InventoryFilter{{Key: aws.String("Custom:Rack.Row"), Values: []string{row}}}}
}

func TestRestartKeepsEverything(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, dir)
	client := s.client("life-1")
	put(t, client, lifeNode, "Custom:Rack", "1.0", map[string]string{"Row": "a"})
	if err := s.stop(); err != nil {
		t.Fatalf("SIGTERM: %v", err)
	}
	snapshots, err := filepath.Glob(filepath.Join(dir, "index", "*"))
	if err != nil || len(snapshots) != 1 {
		t.Errorf("after the stop the index's folder holds %v (%v), want one snapshot", snapshots, err)
	}
	s = start(t, dir)
	if !strings.Contains(s.log.String(), `"from":"snapshot"`) {
		t.Error("the second start did not read the snapshot")
	}
	if diff := cmp.Diff([]string{lifeNode}, ids(t, s.client("life-1"), rackFilter("a"))); diff != "" {
		t.Error(diff)
	}
	put(t, s.client("life-1"), lifeNode, "Custom:Rack", "1.0", map[string]string{"Row": "b"})
	if got := ids(t, s.client("life-1"), rackFilter("a")); len(got) != 0 {
		t.Errorf("still found by what it had: %v", got)
	}
}

// TestDamagedSnapshotCostsTimeOnly starts over snapshots that were cut, altered, emptied and exchanged for an older one.
func TestDamagedSnapshotCostsTimeOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, dir)
	put(t, s.client("life-2"), lifeNode, "Custom:Rack", "1.0", map[string]string{"Row": "a"})
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	snapshot := filepath.Join(dir, "index", "index.snapshot")
	whole, err := os.ReadFile(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	altered := slices.Clone(whole)
	altered[len(altered)/2] ^= 0x55
	for name, text := range map[string][]byte{"cut": whole[:len(whole)/2], "altered": altered, "empty": nil, "doubled": slices.Concat(whole, whole)} {
		if err := os.WriteFile(snapshot, text, 0o600); err != nil {
			t.Fatal(err)
		}
		s := start(t, dir)
		if diff := cmp.Diff([]string{lifeNode}, ids(t, s.client("life-2"), rackFilter("a"))); diff != "" {
			t.Errorf("%s snapshot: %s", name, diff)
		}
		s.kill() // so that it is not written anew
	}
	if err := os.Remove(snapshot); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{lifeNode}, ids(t, start(t, dir).client("life-2"), rackFilter("a"))); diff != "" {
		t.Errorf("no snapshot: %s", diff)
	}
}

// TestOlderBackupUnderNewerSnapshot restores the store as it was before, and leaves the snapshot that knows more.
func TestOlderBackupUnderNewerSnapshot(t *testing.T) {
	t.Parallel()
	dir, backup := t.TempDir(), filepath.Join(t.TempDir(), "store")
	s := start(t, dir)
	put(t, s.client("life-3"), lifeNode, "Custom:Rack", "1.0", map[string]string{"Row": "old"})
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(backup, os.DirFS(filepath.Join(dir, "store"))); err != nil {
		t.Fatal(err)
	}
	s = start(t, dir)
	put(t, s.client("life-3"), lifeNode, "Custom:Rack", "1.0", map[string]string{"Row": "new"})
	put(t, s.client("life-3"), "i-0000000000000e002", "Custom:Rack", "1.0", map[string]string{"Row": "new"})
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "store")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "store"), os.DirFS(backup)); err != nil {
		t.Fatal(err)
	}
	client := start(t, dir).client("life-3")
	// The same number of changes as the lost history had, so that only their ids tell the two apart.
	put(t, client, lifeNode, "Custom:Rack", "1.0", map[string]string{"Row": "other"})
	for row, want := range map[string][]string{"old": {}, "new": {}, "other": {lifeNode}} {
		if diff := cmp.Diff(want, ids(t, client, rackFilter(row))); diff != "" {
			t.Errorf("row %s: %s", row, diff)
		}
	}
	if diff := cmp.Diff([]string{lifeNode}, ids(t, client, &ssm.GetInventoryInput{})); diff != "" {
		t.Errorf("all nodes: %s", diff)
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	s := start(t, t.TempDir())
	_, err := launch(s.dir)
	if err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second process on the folder: %v", err)
	}
}

// TestStopFailsReadinessFirst holds the order of a stop: not ready, still answering, then gone with exit code 0.
func TestStopFailsReadinessFirst(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir(), "--stop-delay", "2s")
	client := s.client("life-4")
	put(t, client, lifeNode, "Custom:Rack", "1.0", map[string]string{"Row": "a"})
	if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	status := http.StatusOK
	var said string
	for deadline := time.Now().Add(patience); status == http.StatusOK && time.Now().Before(deadline); {
		var err error
		if status, said, err = s.get("/readyz"); err != nil {
			t.Fatalf("/readyz while stopping: %v", err)
		}
	}
	if status != http.StatusServiceUnavailable || !strings.Contains(said, "stopping") {
		t.Errorf("/readyz while stopping: %d %s", status, said)
	}
	put(t, client, lifeNode, "Custom:Rack", "1.0", map[string]string{"Row": "b"})
	select {
	case <-s.exited:
	case <-time.After(patience):
		t.Fatal("it did not end")
	}
	if s.exit != nil {
		t.Errorf("the exit: %v", s.exit)
	}
	if got := ids(t, start(t, s.dir).client("life-4"), rackFilter("b")); len(got) != 1 {
		t.Error("the report taken while stopping is gone")
	}
}

func TestHealthAndMetrics(t *testing.T) {
	s := start(t, t.TempDir())
	client := s.client("life-5")
	put(t, client, lifeNode, "Custom:Rack", "1.0", map[string]string{"Row": "a"})
	_, _ = client.ListInventoryEntries(t.Context(), &ssm.ListInventoryEntriesInput{ // refused, to be counted
		InstanceId: aws.String("i-0000000000000e009"), TypeName: aws.String("Custom:Rack"),
	})
	if status, _, err := s.get("/healthz"); err != nil || status != http.StatusOK {
		t.Errorf("/healthz: %d %v", status, err)
	}
	_, text, err := s.get("/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`stocktake_requests_total{action="PutInventory",code="OK"} 1`,
		`stocktake_requests_total{action="ListInventoryEntries",code="InvalidInstanceId"} 1`,
		`stocktake_request_duration_seconds_count{action="PutInventory"} 1`,
		`stocktake_reports_total{outcome="stored"} 1`,
		"stocktake_nodes 1\n", "stocktake_entries ", "stocktake_index_bytes ", "stocktake_store_fsyncs_total ",
		"stocktake_snapshot_age_seconds ", "go_goroutines ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("/metrics has no %q", want)
		}
	}
}

// TestLogHoldsNoContentAndNoSecrets looks for both in all that the service said, on its most talkative level.
func TestLogHoldsNoContentAndNoSecrets(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir(), "--log-level", "debug")
	const planted = "planted-8d1f"
	put(t, s.client("life-6"), lifeNode, "Custom:Rack", "1.0", map[string]string{"Row": planted})
	_ = ids(t, s.client("life-6"), rackFilter(planted))
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	log := s.log.String()
	for name, secret := range map[string]string{"content": planted, "the secret": s.key.SecretAccessKey} {
		if strings.Contains(log, secret) {
			t.Errorf("%s is in the log", name)
		}
	}
	requests := 0
	for line := range strings.Lines(log) {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Errorf("%q is no JSON: %v", line, err)
		}
		if record["account"] == "000000000000" && record["region"] == "life-6" && record["access_key"] == s.key.AccessKeyID {
			requests++
		}
	}
	if requests != 2 {
		t.Errorf("%d lines of requests, want one each of 2", requests)
	}
}

// TestCommandsAgainstTheService drives collect, node and retention as a user does.
func TestCommandsAgainstTheService(t *testing.T) {
	s := sharedService(t)
	run := func(args ...string) string {
		t.Helper()
		stdout, stderr, err := s.command(t.Context(), "commands-1", binary, args...)
		if err != nil {
			t.Fatalf("stocktake %s: %v\n%s", strings.Join(args, " "), err, stderr)
		}
		return stdout
	}
	const node, managed = "i-0000000000000e00c", "mi-0000000000000e00d"
	state := t.TempDir()
	if out := run("collect", "--instance-id", node, "--state-dir", state); !strings.Contains(out, " 0 unchanged") {
		t.Errorf("the first report: %q", out)
	}
	if out := run("collect", "--instance-id", node, "--state-dir", state); strings.Contains(out, " 0 unchanged") {
		t.Errorf("the second report: %q", out)
	}
	run("node", "register", managed)
	put(t, s.client("commands-1"), managed, "Custom:Rack", "1.0", map[string]string{"Row": "a"})
	run("node", "terminate", managed)
	listed := run("node", "list")
	for _, want := range []string{node + ".*Active", managed + ".*Terminated"} {
		id, status, _ := strings.Cut(want, ".*")
		if !slices.ContainsFunc(strings.Split(listed, "\n"), func(l string) bool { return strings.Contains(l, id) && strings.Contains(l, status) }) {
			t.Errorf("no line of %s and %s in:\n%s", id, status, listed)
		}
	}
	run("node", "remove", managed)
	if listed := run("node", "list", "--output", "json"); strings.Contains(listed, managed) {
		t.Errorf("%s is still listed:\n%s", managed, listed)
	}
	if out := run("retention", "run"); !strings.Contains(out, "dropped 0 of ") {
		t.Errorf("retention: %q", out)
	}
	if _, stderr, err := s.command(t.Context(), "commands-1", binary, "node", "terminate", "mi-0000000000000e0ff"); err == nil || !strings.Contains(stderr, "InvalidInstanceId") {
		t.Errorf("terminating an unknown node: %v %q", err, stderr)
	}
}

// TestDemoEndsByItself runs what the README shows first.
func TestDemoEndsByItself(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(binary, "demo", "--once", "--nodes", "20", "--data", t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"This machine is i-", "20 simulated nodes", "aws ssm get-inventory --filters", "aws ssm list-inventory-entries", "The service ends here"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the demo does not say %q:\n%s", want, out)
		}
	}
}
