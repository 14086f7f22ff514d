package main

import (
	"net"
	"net/url"
	"os"
	"path/filepath"

	"stocktake/internal/httpd"
)

// acmeFolder is where certificates by ACME are, in the folder of all that TLS needs.
const acmeFolder = "acme"

// tlsSettings say where the certificate of the API comes from, and whether clients need one.
type tlsSettings struct {
	TLSCert          string   `group:"tls" name:"tls-cert" placeholder:"FILE" help:"Serve TLS with this certificate (PEM), read again when it changes."`
	TLSKey           string   `group:"tls" name:"tls-key" placeholder:"FILE" help:"The certificate's key (PEM)."`
	TLSSelfSigned    bool     `group:"tls" name:"tls-self-signed" help:"Serve TLS with a certificate of an own CA, made in the data folder at the first start."`
	TLSACME          bool     `group:"tls" name:"tls-acme" help:"Serve TLS with a certificate that an authority gives by ACME, for --tls-names, and agree to its terms of service."`
	TLSACMEDirectory string   `group:"tls" name:"tls-acme-directory" default:"https://acme-v02.api.letsencrypt.org/directory" placeholder:"URL" help:"The authority's directory (${default})."`
	TLSACMEContact   string   `group:"tls" name:"tls-acme-contact" placeholder:"ADDRESS" help:"The e-mail address that the authority may write to."`
	TLSNames         []string `group:"tls" name:"tls-names" placeholder:"NAME,..." help:"Names that clients know this service by: all of them with --tls-acme; with --tls-self-signed, addresses too, beside this machine's name, loopback and the host of --listen."`
	TLSClientCA      string   `group:"tls" name:"tls-client-ca" placeholder:"FILE" help:"Let nobody connect without a certificate of these authorities (PEM), read again when they change. The aws CLI and the stock agent have none to show."`
	InsecureListen   bool     `group:"tls" help:"Allow --listen beyond this machine without TLS."`
}

// encrypted says whether the API is served over TLS.
func (t *tlsSettings) encrypted() bool { return t.TLSCert != "" || t.TLSSelfSigned || t.TLSACME }

// check holds the settings against each other. data is the data folder; empty: there is none.
func (t *tlsSettings) check(data string) error {
	sources := 0
	for _, chosen := range []bool{t.TLSCert != "", t.TLSSelfSigned, t.TLSACME} {
		if chosen {
			sources++
		}
	}
	switch {
	case (t.TLSCert == "") != (t.TLSKey == ""):
		return &usageError{"tls_cert and tls_key go together: only one is set", "give both files"}
	case sources > 1:
		return &usageError{"more than one of tls_cert, tls_self_signed and tls_acme is set", "choose one"}
	case t.TLSSelfSigned && data == "":
		return &usageError{"tls_self_signed needs data: the certificate authority is kept there", "add --data DIR, or give a certificate by --tls-cert and --tls-key"}
	case t.TLSACME && data == "":
		return &usageError{"tls_acme needs data: certificates and the account's key are kept there", "add --data DIR; several servers are better given one certificate, by --tls-cert and --tls-key"}
	case t.TLSACME && len(t.TLSNames) == 0:
		return &usageError{"tls_acme needs tls_names: a certificate is asked for these names and no other", "for example --tls-names stocktake.example.org"}
	case len(t.TLSNames) > 0 && !t.TLSSelfSigned && !t.TLSACME:
		return &usageError{"tls_names is set without tls_self_signed or tls_acme: a certificate given has its names in it", ""}
	case t.TLSClientCA != "" && !t.encrypted():
		return &usageError{"tls_client_ca is set without TLS", "add --tls-self-signed, --tls-cert and --tls-key, or --tls-acme"}
	}
	if u, err := url.Parse(t.TLSACMEDirectory); err != nil || u.Scheme != "https" || u.Host == "" {
		return &usageError{"tls_acme_directory: " + t.TLSACMEDirectory + " is no https URL", "it is what the authority calls its directory, for example https://ca.example.org/acme/acme/directory"}
	}
	return nil
}

// openTLS opens what handshakes need; nothing where the API is served in plain text.
func (s *server) openTLS() (err error) {
	switch {
	case s.config.TLSCert != "":
		s.tls, err = httpd.LoadCertificate(s.config.TLSCert, s.config.TLSKey, s.log)
	case s.config.TLSSelfSigned:
		err = s.openAuthority()
	case s.config.TLSACME:
		s.tls, err = httpd.OpenACME(httpd.ACMEConfig{
			Directory: s.config.TLSACMEDirectory, Names: s.config.TLSNames, Contact: s.config.TLSACMEContact,
			Folder: filepath.Join(s.config.Data, tlsFolder, acmeFolder), Log: s.log,
		})
	}
	if err != nil || s.config.TLSClientCA == "" {
		return err
	}
	s.clients, err = httpd.LoadClientAuthorities(s.config.TLSClientCA, s.log)
	return err
}

func (s *server) openAuthority() error {
	hosts := append([]string{"localhost", "127.0.0.1", "::1"}, s.config.TLSNames...)
	if host, _, err := net.SplitHostPort(s.config.Listen); err == nil && host != "" {
		hosts = append(hosts, host)
	}
	if name, err := os.Hostname(); err == nil {
		hosts = append(hosts, name)
	}
	authority, err := httpd.OpenAuthority(filepath.Join(s.config.Data, tlsFolder), hosts)
	if err != nil {
		return err
	}
	s.tls = authority
	s.say("certificate authority", authority.CertificateFile())
	s.say("fingerprint (SHA-256)", authority.Fingerprint())
	return nil
}
