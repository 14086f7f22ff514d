package httpd

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func okHandler(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }

func TestServerSpeaksBothVersions(t *testing.T) {
	authority, err := OpenAuthority(t.TempDir(), []string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	plain := serve(t, http.HandlerFunc(okHandler), nil)
	secure := serve(t, http.HandlerFunc(okHandler), func(s *Server) { s.TLS = TLSConfig(authority, nil) })
	for _, s := range []*site{plain, secure} {
		for _, overHTTP2 := range []bool{false, true} {
			want := "HTTP/1.1"
			if overHTTP2 {
				want = "HTTP/2.0"
			}
			if _, got := post(t, client(t, overHTTP2, trusting(t, authority)), s.url(), nil); got != want {
				t.Errorf("%s: answered over %s, want %s", s.url(), got, want)
			}
		}
	}
}

func TestSlowHeadersAreCut(t *testing.T) {
	s := serve(t, http.HandlerFunc(okHandler), func(s *Server) { s.ReadHeaderTimeout = 100 * time.Millisecond })
	for _, start := range []string{"", "POST", "POST / HTTP/1.1\r\nHost: h\r\nX", "PRI * HTTP/2.0\r\n"} {
		c := dial(t, s, start)
		if _, err := io.ReadAll(c); errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
			t.Errorf("%q: still open", start)
		}
	}
}

func isTimeout(err error) bool {
	var fault net.Error
	return errors.As(err, &fault) && fault.Timeout()
}

func TestSlowHandshakeIsCut(t *testing.T) {
	authority, err := OpenAuthority(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, http.HandlerFunc(okHandler), func(s *Server) {
		s.TLS, s.ReadHeaderTimeout = TLSConfig(authority, nil), 100*time.Millisecond
	})
	if _, err := io.ReadAll(dial(t, s, "\x16\x03\x01")); isTimeout(err) {
		t.Error("still open")
	}
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	s := serve(t, http.HandlerFunc(okHandler), func(s *Server) { s.IdleTimeout = 100 * time.Millisecond })
	text, err := io.ReadAll(dial(t, s, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"))
	if err != nil || !strings.HasSuffix(string(text), "HTTP/1.1") {
		t.Errorf("read %q, %v", text, err)
	}
}

func TestHeadersAreBounded(t *testing.T) {
	s := serve(t, http.HandlerFunc(okHandler), func(s *Server) { s.MaxHeaderBytes = 1 << 10 })
	r, err := http.NewRequest(http.MethodGet, s.url(), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Long", strings.Repeat("x", 16<<10))
	answer, err := client(t, false, nil).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("answered %d", answer.StatusCode)
	}
}

func readAnswer(c net.Conn) error {
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	return answer.Body.Close()
}

func TestConnectionsAreCapped(t *testing.T) {
	s := serve(t, http.HandlerFunc(okHandler), func(s *Server) { s.MaxConnections = 2 })
	ask := "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	var kept []net.Conn
	for range 2 {
		c := dial(t, s, ask)
		if err := readAnswer(c); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, c)
	}
	if n := s.Connections(); n != 2 {
		t.Errorf("%d connections", n)
	}
	if text, err := io.ReadAll(dial(t, s, "")); len(text) > 0 || isTimeout(err) {
		t.Errorf("a third one read %q, %v", text, err)
	}
	if err := kept[0].Close(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return s.Connections() == 1 })
	if err := readAnswer(dial(t, s, ask)); err != nil {
		t.Errorf("after one closed: %v", err)
	}
}

