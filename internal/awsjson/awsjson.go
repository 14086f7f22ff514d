// Package awsjson speaks the awsJson1_1 protocol over HTTP: it knows who asks, finds the row of the action asked for, and
// turns its answer or its error into bytes.
//
// Call [New] with the keys and the rows, each made by [NewRow], and serve the [Handler] at "/" behind middleware that sets
// the X-Amzn-Requestid header of the answer. Everything goes through one gate in one order, and the first check that fails
// gives the answer:
//
//  1. method, path and content type: anything but POST / with application/x-amz-json-1.1 (parameters allowed) is 404
//  2. the signed headers: form, scope, region, time, key
//  3. the body's size
//  4. the signature, over the bytes as received
//  5. the rates of the account, the key, and the managed node that signed: ThrottlingException
//  6. the target: that of a row, in exact case
//  7. whether the key may do the action to anything
//  8. the JSON: SerializationException
//  9. the constraints of the model: ValidationException
//  10. whether the key may touch the node, or a user's policies allow the action to all that the request names
//  11. the rate of the node that an access key names
//  12. the audit, of what writes ([Audit]): what it cannot note is not done, and is the server's fault
//  13. the row's method, which calls the audit itself where its row is late
//
// Who fails in steps 2 to 4 more often than an address may is told so a second later, or loses the connection. Before any answer
// goes out the audit is told how the call ended, of refusals too.
//
// No method is called for a request that is not signed, but for those of rows that say they may be ([Anonymous]). A row
// also says whether it is called with an access key or with the key pair of a managed node ([ByKeyPair]). What is of the
// wrong kind is refused in step 2: the signature of a key pair as one that does not match, before any key is looked up;
// that of an access key in step 7, as not allowed. The service a request is signed for is that of its target's family.
//
// The account is the key's; the region is that of the signature's scope, and both together are the partition the method is
// given. The key of a managed node is good in its own region alone. Nothing of an internal error reaches the caller: it
// is logged under the request's id, and answered as the server's fault, so that an agent tries again.
//
// The package knows no action. It keeps in memory what each rate has left, the failures it holds back, and the regions it has
// seen, and no other state. It refuses signatures in the query string, compressed bodies (they are no JSON) and other
// protocols, but for the forms that [Forms] answers.
package awsjson

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"stocktake/internal/iam"
	"stocktake/internal/inventory"
	"stocktake/internal/sigv4"
)

const (
	contentType  = "application/x-amz-json-1.1"
	targetHeader = "X-Amz-Target"

	service        = "ssm"
	messageService = "ec2messages"

	targetPrefix        = "AmazonSSM."
	ownTargetPrefix     = "Stocktake."
	messageTargetPrefix = "EC2WindowsMessageDeliveryService."

	// requestIDHeader is set on the answer by the middleware around the handler.
	requestIDHeader = "X-Amzn-Requestid"

	defaultMaxBody = 16 << 20
	// maxOpenBody bounds the body of what has no access key: who nobody knows is not given 16 MiB.
	maxOpenBody = 64 << 10
	// maxRegions bounds the regions remembered as seen.
	maxRegions = 4096
)

// Config is what a Handler is made of. Keys and Rows are required.
type Config struct {
	Keys *iam.Directory
	Rows []Row
	// Identities are the users and roles of the store; nil: there are none.
	Identities *iam.Identities
	// Forms answers what is sent as a form; nil: nothing is.
	Forms Forms
	// Audit is told of calls; nil: nobody is.
	Audit Audit
	// Tags gives what policies ask of nodes; nil: nodes have no tags.
	Tags Tags
	// Nodes knows what managed nodes sign with; nil: there are none.
	Nodes Nodes
	// Regions are those that may be named in a signature's scope; empty: every one. Another region is answered with
	// InvalidSignatureException, as a service answers a scope that is not its own.
	Regions []string
	// MaxBody is the most bytes a body may have; 0: 16 MiB. More is answered with 413.
	MaxBody int64
	// Rates bound what accounts, keys and nodes ask for; the zero value does not.
	Rates Rates
	// Log gets internal errors and the first use of each region; nil: slog.Default().
	Log *slog.Logger
	// Observe, where not nil, is called once for each request, before the answer is written.
	Observe func(r *http.Request, o Observation)
	// Slowed, where not nil, is called before a request is held back for having failed to authenticate too often: it does
	// nothing until it is answered, and is to take nobody's place.
	Slowed func(r *http.Request)
	// Now is the clock signatures are judged by; nil: time.Now.
	Now func() time.Time
}

