package httpd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
)

// ErrPlain says of an address that it can be reached from other machines, and that neither TLS nor a setting that allows plain
// text is given.
var ErrPlain = errors.New("can be reached from other machines, and there is no TLS")

// CheckAddress refuses what is no TCP address, and with ErrPlain one beyond loopback when neither TLS nor a setting that allows
// plain text is given: what nodes report, and requests that can be replayed, would cross the network readable.
func CheckAddress(address string, hasTLS, insecure bool) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("%q is no address: it is HOST:PORT, for example 127.0.0.1:7540", address)
	}
	if hasTLS || insecure || IsLoopback(address) {
		return nil
	}
	return fmt.Errorf("%s %w", address, ErrPlain)
}

// IsLoopback reports whether an address can be reached from this machine alone. A name is not looked up: only localhost
// counts.
func IsLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Listen is CheckAddress, and then a TCP listener on the address. A localhost that is elsewhere is refused with ErrPlain, too.
func Listen(ctx context.Context, address string, hasTLS, insecure bool) (net.Listener, error) {
	if err := CheckAddress(address, hasTLS, insecure); err != nil {
		return nil, err
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	if at := l.Addr().String(); !hasTLS && !insecure && !IsLoopback(at) {
		_ = l.Close() // nobody was told of it
		return nil, fmt.Errorf("%s is %s here, which %w", address, at, ErrPlain)
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
