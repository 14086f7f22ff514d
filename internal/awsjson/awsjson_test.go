package awsjson

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/cockroachdb/datadriven"

	"stocktake/internal/iam"
	"stocktake/internal/inventory"
	"stocktake/internal/wire"
)

const testSecret = "a secret of a test"

// A bench is a server with three rows, and what it saw.
type bench struct {
	url     string
	handler *Handler

	mu       sync.Mutex
	observed []Observation
	called   []Caller
	log      bytes.Buffer
}

// newBench starts a server. A GetInventory whose NextToken is the number of a code fails with it; "panic", "wrapped" and
// "canceled" do what they say. PutInventory echoes its node.
func newBench(t *testing.T, change func(*Config)) *bench {
	t.Helper()
	keys, err := iam.New(iam.Key{ID: "ROOT", Secret: testSecret}, []iam.Account{{ID: "111122223333", Keys: []iam.Key{
		{ID: "READER", Secret: testSecret, Actions: []string{"ssm:Get*"}},
		{ID: "NODE", Secret: testSecret, Nodes: []string{"i-1234*"}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{}
	c := Config{
		Keys: keys,
		Log:  slog.New(slog.NewJSONHandler(b, nil)),
		Observe: func(_ *http.Request, o Observation) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.observed = append(b.observed, o)
		},
		Rows: []Row{
			NewRow("PutInventory", func(r *wire.PutInventoryRequest) inventory.NodeID { return inventory.NodeID(r.InstanceId) }, b.put),
			NewRow("GetInventory", nil, b.get),
			NewRow("GetInventorySchema", nil, b.schema),
		},
	}
	if change != nil {
		change(&c)
	}
	h, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Amzn-RequestId", "the-id")
		defer func() { // as the middleware around it
			if p := recover(); p != nil {
				b.note(p)
				w.WriteHeader(http.StatusInternalServerError)
			}
		}()
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	b.url, b.handler = server.URL, h
	return b
}

func (b *bench) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.Write(p)
}

func (b *bench) note(p any) { fmt.Fprintf(b, "panic: %v\n", p) }

func (b *bench) logged() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.String()
}

func (b *bench) calls() []Caller {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.called)
}

func (b *bench) call(c Caller) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.called = append(b.called, c)
}

func (b *bench) put(_ context.Context, c Caller, r *wire.PutInventoryRequest) (*wire.PutInventoryResponse, error) {
	b.call(c)
	return &wire.PutInventoryResponse{Message: r.InstanceId}, nil
}

func (b *bench) schema(_ context.Context, c Caller, _ *wire.GetInventorySchemaRequest) (*wire.GetInventorySchemaResponse, error) {
	b.call(c)
	return &wire.GetInventorySchemaResponse{}, nil
}

func (b *bench) get(ctx context.Context, c Caller, r *wire.GetInventoryRequest) (*wire.GetInventoryResponse, error) {
	b.call(c)
	switch r.NextToken {
	case "":
		return &wire.GetInventoryResponse{}, nil
	case "plain":
		return nil, errors.New("the disk at /var is on fire")
	case "wrapped":
		return nil, fmt.Errorf("planning: %w", inventory.Errorf(inventory.InvalidFilter, "no such attribute"))
	case "internal":
		return nil, inventory.Errorf(inventory.Internal, "the disk at /var is on fire")
	case "wait":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for _, code := range inventory.Codes() {
		if r.NextToken == fmt.Sprint(code) {
			return nil, inventory.ItemErrorf(code, "Custom:Rack", "text for people")
		}
	}
	return nil, fmt.Errorf("no such case: %q", r.NextToken)
}

// A flaw spoils a request: before changes what is signed, after what was.
type flaw struct {
	before, after func(r *http.Request)
	sign          func(s *signing)
}

type signing struct {
	key, secret, region, service string
	at                           time.Time
	hash                         string
}

const goodPut = `{"InstanceId":"i-12345678","Items":[{"TypeName":"Custom:Rack","SchemaVersion":"1.0","CaptureTime":"2026-01-02T03:04:05Z"}]}`

// send signs with the SDK's signer and sends.
func (b *bench) send(t *testing.T, target, body string, flaws ...flaw) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "AmazonSSM."+target)
	sum := sha256.Sum256([]byte(body))
	s := signing{"ROOT", testSecret, "eu-west-1", "ssm", time.Now(), hex.EncodeToString(sum[:])}
	for _, f := range flaws {
		if f.before != nil {
			f.before(r)
		}
		if f.sign != nil {
			f.sign(&s)
		}
	}
	credentials := aws.Credentials{AccessKeyID: s.key, SecretAccessKey: s.secret}
	if err := v4.NewSigner().SignHTTP(t.Context(), credentials, r, s.hash, s.service, s.region, s.at); err != nil {
		t.Fatal(err)
	}
	for _, f := range flaws {
		if f.after != nil {
			f.after(r)
		}
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	return answer
}

