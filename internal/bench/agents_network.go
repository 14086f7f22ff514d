package bench

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// network is how the agents reach the server: each by connections of its own, and on this machine from an address of its
// own, as in a fleet. A process may have so many files open only; agents that wait for messages hold a connection each, and
// the others share what is left.
type network struct {
	local bool
	room  chan struct{} // a place for each open connection that is not a poll's
}

// mostConnections bounds the connections that are not polls', below what a machine usually lets a process open.
const mostConnections = 4000

func newNetwork(agents int, address string) *network {
	host, _, _ := net.SplitHostPort(address) // an address without a port is no local one
	ip := net.ParseIP(host)
	return &network{local: ip != nil && ip.To4() != nil && ip.IsLoopback(), room: make(chan struct{}, min(agents, mostConnections))}
}

// clients makes the two HTTP clients of an agent: for calls, and for polls. Connections for calls are given up sooner than
// agents do where there is no room for one each.
func (w *network) clients(n int) (calls, messages *http.Client) {
	idle := 90 * time.Second
	if cap(w.room) == mostConnections {
		idle = 2 * time.Second
	}
	dialer := w.dialer(n)
	plain := func(dial func(ctx context.Context, network, address string) (net.Conn, error), idle time.Duration) *http.Client {
		return &http.Client{Transport: &http.Transport{
			DialContext: dial, MaxIdleConns: 1, IdleConnTimeout: idle, DisableCompression: true, ReadBufferSize: 2 << 10, WriteBufferSize: 2 << 10,
		}}
	}
	return plain(w.dial(dialer), idle), plain(dialer.DialContext, 90*time.Second)
}

// dialer dials for an agent.
func (w *network) dialer(n int) *net.Dialer {
	d := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: -1}
	if w.local {
		// From 127.1.0.1 on: so many sources that neither ports nor what a source may ask for run out.
		d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, byte(1+n/(250*250)), byte(n/250%250), byte(1+n%250))}
	}
	return d
}

// dial waits for room before it dials.
func (w *network) dial(dialer *net.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		select {
		case w.room <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		c, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			<-w.room
			return nil, err
		}
		return &roomed{Conn: c, leave: sync.OnceFunc(func() { <-w.room })}, nil
	}
}

type roomed struct {
	net.Conn
	leave func()
}

func (c *roomed) Close() error {
	c.leave()
	return c.Conn.Close()
}
