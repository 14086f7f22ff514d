package main

import (
	"context"

	"stocktake/internal/client"
)

// connection says which service a command talks to, as the AWS clients do: what is not given comes from the AWS
// environment variables and profiles.
type connection struct {
	EndpointURL string `name:"endpoint-url" placeholder:"URL" help:"The service to talk to, for example http://127.0.0.1:7540. Else AWS_ENDPOINT_URL."`
	Region      string `placeholder:"NAME" help:"The region to sign for. Else AWS_REGION."`
	Profile     string `placeholder:"NAME" help:"The profile to take credentials from. Else AWS_PROFILE."`
	CABundle    string `name:"ca-bundle" placeholder:"FILE" help:"Trust the certificates in this file (PEM). Else AWS_CA_BUNDLE."`
	ClientCert  string `placeholder:"FILE" help:"Show this certificate (PEM), to a service that wants one of clients."`
	ClientKey   string `placeholder:"FILE" help:"The key of --client-cert (PEM)."`
}

// config resolves the connection. Endpoint may be empty.
func (c *connection) config(ctx context.Context) (client.Config, error) {
	return client.LoadConfig(ctx, client.Options{
		Endpoint: c.EndpointURL, Region: c.Region, Profile: c.Profile, CAFile: c.CABundle, CertFile: c.ClientCert, KeyFile: c.ClientKey,
	})
}

func (c *connection) open(ctx context.Context) (*client.Client, error) {
	config, err := c.config(ctx)
	if err != nil {
		return nil, err
	}
	return client.New(config)
}
