package httpd

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

var uuid4 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func TestEveryAnswerCarriesItsRequestID(t *testing.T) {
	s := serveLimited(t, DefaultLimits(32<<20), func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, RequestID(r.Context()))
	})
	seen := make(map[string]bool)
	for range 3 {
		answer, body := post(t, client(t, false, nil), s.url(), nil)
		id := answer.Header.Get("x-amzn-RequestId")
		if !uuid4.MatchString(id) || seen[id] || body != id {
			t.Errorf("id %q, in the handler %q", id, body)
		}
		seen[id] = true
	}
	for _, line := range s.logs.lines(t, "request", 3) {
		if id, _ := line["request_id"].(string); !seen[id] {
			t.Errorf("id %q in the log was never answered", id)
		}
	}
}

func TestOneLogLineARequest(t *testing.T) {
	s := serveLimited(t, DefaultLimits(32<<20), func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		Annotate(r.Context(), slog.String("account", "000000000000"))
		SetAction(r.Context(), "PutInventory")
		SetCode(r.Context(), "InvalidInstanceId")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, "answer")
	})
	r, err := http.NewRequest(http.MethodPost, s.url(), strings.NewReader("planted-content"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "AmazonSSM.Put\x80\t"+strings.Repeat("x", 200))
	r.Header.Set("Authorization", "planted-secret")
	answer, err := client(t, false, nil).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	lines := s.logs.lines(t, "request", 1)
	if len(lines) != 1 {
		t.Errorf("%d lines", len(lines))
	}
	want := map[string]any{
		"level": "INFO", "method": "POST", "path": "/", "status": 400.0, "action": "PutInventory", "code": "InvalidInstanceId", "account": "000000000000",
		"bytes_in": 15.0, "bytes_out": 6.0, "proto": "HTTP/1.1", "peer": "127.0.0.1",
		"target": "AmazonSSM.Put??" + strings.Repeat("x", 85),
	}
	for key, value := range want {
		if lines[0][key] != value {
			t.Errorf("%s is %v, want %v", key, lines[0][key], value)
		}
	}
	if took, ok := lines[0]["ms"].(float64); !ok || took < 0 {
		t.Errorf("ms is %v", lines[0]["ms"])
	}
	if strings.Contains(s.logs.String(), "planted") {
		t.Errorf("content in the log: %s", s.logs)
	}
}

func TestPanicBecomesInternalServerError(t *testing.T) {
	s := serveLimited(t, DefaultLimits(32<<20), func(http.ResponseWriter, *http.Request) { panic("planted reason") })
	for _, overHTTP2 := range []bool{false, true} {
		answer, body := post(t, client(t, overHTTP2, nil), s.url(), strings.NewReader("{}"))
		if answer.StatusCode != 500 || body != `{"__type":"InternalServerError"}` || answer.Header.Get(RequestIDHeader) == "" {
			t.Errorf("answered %d %s", answer.StatusCode, body)
		}
	}
	for i, line := range s.logs.lines(t, "panic in a handler", 2) {
		stack, _ := line["stack"].(string)
		if line["reason"] != "planted reason" || !strings.Contains(stack, "TestPanicBecomesInternalServerError") {
			t.Errorf("logged %v", line)
		}
		if line["request_id"] != s.logs.lines(t, "request", 2)[i]["request_id"] {
			t.Errorf("logged under another request id: %v", line)
		}
	}
	for _, line := range s.logs.lines(t, "request", 2) {
		if line["status"] != 500.0 || line["code"] != "InternalServerError" || line["level"] != "ERROR" {
			t.Errorf("logged %v", line)
		}
	}
}

func TestPanicInAnAnswerCutsIt(t *testing.T) {
	s := serveLimited(t, DefaultLimits(32<<20), func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		if r.Header.Get("X-Abort") != "" {
			panic(http.ErrAbortHandler)
		}
		panic("planted reason")
	})
	for _, abort := range []string{"", "yes"} {
		r, err := http.NewRequest(http.MethodGet, s.url(), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Abort", abort)
		answer, err := client(t, false, nil).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err == nil {
			t.Errorf("read %q as a whole answer", text)
		}
	}
	lines := s.logs.lines(t, "request", 2)
	if lines[0]["code"] != "InternalServerError" || lines[1]["code"] != "Aborted" {
		t.Errorf("logged %v", lines)
	}
}

func TestMetricsCountByActionAndCode(t *testing.T) {
	metrics := NewMetrics()
	requests := Requests{
		Log: slog.New(slog.DiscardHandler), Metrics: metrics, Actions: map[string]string{"AmazonSSM.PutInventory": "PutInventory"},
	}
	h := requests.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("X-Answer") {
		case "a form":
			SetAction(r.Context(), "CreateUser")
		case "coded":
			SetCode(r.Context(), "InvalidInstanceId")
			w.WriteHeader(http.StatusBadRequest)
		case "bare":
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	for range 50 {
		for target, answer := range map[string]string{"AmazonSSM.PutInventory": "coded", newRequestID(): "", newRequestID(): "bare", "": "a form"} {
			r := httptest.NewRequest(http.MethodPost, "/", nil)
			r.Header.Set("X-Amz-Target", target)
			r.Header.Set("X-Answer", answer)
			h.ServeHTTP(httptest.NewRecorder(), r)
		}
	}
	text := scrape(t, AdminHandler(new(Health), metrics))
	for _, want := range []string{
		`stocktake_requests_total{action="PutInventory",code="InvalidInstanceId"} 50`,
		`stocktake_requests_total{action="unknown",code="OK"} 50`,
		`stocktake_requests_total{action="unknown",code="Not Found"} 50`,
		`stocktake_requests_total{action="CreateUser",code="OK"} 50`,
		`stocktake_request_duration_seconds_count{action="unknown"} 100`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	if n := strings.Count(text, "stocktake_requests_total{"); n != 4 {
		t.Errorf("%d series of requests, want 4", n)
	}
}

func TestOutsideOfARequestNothingIsSaid(t *testing.T) {
	Annotate(context.Background(), slog.Int("a", 1))
	Leave(context.Background())
	SetAction(context.Background(), "a")
	SetCode(context.Background(), "a")
	if id := RequestID(context.Background()); id != "" {
		t.Errorf("id %q", id)
	}
}

func scrape(t *testing.T, admin http.Handler) string {
	t.Helper()
	out := httptest.NewRecorder()
	admin.ServeHTTP(out, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if out.Code != http.StatusOK {
		t.Fatalf("answered %d", out.Code)
	}
	return out.Body.String()
}

func TestLinesOfRequestsThatWentWellAreForDebugging(t *testing.T) {
	for status, want := range map[int]slog.Level{200: slog.LevelDebug, 400: slog.LevelInfo, 413: slog.LevelInfo, 500: slog.LevelError} {
		s := serveLimited(t, DefaultLimits(32<<20), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		post(t, client(t, false, nil), s.url(), nil)
		if got := s.logs.lines(t, "request", 1)[0]["level"]; got != want.String() {
			t.Errorf("an answer of %d is logged as %v, want %v", status, got, want)
		}
	}
}
