package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/google/go-cmp/cmp"

	"stocktake/internal/pgcluster"
	"stocktake/internal/pgtest"
)

const auditRegion = "audit-1"

// audited is what a test reads of a line.
type audited struct {
	EventName, EventSource, UserAgent, RequestID, ErrorCode, ErrorMessage string

	UserIdentity struct{ Type, ARN, UserName, AccessKeyID string }
	Resources    []struct{ ARN string }
}

// trail gives all lines of a store as audit tail prints them, and as they read.
func trail(t *testing.T, where ...string) (text string, lines []audited) {
	t.Helper()
	text = printed(t, append([]string{"audit", "tail", "--lines", "0", "--json"}, where...)...)
	for line := range strings.Lines(text) {
		var l audited
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		lines = append(lines, l)
	}
	return text, lines
}

// printed gives what a command of the binary prints, which ends well.
func printed(t *testing.T, args ...string) string {
	t.Helper()
	stdout, stderr, err := (&service{}).command(t.Context(), auditRegion, binary, args...)
	if err != nil {
		t.Fatalf("stocktake %s: %v\n%s%s", strings.Join(args, " "), err, stdout, stderr)
	}
	return stdout
}

// TestCommandLineLeavesLines drives the aws CLI and reads what the audit says of it: who, what, to what, how it ended;
// and none of the secrets and contents that the calls had in them.
func TestCommandLineLeavesLines(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, dir, "--audit", "all")
	var root identity
	var activation struct {
		ID   string `json:"ActivationId"`
		Code string `json:"ActivationCode"`
	}
	s.did(t, root, &activation, "ssm", "create-activation", "--iam-role", "r", "--description", "planted-description")
	s.did(t, root, nil, "iam", "create-user", "--user-name", "alice")
	var made struct{ AccessKey issued }
	s.did(t, root, &made, "iam", "create-access-key", "--user-name", "alice")
	alice := made.AccessKey.identity()
	s.did(t, root, nil, "ssm", "put-inventory", "--instance-id", "i-12345678", "--items",
		"TypeName=Custom:Rack,SchemaVersion=1.0,CaptureTime=2026-01-02T03:04:05Z,ContentHash=planted-hash,Content=[{Slot=planted-content}]")
	s.refused(t, alice, "not authorized", "ssm", "delete-inventory", "--type-name", "Custom:Rack")
	s.did(t, root, nil, "iam", "create-role", "--role-name", "full", "--assume-role-policy-document",
		`{"Statement":{"Sid":"PlantedSid","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"sts:AssumeRole"}}`)
	var assumed struct{ Credentials issued }
	s.did(t, root, &assumed, "sts", "assume-role", "--role-arn", "arn:aws:iam::000000000000:role/full", "--role-session-name", "night")
	s.refused(t, keyOf(made.AccessKey.ID, "planted-wrong-secret", ""), "InvalidSignature", "ssm", "get-inventory")
	s.refused(t, root, "InvalidTypeName", "ssm", "get-inventory-schema", "--type-name", "planted value")

	text, lines := trail(t, "--data", dir)
	var got []string
	for _, l := range lines {
		to := ""
		if len(l.Resources) > 0 {
			to = " " + l.Resources[0].ARN
		}
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s%s %s", l.UserIdentity.ARN, l.EventName, to, l.ErrorCode)))
		if !strings.Contains(l.UserAgent, "aws-cli") || l.RequestID == "" {
			t.Errorf("%s of %q, request %q", l.EventName, l.UserAgent, l.RequestID)
		}
	}
	const is, rootARN = "arn:aws:iam::000000000000:", "arn:aws:iam::000000000000:root "
	want := []string{
		rootARN + "CreateActivation", rootARN + "CreateUser " + is + "user/alice",
		rootARN + "CreateAccessKey " + is + "user/alice", rootARN + "PutInventory arn:aws:ec2:" + cliRegion + ":000000000000:instance/i-12345678",
		is + "user/alice DeleteInventory AccessDeniedException", rootARN + "CreateRole " + is + "role/full",
		rootARN + "AssumeRole " + is + "role/full", rootARN + "GetInventorySchema InvalidTypeNameException",
	}
	// Lines of one account are in one order; who proved nothing is of none, and of the same second.
	const nobody = "GetInventory InvalidSignatureException"
	isNobody := func(line string) bool { return line == nobody }
	if !slices.ContainsFunc(got, isNobody) {
		t.Errorf("no line %s in %q", nobody, got)
	}
	if diff := cmp.Diff(want, slices.DeleteFunc(got, isNobody)); diff != "" {
		t.Error(diff)
	}
	secrets := []string{
		activation.Code, made.AccessKey.Secret, assumed.Credentials.Secret, assumed.Credentials.Token,
		s.key.SecretAccessKey, "planted", "Planted",
	}
	for _, secret := range secrets {
		if secret == "" || strings.Contains(text, secret) {
			t.Errorf("the lines hold %q", secret)
		}
	}
	if out := printed(t, "audit", "verify", "--data", dir); !strings.Contains(out, "all lines are as they were written") {
		t.Error(out)
	}
}