func TestStopFinishesWhatIsInFlight(t *testing.T) {
	var health Health
	inside, leave := make(chan struct{}), make(chan struct{})
	h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			close(inside)
			<-leave
		}
	})
	s := serve(t, h, func(s *Server) { s.BeforeStop, s.LameDuck = health.Stop, 300*time.Millisecond })
	c := client(t, false, nil)
	status := make(chan int, 1)
	go func() {
		answer, _ := post(t, c, s.url(), nil)
		status <- answer.StatusCode
	}()
	<-inside
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	waitFor(t, func() bool { return len(health.failures(t.Context())) > 0 })
	// Unready, but for a while still serving.
	answer, err := client(t, false, nil).Get(s.url())
	if err != nil {
		t.Fatalf("as a lame duck: %v", err)
	}
	answer.Body.Close()
	waitFor(t, func() bool {
		c, err := net.Dial("tcp", s.address)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	select {
	case err := <-stopped:
		t.Fatalf("stopped over a request in flight: %v", err)
	default:
	}
	close(leave)
	if got := <-status; got != 200 {
		t.Errorf("answered %d", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestStopCutsWhatOutlastsTheDrain(t *testing.T) {
	inside := make(chan struct{})
	h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(inside)
		<-r.Context().Done()
	})
	s := serve(t, h, func(s *Server) { s.DrainTimeout = 50 * time.Millisecond })
	fault := make(chan error, 1)
	c := client(t, false, nil)
	go func() {
		answer, err := c.Get(s.url())
		if err == nil {
			answer.Body.Close()
		}
		fault <- err
	}()
	<-inside
	if err := s.stop(); err == nil || !strings.Contains(err.Error(), "still running after 50ms") {
		t.Errorf("got %v", err)
	}
	if <-fault == nil {
		t.Error("the request was answered")
	}
}

func TestRunFailsWithItsListener(t *testing.T) {
	l, err := Listen(t.Context(), "127.0.0.1:0", false, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s := &Server{Name: "test", Log: slog.New(slog.DiscardHandler)}
	if err := s.Run(t.Context(), l); !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), "test server") {
		t.Errorf("got %v", err)
	}
}

func TestListenRefusesPlainTextBeyondLoopback(t *testing.T) {
	for _, c := range []struct {
		address          string
		hasTLS, insecure bool
		text             string // empty: allowed
	}{
		{"127.0.0.1:0", false, false, ""},
		{"127.9.9.9:0", false, false, ""},
		{"[::1]:0", false, false, ""},
		{"localhost:0", false, false, ""},
		{"0.0.0.0:7540", false, false, "0.0.0.0:7540 can be reached from other machines, and there is no TLS"},
		{":7540", false, false, "no TLS"},
		{"[::]:7540", false, false, "no TLS"},
		{"192.0.2.1:7540", false, false, "no TLS"},
		{"[::ffff:192.0.2.1]:7540", false, false, "no TLS"},
		{":7540", true, false, ""},
		{":7540", false, true, ""},
		{"localhost.example.org:7540", false, false, "no TLS"},
		{"127.0.0.1:65536", false, true, "is no address"},
		{"7540", false, true, "is no address: it is HOST:PORT"},
		{"127.0.0.1:port", false, true, "is no address: it is HOST:PORT"},
	} {
		err := CheckAddress(c.address, c.hasTLS, c.insecure)
		if c.text == "" && err != nil || c.text != "" && (err == nil || !strings.Contains(err.Error(), c.text)) {
			t.Errorf("%s, TLS %v, insecure %v: got %v, want %q", c.address, c.hasTLS, c.insecure, err, c.text)
		}
	}
	if _, err := Listen(t.Context(), ":0", false, false); err == nil {
		t.Error("listening in plain text on every address")
	}
}

func TestListenOnATakenPort(t *testing.T) {
	s := serve(t, http.HandlerFunc(okHandler), nil)
	if _, err := Listen(t.Context(), s.address, false, false); err == nil || !strings.Contains(err.Error(), s.address) {
		t.Errorf("got %v", err)
	}
}

// TestWaitingRequestsEndBeforeTheDrain has a request that would wait for ever but for being told.
func TestWaitingRequestsEndBeforeTheDrain(t *testing.T) {
	inside, told := make(chan struct{}), make(chan struct{})
	h := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(inside)
		<-told
	})
	s := serve(t, h, func(s *Server) { s.BeforeDrain = func() { close(told) } })
	c := client(t, false, nil)
	status := make(chan int, 1)
	go func() {
		answer, _ := post(t, c, s.url(), nil)
		status <- answer.StatusCode
	}()
	<-inside
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if got := <-status; got != 200 {
		t.Errorf("the request that waited is answered with %d", got)
	}
}
