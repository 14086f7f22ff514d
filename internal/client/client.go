// Package client speaks the API as any AWS client does: signed awsJson1_1 requests over one pool of connections. It is
// meant for this project's own commands (collect, demo, bench).
//
// Make a [Client] by [New], from a [Config] that is filled in by hand or, from the AWS environment variables and profiles,
// by [LoadConfig]. Then call an action by its method, or any action by [Client.Do]. A machine that has an activation makes
// itself a managed node by [Register], and from then on is one by [OpenNode].
//
// Promises: a request is sent again, a bounded number of times and after growing random pauses, when the service or the
// network failed or the service was too busy; what the service answers, even after that, comes back as an [*Error]. Every
// action of the API is safe to send again. Secrets go into no error and no log.
//
// It refuses to guess an endpoint: this is no client of AWS itself.
package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"time"

	"stocktake/internal/sigv4"
	"stocktake/internal/wire"
)

const (
	service      = "ssm"
	targetPrefix = "AmazonSSM."
	contentType  = "application/x-amz-json-1.1"

	// answerLimit bounds what is read of an answer, in bytes.
	answerLimit = 64 << 20
	// firstPause and longestPause bound the pause before the second and before any later attempt.
	firstPause   = 200 * time.Millisecond
	longestPause = 10 * time.Second
)

// Config says where the service is and who calls.
type Config struct {
	Endpoint string // a URL: http://127.0.0.1:7540
	Region   string // of the signature, and so of the data
	// Credentials is asked before each attempt, and should cache.
	Credentials func(context.Context) (sigv4.Credentials, error)
	Roots       *x509.CertPool // whom to trust over https; nil: as the system does
	// Certificate is what to show to a service that wants a certificate of clients; nil: there is none.
	Certificate func() (tls.Certificate, error)
	Attempts    int           // of a request at most; 0: 4
	Timeout     time.Duration // of one attempt; 0: 1 minute
	Connections int           // kept open when idle; 0: 16
	UserAgent   string        // "": stocktake
}

// Client may be used by many goroutines at once.
type Client struct {
	config Config
	url    string
	http   *http.Client
	now    func() time.Time
	pause  func(ctx context.Context, attempt int) error
	// renew drops credentials that the service says are over, and reports whether it is worth asking for others; nil: not.
	renew func() bool
}

// signer signs a request whose other headers and whose body are complete.
type signer func(ctx context.Context, r *http.Request, bodyHash [sha256.Size]byte) error

// anonymous leaves a request as it is.
func anonymous(context.Context, *http.Request, [sha256.Size]byte) error { return nil }

// check gives the endpoint taken apart, and says what is wrong with the settings of every client.
func (c *Config) check() (*url.URL, error) {
	if c.Endpoint == "" {
		return nil, errors.New("no endpoint: give --endpoint-url, or set AWS_ENDPOINT_URL")
	}
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("endpoint %q: it must be a URL, such as http://127.0.0.1:7540", c.Endpoint)
	}
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("endpoint %q: it must have no path, no query and no user", c.Endpoint)
	}
	if c.Region == "" {
		return nil, errors.New("no region: give --region, or set AWS_REGION")
	}
	return u, nil
}

// New makes a client. It fails when the endpoint, the region or the credentials are missing or malformed.
func New(c Config) (*Client, error) {
	u, err := c.check()
	if err != nil {
		return nil, err
	}
	if c.Credentials == nil {
		return nil, errors.New("no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")
	}
	return build(c, u), nil
}

// build makes a client of settings that were checked.
func build(c Config, u *url.URL) *Client {
	c.Attempts = orDefault(c.Attempts, 4)
	c.Timeout = orDefault(c.Timeout, time.Minute)
	c.Connections = orDefault(c.Connections, 16)
	c.UserAgent = orDefault(c.UserAgent, "stocktake")
	return &Client{config: c, url: u.Scheme + "://" + u.Host + "/", http: newHTTPClient(c), now: time.Now, pause: pause}
}

