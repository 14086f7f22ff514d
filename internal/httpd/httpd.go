// Package httpd is the floor under every HTTP surface of Stocktake: listeners, TLS, middleware, limits, health, metrics and
// graceful stop. It knows no action and no account.
//
// A program calls [Listen], wraps its handler with [Chain] of [Requests.Middleware] and [Limits.Middleware], and runs it in
// a [Server]. [Health] and [Metrics] are served by [AdminHandler] on a second server.
//
// Promises: memory is bounded by settings (connections, header bytes, body bytes, bytes of all bodies together); a peer
// that sends or takes bytes too slowly is cut; every request a handler could see gets a request id, is counted, and has one
// line in the log, with never a byte of its body: at the level of debugging where it went well, or where its source has had
// many refused; a panic becomes InternalServerError and its reason stays in the log; requests in flight at
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

// A Refusal is what this package refuses a request for, or fails one, by itself: in the words of AWS's JSON protocols.
type Refusal struct {
	Status  int
	Code    string
	Message string // empty: there is none
}

func (e *Refusal) Error() string { return e.Code + ": " + e.Message }

// An Answer is a Refusal as clients of the request's protocol read it.
type Answer struct {
	Status int
	Code   string // what the refusal is called there, of a fixed set of names: for the log and the metrics
	Media  string
	Body   []byte
}

// answerTo gives the answer to a refused request: as its protocol has it where [Requests.Refuse] knows it, else as JSON.
func answerTo(r *http.Request, why *Refusal) Answer {
	if rec := recordOf(r.Context()); rec != nil && rec.refuseAs != nil {
		if answer, ok := rec.refuseAs(r, rec.id, why); ok {
			return answer
		}
	}
	body, err := json.Marshal(struct {
		Type    string `json:"__type"`
		Message string `json:"message,omitempty"`
	}{why.Code, why.Message})
	if err != nil {
		// Two strings always marshal.
		body = []byte("{}")
	}
	return Answer{why.Status, why.Code, "application/x-amz-json-1.1", body}
}

func (a Answer) write(w http.ResponseWriter) {
	header := w.Header()
	header.Del("Content-Encoding")
	header.Set("Content-Type", a.Media)
	header.Set("Content-Length", strconv.Itoa(len(a.Body)))
	w.WriteHeader(a.Status)
	// A peer that is gone cannot be told.
	_, _ = w.Write(a.Body)
}
