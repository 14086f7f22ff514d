package awsjson

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"stocktake/internal/sigv4"
	"stocktake/internal/wire"
)

const (
	formType = "application/x-www-form-urlencoded"
	// maxForm bounds the body of a form: the longest text of a policy, escaped, fits.
	maxForm = 2 << 20
)

// The services whose requests are forms, as signatures name them.
const (
	iamService = "iam"
	stsService = "sts"
)

// Forms answers requests that are forms: those of IAM and STS, at the same endpoint, signed for those services with any
// region. They come through the same authentication; what they may do [Caller.Permit] says.
type Forms interface {
	// Answer answers a request that was signed for a service, iam or sts. It keeps no part of the body.
	Answer(ctx context.Context, c Caller, service string, body []byte) Formed
	// Refuse gives the answer to one that was refused before: by the name of this package's error, or of one of the middleware
	// around it, its text and status.
	Refuse(requestID, name, text string, status int) Formed
}

// Formed is an answer to a form.
type Formed struct {
	Status int
	Media  string
	Body   []byte
	// Action, Code and Text are as in an Observation; Fault is what an internal error comes from, for the log.
	Action, Code, Text string
	Fault              error
}

func isForm(r *http.Request) bool {
	values := r.Header.Values("Content-Type")
	if r.Method != http.MethodPost || r.URL.Path != "/" || len(values) != 1 {
		return false
	}
	media, _, _ := strings.Cut(values[0], ";")
	return strings.EqualFold(strings.TrimSpace(media), formType)
}

// serveForm answers a form.
func (h *Handler) serveForm(w http.ResponseWriter, r *http.Request, buffer *[]byte) {
	var o Observation
	c, service, err := h.authenticateForm(w, r, buffer)
	if err != nil && h.failed(r, err, *buffer) {
		w.Header().Set("Connection", "close")
	}
	var answer Formed
	if err == nil {
		o.Partition, o.Principal = c.Partition, c.Principal
		err = h.bounds.admit(c)
	}
	if err == nil {
		c.call = h.newCall(r, c, Row{Kind: Write})
		hasEnded := false
		defer func() {
			if !hasEnded {
				o.asked.call = c.call
				h.abandoned(w, r, o)
			}
		}()
		answer = h.config.Forms.Answer(r.Context(), c, service, *buffer)
		hasEnded = true
		if answer.Fault != nil {
			o.Action = answer.Action
			h.logInternal(w, r, answer.Fault, o)
		}
		o.asked = asked{action: answer.Action, permission: service + ":" + answer.Action, kind: kindOf(service + ":" + answer.Action), call: c.call}
		if c.call != nil && !c.call.Began {
			o.asked.call = nil // it was refused before it said what it is
		}
	} else {
		answer = h.refuseForm(w, r, err, o)
	}
	o.Action, o.Code, o.Text = answer.Action, answer.Code, answer.Text
	o.asked.fault = answer.Status >= http.StatusInternalServerError
	if err := h.tell(w, r, o); err != nil {
		answer = h.refuseForm(w, r, err, o)
		o.Code, o.Text = answer.Code, answer.Text
	}
	h.observe(r, o)
	write(w, answer.Status, answer.Media, answer.Body)
}

// refuseForm gives the answer to an error outside of Forms.
func (h *Handler) refuseForm(w http.ResponseWriter, r *http.Request, err error, o Observation) Formed {
	f := h.failure(w, r, err, o)
	if f.hangUp {
		w.Header().Set("Connection", "close")
	}
	return h.config.Forms.Refuse(w.Header().Get(requestIDHeader), f.name, f.body.Text(), f.status)
}

// RefuseForm gives the answer to a form that is refused before it comes here, or has failed: by the name, the text and the
// status that the answer has in JSON. False: it is no form.
func (h *Handler) RefuseForm(r *http.Request, requestID, name, text string, status int) (Formed, bool) {
	if !h.IsForm(r) {
		return Formed{}, false
	}
	return h.config.Forms.Refuse(requestID, name, text, status), true
}

// authenticateForm verifies the signature of a form, for the one of the services that it names.
func (h *Handler) authenticateForm(w http.ResponseWriter, r *http.Request, buffer *[]byte) (Caller, string, error) {
	c := Caller{Source: sourceOf(r), RequestID: w.Header().Get(requestIDHeader)}
	c.asking = asking{r, h.config.Now, h.config.Tags, h.bounds}
	header := r.Header["Authorization"]
	if len(header) == 1 && sigv4.ByKeyPair(header[0]) {
		return c, "", notByKeyPair()
	}
	verifier := &h.iam
	if len(header) == 1 && strings.Contains(header[0], "/"+stsService+"/aws4_request") {
		verifier = &h.sts
	}
	err := h.authenticateKey(w, r, verifier, buffer, &c)
	return c, verifier.Service, err
}

// Refusal gives the name and text of an error of this package, or of a store that does not answer: then fault is true.
func Refusal(err error) (name, text string, fault bool) {
	var f *failure
	if errors.As(err, &f) {
		return f.name, f.body.Text(), false
	}
	return wire.InternalServerError, "", true
}
