package client

import (
	"context"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"stocktake/internal/sigv4"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testCredentials = sigv4.Credentials{AccessKeyID: "AKID", SecretAccessKey: "planted-secret", SessionToken: "planted-token"}

func fixed(context.Context) (sigv4.Credentials, error) { return testCredentials, nil }

// fake is a service that checks signatures and answers what it is told.
type fake struct {
	*httptest.Server
	requests, connections atomic.Int64
}

// serve starts a fake. answer gets the number of the request, from 1, its target without the prefix, and its body.
func serve(t *testing.T, secure bool, answer func(w http.ResponseWriter, n int64, action, body string)) *fake {
	t.Helper()
	f := new(fake)
	verifier := &sigv4.Verifier{Service: "ssm", Lookup: func(context.Context, string, string) (sigv4.Key, error) {
		return sigv4.Key{SecretAccessKey: testCredentials.SecretAccessKey, SessionToken: testCredentials.SessionToken}, nil
	}}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := f.requests.Add(1)
		claim, err := verifier.Headers(r, time.Now())
		if err != nil {
			t.Error(err)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if err := claim.Verify(sha256.Sum256(body)); err != nil {
			t.Error(err)
		}
		if got := r.Header.Get("Content-Type"); got != "application/x-amz-json-1.1" || claim.Region != "eu-west-1" {
			t.Errorf("content type %q, region %s", got, claim.Region)
		}
		action, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), "AmazonSSM.")
		if !ok {
			t.Errorf("target %q", r.Header.Get("X-Amz-Target"))
		}
		w.Header().Set("x-amzn-RequestId", "id-of-request")
		answer(w, n, action, string(body))
	}))
	f.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			f.connections.Add(1)
		}
	}
	if secure {
		f.StartTLS()
	} else {
		f.Start()
	}
	t.Cleanup(f.Close)
	return f
}

// newClient makes a client that counts its pauses in the place of waiting.
func newClient(t *testing.T, c Config) (*Client, *int) {
	t.Helper()
	if c.Credentials == nil {
		c.Credentials = fixed
	}
	c.Region = "eu-west-1"
	made, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	pauses := new(int)
	made.pause = func(ctx context.Context, _ int) error {
		*pauses++
		return ctx.Err()
	}
	t.Cleanup(made.Close)
	return made, pauses
}

func answerError(w http.ResponseWriter, status int, body string) {
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func TestDoSignsAndReusesItsConnection(t *testing.T) {
	f := serve(t, false, func(w http.ResponseWriter, _ int64, action, body string) { _, _ = io.WriteString(w, action+" "+body) })
	c, pauses := newClient(t, Config{Endpoint: f.URL})
	for range 10 {
		answer, err := c.Do(t.Context(), "PutInventory", []byte(`{"a":1}`))
		if err != nil || string(answer) != `PutInventory {"a":1}` {
			t.Errorf("got %s, %v", answer, err)
		}
	}
	if n := f.connections.Load(); n != 1 || *pauses != 0 {
		t.Errorf("%d connections, %d pauses", n, *pauses)
	}
}

func TestTargetsOfOwnActionsGoAsTheyAre(t *testing.T) {
	for action, want := range map[string]string{"GetInventory": "AmazonSSM.GetInventory", "Stocktake.ListNodes": "Stocktake.ListNodes"} {
		if got := target(action); got != want {
			t.Errorf("%s goes as %s, want %s", action, got, want)
		}
	}
}

func TestDoTriesAgain(t *testing.T) {
	for name, failure := range map[string]func(w http.ResponseWriter){
		"internal error": func(w http.ResponseWriter) { answerError(w, 500, `{"__type":"InternalServerError"}`) },
		"bad gateway":    func(w http.ResponseWriter) { answerError(w, 502, "<html>") },
		"throttling": func(w http.ResponseWriter) {
			answerError(w, 400, `{"__type":"ThrottlingException","message":"Rate exceeded"}`)
		},
		"too slow": func(w http.ResponseWriter) { answerError(w, 408, `{"__type":"RequestTimeoutException"}`) },
		"cut":      func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			f := serve(t, false, func(w http.ResponseWriter, n int64, _, body string) {
				if n < 3 {
					failure(w)
					return
				}
				_, _ = io.WriteString(w, body)
			})
			c, pauses := newClient(t, Config{Endpoint: f.URL, Attempts: 3})
			if answer, err := c.Do(t.Context(), "PutInventory", []byte("{}")); err != nil || string(answer) != "{}" || *pauses != 2 {
				t.Errorf("got %s, %v, after %d pauses", answer, err, *pauses)
			}
			f.requests.Store(-100)
			if _, err := c.Do(t.Context(), "PutInventory", []byte("{}")); err == nil || f.requests.Load() != -97 {
				t.Errorf("got %v after %d requests", err, f.requests.Load()+100)
			}
		})
	}
}

