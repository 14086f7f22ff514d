//go:build stockagent

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// agentDir is where the binaries of the stock agent are. The tests of this file are built with the tag stockagent alone:
// the agent is no part of the project, and wants root.
var agentDir = flag.String("agent", "/usr/bin", "folder of amazon-ssm-agent, ssm-agent-worker, ssm-document-worker and ssm-session-worker")

// agentPrograms are those the agent looks for beside itself.
var agentPrograms = []string{"amazon-ssm-agent", "ssm-agent-worker", "ssm-document-worker", "ssm-session-worker", "ssm-session-logger"}

// stockAgent is an unmodified agent in folders of its own: in its view of the file system they lie over those that the
// agent of the machine uses.
type stockAgent struct {
	dir string
	env []string
	log *lockedBuffer
}

// The folders laid over those of the machine, by their names in the agent's folder.
var agentFolders = map[string]string{"etc": "/etc/amazon", "lib": "/var/lib/amazon", "log": "/var/log/amazon"}

func newStockAgent(t *testing.T, s *service, region string, identity any) *stockAgent {
	t.Helper()
	a := &stockAgent{dir: t.TempDir(), log: &lockedBuffer{}}
	for _, name := range []string{"etc", "lib", "log", "home", "bin/configuration"} {
		if err := os.MkdirAll(filepath.Join(a.dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, over := range agentFolders {
		if err := os.MkdirAll(over, 0o755); err != nil {
			t.Fatalf("the agent wants root: %v", err)
		}
	}
	for _, name := range agentPrograms {
		copyFile(t, filepath.Join(*agentDir, name), filepath.Join(a.dir, "bin", name))
	}
	endpoint := map[string]string{"Endpoint": s.endpoint}
	// The control channel is TLS whatever is written, and its address has to have a scheme to be taken.
	control := map[string]string{"Endpoint": "https://" + strings.TrimPrefix(strings.TrimPrefix(s.endpoint, "http://"), "https://")}
	config, err := json.Marshal(map[string]any{
		"Ssm": map[string]any{"Endpoint": s.endpoint, "HealthFrequencyMinutes": 5, "AssociationFrequencyMinutes": 5},
		"Mds": endpoint, "Mgs": control, "Agent": map[string]string{"Region": region}, "Identity": identity,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(a.dir, "bin/configuration/amazon-ssm-agent.json"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	a.env = append(withoutAWS(os.Environ()), "HOME="+filepath.Join(a.dir, "home"), "AWS_EC2_METADATA_DISABLED=true")
	if strings.HasPrefix(s.endpoint, "https") {
		a.env = append(a.env, "SSL_CERT_FILE="+filepath.Join(s.dir, "tls", "ca.pem"))
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the agent's log ends in:\n%s", a.log.tail(20_000))
		}
	})
	return a
}

// withoutAWS drops what would lead the agent to keys or files of the machine's user: it writes its credentials where
// AWS_SHARED_CREDENTIALS_FILE says.
func withoutAWS(env []string) []string {
	return slices.DeleteFunc(env, func(v string) bool { return strings.HasPrefix(v, "AWS_") })
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatalf("the stock agent is not in the folder given by -agent: %v", err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// command is the agent with some arguments, in its own view of the file system.
func (a *stockAgent) command(ctx context.Context, args ...string) *exec.Cmd {
	var script strings.Builder
	for name, over := range agentFolders {
		fmt.Fprintf(&script, "mount --bind %s %s && ", filepath.Join(a.dir, name), over)
	}
	script.WriteString(`cd bin && exec ./amazon-ssm-agent "$@"`)
	cmd := exec.CommandContext(ctx, "unshare", append([]string{"--mount", "sh", "-c", script.String(), "agent"}, args...)...)
	cmd.Dir, cmd.Env = a.dir, a.env
	cmd.Stdout, cmd.Stderr = a.log, a.log
	// Its workers go with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = patience
	return cmd
}

// run starts the agent and ends it with the test.
func (a *stockAgent) run(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := a.command(ctx)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		cancel()
		_ = cmd.Wait()
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	t.Cleanup(stop)
	return stop
}

var registeredAs = regexp.MustCompile(`Managed instance-id: (mi-[0-9a-f]{17})`)

// register registers the agent and gives the id it got.
func (a *stockAgent) register(t *testing.T, id, code, region string) string {
	t.Helper()
	var out bytes.Buffer
	cmd := a.command(t.Context(), "-register", "-id", id, "-code", code, "-region", region, "-y")
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("register: %v\n%s", err, out.String())
	}
	found := registeredAs.FindStringSubmatch(out.String())
	if found == nil {
		t.Fatalf("the agent names no id: %s", out.String())
	}
	return found[1]
}

// agentPatience covers the two sleeps of the agent before a report, of up to 30 seconds each, and a busy machine.
const agentPatience = 4 * time.Minute

// eventually waits until what the aws CLI answers satisfies the test, and gives that answer.
func (s *service) eventually(t *testing.T, what string, holds func(answer map[string]any) bool, args ...string) map[string]any {
	t.Helper()
	var last any
	for began := time.Now(); time.Since(began) < agentPatience; time.Sleep(time.Second) {
		last = s.aws(t, args...)
		if answer, ok := last.(map[string]any); ok && holds(answer) {
			return answer
		}
	}
	t.Fatalf("%s: it never came to that; the last answer of %v is %v", what, args, last)
	return nil
}

func entriesOf(answer map[string]any) []any {
	entries, _ := answer["Entries"].([]any)
	return entries
}

// collects makes the association that has every node report each minute, and gives its id.
func (s *service) collects(t *testing.T) string {
	t.Helper()
	answer, ok := s.aws(t, "create-association", "--name", "AWS-GatherSoftwareInventory", "--targets", "Key=InstanceIds,Values=*",
		"--schedule-expression", "rate(1 minute)").(map[string]any)
	if !ok {
		t.Fatal("create-association answers nothing")
	}
	return fmt.Sprint(answer["AssociationDescription"].(map[string]any)["AssociationId"])
}

// TestStockAgentActivated is the life of an activated node: registration, the first report, reports by their hashes,
// a restart of the service between, and the end of the registration.
func TestStockAgentActivated(t *testing.T) {
	for name, args := range map[string][]string{"http": nil, "https": {"--tls-self-signed"}} {
		t.Run(name, func(t *testing.T) {
			address := freeAddress(t)
			dir := t.TempDir()
			args := append([]string{"--schedule-floor", "1m", "--role-token-ttl", "15m", "--listen", address}, args...)
			s := start(t, dir, args...)
			association := s.collects(t)
			activation := s.aws(t, "create-activation", "--iam-role", "inventory", "--default-instance-name", "stock", "--tags", "Key=env,Value=test").(map[string]any)
			a := newStockAgent(t, s, cliRegion, map[string]any{"ConsumptionOrder": []string{"OnPrem"}})
			id := a.register(t, fmt.Sprint(activation["ActivationId"]), fmt.Sprint(activation["ActivationCode"]), cliRegion)
			a.run(t)
			list := []string{"list-inventory-entries", "--instance-id", id, "--type-name"}
			first := s.eventually(t, "the first report", func(answer map[string]any) bool { return len(entriesOf(answer)) > 0 }, append(list, "AWS:Application")...)
			s.eventually(t, "the association's success", func(answer map[string]any) bool {
				overview, _ := answer["AssociationDescription"].(map[string]any)["Overview"].(map[string]any)
				return overview["Status"] == "Success"
			}, "describe-association", "--association-id", association)
			s.eventually(t, "the compliance", func(answer map[string]any) bool { return len(entriesOf(answer)) == 1 }, append(list, "AWS:ComplianceItem")...)
			node := s.eventually(t, "the heartbeat", func(answer map[string]any) bool {
				nodes, _ := answer["InstanceInformationList"].([]any)
				return len(nodes) == 1
			}, "describe-instance-information")["InstanceInformationList"].([]any)[0].(map[string]any)
			for member, want := range map[string]any{"InstanceId": id, "PingStatus": "Online", "Name": "stock", "IamRole": "inventory", "ResourceType": "ManagedInstance", "PlatformType": "Linux"} {
				if node[member] != want {
					t.Errorf("%s is %v, not %v", member, node[member], want)
				}
			}
			if err := s.stop(); err != nil {
				t.Fatal(err)
			}
			s = start(t, dir, args...)
			s.eventually(t, "a report after the restart", func(answer map[string]any) bool {
				return fmt.Sprint(answer["CaptureTime"]) > fmt.Sprint(first["CaptureTime"])
			}, append(list, "AWS:Application")...)
			if _, metrics, err := s.get("/metrics"); err != nil || !regexp.MustCompile(`stocktake_reports_total\{outcome="unchanged"\} [1-9]`).MatchString(metrics) {
				t.Errorf("no report came by its hashes (%v)", err)
			}
			if log := a.log.String(); strings.Contains(log, "panic") || strings.Contains(log, "has been terminated") {
				t.Error("the agent's worker died")
			}
			s.aws(t, "deregister-managed-instance", "--instance-id", id)
			gone := s.aws(t, "describe-instance-information").(map[string]any)
			if nodes, _ := gone["InstanceInformationList"].([]any); len(nodes) != 0 {
				t.Errorf("a deregistered node is listed: %v", nodes)
			}
		})
	}
}

// TestStockAgentByKey has the agent use an access key, without any registration.
func TestStockAgentByKey(t *testing.T) {
	const id = "i-0123456789abcdef0"
	s := start(t, t.TempDir(), "--schedule-floor", "1m")
	s.collects(t)
	a := newStockAgent(t, s, cliRegion, map[string]any{
		"ConsumptionOrder": []string{"CustomIdentity"},
		"CustomIdentities": []map[string]string{{"InstanceID": id, "Region": cliRegion, "CredentialsProvider": "DEFAULT"}},
	})
	a.env = append(a.env, "AWS_ACCESS_KEY_ID="+s.key.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+s.key.SecretAccessKey)
	a.run(t)
	s.eventually(t, "the first report", func(answer map[string]any) bool { return len(entriesOf(answer)) > 0 },
		"list-inventory-entries", "--instance-id", id, "--type-name", "AWS:Application")
}

// freeAddress gives an address of loopback that a service can take again after a restart.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return address
}