func orDefault[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

func newHTTPClient(c Config) *http.Client {
	trust := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.Roots}
	if c.Certificate != nil {
		trust.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			own, err := c.Certificate()
			return &own, err
		}
	}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     trust,
		ForceAttemptHTTP2:   true,
		MaxIdleConns:        c.Connections,
		MaxIdleConnsPerHost: c.Connections,
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second,
	}
	return &http.Client{
		Transport: transport, Timeout: c.Timeout,
		// A signature is good for one host only.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Close closes the connections that are not in use.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Do calls an action with a JSON body, and gives the JSON of the answer. An action of the API goes by its name alone
// (PutInventory), one of the service's own by its whole target (Stocktake.ListNodes). The error is an
// [*Error] when the service answered with one; any other says why no answer came.
func (c *Client) Do(ctx context.Context, action string, body []byte) ([]byte, error) {
	return c.do(ctx, action, body, c.sign)
}

func (c *Client) do(ctx context.Context, action string, body []byte, sign signer) ([]byte, error) {
	for attempt := 1; ; attempt++ {
		answer, err := c.once(ctx, action, body, sign)
		if err == nil || attempt >= c.config.Attempts || !worthAnother(ctx, err) && !c.renewed(ctx, err) {
			return answer, err
		}
		if c.pause(ctx, attempt) != nil {
			return nil, err
		}
	}
}

func target(action string) string {
	if strings.Contains(action, ".") {
		return action
	}
	return targetPrefix + action
}

// pause waits a random part of a time that doubles with each attempt, so that clients cut off together do not come back
// together.
func pause(ctx context.Context, attempt int) error {
	most := min(firstPause<<min(attempt-1, 10), longestPause)
	part, err := rand.Int(rand.Reader, big.NewInt(int64(most)))
	if err != nil {
		return fmt.Errorf("random pause: %w", err)
	}
	timer := time.NewTimer(time.Duration(part.Int64()))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Request gives the signed request that Do would send, for callers that send it themselves: within five minutes, for so
// long is a signature good.
func (c *Client) Request(ctx context.Context, action string, body []byte) (*http.Request, error) {
	return c.request(ctx, action, body, c.sign)
}

// sign signs with the client's credentials.
func (c *Client) sign(ctx context.Context, r *http.Request, bodyHash [sha256.Size]byte) error {
	credentials, err := c.config.Credentials(ctx)
	if err != nil {
		return &credentialsError{err}
	}
	return sigv4.Sign(r, bodyHash, credentials, c.config.Region, service, c.now())
}

func (c *Client) request(ctx context.Context, action string, body []byte, sign signer) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", action, err)
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("X-Amz-Target", target(action))
	r.Header.Set("User-Agent", c.config.UserAgent)
	if err := sign(ctx, r, sha256.Sum256(body)); err != nil {
		if _, ok := errors.AsType[*credentialsError](err); ok {
			return nil, err // which has nothing to do with the action
		}
		return nil, fmt.Errorf("%s: %w", action, err)
	}
	return r, nil
}

func (c *Client) once(ctx context.Context, action string, body []byte, sign signer) ([]byte, error) {
	r, err := c.request(ctx, action, body, sign)
	if err != nil {
		return nil, err
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", action, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, answerLimit+1))
	if err != nil {
		return nil, fmt.Errorf("%s: read the answer: %w", action, err)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, newError(action, answer, text)
	}
	if len(text) > answerLimit {
		return nil, &Error{Action: action, Status: answer.StatusCode, Message: fmt.Sprintf("the answer is over %d bytes", answerLimit)}
	}
	return text, nil
}

// worthAnother says whether the same request may well succeed a little later.
func worthAnother(ctx context.Context, err error) bool {
	var (
		answered    *Error
		credentials *credentialsError
		untrusted   *tls.CertificateVerificationError
		refused     *sigv4.Error
	)
	switch {
	case ctx.Err() != nil, errors.As(err, &credentials), errors.As(err, &untrusted), errors.As(err, &refused):
		return false
	case errors.As(err, &answered):
		return answered.Status >= 500 || answered.Status == http.StatusRequestTimeout || answered.Status == http.StatusTooManyRequests ||
			answered.Code == wire.ThrottlingException || answered.Code == wire.TooManyUpdates
	default:
		return true
	}
}

// renewed says whether the same request may succeed with other credentials, now that these are over or not known any more.
func (c *Client) renewed(ctx context.Context, err error) bool {
	over := codeOf(err) == wire.ExpiredTokenException || codeOf(err) == wire.UnrecognizedClientException
	return c.renew != nil && ctx.Err() == nil && over && c.renew()
}
