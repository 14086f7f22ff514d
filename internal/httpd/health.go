package httpd

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"
)

// checkTime bounds one readiness check.
const checkTime = 2 * time.Second

// Health says whether the process should be given requests. Its zero value is ready; it may be used by many goroutines.
type Health struct {
	mu     sync.Mutex
	checks map[string]func(context.Context) error
}

// Add adds a check by name, in the place of an earlier one of that name. The check returns nil when ready, and should obey
// its context; one that takes over two seconds has failed.
func (h *Health) Add(name string, check func(context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.checks == nil {
		h.checks = make(map[string]func(context.Context) error)
	}
	h.checks[name] = check
}

// Stop makes the process unready for good.
func (h *Health) Stop() {
	h.Add("stop", func(context.Context) error { return errors.New("the server is stopping") })
}

// failures runs every check and gives the reason of each that failed, by name.
func (h *Health) failures(ctx context.Context) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	type result struct {
		name string
		err  error
	}
	h.mu.Lock()
	results := make(chan result, len(h.checks))
	waiting := make(map[string]bool, len(h.checks))
	for name, check := range h.checks {
		waiting[name] = true
		go func() { results <- result{name, check(ctx)} }()
	}
	h.mu.Unlock()
	failed := make(map[string]string)
	for len(waiting) > 0 {
		select {
		case r := <-results:
			delete(waiting, r.name)
			if r.err != nil {
				failed[r.name] = r.err.Error()
			}
		case <-ctx.Done():
			for name := range waiting {
				failed[name] = "no answer in time"
			}
			return failed
		}
	}
	return failed
}

// AdminHandler serves /healthz (the process lives), /readyz (it should be given requests: 503 and the failing checks when
// not) and /metrics (Prometheus text). It tells inner matters and asks for no password: it is for a listener of its own.
func AdminHandler(h *Health, m *Metrics) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeStatus(w, http.StatusOK, status{Status: "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if failed := h.failures(r.Context()); len(failed) > 0 {
			writeStatus(w, http.StatusServiceUnavailable, status{Status: "unavailable", Failed: failed})
			return
		}
		writeStatus(w, http.StatusOK, status{Status: "ok"})
	})
	mux.Handle("GET /metrics", m.handler())
	return mux
}

type status struct {
	Status string            `json:"status"`
	Failed map[string]string `json:"failed,omitempty"` // name of a check: reason
}

func writeStatus(w http.ResponseWriter, code int, s status) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	// A peer that is gone cannot be told.
	_ = json.NewEncoder(w).Encode(s)
}
