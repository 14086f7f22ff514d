package httpd

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// trusting gives the settings of a client that trusts an authority and nothing else.
func trusting(t *testing.T, a *Authority) *tls.Config {
	t.Helper()
	text, err := os.ReadFile(a.CertificateFile())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatalf("%s holds no certificate", a.CertificateFile())
	}
	return &tls.Config{RootCAs: pool}
}

// clock is a settable time.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newClock() *clock { return &clock{time.Now().Truncate(time.Second)} }

// writePair writes a fresh certificate and key for a name, as files of a given time.
func writePair(t *testing.T, certFile, keyFile, name string, modified time.Time) {
	t.Helper()
	a, err := OpenAuthority(t.TempDir(), []string{name})
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := a.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(leaf.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	put(t, certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Certificate[0]}), modified)
	put(t, keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), modified)
}

func put(t *testing.T, file string, content []byte, modified time.Time) {
	t.Helper()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, modified, modified); err != nil {
		t.Fatal(err)
	}
}

func servedName(t *testing.T, s CertificateSource) string {
	t.Helper()
	c, err := s.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.Leaf.DNSNames[0]
}

func TestCertificateFilesAreReadAgainWhenTheyChange(t *testing.T) {
	dir, logs, clock := t.TempDir(), new(logBuffer), newClock()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePair(t, certFile, keyFile, "first", clock.at)
	c, err := LoadCertificate(certFile, keyFile, slog.New(slog.NewJSONHandler(logs, nil)))
	if err != nil {
		t.Fatal(err)
	}
	c.now = clock.now
	c.looked = clock.at
	expect := func(when, want string) {
		t.Helper()
		if got := servedName(t, c); got != want {
			t.Errorf("%s: serving %q, want %q", when, got, want)
		}
	}
	writePair(t, certFile, keyFile, "second", clock.at.Add(time.Minute))
	expect("within the second", "first")
	clock.at = clock.at.Add(pollInterval)
	expect("after it", "second")

	put(t, certFile, []byte("half a cert"), clock.at.Add(2*time.Minute))
	for range 3 {
		clock.at = clock.at.Add(pollInterval)
		expect("with a broken file", "second")
	}
	if lines := logs.lines(t, "new TLS certificate not taken, the old one stays", 1); len(lines) != 1 {
		t.Errorf("logged %d times", len(lines))
	}
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	clock.at = clock.at.Add(pollInterval)
	expect("with a missing file", "second")
	writePair(t, certFile, keyFile, "third", clock.at.Add(3*time.Minute))
	clock.at = clock.at.Add(pollInterval)
	expect("repaired", "third")

	writePair(t, certFile, keyFile, "fourth", clock.at.Add(4*time.Minute))
	clock.at = clock.at.Add(-time.Hour)
	expect("after the clock went back", "fourth")
}

func TestLoadCertificateNamesTheFiles(t *testing.T) {
	if _, err := LoadCertificate("no-cert", "no-key", nil); err == nil || !strings.Contains(err.Error(), "no-cert with key no-key") {
		t.Errorf("got %v", err)
	}
}

func TestServerTakesANewCertificateWithoutRestart(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePair(t, certFile, keyFile, "first", time.Now())
	c, err := LoadCertificate(certFile, keyFile, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, http.HandlerFunc(okHandler), func(s *Server) { s.TLS = TLSConfig(c, nil) })
	name := func() string {
		conn, err := tls.Dial("tcp", s.address, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		return conn.ConnectionState().PeerCertificates[0].DNSNames[0]
	}
	if got := name(); got != "first" {
		t.Errorf("serving %q", got)
	}
	writePair(t, certFile, keyFile, "second", time.Now().Add(time.Minute))
	waitFor(t, func() bool { return name() == "second" })
}

func TestOldTLSIsRefused(t *testing.T) {
	a, err := OpenAuthority(t.TempDir(), []string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, http.HandlerFunc(okHandler), func(s *Server) { s.TLS = TLSConfig(a, nil) })
	for version, allowed := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		config := trusting(t, a)
		config.MinVersion, config.MaxVersion = version, version
		conn, err := tls.Dial("tcp", s.address, config)
		if (err == nil) != allowed {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			_ = conn.Close()
		}
	}
}

