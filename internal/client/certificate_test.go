package client

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// writeOwnCertificate writes a certificate of a serial number, and its key.
func writeOwnCertificate(t *testing.T, certFile, keyFile string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCertificateIsShownToWhoAsksAndReadAnew(t *testing.T) {
	var shown []int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		shown = append(shown, r.TLS.PeerCertificates[0].SerialNumber.Int64())
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	defer server.Close()
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "own.pem"), filepath.Join(dir, "own-key.pem")
	if _, err := LoadCertificate(certFile, keyFile); err == nil {
		t.Error("files that are not there are taken")
	}
	if _, err := LoadCertificate(certFile, ""); err == nil {
		t.Error("a certificate without a key is taken")
	}
	writeOwnCertificate(t, certFile, keyFile, 1)
	certificate, err := LoadCertificate(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	c := newHTTPClient(Config{Roots: roots, Certificate: certificate, Timeout: time.Minute})
	for serial := int64(1); serial <= 2; serial++ {
		writeOwnCertificate(t, certFile, keyFile, serial)
		c.CloseIdleConnections()
		answer, err := c.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
	}
	if len(shown) != 2 || shown[0] != 1 || shown[1] != 2 {
		t.Errorf("certificates shown: %v", shown)
	}
	if _, err := newHTTPClient(Config{Roots: roots, Timeout: time.Minute}).Get(server.URL); err == nil {
		t.Error("the server asks nobody: the test shows nothing")
	}
}