// numbered calls CreateActivation, each with a number of its own as the node's name and in the user agent, which the line
// of it then has.
type numbered struct {
	last  atomic.Int64
	mu    sync.Mutex
	acked map[int64]string // the ids of requests answered with success
}

func (n *numbered) call(ctx context.Context, client *ssm.Client) error {
	number := n.last.Add(1)
	out, err := client.CreateActivation(ctx, &ssm.CreateActivationInput{IamRole: aws.String("r"), DefaultInstanceName: aws.String(fmt.Sprint(number))},
		func(o *ssm.Options) {
			o.Retryer = aws.NopRetryer{}
			o.APIOptions = append(o.APIOptions, awsmiddleware.AddUserAgentKeyValue("call", fmt.Sprint(number)))
		})
	if err == nil {
		id, _ := awsmiddleware.GetRequestIDMetadata(out.ResultMetadata)
		n.mu.Lock()
		defer n.mu.Unlock()
		n.acked[number] = id
	}
	return err
}

var callNumber = regexp.MustCompile(` call/(\d+)`)

// check holds the lines to the calls: each acknowledged one has its line, every activation there is has one, and no call
// has two.
func (n *numbered) check(t *testing.T, client *ssm.Client, where ...string) (interrupted int) {
	t.Helper()
	_, lines := trail(t, where...)
	byNumber := map[string]audited{}
	for _, l := range lines {
		number := callNumber.FindStringSubmatch(l.UserAgent)
		if number == nil {
			continue
		}
		if _, twice := byNumber[number[1]]; twice {
			t.Errorf("call %s has two lines", number[1])
		}
		if byNumber[number[1]] = l; l.ErrorCode == "Interrupted" {
			interrupted++
		}
	}
	for number, id := range n.acked {
		if l, ok := byNumber[fmt.Sprint(number)]; !ok || l.RequestID != id || l.ErrorCode != "" {
			t.Errorf("call %d, acknowledged as %s, has the line %+v", number, id, l)
		}
	}
	stored := 0
	pages := ssm.NewDescribeActivationsPaginator(client, &ssm.DescribeActivationsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range page.ActivationList {
			stored++
			if _, ok := byNumber[aws.ToString(a.DefaultInstanceName)]; !ok {
				t.Errorf("the activation of call %s is there, and has no line", aws.ToString(a.DefaultInstanceName))
			}
		}
	}
	if len(n.acked) == 0 || stored < len(n.acked) {
		t.Errorf("%d calls were acknowledged, and %d activations are there", len(n.acked), stored)
	}
	t.Logf("%d calls, %d acknowledged, %d in the store, %d lines, %d of them of interrupted calls", n.last.Load(), len(n.acked), stored, len(byNumber), interrupted)
	return interrupted
}

// under calls from several clients until ctx is done or the service does not answer.
func (n *numbered) under(ctx context.Context, wait *sync.WaitGroup, clients ...*ssm.Client) {
	for _, client := range clients {
		for range 4 {
			wait.Go(func() {
				for ctx.Err() == nil && n.call(context.WithoutCancel(ctx), client) == nil {
				}
			})
		}
	}
}

