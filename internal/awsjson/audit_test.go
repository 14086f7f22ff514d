package awsjson

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/inventory"
)

// clerk is an audit that writes down what it is told, and fails when it is told to.
type clerk struct {
	keeps     []Kind
	failBegin bool
	failEnd   bool

	mu   sync.Mutex
	told []string
}

func (c *clerk) Keeps(k Kind) bool { return k == Write || slices.Contains(c.keeps, k) }

func (c *clerk) Begin(_ context.Context, call *Call) error {
	c.note("begin", call)
	if c.failBegin {
		return errors.New("no journal")
	}
	call.Kept = "kept"
	return nil
}

func (c *clerk) End(_ context.Context, call *Call) error {
	how := "end"
	if call.Began != (call.Kept != nil) && call.Kind == Write {
		how = "end of what was not kept"
	}
	c.note(how, call)
	if c.failEnd && call.Began {
		// As a store on a disk that stalls: of the line it is true, of the call it is not.
		return fmt.Errorf("no journal: %w", inventory.Errorf(inventory.Throttling, "Send it again later."))
	}
	return nil
}

func (c *clerk) note(what string, call *Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	who := "nobody"
	if call.Caller.Principal != nil {
		who = call.Caller.Principal.AccessKeyID
	}
	kind := map[Kind]string{Write: "write", Question: "question", Report: "report"}[call.Kind]
	s := fmt.Sprintf("%s %s %s by %s began=%v", what, kind, call.Permission, who, call.Began)
	if len(call.Resources) > 0 {
		s += " to " + strings.Join(call.Resources, " ")
	}
	if call.Code != "" {
		s += fmt.Sprintf(" %s fault=%v", call.Code, call.Fault)
	}
	if call.Caller.Source != "127.0.0.1" || call.Caller.RequestID != "the-id" || call.UserAgent == "" {
		s += fmt.Sprintf(" from %q %q %q", call.Caller.Source, call.Caller.RequestID, call.UserAgent)
	}
	c.told = append(c.told, s)
}

func audited(t *testing.T, c *clerk) *bench {
	t.Helper()
	return newBench(t, func(config *Config) { config.Audit = c })
}

func told(t *testing.T, c *clerk, want ...string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if diff := cmp.Diff(want, c.told); diff != "" {
		t.Error(diff)
	}
	c.told = nil
}

const putNode = " to arn:aws:ec2:eu-west-1:000000000000:instance/i-12345678"

func by(key, secret string) flaw {
	return flaw{sign: func(s *signing) { s.key, s.secret = key, secret }}
}

func TestAuditIsToldOfWrites(t *testing.T) {
	c := &clerk{}
	b := audited(t, c)
	send := func(target, body string, flaws ...flaw) int {
		answer := b.send(t, target, body, flaws...)
		_ = answer.Body.Close()
		return answer.StatusCode
	}
	send("PutInventory", goodPut)
	told(t, c, "begin write ssm:PutInventory by ROOT began=false"+putNode, "end write ssm:PutInventory by ROOT began=true"+putNode)
	send("GetInventory", "{}")
	told(t, c)
	c.keeps = []Kind{Question}
	send("GetInventory", "{}")
	told(t, c, "end question ssm:GetInventory by ROOT began=true")
}

func TestAuditIsToldOfRefusals(t *testing.T) {
	c := &clerk{}
	b := audited(t, c)
	for _, refused := range []struct {
		target, body string
		flaw         flaw
		want         string
	}{
		{"PutInventory", goodPut, flaw{after: func(r *http.Request) { r.Header.Del("Authorization") }}, "end write ssm:PutInventory by nobody began=false MissingAuthenticationTokenException fault=false"},
		{"PutInventory", goodPut, by("ROOT", "another"), "end write ssm:PutInventory by nobody began=false InvalidSignatureException fault=false"},
		{"PutInventory", goodPut, by("READER", testSecret), "end write ssm:PutInventory by READER began=false AccessDeniedException fault=false"},
		{
			"PutInventory", strings.Replace(goodPut, "i-12345678", "i-87654321", 1), by("NODE", testSecret),
			"end write ssm:PutInventory by NODE began=false to arn:aws:ec2:eu-west-1:111122223333:instance/i-87654321 AccessDeniedException fault=false",
		},
		{"PutInventory", "[", flaw{}, "end write ssm:PutInventory by ROOT began=false SerializationException fault=false"},
		{"PutInventory", "{}", flaw{}, "end write ssm:PutInventory by ROOT began=false ValidationException fault=false"},
		{"GetInventory", `{"NextToken":"wrapped"}`, flaw{}, "end question ssm:GetInventory by ROOT began=false InvalidFilter fault=false"},
		{"GetInventory", `{"NextToken":"plain"}`, flaw{}, "end question ssm:GetInventory by ROOT began=false InternalServerError fault=true"},
		{"LaunchMissiles", "{}", flaw{}, "end   by ROOT began=false UnknownOperationException fault=false"},
	} {
		answer := b.send(t, refused.target, refused.body, refused.flaw)
		_ = answer.Body.Close()
		told(t, c, refused.want)
	}
	answer := b.send(t, "PutInventory", goodPut, flaw{before: func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }})
	_ = answer.Body.Close()
	told(t, c)
}

// TestAuditThatFailsRefuses has no write run without its line begun, nor answered without its line.
func TestAuditThatFailsRefuses(t *testing.T) {
	c := &clerk{failBegin: true}
	b := audited(t, c)
	status := func() int {
		answer := b.send(t, "PutInventory", goodPut)
		_ = answer.Body.Close()
		return answer.StatusCode
	}
	if got := status(); got != http.StatusInternalServerError || len(b.calls()) != 0 {
		t.Errorf("answered %d, and the method ran %d times", got, len(b.calls()))
	}
	c.failBegin, c.failEnd = false, true
	if got := status(); got != http.StatusInternalServerError || len(b.calls()) != 1 {
		t.Errorf("answered %d, and the method ran %d times", got, len(b.calls()))
	}
	if !strings.Contains(b.logged(), "no journal") {
		t.Error("the log does not say why")
	}
}
