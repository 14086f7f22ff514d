//go:build acme

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// pebbleProgram is Let's Encrypt's small ACME authority for tests: `make acme-check` installs it. The tests of this file are
// built with the tag acme alone.
var pebbleProgram = flag.String("acme", "../bin/pebble", "the program of the ACME authority")

const acmeName = "stocktake.example.org"

// acmeAuthority is a running authority that finds every name on this machine.
type acmeAuthority struct {
	directory string
	trust     string         // file of what the authority's own listener shows
	roots     *x509.CertPool // of the certificates it gives out
}

func startACMEAuthority(t *testing.T, proofPort int) *acmeAuthority {
	t.Helper()
	dir := t.TempDir()
	certificate, key := ownCertificate(t, dir)
	listen, manage := freePort(t), freePort(t)
	config := map[string]any{"pebble": map[string]any{
		"listenAddress": loopbackAt(listen), "managementListenAddress": loopbackAt(manage),
		"certificate": certificate, "privateKey": key, "httpPort": freePort(t), "tlsPort": proofPort,
	}}
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "pebble.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), *pebbleProgram, "-config", file, "-dnsserver", answerNames(t), "-strict")
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=5")
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: make acme-check installs it", err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	a := &acmeAuthority{directory: "https://" + loopbackAt(listen) + "/dir", trust: certificate, roots: x509.NewCertPool()}
	a.roots.AppendCertsFromPEM(fetchRoot(t, certificate, "https://"+loopbackAt(manage)+"/roots/0"))
	return a
}

func loopbackAt(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// ownCertificate writes the certificate of the authority's own listener and its key.
func ownCertificate(t *testing.T, dir string) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key = filepath.Join(dir, "authority.pem"), filepath.Join(dir, "authority-key.pem")
	for file, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: text}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}

// fetchRoot waits for the authority and gives the certificate it signs with.
func fetchRoot(t *testing.T, trust, url string) []byte {
	t.Helper()
	text, err := os.ReadFile(trust)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		answer, err := client.Get(url)
		if err != nil {
			continue
		}
		root, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err == nil && answer.StatusCode == http.StatusOK {
			return root
		}
	}
	t.Fatal("the authority does not answer")
	return nil
}

// answerNames serves DNS over TCP, which is what the authority asks by: every name has the address 127.0.0.1, and nothing
// else. A connection brings one question.
func answerNames(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			message := make([]byte, 512)
			if n, err := conn.Read(message); err == nil && n > 2 {
				answer := addressOf(message[2:n]) // the length comes first
				_, _ = conn.Write(append([]byte{0, byte(len(answer))}, answer...))
			}
			_ = conn.Close()
		}
	}()
	return l.Addr().String()
}

// addressOf answers a DNS question (RFC 1035): the header and the question as they came, and for an address, one.
func addressOf(question []byte) []byte {
	const header = 12
	end := header
	for end < len(question) && question[end] != 0 {
		end += int(question[end]) + 1
	}
	end += 5 // the root, the type and the class
	if end > len(question) {
		return nil
	}
	answer := append([]byte{question[0], question[1], 0x84, 0, 0, 1, 0, 0, 0, 0, 0, 0}, question[header:end]...)
	if question[end-4] == 0 && question[end-3] == 1 { // the type A
		answer[7] = 1
		answer = append(answer, 0xc0, header, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1)
	}
	return answer
}

func TestACMECertificateIsAskedForAndKept(t *testing.T) {
	port := freePort(t)
	authority := startACMEAuthority(t, port)
	data := t.TempDir()
	serve := func() *service {
		return start(t, data, "--listen", loopbackAt(port), "--tls-acme", "--tls-acme-directory", authority.directory, "--tls-names", acmeName)
	}
	t.Setenv("SSL_CERT_FILE", authority.trust)
	s := serve()
	serial := func() string {
		conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 30 * time.Second}, "tcp", loopbackAt(port), &tls.Config{ServerName: acmeName, RootCAs: authority.roots})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	first := serial()
	if _, err := tls.Dial("tcp", loopbackAt(port), &tls.Config{ServerName: "other.example.org", RootCAs: authority.roots}); err == nil {
		t.Error("a certificate was asked for a name that is none of the service's")
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	serve()
	if again := serial(); again != first {
		t.Error("the certificate was not kept over a restart")
	}
}
