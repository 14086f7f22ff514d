package httpd

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"stocktake/internal/rate"
)

// RequestIDHeader carries the id of the request on every answer.
const RequestIDHeader = "X-Amzn-Requestid"

// Lines of requests that were refused, of one source: each second in the long run, and the time that fills a burst of them.
const (
	linesEach = 5
	linesFill = 2 * time.Minute
)

// unknownAction is the label of every target that is not among the known actions.
const unknownAction = "unknown"

// Requests gives each request its id, its line in the log and its place in the metrics, and catches panics.
type Requests struct {
	Log     *slog.Logger
	Metrics *Metrics // nil: not counted
	// Actions maps each known X-Amz-Target to its label in the metrics. Every other target counts as "unknown", unless
	// [SetAction] says what is asked, so that clients cannot make up labels.
	Actions map[string]string
	// Proxies are believed where a request came from. What they say becomes its RemoteAddr: for everything inside, the peer.
	Proxies Proxies
	// Refuse gives the answer to a request that is refused, or failed, by this package, where its protocol is another than the
	// JSON that the answer is else: false. It may not read the request's body; nil: all is JSON.
	Refuse func(r *http.Request, requestID string, why *Refusal) (Answer, bool)
}

// record is what is said of one request while it runs.
type record struct {
	id       string
	refuseAs func(*http.Request, string, *Refusal) (Answer, bool) // see Requests.Refuse
	leave    func()                                               // see Leave; nil: nobody counts who is at work

	mu      sync.Mutex
	action  string // empty: the target says it, or nothing does
	code    string
	refused bool // the code is that of this package's own answer
	attrs   []slog.Attr
}

type recordKey struct{}

func recordOf(ctx context.Context) *record {
	r, _ := ctx.Value(recordKey{}).(*record)
	return r
}

// RequestID gives the id of the request that ctx belongs to, a UUID, or "" outside of a request.
func RequestID(ctx context.Context) string {
	if r := recordOf(ctx); r != nil {
		return r.id
	}
	return ""
}

// Annotate adds attributes to the log line of the request that ctx belongs to: who asked, for what account. Never content,
// never a secret. Outside of a request it does nothing.
func Annotate(ctx context.Context, attrs ...slog.Attr) {
	if r := recordOf(ctx); r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.attrs = append(r.attrs, attrs...)
	}
}

// SetAction names what the request that ctx belongs to asks for, for its log line and the action label of the metrics, where it
// was found in another place than its target. It must come from a fixed set of names. Outside of a request it does nothing.
func SetAction(ctx context.Context, action string) {
	if r := recordOf(ctx); r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.action = action
	}
}

// SetCode names the error a request is answered with, for its log line and the code label of the metrics. It must come
// from a fixed set of names. Outside of a request it does nothing.
func SetCode(ctx context.Context, code string) {
	if r := recordOf(ctx); r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		if !r.refused {
			r.code = code
		}
	}
}

// Leave gives back the place among the requests at work of the request that ctx belongs to, whose body was read: for a handler
// that only waits from here on. The handler's own goroutine may call it. Outside of a request it does nothing.
func Leave(ctx context.Context) {
	if r := recordOf(ctx); r != nil && r.leave != nil {
		r.leave()
	}
}

func (r *record) refuse(code string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.code, r.refused = code, true
}

func (r *record) said() (action, code string, attrs []slog.Attr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.action, r.code, r.attrs
}

// newRequestID makes a random UUID (RFC 9562, version 4).
func newRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// Middleware belongs outermost.
func (q Requests) Middleware(next http.Handler) http.Handler {
	// A source that floods is in the metrics; of its lines, some will do.
	lines := rate.New[netip.Prefix](linesEach, linesFill)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		rec := &record{id: newRequestID(), refuseAs: q.Refuse}
		r = r.WithContext(context.WithValue(r.Context(), recordKey{}, rec))
		r.RemoteAddr = q.Proxies.client(r)
		w.Header().Set(RequestIDHeader, rec.id)
		counted := &countedBody{ReadCloser: r.Body}
		r.Body = counted
		out := &countedWriter{ResponseWriter: w}
		defer func() { q.finish(r, rec, out, lines, counted.bytes.Load(), time.Since(start)) }()
		defer q.catch(out, r)
		next.ServeHTTP(out, r)
	})
}

// catch turns a panic into an answer, or, when an answer has begun, cuts the connection so that nobody takes half of it
// for the whole.
func (q Requests) catch(out *countedWriter, r *http.Request) {
	reason := recover()
	if reason == nil {
		return
	}
	if err, ok := reason.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		SetCode(r.Context(), "Aborted")
		panic(http.ErrAbortHandler)
	}
	q.Log.LogAttrs(r.Context(), slog.LevelError, "panic in a handler", slog.String("request_id", RequestID(r.Context())),
		slog.Any("reason", reason), slog.String("stack", string(debug.Stack())))
	answer := answerTo(r, &Refusal{http.StatusInternalServerError, "InternalServerError", ""})
	SetCode(r.Context(), answer.Code)
	if out.status != 0 {
		panic(http.ErrAbortHandler)
	}
	answer.write(out)
}

func (q Requests) finish(r *http.Request, rec *record, out *countedWriter, lines *rate.Buckets[netip.Prefix], received int64, took time.Duration) {
	action, code, _ := rec.said()
	status := out.status
	if status == 0 {
		status = http.StatusOK
	}
	if action == "" {
		action = q.action(r.Header.Get("X-Amz-Target"))
	}
	if q.Metrics != nil {
		q.Metrics.ObserveRequest(action, codeLabel(code, status), took)
	}
	level := levelOf(status)
	if level == slog.LevelInfo && !lines.Take(rate.Source(peer(r)), time.Now()) {
		level = slog.LevelDebug
	}
	if q.Log.Enabled(r.Context(), level) {
		q.log(r, rec, out, level, status, received, took)
	}
}

// levelOf gives the level of a request's line, but for the refused ones of a source that has many. A fleet at rest asks some
// hundred thousand times an hour for what goes well, which the metrics count: its lines are for those who look for something.
func levelOf(status int) slog.Level {
	switch {
	case status >= 500:
		return slog.LevelError
	case status >= 400:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

func (q Requests) log(r *http.Request, rec *record, out *countedWriter, level slog.Level, status int, received int64, took time.Duration) {
	action, code, attrs := rec.said()
	line := append(make([]slog.Attr, 0, 16),
		slog.String("request_id", rec.id),
		slog.String("method", printable(r.Method)),
		slog.String("path", printable(r.URL.Path)),
		slog.String("target", printable(r.Header.Get("X-Amz-Target"))),
		slog.String("proto", r.Proto),
		slog.String("peer", peer(r)),
		slog.Int("status", status),
		slog.Int64("bytes_in", received),
		slog.Int64("bytes_out", out.bytes),
		slog.Float64("ms", float64(took.Microseconds())/1000),
	)
	if action != "" {
		line = append(line, slog.String("action", action))
	}
	if code != "" {
		line = append(line, slog.String("code", code))
	}
	q.Log.LogAttrs(r.Context(), level, "request", append(line, attrs...)...)
}

func (q Requests) action(target string) string {
	if action, ok := q.Actions[target]; ok {
		return action
	}
	return unknownAction
}

func codeLabel(code string, status int) string {
	switch {
	case code != "":
		return code
	case status < 400:
		return "OK"
	default:
		return http.StatusText(status)
	}
}

func peer(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// printable makes text from a request fit for a log: ASCII, of a bounded length.
func printable(s string) string {
	const most = 100
	if len(s) > most {
		s = s[:most]
	}
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, s)
}