func read(t *testing.T, answer *http.Response) string {
	t.Helper()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func setHeader(name, value string) flaw {
	return flaw{before: func(r *http.Request) {
		if value == "" {
			r.Header.Del(name)
			return
		}
		r.Header.Set(name, value)
	}}
}

func withBody(body string) flaw {
	return flaw{
		before: func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		},
		sign: func(s *signing) {
			sum := sha256.Sum256([]byte(body))
			s.hash = hex.EncodeToString(sum[:])
		},
	}
}

func withKey(id string) flaw { return flaw{sign: func(s *signing) { s.key = id }} }

var unsigned = flaw{after: func(r *http.Request) { r.Header.Del("Authorization") }}

// TestAnswers runs testdata/answers: call ACTION [key=] [region=] [skew=] [service=] [method=] [path=] [header=(name,value)]
// [tampered] [unsigned], with the body as input; prints status, content type and body.
func TestAnswers(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Regions = []string{"eu-west-1", "eu-north-1"} })
	datadriven.RunTest(t, "testdata/answers", func(t *testing.T, d *datadriven.TestData) string {
		answer := b.send(t, d.CmdArgs[0].Key, d.Input, flaws(t, d)...)
		text := read(t, answer)
		if answer.Header.Get("X-Amzn-Requestid") != "the-id" {
			t.Error("request id is lost")
		}
		return fmt.Sprintf("%d %s\n%s\n", answer.StatusCode, answer.Header.Get("Content-Type"), text)
	})
}

func flaws(t *testing.T, d *datadriven.TestData) []flaw {
	var all []flaw
	for _, a := range d.CmdArgs[1:] {
		switch a.Key {
		case "key":
			all = append(all, withKey(a.Vals[0]))
		case "region":
			all = append(all, flaw{sign: func(s *signing) { s.region = a.Vals[0] }})
		case "service":
			all = append(all, flaw{sign: func(s *signing) { s.service = a.Vals[0] }})
		case "method":
			all = append(all, flaw{before: func(r *http.Request) { r.Method = a.Vals[0] }})
		case "path":
			all = append(all, flaw{before: func(r *http.Request) { r.URL.Path = a.Vals[0] }})
		case "header":
			all = append(all, setHeader(a.Vals[0], strings.Join(a.Vals[1:], ",")))
		case "secret":
			all = append(all, flaw{sign: func(s *signing) { s.secret = a.Vals[0] }})
		case "unsigned":
			all = append(all, unsigned)
		default:
			t.Fatalf("unknown argument %s", a.Key)
		}
	}
	return all
}

