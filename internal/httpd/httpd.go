// Package httpd is the floor under every HTTP surface of Stocktake: listeners, TLS, middleware, limits, health, metrics and
// graceful stop. It knows no action and no account.
//
// A program calls [Listen], wraps its handler with [Chain] of [Requests.Middleware] and [Limits.Middleware], and runs it in
// a [Server]. [Health] and [Metrics] are served by [AdminHandler] on a second server.
//
// Promises: memory is bounded by settings (connections, header bytes, body bytes, bytes of all bodies together); a peer
// that sends or takes bytes too slowly is cut; every request a handler could see gets a request id and one line in the log,
// with never a byte of its body; a panic becomes InternalServerError and its reason stays in the log; requests in flight at
// a stop are finished. What net/http itself refuses (a request line or headers that cannot be read) has no request id.
//
// It refuses to listen beyond loopback without TLS unless told to. It decompresses nothing, and trusts no forwarding header
// but X-Forwarded-For, and that from proxies it is told of alone.
package httpd

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// Middleware wraps a handler.
type Middleware func(http.Handler) http.Handler

// Chain wraps a handler in middlewares, the first of them outermost.
func Chain(h http.Handler, outermostFirst ...Middleware) http.Handler {
	for i := len(outermostFirst) - 1; i >= 0; i-- {
		h = outermostFirst[i](h)
	}
	return h
}

// refusal is an answer that this package gives by itself, in the form AWS clients of a JSON protocol read.
type refusal struct {
	status  int
	code    string
	message string
}

func (e *refusal) Error() string { return e.code + ": " + e.message }

func (e *refusal) write(w http.ResponseWriter) {
	body, err := json.Marshal(struct {
		Type    string `json:"__type"`
		Message string `json:"message,omitempty"`
	}{e.code, e.message})
	if err != nil {
		// Two strings always marshal.
		body = []byte("{}")
	}
	header := w.Header()
	header.Del("Content-Encoding")
	header.Set("Content-Type", "application/x-amz-json-1.1")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(e.status)
	// A peer that is gone cannot be told.
	_, _ = w.Write(body)
}