func TestAuthorityIsMadeOnceAndTrusted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	first, err := OpenAuthority(dir, []string{"stocktake.example", "192.0.2.1"})
	if err != nil {
		t.Fatal(err)
	}
	again, err := OpenAuthority(dir, []string{"stocktake.example", "192.0.2.1"})
	if err != nil {
		t.Fatal(err)
	}
	if print := first.Fingerprint(); print != again.Fingerprint() || len(print) != 95 || strings.Count(print, ":") != 31 {
		t.Errorf("fingerprint %s, then %s", print, again.Fingerprint())
	}
	for file, mode := range map[string]os.FileMode{keyName: 0o600, certificateName: 0o644} {
		info, err := os.Stat(filepath.Join(dir, file))
		if err != nil || info.Mode() != mode {
			t.Errorf("%s: mode %v, %v", file, info.Mode(), err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("%d files, %v", len(entries), err)
	}
	leaf, err := again.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	for host, valid := range map[string]bool{"stocktake.example": true, "192.0.2.1": true, "other.example": false} {
		_, err := leaf.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: trusting(t, first).RootCAs})
		if (err == nil) != valid {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestServerCertificateIsRenewedBeforeItExpires(t *testing.T) {
	clock := newClock()
	a, err := openAuthority(t.TempDir(), []string{"localhost"}, clock.now)
	if err != nil {
		t.Fatal(err)
	}
	serial := func() string {
		c, err := a.GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		if left := c.Leaf.NotAfter.Sub(clock.at); left < 30*24*time.Hour {
			t.Errorf("only %v left", left)
		}
		return c.Leaf.SerialNumber.String()
	}
	seen := map[string]bool{serial(): true}
	clock.at = clock.at.AddDate(0, 0, 59)
	if !seen[serial()] {
		t.Error("renewed too early")
	}
	for range 3 {
		clock.at = clock.at.AddDate(0, 0, 61)
		s := serial()
		if seen[s] {
			t.Error("not renewed")
		}
		seen[s] = true
	}
	clock.at = clock.at.AddDate(0, 0, -61)
	if seen[serial()] {
		t.Error("a certificate of the future is served")
	}
}

func TestAuthorityThatCannotBeUsedIsNamed(t *testing.T) {
	now := newClock()
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, dir string)
		text  string // empty: it opens
	}{
		{"key lost", func(t *testing.T, dir string) { remove(t, dir, keyName) }, "clients must trust anew"},
		{"key damaged", func(t *testing.T, dir string) { write(t, dir, keyName, "x") }, "holds no PEM key"},
		{"key of another kind", func(t *testing.T, dir string) { write(t, dir, keyName, "-----BEGIN X-----\nAA==\n-----END X-----\n") }, keyName},
		{"certificate lost", func(t *testing.T, dir string) { remove(t, dir, certificateName) }, ""},
		{"certificate damaged", func(t *testing.T, dir string) { write(t, dir, certificateName, "x") }, "holds no PEM certificate"},
		{"certificate of another kind", func(t *testing.T, dir string) {
			write(t, dir, certificateName, "-----BEGIN X-----\nAA==\n-----END X-----\n")
		}, certificateName},
		{"certificate of another key", func(t *testing.T, dir string) {
			other := t.TempDir()
			if _, err := OpenAuthority(other, nil); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(filepath.Join(other, certificateName))
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir, certificateName, string(text))
		}, "is not the certificate of ca-key.pem"},
		{"expired", func(*testing.T, string) { now.at = now.at.AddDate(authorityYears, 0, 1) }, "expired on"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if _, err := openAuthority(dir, nil, now.now); err != nil {
				t.Fatal(err)
			}
			key, err := os.ReadFile(filepath.Join(dir, keyName))
			if err != nil {
				t.Fatal(err)
			}
			c.spoil(t, dir)
			_, err = openAuthority(dir, nil, now.now)
			if c.text == "" && err != nil || c.text != "" && (err == nil || !strings.Contains(err.Error(), c.text)) {
				t.Errorf("got %v, want %q", err, c.text)
			}
			if after, err := os.ReadFile(filepath.Join(dir, keyName)); err == nil && c.text == "" && !bytes.Equal(key, after) {
				t.Error("the key was made anew")
			}
		})
	}
	if _, err := OpenAuthority(filepath.Join(os.DevNull, "x"), nil); err == nil {
		t.Error("opened below a file")
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