// TestOrderOfChecks lets a request fail every check, then every check but the first, and so on: the earliest failure is
// the answer.
func TestOrderOfChecks(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Regions = []string{"eu-west-1"}; c.MaxBody = 1000 })
	steps := []struct {
		flaw flaw
		code string
		text string
	}{
		{setHeader("Content-Type", "application/json"), "UnknownOperationException", "<Unknown"},
		{unsigned, "MissingAuthenticationTokenException", ""},
		{flaw{sign: func(s *signing) { s.at = s.at.Add(-time.Hour) }}, "InvalidSignatureException", "Signature expired"},
		{flaw{sign: func(s *signing) { s.region = "mars-1" }}, "InvalidSignatureException", "valid region, not 'mars-1'"},
		{withBody("[" + strings.Repeat(" ", 1000)), "RequestEntityTooLargeException", "1000 bytes"},
		{flaw{sign: func(s *signing) { s.secret = "another secret altogether" }}, "InvalidSignatureException", "we calculated does not match"},
		{setHeader("X-Amz-Target", "AmazonSSM.putInventory"), "UnknownOperationException", `{"__type"`},
		{withKey("READER"), "AccessDeniedException", "on resource: arn:aws:ssm:eu-west-1:111122223333:*"},
		{withBody(`{"Items":5}`), "SerializationException", "Expected list or null"},
		{withBody(`{"InstanceId":"i-87654321"}`), "ValidationException", "Value null at 'items'"},
		{flaw{before: withKey("NODE").before, sign: withKey("NODE").sign}, "AccessDeniedException", "on resource: arn:aws:ec2:eu-west-1:111122223333:instance/i-87654321"},
	}
	other := strings.Replace(goodPut, "i-12345678", "i-87654321", 1)
	for i, step := range steps {
		var left []flaw
		// The flaws are laid on from the last to the first, for an earlier one to have the say about what both spoil.
		for j := len(steps) - 1; j >= i; j-- {
			left = append(left, steps[j].flaw)
		}
		answer := b.send(t, "PutInventory", other, left...)
		if text := read(t, answer); !strings.Contains(text, step.code) || !strings.Contains(text, step.text) {
			t.Errorf("from step %d on: got %s, want %s %s", i, text, step.code, step.text)
		}
	}
	if calls := b.calls(); len(calls) != 0 {
		t.Errorf("a refused request reached its method: %v", calls)
	}
	if text := read(t, b.send(t, "PutInventory", other)); text != `{"Message":"i-87654321"}` {
		t.Errorf("without flaws: %s", text)
	}
}

func TestEveryRowIsSigned(t *testing.T) {
	b := newBench(t, nil)
	for _, action := range []string{"PutInventory", "GetInventory", "GetInventorySchema"} {
		for name, f := range map[string]flaw{
			"unsigned": unsigned,
			"foreign":  withKey("NOBODY"),
			"tampered": {after: func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`{ }`)); r.ContentLength = 3 }},
		} {
			if answer := b.send(t, action, goodPut, f); answer.StatusCode != http.StatusBadRequest {
				t.Errorf("%s %s: %s", action, name, answer.Status)
			}
		}
	}
	if calls := b.calls(); len(calls) != 0 {
		t.Errorf("calls: %v", calls)
	}
}

func TestEveryCodeHasItsRow(t *testing.T) {
	if len(errorTable) != len(inventory.Codes()) {
		t.Fatalf("%d rows for %d codes", len(errorTable), len(inventory.Codes()))
	}
	names := map[string]bool{}
	b := newBench(t, nil)
	for _, code := range inventory.Codes() {
		row := errorTable[code]
		if row.name == "" || names[row.name] {
			t.Errorf("code %d has no row, or the name %q of another", code, row.name)
		}
		names[row.name] = true
		answer := b.send(t, "GetInventory", fmt.Sprintf(`{"NextToken":"%d"}`, code))
		want := map[members]string{
			none:           `{"__type":"` + row.name + `"}`,
			message:        `{"__type":"` + row.name + `","Message":"text for people"}`,
			typeAndMessage: `{"__type":"` + row.name + `","TypeName":"Custom:Rack","Message":"text for people"}`,
			lowerMessage:   `{"__type":"` + row.name + `","message":"text for people"}`,
			fixedText:      `{"__type":"` + row.name + `","message":"Rate exceeded"}`,
		}[row.members]
		if got := read(t, answer); got != want || answer.StatusCode != row.status {
			t.Errorf("%d %s, want %d %s", answer.StatusCode, got, row.status, want)
		}
		if last := b.observed[len(b.observed)-1]; last.Code != row.name || last.Action != "GetInventory" {
			t.Errorf("observed: %+v", last)
		}
	}
}

