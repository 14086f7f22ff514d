package httpd

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testTimeout bounds every wait of these tests; nothing is expected to take near that long.
const testTimeout = 20 * time.Second

// logBuffer collects log lines.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// lines gives the log lines with a given msg, once there are as many as wanted.
func (b *logBuffer) lines(t *testing.T, msg string, want int) []map[string]any {
	t.Helper()
	for deadline := time.Now().Add(testTimeout); ; time.Sleep(time.Millisecond) {
		var found []map[string]any
		for text := range strings.Lines(b.String()) {
			var line map[string]any
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				t.Fatalf("log line %q: %v", text, err)
			}
			if line["msg"] == msg {
				found = append(found, line)
			}
		}
		if len(found) >= want {
			return found
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d lines %q in the log, want %d:\n%s", len(found), msg, want, b)
		}
	}
}

// site is a running server.
type site struct {
	*Server
	address string
	logs    *logBuffer
	stop    func() error // graceful; may be called again
}

// serve runs a handler within limits on a port of its own, until the test ends. edit, when given, changes the server first.
func serve(t *testing.T, h http.Handler, edit func(*Server)) *site {
	t.Helper()
	logs := new(logBuffer)
	s := &site{logs: logs, Server: &Server{Name: "test", Handler: h, Log: slog.New(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))}}
	if edit != nil {
		edit(s.Server)
	}
	l, err := Listen(t.Context(), "127.0.0.1:0", false, false)
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	var result error
	done := make(chan struct{})
	go func() {
		defer close(done)
		result = s.Run(ctx, l)
	}()
	s.stop = func() error {
		cancel()
		<-done
		return result
	}
	t.Cleanup(func() { _ = s.stop() })
	return s
}

// serveLimited is serve with the middleware a program uses.
func serveLimited(t *testing.T, limits Limits, h http.HandlerFunc) *site {
	t.Helper()
	if err := limits.Check(); err != nil {
		t.Fatal(err)
	}
	return serve(t, nil, func(s *Server) {
		s.Handler = Chain(h, Requests{Log: s.Log}.Middleware, limits.Middleware)
	})
}

func (s *site) url() string {
	if s.TLS != nil {
		return "https://" + s.address + "/"
	}
	return "http://" + s.address + "/"
}

// client speaks HTTP/1.1, or HTTP/2 only.
func client(t *testing.T, overHTTP2 bool, config *tls.Config) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: config, Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!overHTTP2)
	transport.Protocols.SetHTTP2(overHTTP2)
	transport.Protocols.SetUnencryptedHTTP2(overHTTP2)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: testTimeout}
}

// reply is an answer whose body was read.
type reply struct {
	StatusCode int
	Header     http.Header
	Close      bool
}

// post sends a body and gives the answer and its body.
func post(t *testing.T, c *http.Client, url string, body io.Reader) (reply, string) {
	t.Helper()
	answer, err := c.Post(url, "text/plain", body)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{answer.StatusCode, answer.Header, answer.Close}, string(text)
}

// dial opens a bare connection and sends text on it.
func dial(t *testing.T, s *site, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(testTimeout)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestChainCallsTheFirstOutermost(t *testing.T) {
	var calls []string
	named := func(name string) Middleware {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				calls = append(calls, name)
				next.ServeHTTP(w, r)
			})
		}
	}
	h := Chain(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls = append(calls, "handler") }), named("a"), named("b"))
	h.ServeHTTP(nil, nil)
	if diff := cmp.Diff([]string{"a", "b", "handler"}, calls); diff != "" {
		t.Error(diff)
	}
}
