package e2e

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"
)

const accountsFile = `
regions: [access-1]
accounts:
  - id: "111122223333"
    access_keys:
      - id: AKIAREADER
        secret_file: reader.secret
        actions: ["ssm:Get*", "ssm:List*"]
      - id: AKIANODE
        secret: node-secret-node-secret
        nodes: ["i-0000000000000f001"]
`

// code gives the error code of an answer, empty for none.
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func TestKeysDoWhatTheyMay(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "stocktake.yaml")
	for name, text := range map[string]string{conf: accountsFile, filepath.Join(filepath.Dir(conf), "reader.secret"): "reader-secret-reader-secret\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, t.TempDir(), "--config", conf)
	reader := s.clientAs("access-1", aws.Credentials{AccessKeyID: "AKIAREADER", SecretAccessKey: "reader-secret-reader-secret"})
	node := s.clientAs("access-1", aws.Credentials{AccessKeyID: "AKIANODE", SecretAccessKey: "node-secret-node-secret"})
	const own, foreign = "i-0000000000000f001", "i-0000000000000f002"
	report := func(client *ssm.Client, id string) error {
		_, err := client.PutInventory(t.Context(), &ssm.PutInventoryInput{InstanceId: aws.String(id), Items: rackItems("a")})
		return err
	}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"a node reports itself":           {report(node, own), ""},
		"a node reports another":          {report(node, foreign), "AccessDeniedException"},
		"a reader reports":                {report(reader, own), "AccessDeniedException"},
		"a region that is not served":     {report(s.client("access-2"), own), "InvalidSignatureException"},
		"root reports in its own account": {report(s.client("access-1"), foreign), ""},
	} {
		if got := code(c.err); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if got := ids(t, reader, &ssm.GetInventoryInput{}); len(got) != 1 || got[0] != own {
		t.Errorf("the account's reader sees %v, want its own account's node alone", got)
	}
	if _, err := node.GetInventory(t.Context(), &ssm.GetInventoryInput{}); code(err) != "AccessDeniedException" {
		t.Errorf("a node asks about the fleet: %v", err)
	}
}

func TestSelfSignedTLS(t *testing.T) {
	s := start(t, t.TempDir(), "--tls-self-signed", "--tls-names", "stocktake.example.org,192.0.2.7")
	pem, err := os.ReadFile(filepath.Join(s.dir, "tls", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	for _, name := range []string{"stocktake.example.org", "192.0.2.7", "localhost"} {
		dialer := tls.Dialer{Config: &tls.Config{RootCAs: pool, ServerName: name, MinVersion: tls.VersionTLS12}}
		c, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(s.endpoint, "https://"))
		if err != nil {
			t.Errorf("a client that knows the service as %s: %v", name, err)
			continue
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	var protocol string
	client := ssm.New(ssm.Options{
		Region: "tls-1", BaseEndpoint: &s.endpoint, Credentials: credentials.StaticCredentialsProvider{Value: s.key}, Retryer: aws.NopRetryer{},
		HTTPClient: doer(func(r *http.Request) (*http.Response, error) {
			response, err := transport.RoundTrip(r)
			if err == nil {
				protocol = response.Proto
			}
			return response, err
		}),
	})
	if _, err := client.GetInventory(t.Context(), &ssm.GetInventoryInput{}); err != nil || protocol != "HTTP/2.0" {
		t.Errorf("over %s: %v", protocol, err)
	}
	if _, err := s.client("tls-1").GetInventory(t.Context(), &ssm.GetInventoryInput{}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a client that does not know the authority: %v", err)
	}
}

type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }

// TestBodiesOfEveryForm sends what the transport allows: chunks, the largest body, and one that is too large.
func TestBodiesOfEveryForm(t *testing.T) {
	s := sharedService(t)
	for _, c := range []struct {
		name   string
		body   []byte
		length int64 // -1: chunked
		want   int
	}{
		{"chunked", []byte(`{}`), -1, http.StatusOK},
		{"as large as may be", append([]byte(`{}`), bytes.Repeat([]byte(" "), 16<<20-2)...), 16 << 20, http.StatusOK},
		{"too large", append([]byte(`{}`), bytes.Repeat([]byte(" "), 16<<20)...), 16<<20 + 2, http.StatusRequestEntityTooLarge},
		{"too large and chunked", append([]byte(`{}`), bytes.Repeat([]byte(" "), 16<<20)...), -1, http.StatusRequestEntityTooLarge},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.endpoint+"/", io.NopCloser(bytes.NewReader(c.body)))
		if err != nil {
			t.Fatal(err)
		}
		request.ContentLength = c.length
		request.Header.Set("Content-Type", "application/x-amz-json-1.1")
		request.Header.Set("X-Amz-Target", "AmazonSSM.DescribeInventoryDeletions")
		sum := sha256.Sum256(c.body)
		if err := v4.NewSigner().SignHTTP(t.Context(), s.key, request, hex.EncodeToString(sum[:]), "ssm", "bodies-1", time.Now()); err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		text, _ := io.ReadAll(response.Body) // what came before a connection was cut is enough to report
		if err := response.Body.Close(); err != nil || response.StatusCode != c.want || response.Header.Get("x-amzn-requestid") == "" {
			t.Errorf("%s: %d %s (%v), want %d", c.name, response.StatusCode, text, err, c.want)
		}
	}
}
