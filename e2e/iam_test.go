package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// identity is what the AWS CLI signs with: variables that go before the service's own.
type identity []string

func keyOf(id, secret, token string) identity {
	return identity{"AWS_ACCESS_KEY_ID=" + id, "AWS_SECRET_ACCESS_KEY=" + secret, "AWS_SESSION_TOKEN=" + token}
}

// awsAs runs the real aws CLI as someone. It gives what was printed, or the error's text.
func (s *service) awsAs(t *testing.T, who identity, args ...string) (answer, refusal string) {
	t.Helper()
	full := append([]string{args[0], "--endpoint-url", s.endpoint, "--output", "json"}, args[1:]...)
	tool(t, "aws")
	out, log, err := runAWS(t.Context(), append(append(os.Environ(), s.clientEnv(cliRegion)...), who...), full...)
	if err != nil {
		return "", log
	}
	return out, ""
}

// did is awsAs of what must go well; the answer is read into v where there is one.
func (s *service) did(t *testing.T, who identity, v any, args ...string) {
	t.Helper()
	answer, refusal := s.awsAs(t, who, args...)
	if refusal != "" {
		t.Fatalf("aws %s: %s", strings.Join(args, " "), refusal)
	}
	if v == nil {
		return
	}
	if err := json.Unmarshal([]byte(answer), v); err != nil {
		t.Fatalf("aws %s: %v in %q", strings.Join(args, " "), err, answer)
	}
}

// refused is awsAs of what must be refused, in words that contain these.
func (s *service) refused(t *testing.T, who identity, words string, args ...string) {
	t.Helper()
	if answer, refusal := s.awsAs(t, who, args...); !strings.Contains(refusal, words) || refusal == "" {
		t.Errorf("aws %s: answered %q, refused %q, want %q", strings.Join(args, " "), answer, refusal, words)
	}
}

// issued is a key as it is given out.
type issued struct {
	ID     string `json:"AccessKeyId"`
	Secret string `json:"SecretAccessKey"`
	Token  string `json:"SessionToken"`
}

func (k issued) identity() identity { return keyOf(k.ID, k.Secret, k.Token) }

const readsInventory = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ssm:Get*","sts:AssumeRole"],"Resource":"*"},
 {"Effect":"Deny","Action":"ssm:GetInventorySchema","Resource":"*"}]}`

// TestUsersOfTheCommandLine takes a user through its life with the aws CLI: made, given a policy and a key, which works,
// is disabled and deleted; and a role that it assumes.
func TestUsersOfTheCommandLine(t *testing.T) {
	t.Parallel()
	conf := filepath.Join(t.TempDir(), "stocktake.yaml")
	if err := os.WriteFile(conf, []byte(accountsFile[strings.Index(accountsFile, "accounts:"):]), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(conf), "reader.secret"), []byte("reader-secret-reader-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, t.TempDir(), "--config", conf)
	var root identity
	who := func(as identity) string {
		t.Helper()
		var is struct{ Arn string }
		s.did(t, as, &is, "sts", "get-caller-identity")
		return is.Arn
	}
	if got := who(root); got != "arn:aws:iam::000000000000:root" {
		t.Errorf("root is %s", got)
	}
	if got := who(keyOf("AKIAREADER", "reader-secret-reader-secret", "")); got != "arn:aws:iam::111122223333:user/AKIAREADER" {
		t.Errorf("a configured key is %s", got)
	}
	s.did(t, root, nil, "iam", "create-user", "--user-name", "alice")
	s.did(t, root, nil, "iam", "put-user-policy", "--user-name", "alice", "--policy-name", "read", "--policy-document", readsInventory)
	s.refused(t, root, "unknown condition key", "iam", "put-user-policy", "--user-name", "alice", "--policy-name", "bad", "--policy-document",
		`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:Foo":"x"}}}}`)
	var made struct{ AccessKey issued }
	s.did(t, root, &made, "iam", "create-access-key", "--user-name", "alice")
	id, alice := made.AccessKey.ID, made.AccessKey.identity()
	if got := who(alice); got != "arn:aws:iam::000000000000:user/alice" {
		t.Errorf("the user is %s", got)
	}
	s.did(t, alice, nil, "ssm", "get-inventory")
	s.refused(t, alice, "no identity-based policy allows the ssm:DeleteInventory action", "ssm", "delete-inventory", "--type-name", "Custom:X")
	s.refused(t, alice, "with an explicit deny in an identity-based policy", "ssm", "get-inventory-schema")
	s.refused(t, alice, "AccessDenied", "iam", "create-user", "--user-name", "mallory")

	s.did(t, root, nil, "iam", "create-role", "--role-name", "full", "--assume-role-policy-document", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:user/alice"},"Action":"sts:AssumeRole"}]}`)
	s.did(t, root, nil, "iam", "put-role-policy", "--role-name", "full", "--policy-name", "p", "--policy-document", `{"Statement":{"Effect":"Allow","Action":"ssm:*","Resource":"*"}}`)
	var assumed struct{ Credentials issued }
	s.did(t, alice, &assumed, "sts", "assume-role", "--role-arn", "arn:aws:iam::000000000000:role/full", "--role-session-name", "night")
	s.did(t, assumed.Credentials.identity(), nil, "ssm", "get-inventory-schema")

	s.did(t, root, nil, "iam", "update-access-key", "--user-name", "alice", "--access-key-id", id, "--status", "Inactive")
	s.refused(t, alice, "UnrecognizedClientException", "ssm", "get-inventory")
	s.refused(t, root, "DeleteConflict", "iam", "delete-user", "--user-name", "alice")
	s.did(t, root, nil, "iam", "delete-access-key", "--user-name", "alice", "--access-key-id", id)
	s.did(t, root, nil, "iam", "delete-user-policy", "--user-name", "alice", "--policy-name", "read")
	s.did(t, root, nil, "iam", "delete-user", "--user-name", "alice")
	var users struct{ Users []any }
	if s.did(t, root, &users, "iam", "list-users"); len(users.Users) > 0 {
		t.Errorf("users are left: %v", users.Users)
	}
	s.counted(t, `action="CreateUser",code="OK"} 1`, `action="CreateUser",code="AccessDenied"} 1`, `action="AssumeRole",code="OK"} 1`)
}

// counted checks that requests of these labels were counted so often.
func (s *service) counted(t *testing.T, requests ...string) {
	t.Helper()
	_, metrics, err := s.get("/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range requests {
		if !strings.Contains(metrics, "stocktake_requests_total{"+want+"\n") {
			t.Errorf("/metrics has no request of %s", want)
		}
	}
}

// TestThrottledFormsAreTriedAgain has the aws CLI ask STS from an address that asks too much: it reads what it is told, and tries
// again.
func TestThrottledFormsAreTriedAgain(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir(), "--rate-source", "1")
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		a := &asker{address: s.address()}
		defer a.close()
		for ; ctx.Err() == nil; time.Sleep(time.Millisecond) { // one is taken each second: hardly ever that of the CLI
			if _, _, err := a.ask([]byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n")); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	refusal := ""
	for tries := 0; tries < 5 && !strings.Contains(refusal, "max retries"); tries++ {
		_, refusal = s.awsAs(t, identity{"AWS_MAX_ATTEMPTS=2", "AWS_RETRY_MODE=standard"}, "sts", "get-caller-identity")
	}
	stop()
	<-stopped
	if !strings.Contains(refusal, "(Throttling) when calling the GetCallerIdentity operation (reached max retries: 1): Rate exceeded") {
		t.Errorf("refused %q", refusal)
	}
}
