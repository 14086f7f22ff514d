package agent

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"stocktake/internal/sigv4"
)

// The two services of the endpoint.
const (
	ssm      = "ssm"
	messages = "ec2messages"
)

var prefixes = map[string]string{ssm: "AmazonSSM.", messages: "EC2WindowsMessageDeliveryService."}

const (
	// retries is how often the SDK repeats a call.
	retries = 3
	// registerTime bounds the calls of registration and of the role.
	registerTime = 60 * time.Second
	// messageTime bounds a poll for messages.
	messageTime = 20 * time.Second
)

// call is one call: to a service, signed in one way.
type call struct {
	service string
	action  string
	body    []byte
	sign    func(r *http.Request, bodyHash [sha256.Size]byte) error // nil: not at all
	chunked bool
	limit   time.Duration // 0: none
}

// asRole makes a call that is signed with the role's credentials.
func (a *Agent) asRole(service, action string, request any) call {
	return call{service: service, action: action, body: encode(request), sign: func(r *http.Request, bodyHash [sha256.Size]byte) error {
		return sign(r, bodyHash, a.credentials(), a.config.Region, service, time.Now())
	}}
}

// asNode makes a call that is signed with the node's own key pair. The agent's way of doing that loses the length.
func (a *Agent) asNode(action string, request any, key *rsa.PrivateKey) call {
	return call{
		service: ssm, action: action, body: encode(request), chunked: true, limit: registerTime,
		sign: func(r *http.Request, bodyHash [sha256.Size]byte) error {
			return sigv4.SignPSS(r, bodyHash, a.disk.Node, a.config.Region, ssm, time.Now(), key)
		},
	}
}

// encode makes the JSON of a request. One that is bytes is JSON already.
func encode(request any) []byte {
	if text, ok := request.([]byte); ok {
		return text
	}
	text, err := json.Marshal(request)
	if err != nil {
		panic(err) // a request is a struct of this package: it always has JSON
	}
	return text
}

// do makes a call with the SDK's retries: after 2^n times 1 to 1.5 seconds.
func (a *Agent) do(ctx context.Context, c call) ([]byte, error) {
	for n := 0; ; n++ {
		text, err := a.once(ctx, c)
		if err == nil || n == retries || !retryable(ctx, err) {
			return text, err
		}
		pause := float64(time.Second<<n) * (1 + rand.Float64()/2)
		if a.sleep(ctx, a.scaled(time.Duration(pause))) != nil {
			return nil, err
		}
	}
}

func retryable(ctx context.Context, err error) bool {
	var r *Refusal
	if ctx.Err() != nil {
		return false
	}
	if !errors.As(err, &r) {
		return true
	}
	switch r.Code {
	case "ThrottlingException", "Throttling", "RequestLimitExceeded", "ExpiredTokenException", "ExpiredToken", "RequestExpired":
		return true
	}
	return r.Status >= 500
}

// once makes one attempt and tells of it.
func (a *Agent) once(ctx context.Context, c call) ([]byte, error) {
	if c.limit > 0 {
		limited, cancel := context.WithTimeout(ctx, c.limit)
		defer cancel()
		ctx = limited
	}
	attempt := Attempt{Action: c.action, Began: time.Now()}
	text, err := a.send(ctx, c, &attempt)
	var r *Refusal
	if err != nil && !errors.As(err, &r) {
		attempt.Err = err
	}
	attempt.Took = time.Since(attempt.Began)
	if a.config.Observe != nil {
		a.config.Observe(attempt)
	}
	return text, err
}

func (a *Agent) send(ctx context.Context, c call, attempt *Attempt) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.config.Endpoint, bytes.NewReader(c.body))
	if err != nil {
		return nil, err
	}
	if c.chunked {
		r.ContentLength = -1
	}
	r.Header.Set("User-Agent", "aws-sdk-go/1.51.20 (go1.22.3; linux; amd64) amazon-ssm-agent/"+a.version())
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", prefixes[c.service]+c.action)
	if c.sign != nil {
		if err := c.sign(r, sha256.Sum256(c.body)); err != nil {
			return nil, err
		}
	}
	client := a.config.Client
	if c.service == messages {
		client = a.config.Messages
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	attempt.Status = answer.StatusCode
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		attempt.Status = 0
		return nil, err
	}
	if answer.StatusCode == http.StatusOK {
		return text, nil
	}
	refusal := refused(c.action, answer.StatusCode, text)
	attempt.Code = refusal.Code
	return nil, refusal
}

func refused(action string, status int, text []byte) *Refusal {
	var body struct {
		Type    string `json:"__type"`
		Message string // in either case
	}
	if err := json.Unmarshal(text, &body); err != nil || body.Type == "" {
		return &Refusal{Action: action, Code: fmt.Sprint("HTTP ", status), Message: clip(text), Status: status}
	}
	return &Refusal{Action: action, Code: body.Type[strings.LastIndexByte(body.Type, '#')+1:], Message: body.Message, Status: status}
}

func (a *Agent) version() string {
	if a.config.Machine.AgentVersion == "" {
		return "3.3.0.0"
	}
	return a.config.Machine.AgentVersion
}
