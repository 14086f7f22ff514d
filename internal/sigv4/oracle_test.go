package sigv4

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

func oracleSign(t *testing.T, r *http.Request, body []byte, c Credentials, region string, at time.Time) {
	t.Helper()
	hash := sha256.Sum256(body)
	credentials := aws.Credentials{
		AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken,
	}
	err := v4.NewSigner().SignHTTP(context.Background(), credentials, r, hex.EncodeToString(hash[:]), "ssm", region, at)
	if err != nil {
		t.Fatal(err)
	}
}

const printable = " !#$%&'()*+,-./0123456789:;<=>?@ABCXYZ[]^_`abcxyz{|}~"

func randomText(rng *rand.Rand, most int) string {
	b := make([]byte, rng.IntN(most+1))
	for i := range b {
		b[i] = printable[rng.IntN(len(printable))]
	}
	return string(b)
}

// randomRequest makes a request with doubled, respaced, empty and unusual headers.
func randomRequest(rng *rand.Rand) (*http.Request, []byte) {
	body := []byte(randomText(rng, 200))
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	r.Host = []string{"ssm.eu-west-1.amazonaws.com", "127.0.0.1:7540", "[::1]:80", "localhost"}[rng.IntN(4)]
	r.Header.Set("X-Amz-Target", "AmazonSSM."+randomText(rng, 10))
	for range rng.IntN(6) {
		name := []string{"Content-Type", "Accept", "X-Amz-Meta", "X-Amz-Meta2", "Amz-Sdk-Request", "X_under~score"}[rng.IntN(6)]
		// The server's parser hands values on trimmed, the oracle trims spaces only.
		r.Header.Add(name, strings.TrimSpace(randomText(rng, 30)))
	}
	return r, body
}

func randomCredentials(rng *rand.Rand) Credentials {
	c := Credentials{AccessKeyID: "AK" + strconv.Itoa(rng.IntN(1000)), SecretAccessKey: randomText(rng, 40)}
	if rng.IntN(2) == 0 {
		c.SessionToken = "t" + strings.ReplaceAll(randomText(rng, 60), " ", "")
	}
	return c
}

func TestVerifyAcceptsWhatTheOracleSigns(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for i := range 2000 {
		r, body := randomRequest(rng)
		c := randomCredentials(rng)
		at := testTime.Add(time.Duration(rng.IntN(1e6)) * time.Minute)
		region := "r" + strconv.Itoa(rng.IntN(50))
		oracleSign(t, r, body, c, region, at)
		v := &Verifier{Service: "ssm", Lookup: func(context.Context, string, string) (Key, error) {
			return Key{SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken}, nil
		}}
		if err := verify(v, r, string(body), at); err != nil {
			t.Fatalf("seed %d, round %d: %v\n%v", seed, i, err, r.Header)
		}
		if err := verify(v, r, string(body)+" ", at); err == nil {
			t.Fatalf("seed %d, round %d: a longer body is accepted", seed, i)
		}
		for name := range r.Header {
			if name == "Authorization" {
				continue
			}
			changed := r.Clone(context.Background())
			changed.Header[name][0] += "x"
			if err := verify(v, changed, string(body), at); err == nil {
				t.Fatalf("seed %d, round %d: a changed %s is accepted", seed, i, name)
			}
		}
	}
}

func TestSignAgreesWithTheOracle(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for i := range 2000 {
		body := []byte(randomText(rng, 100))
		ours := httptest.NewRequest(http.MethodPost, "/", nil)
		ours.Header.Set("X-Amz-Target", randomText(rng, 20))
		ours.Header.Set("Content-Type", "application/x-amz-json-1.1")
		theirs := ours.Clone(context.Background())
		c := randomCredentials(rng)
		if err := Sign(ours, sha256.Sum256(body), c, "eu-west-1", "ssm", testTime); err != nil {
			t.Fatal(err)
		}
		oracleSign(t, theirs, body, c, "eu-west-1", testTime)
		got, want := ours.Header.Get("Authorization"), theirs.Header.Get("Authorization")
		if got != want {
			t.Fatalf("seed %d, round %d:\ngot  %s\nwant %s", seed, i, got, want)
		}
	}
}

// newServer verifies what really arrives, and answers 200 or the refusal.
func newServer(t *testing.T, overHTTP2 bool) *httptest.Server {
	t.Helper()
	v := testVerifier()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claim, err := v.Headers(r, testTime)
		if err == nil {
			body, readErr := io.ReadAll(r.Body)
			if readErr != nil {
				t.Error(readErr)
			}
			err = claim.Verify(sha256.Sum256(body))
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, r.Proto)
	}))
	server.EnableHTTP2 = overHTTP2
	if overHTTP2 {
		server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return server
}

func TestRoundTripOverTheNetwork(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		server := newServer(t, proto == "HTTP/2.0")
		for _, body := range []string{"", "{}", strings.Repeat("x", 1<<20)} {
			for _, chunked := range []bool{false, true} {
				for _, signer := range []string{"ours", "oracle"} {
					name := proto + " " + strconv.Itoa(len(body)) + " chunked " + strconv.FormatBool(chunked) + " " + signer
					t.Run(name, func(t *testing.T) {
						r, err := http.NewRequest(http.MethodPost, server.URL, strings.NewReader(body))
						if err != nil {
							t.Fatal(err)
						}
						r.Header.Set("X-Amz-Target", "AmazonSSM.PutInventory")
						r.Header.Set("Content-Type", "application/x-amz-json-1.1")
						if chunked {
							r.ContentLength = -1
						}
						if signer == "ours" {
							mustSign(t, r, body, session)
						} else {
							oracleSign(t, r, []byte(body), session, "eu-west-1", testTime)
						}
						wantAnswer(t, server, r, proto)
					})
				}
			}
		}
	}
}

func wantAnswer(t *testing.T, server *httptest.Server, r *http.Request, want string) {
	t.Helper()
	answer, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK || string(text) != want {
		t.Errorf("answered %d %s, want %s", answer.StatusCode, text, want)
	}
}
