package httpd

import (
	"bufio"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkShed is what it costs to send a report of 40 KiB away while far too much is asked, over a real connection; the
// client's share is in it.
func BenchmarkShed(b *testing.B) {
	limits := DefaultLimits(64 << 20)
	limits.Sources = NewSources(1, time.Nanosecond)
	q := Requests{Log: slog.New(slog.DiscardHandler), Metrics: NewMetrics()}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &http.Server{Handler: Chain(http.NotFoundHandler(), q.Middleware, limits.Middleware), ReadHeaderTimeout: testTimeout}
	go func() { _ = s.Serve(l) }()
	b.Cleanup(func() { _ = s.Close() })
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	const size = 40 << 10
	request := []byte("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + strconv.Itoa(size) + "\r\n\r\n" + strings.Repeat("x", size))
	in := bufio.NewReader(c)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		answer, err := http.ReadResponse(in, nil)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := in.Discard(int(answer.ContentLength)); err != nil {
			b.Fatal(err)
		}
	}
}
