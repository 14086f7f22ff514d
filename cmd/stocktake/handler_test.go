package main

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/agent"
	"stocktake/internal/api"
	"stocktake/internal/awsjson"
	"stocktake/internal/httpd"
	"stocktake/internal/iam"
	"stocktake/internal/sigv4"
	"stocktake/internal/ssm"
)

// forms stands for what answers forms, of which none is asked here.
type forms struct{ awsjson.Forms }

// allRows is the protocol with every row, of which none is called.
func allRows(t *testing.T) *awsjson.Handler {
	t.Helper()
	rows := append(api.Rows(new(ssm.Service)), agent.Rows(new(ssm.Service), agent.Config{})...)
	protocol, err := awsjson.New(awsjson.Config{Keys: new(iam.Directory), Forms: forms{}, Rows: rows})
	if err != nil {
		t.Fatal(err)
	}
	return protocol
}

// TestPriorityIsOfWhatIsServed has requests that claim, by their target, to be something else than they are served as.
func TestPriorityIsOfWhatIsServed(t *testing.T) {
	protocol := allRows(t)
	const media, heartbeat = "application/x-amz-json-1.1", "AmazonSSM.UpdateInstanceInformation"
	for _, c := range []struct {
		name, method, path, media string
		targets                   []string
		want                      httpd.Priority
	}{
		{"a question", "POST", "/", media, []string{"AmazonSSM.GetInventory"}, httpd.Ordinary},
		{"what agents ask, and are told for the record", "POST", "/", media, []string{"AmazonSSM.ListInstanceAssociations"}, httpd.Writing},
		{"a report", "POST", "/", media, []string{"AmazonSSM.PutInventory"}, httpd.Writing},
		{"what administrators change", "POST", "/", media, []string{"AmazonSSM.CreateAssociation"}, httpd.Writing},
		{"a heartbeat", "POST", "/", media, []string{heartbeat}, httpd.Urgent},
		{"a poll", "POST", "/", media + "; charset=utf-8", []string{"EC2WindowsMessageDeliveryService.GetMessages"}, httpd.Idle},
		{"a form", "POST", "/", "application/x-www-form-urlencoded", nil, httpd.Writing},
		{"a form that claims to be a heartbeat", "POST", "/", "application/x-www-form-urlencoded", []string{heartbeat}, httpd.Writing},
		{"a form that claims to be a poll", "POST", "/", "application/x-www-form-urlencoded", []string{"EC2WindowsMessageDeliveryService.GetMessages"}, httpd.Writing},
		{"two targets", "POST", "/", media, []string{heartbeat, "AmazonSSM.PutInventory"}, httpd.Ordinary},
		{"another case", "POST", "/", media, []string{"amazonssm.updateinstanceinformation"}, httpd.Ordinary},
		{"another path", "POST", "/x", media, []string{heartbeat}, httpd.Ordinary},
		{"another method", "PUT", "/", media, []string{heartbeat}, httpd.Ordinary},
		{"another media type", "POST", "/", "text/plain", []string{heartbeat}, httpd.Ordinary},
	} {
		r := httptest.NewRequest(c.method, c.path, http.NoBody)
		r.Header.Set("Content-Type", c.media)
		r.Header["X-Amz-Target"] = c.targets
		if got := priority(protocol, r); got != c.want {
			t.Errorf("%s: the priority is %d, not %d", c.name, got, c.want)
		}
	}
}

// TestAgentsAreKnownByHowTheySign has an administrator's key, a session's and a node's key pair, and who claims to be one where
// nobody need sign.
func TestAgentsAreKnownByHowTheySign(t *testing.T) {
	protocol := allRows(t)
	const head = "AWS4-HMAC-SHA256 Credential=%s/20260102/eu-central-1/ssm/aws4_request, SignedHeaders=host;x-amz-date, Signature=%s"
	pair, secret := strings.Repeat("A", 344), strings.Repeat("a", 64)
	for _, c := range []struct {
		name, action, id, signature, token string
		want                               bool
	}{
		{"an access key", "PutInventory", "AKIAIOSFODNN7EXAMPLE", secret, "", false},
		{"a session", "PutInventory", "ASIAIOSFODNN7EXAMPLE", secret, "token", true},
		{"a node's key pair", "RequestManagedInstanceRoleToken", "mi-0123456789abcdef0", pair, "", true},
		{"a session where nobody need sign", "RegisterManagedInstance", "ASIAIOSFODNN7EXAMPLE", secret, "token", false},
		{"a session that asks for nothing known", "Nothing", "ASIAIOSFODNN7EXAMPLE", secret, "token", false},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Set("X-Amz-Target", "AmazonSSM."+c.action)
		r.Header.Set("Authorization", fmt.Sprintf(head, c.id, c.signature))
		if c.token != "" {
			r.Header.Set("X-Amz-Security-Token", c.token)
		}
		if got := isAgents(protocol, r); got != c.want {
			t.Errorf("%s: taken for an agent: %v", c.name, got)
		}
	}
	if isAgents(protocol, httptest.NewRequest(http.MethodPost, "/", http.NoBody)) {
		t.Error("nobody is taken for an agent")
	}
}

