//go:build clock

package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"stocktake/internal/client"
	"stocktake/internal/pgtest"
	"stocktake/internal/sigv4"
)

const clockRegion = "clock-1"

// now is what the service takes for the time.
func (l *liar) now() time.Time { return time.Now().Add(l.ahead()) }

// root signs as the root account.
func (l *liar) root() sigv4.Credentials {
	return sigv4.Credentials{AccessKeyID: l.key.AccessKeyID, SecretAccessKey: l.key.SecretAccessKey}
}

// answer is what a call of any action came to.
type answer struct {
	status  int
	members map[string]any
	code    string
	text    string
}

// signedAt calls an action (or TARGET.ACTION) with a signature of a time.
func (l *liar) signedAt(ctx context.Context, at time.Time, who sigv4.Credentials, action string, request any) (a answer, err error) {
	body, err := json.Marshal(request)
	if err != nil {
		return a, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, l.endpoint+"/", bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	if !strings.Contains(action, ".") {
		action = "AmazonSSM." + action
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", action)
	if err := sigv4.Sign(r, sha256.Sum256(body), who, clockRegion, "ssm", at); err != nil {
		return a, err
	}
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		return a, err
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err == nil {
		err = json.Unmarshal(text, &a.members)
	}
	if err != nil {
		return a, fmt.Errorf("%s: %w: %s", action, err, text)
	}
	a.status = got.StatusCode
	a.code, _ = a.members["__type"].(string)
	if a.text, _ = a.members["message"].(string); a.text == "" {
		a.text, _ = a.members["Message"].(string)
	}
	return a, nil
}

// as calls an action as somebody, by the service's own time.
func (l *liar) as(t *testing.T, who sigv4.Credentials, action string, request any) answer {
	t.Helper()
	a, err := l.signedAt(t.Context(), l.now(), who, action, request)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// does calls an action that must succeed.
func (l *liar) does(t *testing.T, action string, request any) map[string]any {
	t.Helper()
	a := l.as(t, l.root(), action, request)
	if a.status != http.StatusOK {
		t.Fatalf("%s with the clock %v off: %d %s %s", action, l.ahead(), a.status, a.code, a.text)
	}
	return a.members
}

// value is a report of one value.
func valued(node, value string) map[string]any {
	return map[string]any{"InstanceId": node, "Items": []any{map[string]any{
		"TypeName": keptType, "SchemaVersion": "1.0", "CaptureTime": capture, "ContentHash": value, "Content": []any{map[string]string{"Value": value}},
	}}}
}

// sets puts a value, and reads it back by its document and by the index.
func (l *liar) sets(t *testing.T, node, value string) {
	t.Helper()
	l.does(t, "PutInventory", valued(node, value))
	l.holdsValue(t, node, value)
}

func (l *liar) holdsValue(t *testing.T, node, value string) {
	t.Helper()
	if got := l.value(t, node); got != value {
		t.Errorf("with the clock %v off %s lists %q, want %q", l.ahead(), node, got, value)
	}
	found, _ := l.does(t, "GetInventory", map[string]any{"Filters": []any{map[string]any{"Key": keptType + ".Value", "Values": []any{value}}}})["Entities"].([]any)
	if len(found) != 1 || found[0].(map[string]any)["Id"] != node {
		t.Errorf("with the clock %v off %s is had by %v, want %s", l.ahead(), value, found, node)
	}
}

// value gives the one value stored of a node.
func (l *liar) value(t *testing.T, node string) string {
	t.Helper()
	entries, _ := l.does(t, "ListInventoryEntries", map[string]any{"InstanceId": node, "TypeName": keptType})["Entries"].([]any)
	if len(entries) != 1 {
		return fmt.Sprint(entries)
	}
	return entries[0].(map[string]any)["Value"].(string)
}

var serversTime = regexp.MustCompile(`\((\d{8}T\d{6}Z) [-+] 5 min\.\)$`)

// TestClockOffRefusesSignatures has the clock an hour before and behind: signatures of the right time are refused in words
// that name the server's, and those of its own time are taken.
func TestClockOffRefusesSignatures(t *testing.T) {
	l := startLiar(t, embedded(t.TempDir()), 0)
	for off, want := range map[time.Duration]string{time.Hour: "Signature expired: ", -time.Hour: "Signature not yet current: "} {
		l.set(t, off)
		a, err := l.signedAt(t.Context(), time.Now(), l.root(), "GetInventory", map[string]any{})
		if err != nil || a.status != http.StatusBadRequest || a.code != "InvalidSignatureException" || !strings.HasPrefix(a.text, want) {
			t.Errorf("the clock %v off: %+v, %v, want %q", off, a, err, want)
		}
		said := serversTime.FindStringSubmatch(a.text)
		if said == nil {
			t.Errorf("%q does not name the server's time", a.text)
			continue
		}
		at, err := time.Parse("20060102T150405Z", said[1])
		if err != nil || l.now().Sub(at).Abs() > time.Minute {
			t.Errorf("%q names another time than the server's, which is %v", a.text, l.now())
		}
		l.sets(t, "i-00000000000000001", fmt.Sprintf("v%d", off))
	}
}

// TestClockJumps sets the clock an hour back and forth while the service runs, and over a kill: the order of reports is
// that of their arrival, pages go on, the audit is whole.
func TestClockJumps(t *testing.T) {
	dir := t.TempDir()
	l := startLiar(t, embedded(dir), 0)
	const node = "i-00000000000000001"
	value := 0
	for _, off := range []time.Duration{0, -time.Hour, time.Hour, -2 * time.Hour, 0} {
		l.set(t, off)
		l.does(t, "CreateActivation", map[string]any{"IamRole": "nodes"})
		for range 20 {
			value++
			l.sets(t, node, fmt.Sprintf("v%d", value))
		}
	}
	l.kill()
	if out := printed(t, "audit", "verify", "--data", dir); !strings.Contains(out, "all lines are as they were written") {
		t.Error(out)
	}
	if _, lines := trail(t, "--data", dir); len(lines) != 5 {
		t.Errorf("the audit has %d lines of 5 activations", len(lines))
	}
	l = startLiar(t, embedded(dir), -time.Hour)
	l.holdsValue(t, node, fmt.Sprintf("v%d", value))
	l.sets(t, node, "after the kill")
	l.pagesGoOn(t)
}

// pagesGoOn asks for the second page an hour before the first, and two days after it.
func (l *liar) pagesGoOn(t *testing.T) {
	t.Helper()
	l.sets(t, "i-00000000000000002", "second")
	l.set(t, 0)
	token := l.does(t, "GetInventory", map[string]any{"MaxResults": 1})["NextToken"]
	second := map[string]any{"MaxResults": 1, "NextToken": token}
	for _, off := range []time.Duration{-time.Hour, time.Hour} {
		l.set(t, off)
		if found, _ := l.does(t, "GetInventory", second)["Entities"].([]any); len(found) != 1 {
			t.Errorf("the second page, %v off the first: %v", off, found)
		}
	}
	l.set(t, 48*time.Hour)
	if a := l.as(t, l.root(), "GetInventory", second); a.code != "InvalidNextToken" {
		t.Errorf("the second page two days later: %+v", a)
	}
}

// TestClockEndsWhatEnds has an activation, a role's session and a node's credentials, all of an hour or less, come to
// their ends by the clock, and back with it.
func TestClockEndsWhatEnds(t *testing.T) {
	l := startLiar(t, embedded(t.TempDir()), 0)
	made := l.does(t, "CreateActivation", map[string]any{"IamRole": "nodes", "RegistrationLimit": 5, "ExpirationDate": l.now().Add(30 * time.Minute).Unix()})
	register := func() (client.Identity, error) {
		key, err := client.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		machine := client.Identity{Endpoint: l.endpoint, Region: clockRegion, Fingerprint: client.NewFingerprint(), Key: key}
		machine.Node, err = client.Register(t.Context(), client.Config{}, machine, made["ActivationId"].(string), made["ActivationCode"].(string))
		return machine, err
	}
	machine, err := register()
	if err != nil {
		t.Fatal(err)
	}
	node, err := client.OpenNode(client.Config{}, machine, func(client.Identity) error { return nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(node.Client().Close)
	ofNode, err := node.Credentials(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	session := l.session(t)
	for _, step := range []struct {
		off          time.Duration
		node, person string // codes
		ended        bool   // the activation
	}{
		{0, "", "AccessDeniedException", false},
		{2 * time.Hour, "ExpiredTokenException", "ExpiredTokenException", true},
		{-time.Hour, "", "AccessDeniedException", false},
	} {
		l.set(t, step.off)
		if a := l.as(t, ofNode, "PutInventory", valued(machine.Node, "v")); a.code != step.node {
			t.Errorf("the node with the clock %v off: %+v, want %q", step.off, a, step.node)
		}
		if a := l.as(t, session, "GetInventory", map[string]any{}); a.code != step.person {
			t.Errorf("the session with the clock %v off: %+v, want %q", step.off, a, step.person)
		}
		if _, err := register(); (err != nil) != step.ended {
			t.Errorf("a registration with the clock %v off: %v, want a failure: %v", step.off, err, step.ended)
		}
	}
}

// session assumes a role that may do nothing, for an hour.
func (l *liar) session(t *testing.T) sigv4.Credentials {
	t.Helper()
	l.did(t, nil, nil, "iam", "create-role", "--role-name", "idle", "--assume-role-policy-document",
		`{"Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"sts:AssumeRole"}}`)
	var assumed struct{ Credentials issued }
	l.did(t, nil, &assumed, "sts", "assume-role", "--role-arn", "arn:aws:iam::000000000000:role/idle", "--role-session-name", "night")
	c := assumed.Credentials
	return sigv4.Credentials{AccessKeyID: c.ID, SecretAccessKey: c.Secret, SessionToken: c.Token}
}

// TestClocksOfServersDiffer has two servers of one database whose clocks are two hours apart, one of them jumping: each
// answers what the other took, and when the one that does the work of the service's own is killed, the other takes it over.
func TestClocksOfServersDiffer(t *testing.T) {
	url := pgtest.Database(t)
	migrate(t, url)
	ahead, behind := startLiar(t, over(url), time.Hour), startLiar(t, over(url), -time.Hour)
	for n := range 20 {
		node := fmt.Sprintf("i-%017d", n)
		ahead.sets(t, node, fmt.Sprintf("ahead%d", n))
		behind.set(t, time.Duration(n%5-2)*time.Hour)
		behind.sets(t, node, fmt.Sprintf("behind%d", n))
		ahead.holdsValue(t, node, fmt.Sprintf("behind%d", n))
	}
	ahead.kill()
	began := time.Now()
	id := behind.does(t, "DeleteInventory", map[string]any{"TypeName": keptType})["DeletionId"]
	behind.set(t, -2*time.Hour)
	behind.completesDeletion(t, id)
	t.Logf("the deletion ended %v after the other server was killed", time.Since(began).Round(time.Millisecond))
	if out := printed(t, "audit", "verify", "--database-url", url); !strings.Contains(out, "all lines are as they were written") {
		t.Error(out)
	}
}

func (l *liar) completesDeletion(t *testing.T, id any) {
	t.Helper()
	eventually(t, "the deletion ends", patience, func() error {
		a, err := l.signedAt(t.Context(), l.now(), l.root(), "DescribeInventoryDeletions", map[string]any{"DeletionId": id})
		if err != nil {
			return err
		}
		jobs, _ := a.members["InventoryDeletions"].([]any)
		if len(jobs) != 1 || jobs[0].(map[string]any)["LastStatus"] != "Complete" {
			return fmt.Errorf("%+v", a)
		}
		return nil
	})
}
