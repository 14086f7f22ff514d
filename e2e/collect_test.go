package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"stocktake/internal/client"
)

// joined is a machine that collects as a managed node, by nothing but its state folder.
type joined struct {
	t     *testing.T
	state string
}

// collect runs the command without any AWS setting.
func (j joined) collect(env []string, args ...string) (stdout, stderr string, err error) {
	j.t.Helper()
	cmd := j.command(env, args...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	err = cmd.Run()
	return out.String(), log.String(), err
}

func (j joined) command(env []string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	j.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, binary, append([]string{"collect", "--state-dir", j.state}, args...)...)
	cmd.Env = append([]string{"HOME=" + j.t.TempDir(), "PATH=" + os.Getenv("PATH"), "AWS_EC2_METADATA_DISABLED=true"}, env...)
	return cmd
}

// must is collect where it has to succeed, and say something.
func (j joined) must(want string, args ...string) {
	j.t.Helper()
	out, log, err := j.collect(nil, args...)
	if err != nil || !strings.Contains(out, want) {
		j.t.Fatalf("collect %v: %v, want %q\n%s%s", args, err, want, out, log)
	}
}

// mustNot is collect where it has to fail, and say why.
func (j joined) mustNot(want []string, args ...string) {
	j.t.Helper()
	_, log, err := j.collect(nil, args...)
	for _, text := range want {
		if err == nil || !strings.Contains(log, text) {
			j.t.Errorf("collect %v: %v, want %q\n%s", args, err, text, log)
		}
	}
}

// activate makes an activation as an administrator does.
func (s *service) activate(t *testing.T) (id, code string) {
	t.Helper()
	made := s.aws(t, "create-activation", "--iam-role", "nodes", "--registration-limit", "2").(map[string]any)
	return made["ActivationId"].(string), made["ActivationCode"].(string)
}

// TestCollectAsAManagedNode takes a machine from its registration to its end: over a restart of the service, at another
// address, without any key but its own.
func TestCollectAsAManagedNode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, dir)
	id, code := s.activate(t)
	j := joined{t, filepath.Join(t.TempDir(), "state")}
	register := []string{"--register", "--activation-id", id, "--endpoint-url", s.endpoint, "--region", cliRegion}

	out, log, err := j.collect([]string{"STOCKTAKE_ACTIVATION_CODE=wrong-code-wrong-code"}, register...)
	if err == nil || !strings.Contains(log, "InvalidActivation") || !strings.Contains(log, "hint: ask for another activation") {
		t.Errorf("with a wrong code: %v\n%s%s", err, out, log)
	}
	out, log, err = j.collect([]string{"STOCKTAKE_ACTIVATION_CODE=" + code}, register...)
	if err != nil || !strings.HasPrefix(out, "registered as mi-") {
		t.Fatalf("%v\n%s%s", err, out, log)
	}
	path := filepath.Join(j.state, "identity.json")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the identity has mode %v, %v", info.Mode(), err)
	}
	i, err := client.LoadIdentity(path)
	if err != nil || !strings.Contains(out, i.Node) {
		t.Fatalf("%v: %s", err, out)
	}
	_, log, err = j.collect([]string{"STOCKTAKE_ACTIVATION_CODE=" + code}, register...)
	if err == nil || !strings.Contains(log, "registered already, as "+i.Node) {
		t.Errorf("a second registration: %v\n%s", err, log)
	}

	j.must("node " + i.Node + " (from the registration)")
	j.must(" 0 types in full")
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s = start(t, dir)
	j.must(" 0 types in full", "--endpoint-url", s.endpoint)
	j.must(`"InstanceId": "`+i.Node+`"`, "--print")
	s.isListed(t, i.Node)

	s.aws(t, "deregister-managed-instance", "--instance-id", i.Node)
	j.mustNot([]string{"the service refuses managed node " + i.Node, "hint: was the node deregistered", "--register --force"}, "--endpoint-url", s.endpoint)
	file := filepath.Join(t.TempDir(), "code")
	if err := os.WriteFile(file, []byte(code+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	j.must("registered as mi-", "--register", "--force", "--activation-id", id, "--activation-code-file", file, "--endpoint-url", s.endpoint, "--region", cliRegion)
	j.must("(from the registration)")
	again, err := client.LoadIdentity(path)
	if err != nil || again.Node == i.Node || again.Fingerprint == i.Fingerprint || again.Key.Equal(i.Key) {
		t.Errorf("registered by force as %v, %v", again, err)
	}
}

// isListed holds what the service says of a node to what collect has told it.
func (s *service) isListed(t *testing.T, node string) {
	t.Helper()
	described := s.aws(t, "describe-instance-information").(map[string]any)["InstanceInformationList"].([]any)
	if len(described) != 1 || described[0].(map[string]any)["InstanceId"] != node || described[0].(map[string]any)["PingStatus"] != "Online" {
		t.Errorf("the nodes are %v", described)
	}
	entries := s.aws(t, "list-inventory-entries", "--instance-id", node, "--type-name", "AWS:InstanceInformation").(map[string]any)["Entries"].([]any)
	if len(entries) != 1 || entries[0].(map[string]any)["AgentType"] != "stocktake-collect" || entries[0].(map[string]any)["ComputerName"] == "" {
		t.Errorf("its information is %v", entries)
	}
	network := s.aws(t, "list-inventory-entries", "--instance-id", node, "--type-name", "AWS:Network").(map[string]any)
	if network["CaptureTime"] == nil {
		t.Errorf("its network is %v", network)
	}
}

func TestCollectKeepsOn(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir(), "--tls-self-signed")
	authority := filepath.Join(s.dir, "tls", "ca.pem")
	made, log, err := s.command(t.Context(), cliRegion, tool(t, "aws"), "--ca-bundle", authority, "--endpoint-url", s.endpoint, "--output", "json",
		"ssm", "create-activation", "--iam-role", "nodes")
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	var activation struct {
		ID   string `json:"ActivationId"`
		Code string `json:"ActivationCode"`
	}
	if err := json.Unmarshal([]byte(made), &activation); err != nil {
		t.Fatal(err)
	}
	j := joined{t, filepath.Join(t.TempDir(), "state")}
	j.must("registered as mi-", "--register", "--activation-id", activation.ID, "--activation-code", activation.Code,
		"--endpoint-url", s.endpoint, "--region", cliRegion, "--ca-bundle", authority)
	running := j.command(nil, "--every", "1m")
	out := &lockedBuffer{}
	running.Stderr = out
	if err := running.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- running.Wait() }()
	eventually(t, "a report", patience, func() error {
		if text := out.String(); !strings.Contains(text, "msg=reported") {
			return os.ErrNotExist
		}
		return nil
	})
	if err := running.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil || !strings.Contains(out.String(), "msg=stopped") || strings.Contains(out.String(), "level=ERROR") {
			t.Errorf("ended with %v\n%s", err, out.String())
		}
	case <-time.After(patience):
		t.Fatal("it did not end")
	}
}
