package httpd

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
)

// ClientAuthorities are the authorities whose certificates clients must show: a PEM file, read again when it changes. While
// the new file cannot be used, the old authorities stay in use and the reason is logged once. A certificate opens the
// connection and no more: who asks is still said by the signature of each request.
type ClientAuthorities struct {
	file string
	log  *slog.Logger
	now  func() time.Time

	mu     sync.Mutex
	pool   *x509.CertPool
	seen   fileVersion
	looked time.Time
}

// LoadClientAuthorities reads the file. It fails when it cannot be used now.
func LoadClientAuthorities(file string, log *slog.Logger) (*ClientAuthorities, error) {
	a := &ClientAuthorities{file: file, log: log, now: time.Now}
	a.seen, a.looked = versionOf(file), a.now()
	if err := a.load(); err != nil {
		return nil, err
	}
	return a, nil
}

// Require makes a server's TLS settings want a certificate of these authorities of every client. Connections that are open
// stay. An authority that proves this server's name by ACME is no client, and gets nothing but that proof.
func (a *ClientAuthorities) Require(config *tls.Config) {
	config.ClientAuth = tls.RequestClientCert // required below, but for that one protocol
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if state.NegotiatedProtocol == acme.ALPNProto {
			return nil
		}
		return a.verify(state.PeerCertificates)
	}
}

func (a *ClientAuthorities) verify(chain []*x509.Certificate) error {
	if len(chain) == 0 {
		return errors.New("the client shows no certificate")
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: a.authorities(), Intermediates: between, CurrentTime: a.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err
}

func (a *ClientAuthorities) authorities() *x509.CertPool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if since := now.Sub(a.looked); since >= 0 && since < pollInterval {
		return a.pool
	}
	a.looked = now
	version := versionOf(a.file)
	if version == a.seen {
		return a.pool
	}
	a.seen = version
	if err := a.load(); err != nil {
		a.log.Error("new client authorities not taken, the old ones stay", "error", err)
	} else {
		a.log.Info("new client authorities", "file", a.file)
	}
	return a.pool
}

func (a *ClientAuthorities) load() error {
	text, err := os.ReadFile(a.file)
	if err != nil {
		return fmt.Errorf("authorities of clients' certificates: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return fmt.Errorf("authorities of clients' certificates: %s holds no certificate in PEM form", a.file)
	}
	a.pool = pool
	return nil
}
