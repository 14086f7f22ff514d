package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
)

// sender gives what each worker begins with to send calls: its own function of a call's number, and one that ends it.
// Where the server has an address, all calls are signed and written down before this returns, so that while the clock
// runs a client does no more than write and read.
func (r *run) sender(ctx context.Context, calls []call) (worker func() (send func(i int) ([]byte, error), hangUp func()), err error) {
	if r.server.Address == "" {
		return func() (func(int) ([]byte, error), func()) {
			return func(i int) ([]byte, error) { return r.server.Client.Do(ctx, calls[i].action, calls[i].body) }, func() {}
		}, nil
	}
	requests := make([][]byte, len(calls))
	faults := make([]error, len(calls))
	r.parallel(len(calls), func(i int) { requests[i], faults[i] = r.written(ctx, calls[i]) })
	for _, err := range faults {
		if err != nil {
			return nil, err
		}
	}
	return func() (func(int) ([]byte, error), func()) {
		c := &connection{address: r.server.Address}
		return func(i int) ([]byte, error) { return c.send(ctx, requests[i]) }, c.hangUp
	}, nil
}

// written is a signed request as it goes over the connection.
func (r *run) written(ctx context.Context, c call) ([]byte, error) {
	request, err := r.server.Client.Request(ctx, c.action, c.body)
	if err != nil {
		return nil, err
	}
	out := bytes.NewBuffer(make([]byte, 0, len(c.body)+1024))
	err = request.Write(out)
	return out.Bytes(), err
}

// connection is one of HTTP/1.1, used by one goroutine.
type connection struct {
	address string
	conn    net.Conn
	answers *bufio.Reader
	stop    func() bool // waiting for the end of the context
}

func (c *connection) dial(ctx context.Context) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.address)
	if err != nil {
		return err
	}
	c.conn, c.answers = conn, bufio.NewReader(conn)
	c.stop = context.AfterFunc(ctx, func() { _ = conn.Close() }) // which ends a send under way
	return nil
}

func (c *connection) hangUp() {
	if c.conn != nil {
		c.stop()
		_ = c.conn.Close() // nothing is left to be lost
	}
}

// send writes a request and gives the body of its answer. After an error the connection is good for nothing.
func (c *connection) send(ctx context.Context, request []byte) ([]byte, error) {
	if c.conn == nil {
		if err := c.dial(ctx); err != nil {
			return nil, err
		}
	}
	if _, err := c.conn.Write(request); err != nil {
		return nil, err
	}
	answer, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("answered %s: %s", answer.Status, text)
	}
	return text, err
}
