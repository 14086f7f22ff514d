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
	"stocktake/internal/wire"
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

// broken answers forms by a panic, before it said what they ask for or after.
type broken struct {
	Forms
	begins bool
}

func (f broken) Answer(ctx context.Context, c Caller, _ string, _ []byte) Formed {
	if f.begins {
		if err := c.BeginForm(ctx, Write, "CreateUser", "iam:CreateUser", "arn:aws:iam::000000000000:user/bob"); err != nil {
			return Formed{Status: http.StatusInternalServerError, Fault: err}
		}
	}
	panic("out of order")
}

// TestAuditIsToldOfPanics: whether a call took effect whose method panicked is not known, so its line says it failed.
func TestAuditIsToldOfPanics(t *testing.T) {
	aForm := []flaw{setHeader("Content-Type", formType), setHeader("X-Amz-Target", ""), {sign: func(s *signing) { s.service = "iam" }}}
	const put = " write ssm:PutInventory by ROOT began="
	const create = " write iam:CreateUser by ROOT began="
	const bob = " to arn:aws:iam::000000000000:user/bob"
	for _, c := range []struct {
		name  string
		forms Forms
		flaws []flaw
		want  []string
	}{
		{"a write", nil, nil, []string{"begin" + put + "false" + putNode, "end" + put + "true" + putNode + " InternalServerError fault=true"}},
		{"a form", broken{begins: true}, aForm, []string{"begin" + create + "false" + bob, "end" + create + "true" + bob + " InternalServerError fault=true"}},
		{"a form of which nothing is known yet", broken{}, aForm, nil},
	} {
		audit := &clerk{}
		b := newBench(t, func(config *Config) {
			config.Audit, config.Forms = audit, c.forms
			config.Rows = []Row{NewRow("PutInventory", func(r *wire.PutInventoryRequest) inventory.NodeID { return inventory.NodeID(r.InstanceId) },
				func(context.Context, Caller, *wire.PutInventoryRequest) (*wire.PutInventoryResponse, error) {
					panic("out of order")
				})}
		})
		answer := b.send(t, "PutInventory", goodPut, c.flaws...)
		if answer.StatusCode != http.StatusInternalServerError || !strings.Contains(b.logged(), "panic: out of order") {
			t.Errorf("%s: answered %d", c.name, answer.StatusCode)
		}
		told(t, audit, c.want...)
	}
}