// Nodes is what has to be known of managed nodes to verify their requests. An error that is not [sigv4.ErrUnknownKey] is
// the server's own fault.
type Nodes interface {
	// PublicKeys gives the public keys a node may have signed with and the principal it is, or ErrUnknownKey.
	PublicKeys(ctx context.Context, node inventory.NodeID) ([]*rsa.PublicKey, *iam.Principal, error)
	// Session gives the key of a role token, from the session token, with a *iam.Principal as its identity. One that was
	// not given out by this service, or whose node is none any more, is ErrUnknownKey; one that is over is given with its end.
	Session(ctx context.Context, accessKeyID, token string) (sigv4.Key, error)
}

// An Observation is what may be logged and counted of a request.
type Observation struct {
	Action    string              // of the row; empty: none was found
	Code      string              // the error's name; empty: answered with 200
	Partition inventory.Partition // zero until the signature is verified
	Principal *iam.Principal      // nil until the signature is verified
	// Node is, of a refusal, the node it is about, where the request named one that its form allows, or else the managed node
	// that signed. Text is what the caller is told.
	Node inventory.NodeID
	Text string

	asked asked
}

// A Handler answers requests; see the package's documentation for the order of its checks.
type Handler struct {
	config   Config
	verifier sigv4.Verifier
	messages sigv4.Verifier // of targets of messageService
	iam, sts sigv4.Verifier // of forms
	rows     map[string]Row // by target
	buffers  sync.Pool      // of *[]byte
	bounds   *bounds
	// strangers bounds look-ups for who is not known.
	strangers *strangers

	mu   sync.Mutex
	seen map[inventory.Partition]bool
}

// New makes a Handler. It fails when a row is listed twice or something required is missing.
func New(c Config) (*Handler, error) {
	if c.Keys == nil || len(c.Rows) == 0 {
		return nil, errors.New("awsjson: keys and rows are required")
	}
	h := &Handler{config: c, rows: map[string]Row{}, seen: map[inventory.Partition]bool{}, bounds: newBounds(c.Rates), strangers: newStrangers()}
	for _, row := range c.Rows {
		if _, ok := h.rows[row.Target]; ok {
			return nil, fmt.Errorf("awsjson: target %s has two rows", row.Target)
		}
		row.Kind = row.Does()
		h.rows[row.Target] = row
	}
	if h.config.MaxBody == 0 {
		h.config.MaxBody = defaultMaxBody
	}
	if h.config.Log == nil {
		h.config.Log = slog.Default()
	}
	if h.config.Now == nil {
		h.config.Now = time.Now
	}
	h.verifier = sigv4.Verifier{Service: service, Lookup: h.lookup}
	h.messages = sigv4.Verifier{Service: messageService, Lookup: h.lookup}
	h.iam = sigv4.Verifier{Service: iamService, Lookup: h.lookup}
	h.sts = sigv4.Verifier{Service: stsService, Lookup: h.lookup}
	return h, nil
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	buffer := h.buffer()
	defer h.giveBack(buffer)
	if h.IsForm(r) {
		h.serveForm(w, r, buffer)
		return
	}
	var o Observation
	hasEnded := false
	defer func() {
		if !hasEnded {
			h.abandoned(w, r, o)
		}
	}()
	answer, err := h.answer(w, r, buffer, &o)
	hasEnded = true
	f := h.refusal(w, r, err, &o)
	if err := h.tell(w, r, o); err != nil {
		f = h.refusal(w, r, err, &o)
	}
	h.observe(r, o)
	if f != nil {
		f.write(w)
		return
	}
	write(w, http.StatusOK, contentType, answer)
}

