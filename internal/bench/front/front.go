// Package front is the HTTP server that everything the service is compared with stands behind: requests are read and their
// signatures verified as the service does it, and nothing else.
//
// Begin with Serve, which serves a Handler on loopback until its context ends. A Floor is the least handler there is: it
// answers with as many bytes as it was last told. Options.Unsigned leaves out the signatures, to tell what they cost.
//
// It is for benchmarks alone: it bounds nothing and logs nothing.
package front

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"stocktake/internal/sigv4"
)

// Handler answers an action by the body of its request, with a status of HTTP and a body.
type Handler interface {
	Answer(ctx context.Context, action string, body []byte) (status int, answer []byte)
}

// Options say who may ask.
type Options struct {
	Key      sigv4.Credentials
	Unsigned bool // signatures are not looked at
}

// Serve serves until ctx ends. It tells the address it took before the first request.
func Serve(ctx context.Context, h Handler, o Options, listening func(address string)) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	verifier := &sigv4.Verifier{Service: "ssm", Lookup: func(_ context.Context, id, _ string) (sigv4.Key, error) {
		if id != o.Key.AccessKeyID {
			return sigv4.Key{}, sigv4.ErrUnknownKey
		}
		return sigv4.Key{SecretAccessKey: o.Key.SecretAccessKey}, nil
	}}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, answer := serve(r, h, o, verifier)
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		w.WriteHeader(status)
		_, _ = w.Write(answer) // a client that is gone cannot be told
	})}
	defer context.AfterFunc(ctx, func() { _ = server.Shutdown(context.WithoutCancel(ctx)) })()
	listening(l.Addr().String())
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func serve(r *http.Request, h Handler, o Options, verifier *sigv4.Verifier) (int, []byte) {
	var claim *sigv4.Claim
	if !o.Unsigned {
		var err error
		if claim, err = verifier.Headers(r, time.Now()); err != nil {
			return refuse(err)
		}
	}
	body := make([]byte, max(r.ContentLength, 0))
	if _, err := io.ReadFull(r.Body, body); err != nil {
		return refuse(err)
	}
	if claim != nil {
		if err := claim.Verify(sha256.Sum256(body)); err != nil {
			return refuse(err)
		}
	}
	_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	return h.Answer(r.Context(), action, body)
}

func refuse(err error) (int, []byte) {
	return http.StatusBadRequest, fmt.Appendf(nil, `{"__type":"InvalidSignatureException","message":%q}`, err.Error())
}

// SizeAction is the action that tells a Floor how many bytes it answers with from then on: the body is the number.
const SizeAction = "Size"

// largest is the most a Floor answers with.
const largest = 64 << 20

// Floor reads requests and answers with nothing of worth: reports with an empty object, all else with as many bytes as it
// was told. Its zero value answers everything with an empty object.
type Floor struct{ answer atomic.Pointer[[]byte] }

// Answer makes a Floor a Handler.
func (f *Floor) Answer(_ context.Context, action string, body []byte) (int, []byte) {
	if action == SizeAction {
		n, err := strconv.Atoi(string(body))
		if err != nil || n < 0 || n > largest {
			return http.StatusBadRequest, []byte(`{"__type":"ValidationException"}`)
		}
		answer := []byte(`{"":"` + strings.Repeat(" ", max(0, n-len(`{"":""}`))) + `"}`)
		f.answer.Store(&answer)
	}
	if answer := f.answer.Load(); answer != nil && action != "PutInventory" && action != SizeAction {
		return http.StatusOK, *answer
	}
	return http.StatusOK, []byte("{}")
}
