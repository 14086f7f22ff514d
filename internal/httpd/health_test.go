package httpd

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func ask(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	out := httptest.NewRecorder()
	h.ServeHTTP(out, httptest.NewRequest(http.MethodGet, path, nil))
	return out.Code, strings.TrimSpace(out.Body.String())
}

func TestReadinessNamesWhatFails(t *testing.T) {
	var h Health
	admin := AdminHandler(&h, NewMetrics())
	expect := func(path string, wantStatus int, want string) {
		t.Helper()
		if status, text := ask(t, admin, path); status != wantStatus || text != want {
			t.Errorf("%s: answered %d %s, want %d %s", path, status, text, wantStatus, want)
		}
	}
	expect("/readyz", 200, `{"status":"ok"}`)
	fault := errors.New("disk full")
	h.Add("index", func(context.Context) error { return nil })
	h.Add("store", func(context.Context) error { return fault })
	expect("/readyz", 503, `{"status":"unavailable","failed":{"store":"disk full"}}`)
	expect("/healthz", 200, `{"status":"ok"}`)
	fault = nil
	expect("/readyz", 200, `{"status":"ok"}`)
	h.Stop()
	expect("/readyz", 503, `{"status":"unavailable","failed":{"stop":"the server is stopping"}}`)
	expect("/healthz", 200, `{"status":"ok"}`)
	if status, _ := ask(t, admin, "/"); status != http.StatusNotFound {
		t.Errorf("/: answered %d", status)
	}
}

func TestReadinessDoesNotWaitForAStuckCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Health
		freed := make(chan struct{})
		h.Add("stuck", func(context.Context) error { <-freed; return nil })
		h.Add("good", func(context.Context) error { return nil })
		start := time.Now()
		status, text := ask(t, AdminHandler(&h, NewMetrics()), "/readyz")
		if status != 503 || text != `{"status":"unavailable","failed":{"stuck":"no answer in time"}}` {
			t.Errorf("answered %d %s", status, text)
		}
		if took := time.Since(start); took != checkTime {
			t.Errorf("took %v", took)
		}
		close(freed)
	})
}

func TestMetricsReadOtherRooms(t *testing.T) {
	m := NewMetrics()
	value := 1.0
	read := func() float64 { return value }
	for _, err := range []error{
		m.Gauge("stocktake_nodes", "Nodes known.", nil, read),
		m.Counter("stocktake_reports_total", "Reports.", map[string]string{"outcome": "stored"}, read),
		m.Counter("stocktake_reports_total", "Reports.", map[string]string{"outcome": "refused"}, read),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"stocktake_nodes", "", "go_goroutines"} {
		if err := m.Gauge(name, "Again.", nil, read); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	value = 7
	text := scrape(t, AdminHandler(new(Health), m))
	for _, want := range []string{
		"# TYPE stocktake_nodes gauge\nstocktake_nodes 7\n",
		"# TYPE stocktake_reports_total counter\nstocktake_reports_total{outcome=\"refused\"} 7\nstocktake_reports_total{outcome=\"stored\"} 7\n",
		"go_goroutines ", "process_open_fds ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the metrics", want)
		}
	}
}
