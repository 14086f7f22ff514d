package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/aws/aws-sdk-go-v2/config"

	"stocktake/internal/sigv4"
)

// Options are what a command line says over the environment. Empty members say nothing.
type Options struct {
	Endpoint, Region, Profile string
	CAFile                    string // PEM certificates to trust in the place of the system's
	CertFile, KeyFile         string // certificate to show to a service that wants one, and its key (PEM)
}

// LoadConfig reads where the service is and who calls from the environment variables and the files that every AWS client
// reads: credentials of every kind (keys, profiles, roles, single sign-on, a command, the metadata of the machine), the
// region, AWS_CA_BUNDLE, and the endpoint, in this order: AWS_ENDPOINT_URL_SSM, AWS_ENDPOINT_URL, the services section of
// the profile, its endpoint_url; none of them when AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is set. What o says comes first.
//
// Credentials are fetched at the first request. Endpoint and Region may come back empty; [New] refuses that.
func LoadConfig(ctx context.Context, o Options) (Config, error) {
	var options []func(*config.LoadOptions) error
	if o.Profile != "" {
		options = append(options, config.WithSharedConfigProfile(o.Profile))
	}
	if o.Region != "" {
		options = append(options, config.WithRegion(o.Region))
	}
	loaded, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return Config{}, fmt.Errorf("AWS settings: %w", err)
	}
	c := Config{Endpoint: o.Endpoint, Region: loaded.Region}
	if loaded.Credentials != nil {
		c.Credentials = func(ctx context.Context) (sigv4.Credentials, error) {
			k, err := loaded.Credentials.Retrieve(ctx)
			return sigv4.Credentials{AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey, SessionToken: k.SessionToken}, err
		}
	}
	if c.Endpoint == "" {
		var global string
		if loaded.BaseEndpoint != nil {
			global = *loaded.BaseEndpoint
		}
		if c.Endpoint, err = endpointOf(ctx, loaded.ConfigSources, global); err != nil {
			return Config{}, err
		}
	}
	if c.Certificate, err = LoadCertificate(o.CertFile, o.KeyFile); err != nil {
		return Config{}, err
	}
	if o.CAFile != "" {
		c.Roots, err = LoadRoots(o.CAFile)
		return c, err
	}
	// This is how the SDK hands on the certificates of AWS_CA_BUNDLE.
	if h, ok := loaded.HTTPClient.(interface{ GetTransport() *http.Transport }); ok {
		if t := h.GetTransport().TLSClientConfig; t != nil {
			c.Roots = t.RootCAs
		}
	}
	return c, nil
}

// endpointOf finds the endpoint in the sources of the SDK, the environment before the profile. global is the one for all
// services, whichever of them it came from.
func endpointOf(ctx context.Context, sources []any, global string) (string, error) {
	ignored, _, err := config.GetIgnoreConfiguredEndpoints(ctx, sources)
	if err != nil {
		return "", fmt.Errorf("AWS settings: %w", err)
	}
	if ignored {
		return "", nil
	}
	for _, source := range sources {
		if s, ok := source.(interface {
			GetServiceBaseEndpoint(ctx context.Context, sdkID string) (string, bool, error)
		}); ok {
			endpoint, found, err := s.GetServiceBaseEndpoint(ctx, "SSM")
			if err != nil {
				return "", fmt.Errorf("AWS settings: %w", err)
			}
			if found {
				return endpoint, nil
			}
		}
		if environment, ok := source.(config.EnvConfig); ok && environment.BaseEndpoint != "" {
			return environment.BaseEndpoint, nil
		}
	}
	return global, nil
}

// LoadRoots reads the certificates to trust from a file in PEM form.
func LoadRoots(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("trusted certificates: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("trusted certificates: %s holds no certificate in PEM form", file)
	}
	return roots, nil
}

// LoadCertificate gives what shows a certificate of two files to services that want one: nil without files. They are read
// at each handshake, so that whoever renews them has nothing else to do, and once now, to tell of what is wrong with them.
func LoadCertificate(certFile, keyFile string) (func() (tls.Certificate, error), error) {
	switch {
	case certFile == "" && keyFile == "":
		return nil, nil
	case certFile == "" || keyFile == "":
		return nil, errors.New("client certificate: give both --client-cert and --client-key")
	}
	load := func() (tls.Certificate, error) {
		c, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return c, fmt.Errorf("client certificate %s with key %s: %w", certFile, keyFile, err)
		}
		return c, nil
	}
	_, err := load()
	return load, err
}
