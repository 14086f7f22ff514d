package httpd

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/acme"
)

// clientIssuer is an authority of clients' certificates.
type clientIssuer struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newClientIssuer(t *testing.T) *clientIssuer {
	t.Helper()
	i := &clientIssuer{}
	i.certificate, i.key = i.issue(t, &x509.Certificate{
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotAfter: time.Now().Add(time.Hour),
	})
	return i
}

// issue signs a certificate; the first, whose issuer has none yet, with its own key.
func (i *clientIssuer) issue(t *testing.T, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.Subject = big.NewInt(1), pkix.Name{CommonName: rand.Text()}
	parent, signer := i.certificate, i.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key
}

func (i *clientIssuer) client(t *testing.T, usage x509.ExtKeyUsage, end time.Time) []tls.Certificate {
	t.Helper()
	c, key := i.issue(t, &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{usage}, NotAfter: end})
	return []tls.Certificate{{Certificate: [][]byte{c.Raw}, PrivateKey: key}}
}

func (i *clientIssuer) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.certificate.Raw})
}

func TestClientsNeedACertificateOfTheAuthorities(t *testing.T) {
	own, foreign := newClientIssuer(t), newClientIssuer(t)
	file := filepath.Join(t.TempDir(), "clients.pem")
	put(t, file, own.pem(), time.Now())
	clients, err := LoadClientAuthorities(file, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	authority, err := OpenAuthority(t.TempDir(), []string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, http.HandlerFunc(okHandler), func(s *Server) { s.TLS = TLSConfig(authority, clients) })
	answered := func(certificates []tls.Certificate) bool {
		config := trusting(t, authority)
		config.Certificates = certificates
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true, ForceAttemptHTTP2: true}}
		answer, err := client.Get("https://" + s.address)
		if err != nil {
			return false
		}
		defer func() { _ = answer.Body.Close() }()
		_, err = io.Copy(io.Discard, answer.Body)
		return err == nil && answer.StatusCode == http.StatusOK
	}
	hour := time.Now().Add(time.Hour)
	good := own.client(t, x509.ExtKeyUsageClientAuth, hour)
	for name, c := range map[string]struct {
		certificates []tls.Certificate
		want         bool
	}{
		"of the authority":     {good, true},
		"none":                 {nil, false},
		"of another authority": {foreign.client(t, x509.ExtKeyUsageClientAuth, hour), false},
		"of a server":          {own.client(t, x509.ExtKeyUsageServerAuth, hour), false},
		"that is over":         {own.client(t, x509.ExtKeyUsageClientAuth, time.Now().Add(-time.Minute)), false},
	} {
		if got := answered(c.certificates); got != c.want {
			t.Errorf("certificate %s: answered is %v", name, got)
		}
	}

	// The authorities change without a restart, and a file that cannot be used changes nothing.
	put(t, file, []byte("no certificate"), time.Now().Add(time.Minute))
	time.Sleep(pollInterval)
	if !answered(good) {
		t.Error("a broken file shut clients out")
	}
	put(t, file, foreign.pem(), time.Now().Add(2*time.Minute))
	waitFor(t, func() bool { return !answered(good) })
	if !answered(foreign.client(t, x509.ExtKeyUsageClientAuth, hour)) {
		t.Error("the new authority's client is refused")
	}
}

func TestOnlyTheProofOfANameGoesWithoutAClientCertificate(t *testing.T) {
	clients := &ClientAuthorities{now: time.Now, looked: time.Now(), pool: x509.NewCertPool()}
	config := &tls.Config{}
	clients.Require(config)
	for protocol, allowed := range map[string]bool{acme.ALPNProto: true, "h2": false, "http/1.1": false, "": false} {
		if err := config.VerifyConnection(tls.ConnectionState{NegotiatedProtocol: protocol}); (err == nil) != allowed {
			t.Errorf("%q: %v", protocol, err)
		}
	}
}

// TestProofOfANameIsAllThatGoesWithoutAClientCertificate offers the authority's protocol beside HTTP, to have a connection
// without a certificate and speak HTTP on it.
func TestProofOfANameIsAllThatGoesWithoutAClientCertificate(t *testing.T) {
	issuer := newClientIssuer(t)
	clients := &ClientAuthorities{now: time.Now, looked: time.Now().Add(time.Hour), pool: x509.NewCertPool()}
	clients.pool.AddCert(issuer.certificate)
	authority, err := OpenAuthority(t.TempDir(), []string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	var served atomic.Int32
	s := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served.Add(1) }), func(s *Server) {
		s.TLS = TLSConfig(&ACME{}, clients)
		s.TLS.GetCertificate = authority.GetCertificate // of a name that was proved
	})
	ask := func(certificates []tls.Certificate, protocols ...string) (negotiated string, answer []byte) {
		config := trusting(t, authority)
		config.NextProtos, config.Certificates = protocols, certificates
		conn, err := tls.Dial("tcp", s.address, config)
		if err != nil {
			return "", nil
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
		answer, _ = io.ReadAll(conn) // of a connection that is cut, what came
		return conn.ConnectionState().NegotiatedProtocol, answer
	}
	for _, protocols := range [][]string{
		{acme.ALPNProto}, {acme.ALPNProto, "http/1.1"}, {"http/1.1", acme.ALPNProto}, {acme.ALPNProto, "h2", "http/1.1"}, {"http/1.1"}, {},
	} {
		if with, answer := ask(nil, protocols...); served.Load() > 0 || len(answer) > 0 {
			t.Errorf("offering %q, and no certificate, it speaks %q and is answered %q", protocols, with, answer)
		}
	}
	good := issuer.client(t, x509.ExtKeyUsageClientAuth, time.Now().Add(time.Hour))
	if _, answer := ask(good, "http/1.1"); served.Load() != 1 || !strings.HasPrefix(string(answer), "HTTP/1.1 200 ") {
		t.Errorf("with a certificate it is answered %q", answer)
	}
}