func TestInternalReasonStaysInTheLog(t *testing.T) {
	for _, token := range []string{"plain", "internal"} {
		b := newBench(t, nil)
		answer := b.send(t, "GetInventory", `{"NextToken":"`+token+`"}`)
		if text := read(t, answer); answer.StatusCode != 500 || text != `{"__type":"InternalServerError"}` {
			t.Errorf("%d %s", answer.StatusCode, text)
		}
		for _, want := range []string{"the disk at /var is on fire", `"request_id":"the-id"`, `"level":"ERROR"`, `"action":"GetInventory"`} {
			if log := b.logged(); !strings.Contains(log, want) {
				t.Errorf("log lacks %s: %s", want, log)
			}
		}
		if strings.Contains(b.logged(), testSecret) {
			t.Error("log holds a secret")
		}
	}
}

func TestWrappedErrorsKeepTheirCode(t *testing.T) {
	b := newBench(t, nil)
	text := read(t, b.send(t, "GetInventory", `{"NextToken":"wrapped"}`))
	if want := `{"__type":"InvalidFilter","Message":"no such attribute"}`; text != want {
		t.Errorf("got %s, want %s", text, want)
	}
}

func TestCallerThatLeavesIsNoError(t *testing.T) {
	b := newBench(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	leave := flaw{after: func(r *http.Request) {
		*r = *r.WithContext(ctx)
		go func() {
			for len(b.calls()) == 0 {
				time.Sleep(time.Millisecond)
			}
			cancel()
		}()
	}}
	if err := b.try(t, `{"NextToken":"wait"}`, leave); err == nil {
		t.Fatal("the request was answered")
	}
	for range 2000 {
		if strings.Contains(b.logged(), "internal error") {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if log := b.logged(); !strings.Contains(log, "context canceled") || strings.Contains(log, `"level":"ERROR"`) {
		t.Errorf("log: %s", log)
	}
}

// try sends a GetInventory that may fail to be answered.
func (b *bench) try(t *testing.T, body string, f flaw) error {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("X-Amz-Target", "AmazonSSM.GetInventory")
	sum := sha256.Sum256([]byte(body))
	credentials := aws.Credentials{AccessKeyID: "ROOT", SecretAccessKey: testSecret}
	if err := v4.NewSigner().SignHTTP(t.Context(), credentials, r, hex.EncodeToString(sum[:]), "ssm", "eu-west-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	f.after(r)
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		answer.Body.Close()
	}
	return err
}

func TestPartitionIsOfKeyAndScope(t *testing.T) {
	b := newBench(t, nil)
	b.send(t, "GetInventory", "{}", withKey("READER"), flaw{sign: func(s *signing) { s.region = "ap-south-2" }})
	b.send(t, "GetInventory", "{}", withKey("READER"), flaw{sign: func(s *signing) { s.region = "ap-south-2" }})
	b.send(t, "GetInventory", "{}")
	var got []string
	for _, c := range b.calls() {
		got = append(got, c.Partition.String()+" "+c.Principal.AccessKeyID+" "+c.RequestID)
	}
	want := []string{"111122223333/ap-south-2 READER the-id", "111122223333/ap-south-2 READER the-id", "000000000000/eu-west-1 ROOT the-id"}
	if !slices.Equal(got, want) {
		t.Errorf("callers are %q", got)
	}
	if log := b.logged(); strings.Count(log, "first request for a region") != 2 {
		t.Errorf("log: %s", log)
	}
}

func TestRowsAreListedOnce(t *testing.T) {
	keys, err := iam.New(iam.Key{ID: "ROOT", Secret: testSecret}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{}
	row := NewRow("GetInventory", nil, b.get)
	if _, err := New(Config{Keys: keys, Rows: []Row{row, row}}); err == nil {
		t.Error("a row listed twice is taken")
	}
	if _, err := New(Config{Keys: keys}); err == nil {
		t.Error("no rows are taken")
	}
	if _, err := New(Config{Rows: []Row{row}}); err == nil {
		t.Error("no keys are taken")
	}
}
