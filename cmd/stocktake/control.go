package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"stocktake/internal/httpd"
	"stocktake/internal/transfer"
)

// The commands of a machine's administrator speak to the process that has a data folder through a socket in it. Who may
// open the folder may read the store anyway, so the folder's permissions are all the access control there is to get right:
// no port, no key, no password.
const (
	controlFolder = "control"
	controlSocket = "socket"
	// errorTrailer ends an answer that could not be ended.
	errorTrailer = "Stocktake-Error"
	// stallLimit is how long a client may take nothing of an answer.
	stallLimit = time.Minute
)

// longestSocket is what a socket's path may have on every system, its end included.
const longestSocket = 100

// controlAddress gives the address of a data folder's socket. One that is too long goes by a descriptor of its folder,
// which done closes.
func controlAddress(data string) (address string, done func() error, err error) {
	folder := filepath.Join(data, controlFolder)
	if address := filepath.Join(folder, controlSocket); len(address) < longestSocket || runtime.GOOS != "linux" {
		return address, func() error { return nil }, nil
	}
	d, err := os.Open(folder)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), controlSocket), d.Close, nil
}

// openControl answers the commands of this machine. A file system that has no sockets costs the online backup, no more.
func (s *server) openControl(ctx context.Context) error {
	folder := filepath.Join(s.config.Data, controlFolder)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	address, done, err := controlAddress(s.config.Data)
	if err != nil {
		return err
	}
	// What is there is of a process that died: the store is ours.
	if err := os.Remove(filepath.Join(folder, controlSocket)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return errors.Join(err, done())
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "unix", address)
	if err != nil {
		s.log.Warn("there is no socket for commands: a backup of this store wants the service stopped", "folder", folder, "error", err)
		return done()
	}
	running, stop := context.WithCancel(context.Background())
	server := httpd.Server{Name: "control", Handler: s.controlHandler(running), Log: s.log, MaxConnections: 16, DrainTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Run(running, l) }()
	s.onClose(func() error {
		stop()
		return errors.Join(<-ended, done())
	})
	return nil
}

// controlHandler answers until running is done: one command at a time, but for those about
// the audit, as each reads the whole store.
func (s *server) controlHandler(running context.Context) http.Handler {
	mux := http.NewServeMux()
	one := make(chan struct{}, 1)
	s.handleAudit(running, mux)
	answers := map[string]func(ctx context.Context, w *unstalled) error{
		"backup": func(ctx context.Context, w *unstalled) error {
			return writeBackup(ctx, s.store, w, transfer.Options{Workers: 1})
		},
		"verify": func(ctx context.Context, w *unstalled) error { return verifyHere(ctx, s.store, w) },
	}
	for name, answer := range answers {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) {
			select {
			case one <- struct{}{}:
				defer func() { <-one }()
			default:
				http.Error(w, "another backup is being made, or the store looked over\nhint: run this again when that has ended", http.StatusConflict)
				return
			}
			s.control(running, w, r, name, answer)
		})
	}
	return mux
}

// control gives one answer, with an error in its trailer.
func (s *server) control(running context.Context, w http.ResponseWriter, r *http.Request, name string, answer func(ctx context.Context, w *unstalled) error) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	started := time.Now()
	w.Header().Set("Trailer", errorTrailer)
	out := &unstalled{control: http.NewResponseController(w), w: w}
	defer context.AfterFunc(running, func() {
		cancel()
		out.stop()
	})()
	if err := answer(ctx, out); err != nil {
		if running.Err() != nil {
			err = errors.New("the service stops")
		}
		s.log.Error("command not carried out", "command", name, "error", err)
		w.Header().Set(errorTrailer, err.Error())
		return
	}
	s.log.Info("command carried out", "command", name, "bytes", out.bytes, "duration", time.Since(started))
}

// unstalled writes an answer for as long as the client takes it, and until it is stopped.
type unstalled struct {
	control *http.ResponseController
	w       io.Writer
	bytes   int64

	mu      sync.Mutex
	stopped bool
}

func (u *unstalled) Write(b []byte) (int, error) {
	if err := u.bound(); err != nil {
		return 0, err
	}
	n, err := u.w.Write(b)
	u.bytes += int64(n)
	return n, err
}

func (u *unstalled) bound() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.stopped {
		return context.Canceled
	}
	return u.control.SetWriteDeadline(time.Now().Add(stallLimit))
}

// stop ends a write that waits for the client.
func (u *unstalled) stop() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.stopped = true
	_ = u.control.SetWriteDeadline(time.Now()) // the write that follows says what fails
}

// askControl asks the process that has a data folder for something, and gives its answer.
func askControl(ctx context.Context, data, path string) (io.ReadCloser, error) {
	address, done, err := controlAddress(data)
	if err != nil {
		return nil, noControl(data, err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", address)
	}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://stocktake"+path, nil)
	if err != nil {
		return nil, errors.Join(err, done())
	}
	response, err := transport.RoundTrip(r) //nolint:bodyclose // answer closes it
	if err != nil {
		return nil, errors.Join(noControl(data, err), done())
	}
	a := &answer{ReadCloser: response.Body, response: response, done: func() error {
		transport.CloseIdleConnections()
		return done()
	}}
	if response.StatusCode == http.StatusOK {
		return a, nil
	}
	text, err := io.ReadAll(io.LimitReader(a, 4096))
	return nil, errors.Join(fmt.Errorf("the service says: %s", bytes.TrimSpace(text)), err, a.Close())
}

// isServed reports whether a process that has a data folder answers.
func isServed(ctx context.Context, data string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	answer, err := askControl(ctx, data, "/")
	if answer != nil {
		_ = answer.Close() // nothing was asked
	}
	return err == nil || !errors.Is(err, errNoControl)
}

// errNoControl: nobody answers at a data folder's socket.
var errNoControl = errors.New("the process that has it cannot be asked")

func noControl(data string, err error) error {
	return fmt.Errorf("the store in %s is in use, and %w: %w\n"+
		"hint: run this as the user of the service or as root; or stop the service; a copy, verify or older release that has the store answers nothing", data, errNoControl, err)
}

// answer is the body of an answer, which is over only when the service said no error at its end.
type answer struct {
	io.ReadCloser
	response *http.Response
	done     func() error
}

func (a *answer) Read(b []byte) (int, error) {
	n, err := a.ReadCloser.Read(b)
	if errors.Is(err, io.EOF) {
		if said := a.response.Trailer.Get(errorTrailer); said != "" {
			return n, fmt.Errorf("the service says: %s", said)
		}
	}
	return n, err
}

func (a *answer) Close() error { return errors.Join(a.ReadCloser.Close(), a.done()) }