// TestKillLosesNoLine kills the service under calls that write, round after round, and compares lines with what was
// acknowledged and what is in the store.
func TestKillLosesNoLine(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	random, dir := rand.New(rand.NewPCG(seed, 0)), t.TempDir()
	count := max(*rounds-1, 1)
	t.Logf("seed %d, %d rounds", seed, count)
	n := &numbered{acked: map[int64]string{}}
	for range count {
		s := startRaced(t, dir)
		var calling sync.WaitGroup
		n.under(t.Context(), &calling, s.client(auditRegion), s.client(auditRegion))
		time.Sleep(time.Duration(50+random.IntN(700)) * time.Millisecond)
		s.kill()
		calling.Wait()
		if out := printed(t, "audit", "verify", "--data", dir); !strings.Contains(out, "all lines are as they were written") {
			t.Fatal(out)
		}
	}
	s := start(t, dir)
	n.check(t, s.client(auditRegion), "--data", dir)
	if out := printed(t, "audit", "verify", "--data", dir); !strings.Contains(out, "; 0 calls began and have no line yet") {
		t.Error(out)
	}
}

var remembered = regexp.MustCompile(`(?m)^heads: (.*)$`)

// TestServersKeepOneTrail has two servers of one database write at once, and then somebody who may write to the database.
func TestServersKeepOneTrail(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	migrate(t, url)
	s := startServers(t, raced(t), auditRegion, same(url, 2))
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	n := &numbered{acked: map[int64]string{}}
	var calling sync.WaitGroup
	n.under(ctx, &calling, s.client(0), s.client(1))
	calling.Wait()
	// What was cut off with its connection may still be at work.
	eventually(t, "calls end", patience, func() error {
		if out := printed(t, "audit", "verify", "--database-url", url); !strings.Contains(out, "; 0 calls began") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	if interrupted := n.check(t, s.client(0), "--database-url", url); interrupted > 0 {
		t.Errorf("%d calls are taken for interrupted, and nobody died", interrupted)
	}
	heads := remembered.FindStringSubmatch(printed(t, "audit", "verify", "--database-url", url))[1]

	tampered := func(sql, want string, args ...string) {
		t.Helper()
		if _, err := pgcluster.Query(t.Context(), url, sql); err != nil {
			t.Fatal(err)
		}
		args = append([]string{"audit", "verify", "--database-url", url}, args...)
		stdout, stderr, err := (&service{}).command(t.Context(), auditRegion, binary, args...)
		if err == nil || !strings.Contains(stdout, want) {
			t.Errorf("after %s: %v\n%s%s, want %q", sql, err, stdout, stderr, want)
		}
	}
	const lines = "stocktake.journal_line"
	tampered("UPDATE "+lines+" SET text = set_byte(text, 40, get_byte(text, 40) # 1) WHERE seq = 3", "line 3 was altered")
	tampered("DELETE FROM "+lines+" WHERE seq > 8; UPDATE stocktake.journal_head SET seq = 8 WHERE seq > 8", "its end was cut off", "--head", heads)
	tampered("DELETE FROM "+lines+" WHERE seq = 5", "the lines from 5 to 5 are missing")
}

// follow runs a command of the binary that goes on; the end waits for it.
func follow(t *testing.T, out *os.File, args ...string) (end func() error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd.Wait
}

// TestTailFollowsAService reads lines from a running service as they come, until it stops.
func TestTailFollowsAService(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, dir)
	out, err := os.CreateTemp(t.TempDir(), "lines")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	follower := follow(t, out, "audit", "tail", "--follow", "--data", dir)
	s.did(t, nil, nil, "iam", "create-user", "--user-name", "followed")
	eventually(t, "the line is told", patience, func() error {
		text, err := os.ReadFile(out.Name())
		if err == nil && !strings.Contains(string(text), "iam:CreateUser  arn:aws:iam::000000000000:user/followed") {
			err = fmt.Errorf("told so far: %q", text)
		}
		return err
	})
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if err := follower(); err == nil {
		t.Error("the follower took the stop of the service for the end of all lines")
	}
}