func TestDoTakesARefusalForAnAnswer(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   Error
	}{
		{400, `{"__type":"InvalidInstanceId","Message":"no such node"}`, Error{Code: "InvalidInstanceId", Message: "no such node"}},
		{400, `{"__type":"ItemContentMismatchException","TypeName":"AWS:Application","Message":"m"}`, Error{
			Code: "ItemContentMismatchException", Message: "m", TypeName: "AWS:Application",
		}},
		{400, `{"__type":"com.amazonaws.ssm#InvalidFilter:http://x/","message":"m"}`, Error{Code: "InvalidFilter", Message: "m"}},
		{400, `{"__type":"UnknownOperationException"}`, Error{Code: "UnknownOperationException"}},
		{413, `too large`, Error{Message: `the answer is not one of the service: "too large"`}},
		{302, `{}`, Error{Message: `the answer is not one of the service: "{}"`}},
	} {
		f := serve(t, false, func(w http.ResponseWriter, _ int64, _, _ string) {
			w.Header().Set("Location", "/elsewhere")
			answerError(w, c.status, c.body)
		})
		client, pauses := newClient(t, Config{Endpoint: f.URL})
		_, err := client.Do(t.Context(), "PutInventory", []byte("{}"))
		var got *Error
		if !errors.As(err, &got) {
			t.Fatalf("%s: got %v", c.body, err)
		}
		c.want.Action, c.want.Status, c.want.RequestID = "PutInventory", c.status, "id-of-request"
		if *got != c.want || got.ErrorCode() != c.want.Code || *pauses != 0 || f.requests.Load() != 1 {
			t.Errorf("%s: got %+v after %d requests", c.body, got, f.requests.Load())
		}
	}
}

