package httpd

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"stocktake/internal/durable"
)

// ACME is a certificate that an authority speaking ACME gives out and renews (RFC 8555): a public one, or one of the own
// network. The authority proves the names by the listener itself (TLS-ALPN-01, RFC 8737), so it must reach this server at
// port 443 of each name, whatever forwards that to the listener. Asked for at the first handshake that wants it and renewed
// a month before its end; certificates and the account's key are kept in a folder.
type ACME struct {
	manager autocert.Manager
	names   []string
	log     *slog.Logger

	mu    sync.Mutex
	noted time.Time // when a failure was last logged
}

// An ACMEConfig says which authority is asked, and for what. Names and Folder are required.
type ACMEConfig struct {
	Directory string   // URL of the authority's directory; empty: Let's Encrypt's
	Names     []string // no certificate is asked for any other: who connects chooses the name
	Contact   string   // e-mail address that the authority may write to; may be empty
	Folder    string   // made with mode 0700
	Log       *slog.Logger
}

// OpenACME gives certificates from an authority, whose terms of service the caller agrees to. Nothing is asked of it yet.
func OpenACME(c ACMEConfig) (*ACME, error) {
	// The cache would make it at the first certificate: too late to tell an operator that it cannot.
	if err := durable.MakeFolder(c.Folder); err != nil {
		return nil, fmt.Errorf("folder of ACME certificates: %w", err)
	}
	return &ACME{names: c.Names, log: c.Log, manager: autocert.Manager{
		Prompt: autocert.AcceptTOS, Cache: keeper{autocert.DirCache(c.Folder)}, HostPolicy: autocert.HostWhitelist(c.Names...),
		Email: c.Contact, Client: &acme.Client{DirectoryURL: c.Directory, UserAgent: "stocktake"},
	}}, nil
}

// GetCertificate is for tls.Config. It waits for the authority where there is no certificate yet, and fails for a name that
// is none of the server's.
func (a *ACME) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	certificate, err := a.manager.GetCertificate(hello)
	if err != nil && slices.Contains(a.names, hello.ServerName) {
		a.note(hello.ServerName, err)
	}
	return certificate, err
}

// keeper keeps certificates and the account's key. The library's own way is to rename what it did not sync, and it asks
// for nothing any more where the account's key is cut off.
type keeper struct{ autocert.DirCache }

// Put implements autocert.Cache.
func (k keeper) Put(_ context.Context, name string, content []byte) error {
	return durable.ReplaceBytes(filepath.Join(string(k.DirCache), filepath.Clean("/"+name)), 0o600, content)
}

// note logs what keeps a name from having a certificate, once in a while: every client that connects runs into it.
func (a *ACME) note(name string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := time.Now(); now.Sub(a.noted) > time.Minute {
		a.noted = now
		a.log.Error("no TLS certificate by ACME; the authority must reach this server at port 443 of the name", "name", name, "error", err)
	}
}
