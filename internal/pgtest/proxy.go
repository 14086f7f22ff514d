package pgtest

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
)

// Proxy is a network before a cluster that fails on demand. Its methods are for one goroutine at a time, but for URL.
type Proxy struct {
	url   string
	proxy *toxiproxy.Proxy
}

// StartProxy listens on loopback for the server at a URL of one host. The caller ends it with Close.
func StartProxy(address string) (*Proxy, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	upstream := u.Host
	if u.Port() == "" {
		upstream = net.JoinHostPort(u.Hostname(), "5432")
	}
	if strings.Contains(upstream, ",") {
		return nil, fmt.Errorf("pgtest: a proxy is for one host, not for %s", upstream)
	}
	server := quiet(toxiproxy.NewServer, toxiproxy.NewMetricsContainer(nil))
	p := &Proxy{proxy: toxiproxy.NewProxy(server, "database", "127.0.0.1:0", upstream)}
	if err := p.proxy.Start(); err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	u.Host = p.proxy.Listen
	p.url = u.String()
	return p, nil
}

// quiet gives the server the zero value of its logger, which writes nothing, without naming the logger's module.
func quiet[M, L, S any](server func(M, L) S, metrics M) S {
	var logger L
	return server(metrics, logger)
}

// URL is that of the server, by way of the proxy.
func (p *Proxy) URL() string { return p.url }

// Cut ends every connection and refuses new ones.
func (p *Proxy) Cut() { p.proxy.Stop() }

// Restore takes connections again, at the same address, and lifts every delay and every limit.
func (p *Proxy) Restore() error {
	p.proxy.Toxics.ResetToxics(context.Background())
	if p.proxy.Enabled {
		return nil
	}
	if err := p.proxy.Start(); err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	return nil
}

// Hang keeps connections open and lets nothing through, either way: a network that drops packets.
func (p *Proxy) Hang() error {
	return p.both("hang", "timeout", `{"timeout": 0}`)
}

// Delay holds back whatever the server says by so much, rounded to milliseconds.
func (p *Proxy) Delay(by time.Duration) error {
	return p.toxic("delay", "latency", "downstream", fmt.Sprintf(`{"latency": %d}`, by.Milliseconds()))
}

// CutAfter ends each connection, those of now and later ones, once so many more bytes of it went to the server: with few,
// in the middle of a statement.
func (p *Proxy) CutAfter(bytes int64) error {
	return p.toxic("bytes", "limit_data", "upstream", fmt.Sprintf(`{"bytes": %d}`, bytes))
}

// CutAnswers is CutAfter for what the server says: a statement was run, and its client is not told.
func (p *Proxy) CutAnswers(bytes int64) error {
	return p.toxic("answers", "limit_data", "downstream", fmt.Sprintf(`{"bytes": %d}`, bytes))
}

func (p *Proxy) both(name, kind, attributes string) error {
	if err := p.toxic(name+"-up", kind, "upstream", attributes); err != nil {
		return err
	}
	return p.toxic(name+"-down", kind, "downstream", attributes)
}

func (p *Proxy) toxic(name, kind, stream, attributes string) error {
	text := fmt.Sprintf(`{"name": %q, "type": %q, "stream": %q, "attributes": %s}`, name, kind, stream, attributes)
	if _, err := p.proxy.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
		return fmt.Errorf("pgtest: %s: %w", kind, err)
	}
	return nil
}

// Close ends the proxy and its connections.
func (p *Proxy) Close() { p.Cut() }
