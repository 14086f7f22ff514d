package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"stocktake/internal/client"
	"stocktake/internal/sigv4"
)

// drained is how soon after the signal a service under load has to have ended.
const drained = 25 * time.Second

// attentive is a transport that tells answers cut in their middle from requests that were not answered at all.
type attentive struct {
	http.RoundTripper
	answered  atomic.Int64
	cut       atomic.Int64
	lastCut   atomic.Value // error
	unheardAt atomic.Int64 // when a request first had no answer, in nanoseconds since 1970
}

func (a *attentive) RoundTrip(r *http.Request) (*http.Response, error) {
	var begun atomic.Bool
	ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{GotFirstResponseByte: func() { begun.Store(true) }})
	answer, err := a.RoundTripper.RoundTrip(r.WithContext(ctx))
	if err != nil {
		if r.Context().Err() == nil {
			a.unheardAt.CompareAndSwap(0, time.Now().UnixNano())
		}
		a.cutIf(begun.Load(), err)
		return nil, err
	}
	answer.Body = &attentiveBody{answer.Body, a}
	return answer, nil
}

func (a *attentive) cutIf(cut bool, err error) {
	if cut && !errors.Is(err, context.Canceled) {
		a.cut.Add(1)
		a.lastCut.Store(err)
	}
}

type attentiveBody struct {
	io.ReadCloser
	of *attentive
}

func (b *attentiveBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		b.of.answered.Add(1)
	} else {
		b.of.cutIf(err != nil, err)
	}
	return n, err
}

// TestStopUnderLoad tells a service to end under eight writers, as many who ask, and a report that is half sent: readiness
// fails before anything is refused, no answer is cut, whatever was acknowledged is there, and the exit is a good one.
func TestStopUnderLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startRaced(t, dir, "--stop-delay", "500ms")
	transport := &http.Transport{MaxIdleConnsPerHost: 2 * writers}
	defer transport.CloseIdleConnections()
	network := &attentive{RoundTripper: transport}
	all := make([]*writer, writers)
	for i := range all {
		all[i] = &writer{node: fmt.Sprintf("i-%017d", i)}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var running sync.WaitGroup
	for _, w := range all {
		own := s.once(killRegion, &http.Client{Transport: network})
		running.Go(func() {
			for ctx.Err() == nil {
				w.report(ctx, own)
			}
		})
		running.Go(func() {
			for ctx.Err() == nil {
				_, _ = own.GetInventory(ctx, &ssm.GetInventoryInput{}) // judged by the transport
			}
		})
	}
	eventually(t, "there is load", patience, func() error {
		if network.answered.Load() < 200 {
			return errors.New("too little")
		}
		return nil
	})
	slow := s.halfSent(t)
	began := time.Now()
	if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.unready(t, "stopping")
	unready := time.Now()
	time.Sleep(600 * time.Millisecond) // by now it drains
	if err := slow(); err != nil {
		t.Errorf("a report that was half sent when the stop began: %v", err)
	}
	<-s.exited
	took := time.Since(began)
	cancel()
	running.Wait()
	if s.exit != nil || took > drained {
		t.Errorf("it ended with %v after %v", s.exit, took)
	}
	network.judge(t, unready)
	again := start(t, dir)
	for _, w := range all {
		w.readBack(t, again, 0)
	}
	t.Logf("%d answers, %d acknowledged reports; it ended after %v", network.answered.Load(), total(all), took.Round(time.Millisecond))
}

// judge tells what a stop may not do: cut answers, or refuse requests before readiness failed.
func (a *attentive) judge(t *testing.T, unready time.Time) {
	t.Helper()
	if n := a.cut.Load(); n > 0 {
		t.Errorf("%d answers were cut, the last with %v", n, a.lastCut.Load())
	}
	if at := a.unheardAt.Load(); at != 0 && at < unready.Add(-50*time.Millisecond).UnixNano() {
		t.Errorf("a request was refused %v before readiness failed", time.Duration(unready.UnixNano()-at))
	}
}

// once is a client that sends every request once.
func (s *service) once(region string, c *http.Client) *ssm.Client {
	return ssm.New(ssm.Options{
		Region: region, BaseEndpoint: &s.endpoint, HTTPClient: c, Retryer: aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return s.key, nil }),
	})
}

// halfSent begins a report and keeps back the second half of its body until the function is called, which gives its outcome.
func (s *service) halfSent(t *testing.T) (finish func() error) {
	t.Helper()
	signing, err := client.New(client.Config{Endpoint: s.endpoint, Region: killRegion, Credentials: func(context.Context) (sigv4.Credentials, error) {
		return sigv4.Credentials{AccessKeyID: s.key.AccessKeyID, SecretAccessKey: s.key.SecretAccessKey}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(map[string]any{"InstanceId": "i-0000000000000slow", "Items": []any{map[string]any{
		"TypeName": "Custom:Slow", "SchemaVersion": "1.0", "CaptureTime": capture, "Content": []any{map[string]string{"Value": strings.Repeat("x", 2000)}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	request, err := signing.Request(t.Context(), "PutInventory", body)
	if err != nil {
		t.Fatal(err)
	}
	reader, pipe := io.Pipe()
	request.Body, request.GetBody = reader, nil
	outcome := make(chan error, 1)
	go func() {
		answer, err := http.DefaultClient.Do(request)
		if err == nil {
			defer answer.Body.Close()
			if text, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusOK { // the status says enough
				err = fmt.Errorf("status %d: %s", answer.StatusCode, text)
			}
		}
		outcome <- err
	}()
	half := len(body) / 2
	if _, err := pipe.Write(body[:half]); err != nil {
		t.Fatal(err)
	}
	return func() error {
		_, err := pipe.Write(body[half:])
		return errors.Join(err, pipe.Close(), <-outcome)
	}
}