func TestErrorReadsWell(t *testing.T) {
	for want, e := range map[string]*Error{
		"PutInventory: ItemContentMismatchException (AWS:File): m (request r)": {
			Action: "PutInventory", Status: 400, Code: "ItemContentMismatchException", TypeName: "AWS:File", Message: "m", RequestID: "r",
		},
		"PutInventory: InternalServerError": {Action: "PutInventory", Status: 500, Code: "InternalServerError"},
		"PutInventory: HTTP status 502: m":  {Action: "PutInventory", Status: 502, Message: "m"},
	} {
		if got := e.Error(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestNoServiceIsTriedAgainAndNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	c, pauses := newClient(t, Config{Endpoint: "http://" + address})
	_, err = c.Do(t.Context(), "PutInventory", nil)
	if err == nil || !strings.Contains(err.Error(), address) || *pauses != 3 {
		t.Errorf("got %v after %d pauses", err, *pauses)
	}
	if strings.Contains(err.Error(), "planted") {
		t.Errorf("a secret in %v", err)
	}
}

func TestDoStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := serve(t, false, func(w http.ResponseWriter, _ int64, _, _ string) {
		cancel()
		answerError(w, 500, "{}")
	})
	c, _ := newClient(t, Config{Endpoint: f.URL})
	if _, err := c.Do(ctx, "PutInventory", nil); err == nil || f.requests.Load() != 1 {
		t.Errorf("got %v after %d requests", err, f.requests.Load())
	}
}

func TestDoWithoutCredentialsAsksNobody(t *testing.T) {
	fault := errors.New("no metadata service")
	c, pauses := newClient(t, Config{Endpoint: "http://127.0.0.1:1", Credentials: func(context.Context) (sigv4.Credentials, error) {
		return sigv4.Credentials{}, fault
	}})
	_, err := c.Do(t.Context(), "PutInventory", nil)
	if !errors.Is(err, fault) || !strings.Contains(err.Error(), "set AWS_ACCESS_KEY_ID") || *pauses != 0 {
		t.Errorf("got %v after %d pauses", err, *pauses)
	}
}

func TestAttemptsAreBoundedInTime(t *testing.T) {
	freed := make(chan struct{})
	f := serve(t, false, func(http.ResponseWriter, int64, string, string) { <-freed })
	t.Cleanup(func() { close(freed) })
	c, pauses := newClient(t, Config{Endpoint: f.URL, Timeout: 50 * time.Millisecond, Attempts: 2})
	if _, err := c.Do(t.Context(), "PutInventory", nil); err == nil || *pauses != 1 {
		t.Errorf("got %v after %d pauses", err, *pauses)
	}
}

func TestPausesGrowAndAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for attempt, most := range map[int]time.Duration{1: firstPause, 3: 4 * firstPause, 10: longestPause, 1000: longestPause} {
			var longest time.Duration
			for range 200 {
				start := time.Now()
				if err := pause(t.Context(), attempt); err != nil {
					t.Fatal(err)
				}
				longest = max(longest, time.Since(start))
			}
			// 200 even draws all in the lower half would be a chance of 2^-200.
			if longest >= most || longest < most/2 {
				t.Errorf("attempt %d: longest pause %v of %v", attempt, longest, most)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		start := time.Now()
		if err := pause(ctx, 1000); !errors.Is(err, context.Canceled) || time.Since(start) != 0 {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
	})
}

func TestTLSIsVerified(t *testing.T) {
	f := serve(t, true, func(w http.ResponseWriter, _ int64, _, body string) { _, _ = io.WriteString(w, body) })
	c, pauses := newClient(t, Config{Endpoint: f.URL})
	if _, err := c.Do(t.Context(), "PutInventory", nil); err == nil || !strings.Contains(err.Error(), "certificate") || *pauses != 0 {
		t.Errorf("untrusted: got %v after %d pauses", err, *pauses)
	}
	file := writeCertificate(t, f)
	roots, err := LoadRoots(file)
	if err != nil {
		t.Fatal(err)
	}
	c, _ = newClient(t, Config{Endpoint: f.URL, Roots: roots})
	if _, err := c.Do(t.Context(), "PutInventory", []byte("{}")); err != nil {
		t.Errorf("trusted: %v", err)
	}
}

func writeCertificate(t *testing.T, f *fake) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestNewNamesWhatIsMissing(t *testing.T) {
	good := Config{Endpoint: "https://stocktake.example:7540/", Region: "eu-west-1", Credentials: fixed}
	if _, err := New(good); err != nil {
		t.Error(err)
	}
	for text, spoil := range map[string]func(*Config){
		"no endpoint: give --endpoint-url":                 func(c *Config) { c.Endpoint = "" },
		`endpoint "127.0.0.1:7540": it must be a URL`:      func(c *Config) { c.Endpoint = "127.0.0.1:7540" },
		`endpoint "stocktake": it must be a URL`:           func(c *Config) { c.Endpoint = "stocktake" },
		`endpoint "ftp://stocktake": it must be a URL`:     func(c *Config) { c.Endpoint = "ftp://stocktake" },
		`endpoint "http://h/path": it must have no path`:   func(c *Config) { c.Endpoint = "http://h/path" },
		`endpoint "http://h/?a": it must have no path, no`: func(c *Config) { c.Endpoint = "http://h/?a" },
		"no region: give --region":                         func(c *Config) { c.Region = "" },
		"no credentials: set AWS_ACCESS_KEY_ID":            func(c *Config) { c.Credentials = nil },
	} {
		bad := good
		spoil(&bad)
		if _, err := New(bad); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("got %v, want %s", err, text)
		}
	}
}
