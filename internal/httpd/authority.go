package httpd

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"stocktake/internal/durable"
)

const (
	authorityYears = 20
	leafDays       = 90
	// backdate allows for peers whose clocks are slow.
	backdate = time.Hour

	keyName         = "ca-key.pem"
	certificateName = "ca.pem"
)

// Authority is a certificate authority of this server's own. Its certificate (ca.pem in its directory) is what clients
// trust; it signs one server certificate after another, each renewed in memory long before it expires.
type Authority struct {
	file        string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	hosts       []string
	now         func() time.Time

	mu   sync.Mutex
	leaf *tls.Certificate
}

// OpenAuthority opens the authority in a directory, and makes both at first use. The key file has mode 0600. hosts are the
// names and IP addresses that clients reach the server by. It fails when the key is there but cannot be used, when the
// certificate is not the key's, and when it has expired: a new authority must be trusted by every client anew, so that is
// left to the operator.
func OpenAuthority(dir string, hosts []string) (*Authority, error) {
	return openAuthority(dir, hosts, time.Now)
}

func openAuthority(dir string, hosts []string, now func() time.Time) (*Authority, error) {
	if err := durable.MakeFolder(dir); err != nil {
		return nil, fmt.Errorf("directory of the certificate authority: %w", err)
	}
	a := &Authority{file: filepath.Join(dir, certificateName), hosts: hosts, now: now}
	// The key comes first: from it, a certificate lost to an interruption can be made again.
	if err := a.openKey(filepath.Join(dir, keyName)); err != nil {
		return nil, err
	}
	if err := a.openCertificate(); err != nil {
		return nil, err
	}
	if _, err := a.GetCertificate(nil); err != nil {
		return nil, err
	}
	return a, nil
}

// CertificateFile is the PEM file that clients must trust.
func (a *Authority) CertificateFile() string { return a.file }

// Fingerprint is the SHA-256 of the authority's certificate, as openssl prints it.
func (a *Authority) Fingerprint() string {
	sum := sha256.Sum256(a.certificate.Raw)
	pairs := make([]string, len(sum))
	for i, b := range sum {
		pairs[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(pairs, ":")
}

// GetCertificate is for tls.Config.
func (a *Authority) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if a.leaf != nil && now.After(a.leaf.Leaf.NotBefore) && a.leaf.Leaf.NotAfter.Sub(now) > leafDays*24*time.Hour/3 {
		return a.leaf, nil
	}
	leaf, err := a.issue(now)
	if err != nil {
		return nil, err
	}
	a.leaf = leaf
	return leaf, nil
}

func (a *Authority) openKey(file string) error {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(a.file); err == nil {
			return fmt.Errorf("%s is missing beside %s: restore it, or remove the latter to make a new authority, which clients must trust anew",
				file, a.file)
		}
		return a.makeKey(file)
	}
	if err != nil {
		return fmt.Errorf("key of the certificate authority: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return fmt.Errorf("%s holds no PEM key: restore it, or remove it and %s to make a new authority, which clients must trust anew",
			file, a.file)
	}
	if a.key, err = x509.ParseECPrivateKey(block.Bytes); err != nil {
		return fmt.Errorf("key of the certificate authority %s: %w", file, err)
	}
	return nil
}

func (a *Authority) makeKey(file string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make the key of the certificate authority: %w", err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("make the key of the certificate authority: %w", err)
	}
	a.key = key
	return durable.ReplaceBytes(file, 0o600, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
}

func (a *Authority) openCertificate() error {
	text, err := os.ReadFile(a.file)
	if errors.Is(err, fs.ErrNotExist) {
		return a.makeCertificate()
	}
	if err != nil {
		return fmt.Errorf("certificate of the authority: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return fmt.Errorf("%s holds no PEM certificate: remove it to have it made again, and have clients trust the new one", a.file)
	}
	if a.certificate, err = x509.ParseCertificate(block.Bytes); err != nil {
		return fmt.Errorf("certificate of the authority %s: %w", a.file, err)
	}
	if !a.key.PublicKey.Equal(a.certificate.PublicKey) {
		return fmt.Errorf("%s is not the certificate of %s beside it: remove it to have it made again, and have clients trust the new one",
			a.file, keyName)
	}
	if !a.now().Before(a.certificate.NotAfter) {
		return fmt.Errorf("%s expired on %s: remove it to have it made again, and have clients trust the new one",
			a.file, a.certificate.NotAfter.Format(time.DateOnly))
	}
	return nil
}

func (a *Authority) makeCertificate() error {
	now := a.now()
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "Stocktake CA"},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.AddDate(authorityYears, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := a.sign(template, template, a.key)
	if err != nil {
		return err
	}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		return fmt.Errorf("certificate of the authority: %w", err)
	}
	return durable.ReplaceBytes(a.file, 0o644, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// issue makes a server certificate with a key of its own.
func (a *Authority) issue(now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the key of the server: %w", err)
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "Stocktake"},
		NotBefore:   now.Add(-backdate),
		NotAfter:    now.AddDate(0, 0, leafDays),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range a.hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := a.sign(template, a.certificate, key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("certificate of the server: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der, a.certificate.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

func (a *Authority) sign(template, parent *x509.Certificate, key *ecdsa.PrivateKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("sign a certificate: %w", err)
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate: %w", err)
	}
	return der, nil
}
