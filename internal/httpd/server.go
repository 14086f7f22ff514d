package httpd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// Server serves one handler on one listener: HTTP/1.1 and HTTP/2, the latter over plain text too (by prior knowledge).
// Zero durations and sizes take the defaults named beside them. It runs once.
type Server struct {
	Name    string // in logs
	Handler http.Handler
	TLS     *tls.Config // nil: plain text
	Log     *slog.Logger

	ReadHeaderTimeout time.Duration // 5 s; also bounds the TLS handshake
	IdleTimeout       time.Duration // 2 min
	MaxHeaderBytes    int           // 64 KiB
	MaxConnections    int           // 16384; more are closed as they come

	// BeforeStop is called once when a stop begins, to make the process unready. nil: nothing to do.
	BeforeStop func()
	// LameDuck is how long the server still takes new requests after that, for load balancers to notice. 0: not at all.
	LameDuck time.Duration
	// BeforeDrain is called once when no new requests are taken any more, to end those that only wait. nil: nothing to do.
	BeforeDrain func()
	// DrainTimeout is how long requests in flight then get to finish. 25 s.
	DrainTimeout time.Duration

	open atomic.Int64
}

// Connections gives the number of open connections.
func (s *Server) Connections() int64 { return s.open.Load() }

// Run serves until ctx is done, then stops gracefully: BeforeStop, LameDuck, BeforeDrain, no new connections, requests in flight finish.
// It closes the listener. nil means that every request was finished; an error, that the listener failed or that requests
// were cut after DrainTimeout.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	server := s.httpServer()
	capped := &cappedListener{l, int64(orDefault(s.MaxConnections, 16384)), &s.open}
	served := make(chan error, 1)
	go func() {
		if s.TLS != nil {
			served <- server.ServeTLS(capped, "", "")
		} else {
			served <- server.Serve(capped)
		}
	}()
	select {
	case err := <-served:
		_ = server.Close()
		return fmt.Errorf("%s server: %w", s.Name, err)
	case <-ctx.Done():
	}
	err := s.stop(server)
	if failed := <-served; !errors.Is(failed, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("%s server: %w", s.Name, failed))
	}
	return err
}

func (s *Server) stop(server *http.Server) error {
	s.Log.Info("server stops", "server", s.Name)
	if s.BeforeStop != nil {
		s.BeforeStop()
	}
	time.Sleep(s.LameDuck)
	if s.BeforeDrain != nil {
		s.BeforeDrain()
	}
	limit := orDefault(s.DrainTimeout, 25*time.Second)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		// What is left is cut; Shutdown's error says more than Close's.
		_ = server.Close()
		return fmt.Errorf("%s server: requests were still running after %v and were cut: %w", s.Name, limit, err)
	}
	return nil
}

func (s *Server) httpServer() *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(s.TLS == nil)
	return &http.Server{
		Handler:           s.Handler,
		TLSConfig:         s.TLS,
		Protocols:         &protocols,
		ReadHeaderTimeout: orDefault(s.ReadHeaderTimeout, 5*time.Second),
		IdleTimeout:       orDefault(s.IdleTimeout, 2*time.Minute),
		MaxHeaderBytes:    orDefault(s.MaxHeaderBytes, 64<<10),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 100,
			SendPingTimeout:      30 * time.Second,
			PingTimeout:          15 * time.Second,
			WriteByteTimeout:     30 * time.Second,
		},
		// Of interest only when looking for a fault: anyone can fill it with broken handshakes.
		ErrorLog: slog.NewLogLogger(s.Log.With("server", s.Name).Handler(), slog.LevelDebug),
	}
}

func orDefault[T int | time.Duration](value, otherwise T) T {
	if value == 0 {
		return otherwise
	}
	return value
}
