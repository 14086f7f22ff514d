package agent_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"stocktake/internal/agent"
)

// TestControlChannelIsRefused asks in both of the ways an agent does, and for what only looks like it.
func TestControlChannelIsRefused(t *testing.T) {
	passed := 0
	server := httptest.NewServer(agent.WithoutChannel(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { passed++ })))
	defer server.Close()
	for _, q := range []struct{ method, path, upgrade string }{
		{http.MethodPost, "/v1/control-channel/mi-00000000000000001", ""},
		{http.MethodGet, "/v1/control-channel/mi-00000000000000001?role=subscribe&stream=input", "websocket"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), q.method, server.URL+q.path, strings.NewReader(`{"MessageSchemaVersion":"1.0","RequestId":"r"}`))
		if err != nil {
			t.Fatal(err)
		}
		if q.upgrade != "" {
			r.Header.Set("Connection", "Upgrade")
			r.Header.Set("Upgrade", q.upgrade)
		}
		answer, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusForbidden || !strings.Contains(string(body), "<AccessDeniedException>") {
			t.Errorf("%s %s: %s %s %v", q.method, q.path, answer.Status, body, err)
		}
	}
	if passed != 0 {
		t.Error("the channel was passed on")
	}
	for _, path := range []string{"/", "/v1/data-channel/x", "/control-channel/x"} {
		answer, err := server.Client().Post(server.URL+path, "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
	}
	if passed != 3 {
		t.Errorf("%d of 3 other requests were passed on", passed)
	}
}
