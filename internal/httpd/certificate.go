package httpd

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
)

// pollInterval is how often, at most, a handshake looks whether certificate files changed.
const pollInterval = time.Second

// A CertificateSource gives the certificate for a handshake: [FileCertificate], [Authority] or [ACME].
type CertificateSource interface {
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

// TLSConfig gives the TLS settings of a server: version 1.2 at least, certificates from the source. clients, where not nil,
// are whose certificates clients must show.
func TLSConfig(source CertificateSource, clients *ClientAuthorities) *tls.Config {
	config := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: source.GetCertificate}
	if _, isACME := source.(*ACME); isACME {
		// The server adds HTTP's own: the authority's protocol is served beside them.
		config.NextProtos = []string{acme.ALPNProto}
	}
	if clients != nil {
		clients.Require(config)
	}
	return config
}

// FileCertificate is a certificate and key in PEM files, read again when they change. While the new files cannot be used
// (half written, of different keys), the old certificate stays in use and the reason is logged once.
type FileCertificate struct {
	certFile, keyFile string
	log               *slog.Logger
	now               func() time.Time

	mu      sync.Mutex
	current *tls.Certificate
	seen    [2]fileVersion // of what was last tried
	looked  time.Time
}

// fileVersion tells versions of a file apart.
type fileVersion struct {
	modified time.Time
	size     int64
}

// LoadCertificate reads a certificate and its key. It fails when they cannot be used now.
func LoadCertificate(certFile, keyFile string, log *slog.Logger) (*FileCertificate, error) {
	c := &FileCertificate{certFile: certFile, keyFile: keyFile, log: log, now: time.Now}
	c.seen, c.looked = c.versions(), c.now()
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

// GetCertificate is for tls.Config. It never fails.
func (c *FileCertificate) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if since := now.Sub(c.looked); since >= 0 && since < pollInterval {
		return c.current, nil
	}
	c.looked = now
	versions := c.versions()
	if versions == c.seen {
		return c.current, nil
	}
	c.seen = versions
	if err := c.load(); err != nil {
		c.log.Error("new TLS certificate not taken, the old one stays", "error", err)
	} else {
		c.log.Info("new TLS certificate", "expires", c.current.Leaf.NotAfter)
	}
	return c.current, nil
}

func (c *FileCertificate) load() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("TLS certificate %s with key %s: %w", c.certFile, c.keyFile, err)
	}
	c.current = &pair
	return nil
}

// versions gives the zero version for a file that cannot be seen: it is a change like any other.
func (c *FileCertificate) versions() (v [2]fileVersion) {
	for i, name := range []string{c.certFile, c.keyFile} {
		v[i] = versionOf(name)
	}
	return v
}

func versionOf(file string) fileVersion {
	info, err := os.Stat(file)
	if err != nil {
		return fileVersion{}
	}
	return fileVersion{info.ModTime(), info.Size()}
}
