package httpd

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
)

// CheckAddress refuses a TCP address beyond loopback when neither TLS nor a setting that allows plain text is given: what
// nodes report, and requests that can be replayed, would cross the network readable.
func CheckAddress(address string, hasTLS, insecure bool) error {
	resolved, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return fmt.Errorf("listen address %q: %w; give host:port, such as 127.0.0.1:7540", address, err)
	}
	if hasTLS || insecure || resolved.IP.IsLoopback() {
		return nil
	}
	return fmt.Errorf("refusing to listen on %s without TLS, for it can be reached from other machines: give --tls-cert and --tls-key, "+
		"or --tls-self-signed, or --insecure-listen to send everything in plain text", address)
}

// Listen is CheckAddress, and then a TCP listener on the address.
func Listen(ctx context.Context, address string, hasTLS, insecure bool) (net.Listener, error) {
	if err := CheckAddress(address, hasTLS, insecure); err != nil {
		return nil, err
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return l, nil
}

// cappedListener closes connections beyond a number at once. Letting them wait would let idle ones shut everybody out.
type cappedListener struct {
	net.Listener
	most int64
	open *atomic.Int64
}

func (l *cappedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.most {
			return &cappedConn{Conn: c, open: l.open}, nil
		}
		l.open.Add(-1)
		// The peer learns as much from the close as from any error of it.
		_ = c.Close()
	}
}

type cappedConn struct {
	net.Conn
	open   *atomic.Int64
	closed sync.Once
}

func (c *cappedConn) Close() error {
	c.closed.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

// CloseWrite lets net/http end a connection without losing the last answer, as it does on a bare TCP connection.
func (c *cappedConn) CloseWrite() error {
	if tcp, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return tcp.CloseWrite()
	}
	return nil
}