// refusal gives the answer to an error, and notes it; nil where there is none.
func (h *Handler) refusal(w http.ResponseWriter, r *http.Request, err error, o *Observation) *failure {
	if err == nil {
		return nil
	}
	f := h.failure(w, r, err, *o)
	o.Code, o.Text, o.Node = f.name, f.body.Text(), refusedNode(err, o.Principal)
	o.asked.fault, o.asked.foreign = f.status >= http.StatusInternalServerError, f == notThisProtocol
	return f
}

func (h *Handler) observe(r *http.Request, o Observation) {
	if h.config.Observe != nil {
		h.config.Observe(r, o)
	}
}

// answer goes through the checks and the row's method. The answer lies in the buffer, which held the body before.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, buffer *[]byte, o *Observation) ([]byte, error) {
	if !isOurs(r) {
		return nil, notThisProtocol
	}
	row, known := h.row(r)
	o.asked = asked{action: row.Action, permission: row.Permission, kind: row.Kind}
	caller, err := h.authenticate(w, r, row, buffer)
	if err != nil {
		if h.failed(r, err, *buffer) {
			w.Header().Set("Connection", "close")
		}
		return nil, err
	}
	o.Partition, o.Principal, o.Action = caller.Partition, caller.Principal, row.Action
	if err := h.bounds.admit(caller); err != nil {
		return nil, err
	}
	if !known {
		return nil, unknownOperation
	}
	if err := permitted(caller, row); err != nil {
		return nil, err
	}
	if row.Waits {
		h.shrink(buffer)
	}
	caller.call = h.newCall(r, caller, row)
	o.asked.call = caller.call
	encode, err := row.serve(r.Context(), caller, row, *buffer)
	if err != nil {
		return nil, err
	}
	*buffer = encode((*buffer)[:0])
	return *buffer, nil
}

// isOurs reports whether a request is of this protocol.
func isOurs(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Path == "/" && isAWSJSON(r.Header.Values("Content-Type"))
}

func isAWSJSON(values []string) bool {
	if len(values) != 1 {
		return false
	}
	media, _, _ := strings.Cut(values[0], ";")
	return strings.EqualFold(strings.TrimSpace(media), contentType)
}

// firstUse logs a partition the first time this process sees it: a mistyped region is a fleet of its own.
func (h *Handler) firstUse(c Caller) {
	h.mu.Lock()
	known := h.seen[c.Partition] || len(h.seen) >= maxRegions
	if !known {
		h.seen[c.Partition] = true
	}
	h.mu.Unlock()
	if !known {
		h.config.Log.Info("first request for a region since the start",
			"account", c.Partition.Account, "region", c.Partition.Region, "request_id", c.RequestID)
	}
}

// RowOf gives the row that would serve a request, before anything of it is verified: what is found here is served by that row
// or refused. False: it is a form, or will be refused.
func (h *Handler) RowOf(r *http.Request) (Row, bool) {
	if !isOurs(r) {
		return Row{}, false
	}
	return h.row(r)
}

// Rows gives all rows that are served, in the order of their targets.
func (h *Handler) Rows() []Row {
	return slices.SortedFunc(maps.Values(h.rows), func(a, b Row) int { return strings.Compare(a.Target, b.Target) })
}

// IsForm reports whether a request is a form, and would be served as one or refused.
func (h *Handler) IsForm(r *http.Request) bool { return h.config.Forms != nil && isForm(r) }

// row finds the row of the target. One header, in exact case.
func (h *Handler) row(r *http.Request) (Row, bool) {
	values := r.Header.Values(targetHeader)
	if len(values) != 1 {
		return Row{}, false
	}
	row, ok := h.rows[values[0]]
	return row, ok
}

func write(w http.ResponseWriter, status int, media string, body []byte) {
	header := w.Header()
	header.Set("Content-Type", media)
	header.Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(status)
	// A peer that is gone cannot be told.
	_, _ = w.Write(body)
}