// TestFormsAreRefusedAsForms asks for more than an address may: a form is told so in the XML that clients of IAM and STS read, with
// the code on which they try again, and is counted under it; a request of the JSON protocol in JSON.
func TestFormsAreRefusedAsForms(t *testing.T) {
	s := &server{service: new(ssm.Service), keys: new(iam.Directory), metrics: httpd.NewMetrics(), log: slog.New(slog.DiscardHandler)}
	s.config.BodyMemory, s.config.RateSource = 64<<20, 1
	handler, err := s.handler()
	if err != nil {
		t.Fatal(err)
	}
	ask := func(media, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("Content-Type", media)
		return served(handler, r)
	}
	const form, json = "application/x-www-form-urlencoded", "application/x-amz-json-1.1"
	const tooLong = 17 << 20
	if out := ask(form, strings.Repeat("x", tooLong)); out.Code != http.StatusRequestEntityTooLarge || !strings.Contains(out.Body.String(), "<Code>ValidationError</Code>") {
		t.Errorf("a form that is too long is answered %d %s", out.Code, out.Body)
	}
	tooOften := func(media, body string) (out *httptest.ResponseRecorder) {
		for range 1000 { // after a burst of 60, one is taken each second
			if out = ask(media, body); strings.Contains(out.Body.String(), "Rate exceeded") {
				break
			}
		}
		return out
	}
	out := tooOften(form+"; charset=utf-8", "Action=GetCallerIdentity&Version=2011-06-15")
	want := `<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error>` +
		`<RequestId>` + out.Header().Get(httpd.RequestIDHeader) + "</RequestId></ErrorResponse>\n"
	if out.Code != http.StatusBadRequest || out.Header().Get("Content-Type") != "text/xml" || out.Body.String() != want {
		t.Errorf("a form too many is answered %d %s %s", out.Code, out.Header().Get("Content-Type"), out.Body)
	}
	out = tooOften(json, "{}")
	if out.Code != http.StatusBadRequest || out.Header().Get("Content-Type") != json || out.Body.String() != `{"__type":"ThrottlingException","message":"Rate exceeded"}` {
		t.Errorf("a request too many is answered %d %s %s", out.Code, out.Header().Get("Content-Type"), out.Body)
	}
	metrics := served(httpd.AdminHandler(new(httpd.Health), s.metrics), httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, want := range []string{`stocktake_requests_total{action="unknown",code="Throttling"} 1`, `stocktake_requests_total{action="unknown",code="ValidationError"} 1`} {
		if !strings.Contains(metrics.Body.String(), want+"\n") {
			t.Errorf("the metrics have no %s", want)
		}
	}
}

// TestSlowedFailuresTakeNoPlace signs wrongly with a key that is known, more often than an address may: while that is held back it is
// not among the requests at work.
func TestSlowedFailuresTakeNoPlace(t *testing.T) { synctest.Test(t, slowedFailures) }

func slowedFailures(t *testing.T) {
	keys, err := iam.New(iam.Key{ID: "AKIAKNOWN", Secret: "the-right-one-the-right-one"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{service: new(ssm.Service), keys: keys, metrics: httpd.NewMetrics(), log: slog.New(slog.DiscardHandler)}
	s.config.BodyMemory, s.config.RateFailures = 64<<20, 1
	handler, err := s.handler()
	if err != nil {
		t.Fatal(err)
	}
	request := func(body string) *http.Request {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Set("X-Amz-Target", "AmazonSSM.GetInventory")
		return r
	}
	large := strings.Repeat("x", 70<<10) // too large to be held back: its connection ends
	wrong := sigv4.Credentials{AccessKeyID: "AKIAKNOWN", SecretAccessKey: "guessed"}
	for range int(burst / time.Second) {
		served(handler, request(large))
	}
	r := request("{}")
	var ended atomic.Bool
	if err := sigv4.Sign(r, sha256.Sum256([]byte("{}")), wrong, "eu-west-1", "ssm", time.Now()); err != nil {
		t.Fatal(err)
	}
	go func() {
		served(handler, r)
		ended.Store(true)
	}()
	synctest.Wait()
	metrics := served(httpd.AdminHandler(new(httpd.Health), s.metrics), httptest.NewRequest(http.MethodGet, "/metrics", nil)).Body.String()
	if ended.Load() || !strings.Contains(metrics, `stocktake_requests_at_work{line="asking"} 0`+"\n") {
		t.Errorf("has ended: %v, and has a place: %v", ended.Load(), strings.Contains(metrics, `line="asking"} 1`))
	}
	time.Sleep(time.Minute)
	synctest.Wait()
	if !ended.Load() {
		t.Error("held back for a minute")
	}
}

// served gives the answer of a handler.
func served(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	out := httptest.NewRecorder()
	h.ServeHTTP(out, r)
	return out
}

// TestServedRowsAreThoseThatAreWalked holds what is served to what agent's tests walk with every caller: TestEveryRowAndEveryCaller
// and those beside it. Rows of another room have to be added there first.
func TestServedRowsAreThoseThatAreWalked(t *testing.T) {
	service := new(ssm.Service)
	protocol, err := (&server{service: service, keys: new(iam.Directory)}).protocol()
	if err != nil {
		t.Fatal(err)
	}
	type gate struct {
		target, permission string
		auth               awsjson.Auth
	}
	gates := func(rows []awsjson.Row) (all []gate) {
		for _, row := range rows {
			all = append(all, gate{row.Target, row.Permission, row.Auth})
		}
		slices.SortFunc(all, func(a, b gate) int { return strings.Compare(a.target, b.target) })
		return all
	}
	walked := slices.Concat(api.Rows(service), agent.Rows(service, agent.Config{}))
	if diff := cmp.Diff(gates(walked), gates(protocol.Rows()), cmp.AllowUnexported(gate{})); diff != "" {
		t.Error(diff)
	}
}
