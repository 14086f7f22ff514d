package pebble

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// guard stands between Pebble and the disk, because Pebble takes a failed write of its log or manifest for the end of
// the process: it panics or calls Fatalf with locks held, or tries again for ever. The guard lets no such failure through:
//
//   - No room (ENOSPC, EDQUOT): the write waits and tries again until there is room. Writing a table fails after a while
//     instead: Pebble drops the unfinished table, which gives its room back, and tries again itself.
//   - Any failed sync and any other failure to write: the guard fails. From then on nothing that changes the disk is let
//     through, ever: the goroutine that asks is parked, as it would be had the process died there. What was not yet
//     synced stays unacknowledged, no later sync can be taken for a good one, and no log is removed that may be needed
//     to recover. Reading goes on; a restart recovers.
type guard struct {
	vfs.FS
	log *slog.Logger

	mu     sync.Mutex
	err    error         // why the guard failed
	failed chan struct{} // closed when err is set
	full   int           // how many writes wait for room
	// stuck is closed while a write waits for room, and made anew when it no longer does.
	stuck chan struct{}
	park  chan struct{} // never closed
	syncs uint64
	// toldFull is when the log was last told that there is no room.
	toldFull time.Time
}

// roomRetry is how often a write that found no room tries again.
const roomRetry = 100 * time.Millisecond

// fullTell is how often the log is told that the disk is still full.
const fullTell = time.Minute

func newGuard(fs vfs.FS, log *slog.Logger) *guard {
	return &guard{FS: fs, log: log, failed: make(chan struct{}), stuck: make(chan struct{}), park: make(chan struct{})}
}

// Unwrap implements vfs.FS.
func (g *guard) Unwrap() vfs.FS { return g.FS }

// during runs what may never come back from a disk that fails, and gives the failure then. A full disk is one here.
func (g *guard) during(do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-g.waiting():
		g.fail(errFull)
	case <-g.failed:
	}
	return g.failure()
}

// fail makes the guard fail, if it has not failed already.
func (g *guard) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = err
		close(g.failed)
		g.log.Error("store: read-only after a failure to write, until the service is restarted", "error", err)
	}
}

// failure gives why the guard failed, nil while it has not.
func (g *guard) failure() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// pass parks the caller for ever when nothing may change on the disk any more.
func (g *guard) pass() {
	if g.failure() != nil {
		<-g.park
	}
}

// waiting gives a channel that is closed while a write waits for room.
func (g *guard) waiting() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.stuck
}

// syncCount gives how many files and directories were synced so far.
func (g *guard) syncCount() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.syncs
}

func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func isTable(name string) bool {
	return strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".blob")
}

// write does one thing that changes the disk, under the guard's rules. do is called again when there was no room.
func (g *guard) write(what, name string, do func() error) error {
	for {
		g.pass()
		err := do()
		if err == nil {
			return nil
		}
		if !noRoom(err) {
			g.fail(fmt.Errorf("%s %s: %w", what, name, err))
			continue
		}
		g.awaitRoom()
		if isTable(name) {
			return err
		}
	}
}

func (g *guard) awaitRoom() {
	g.mu.Lock()
	if g.full++; g.full == 1 {
		close(g.stuck)
	}
	if time.Since(g.toldFull) > fullTell {
		g.toldFull = time.Now()
		g.log.Error("store: no room on the disk: writes wait or are refused until there is")
	}
	g.mu.Unlock()
	time.Sleep(roomRetry)
	g.mu.Lock()
	if g.full--; g.full == 0 {
		g.stuck = make(chan struct{})
	}
	g.mu.Unlock()
}

// sync is write for syncs, none of which is tried twice: a kernel may report a lost page once and call the next sync good.
func (g *guard) sync(name string, do func() error) error {
	g.pass()
	err := do()
	g.mu.Lock()
	g.syncs++
	g.mu.Unlock()
	if err != nil {
		g.fail(fmt.Errorf("sync %s: %w", name, err))
		<-g.park
	}
	return err
}

// once is write for what must not be tried again: closing, and looking at a log that is to be reused.
func (g *guard) once(what, name string, do func() error) error {
	g.pass()
	err := do()
	if err != nil {
		g.fail(fmt.Errorf("%s %s: %w", what, name, err))
		<-g.park
	}
	return err
}

func (g *guard) create(what, name string, do func() (vfs.File, error)) (vfs.File, error) {
	var f vfs.File
	err := g.write(what, name, func() (err error) {
		f, err = do()
		return err
	})
	if err != nil {
		return nil, err
	}
	return &guardedFile{File: f, guard: g, name: name}, nil
}

// settle makes durable what a marker, the file whose name says which manifest counts, depends on before one comes or goes:
// the manifest before its marker, the new marker before the old one goes. Pebble syncs the directory only after both,
// which is enough only where a crash keeps what is done to a directory in its order.
func (g *guard) settle(name string) error {
	if !strings.HasPrefix(g.PathBase(name), "marker.") {
		return nil
	}
	return syncDir(g, g.PathDir(name))
}

// Create implements vfs.FS.
func (g *guard) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := g.settle(name); err != nil {
		return nil, err
	}
	return g.create("create", name, func() (vfs.File, error) { return g.FS.Create(name, category) })
}

// ReuseForWrite implements vfs.FS.
func (g *guard) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return g.create("reuse", to, func() (vfs.File, error) { return g.FS.ReuseForWrite(from, to, category) })
}

// OpenReadWrite implements vfs.FS.
func (g *guard) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return g.create("open", name, func() (vfs.File, error) { return g.FS.OpenReadWrite(name, category, opts...) })
}

// OpenDir implements vfs.FS.
func (g *guard) OpenDir(name string) (vfs.File, error) {
	f, err := g.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &guardedFile{File: f, guard: g, name: name}, nil
}

// Link implements vfs.FS.
func (g *guard) Link(from, to string) error {
	return g.write("link", to, func() error { return g.FS.Link(from, to) })
}

// Rename implements vfs.FS.
func (g *guard) Rename(from, to string) error {
	return g.write("rename", to, func() error { return g.FS.Rename(from, to) })
}

// MkdirAll implements vfs.FS.
func (g *guard) MkdirAll(dir string, mode os.FileMode) error {
	return g.write("make directory", dir, func() error { return g.FS.MkdirAll(dir, mode) })
}

// Remove implements vfs.FS. That a file could not be removed harms nothing.
func (g *guard) Remove(name string) error {
	g.pass()
	if err := g.settle(name); err != nil {
		return err
	}
	return g.FS.Remove(name)
}

// RemoveAll implements vfs.FS.
func (g *guard) RemoveAll(name string) error {
	g.pass()
	return g.FS.RemoveAll(name)
}

// guardedFile is a file or directory opened for writing or syncing.
type guardedFile struct {
	vfs.File
	guard *guard
	name  string
}

// Write implements vfs.File.
func (f *guardedFile) Write(p []byte) (int, error) {
	written := 0
	err := f.guard.write("write", f.name, func() error {
		n, err := f.File.Write(p[written:])
		written += n
		if err == nil && written < len(p) {
			err = io.ErrShortWrite
		}
		return err
	})
	return written, err
}

// WriteAt implements vfs.File.
func (f *guardedFile) WriteAt(p []byte, at int64) (written int, err error) {
	err = f.guard.write("write", f.name, func() error {
		written, err = f.File.WriteAt(p, at)
		return err
	})
	return written, err
}

// Sync implements vfs.File.
func (f *guardedFile) Sync() error { return f.guard.sync(f.name, f.File.Sync) }

// SyncData implements vfs.File.
func (f *guardedFile) SyncData() error { return f.guard.sync(f.name, f.File.SyncData) }

// Close implements vfs.File.
func (f *guardedFile) Close() error { return f.guard.once("close", f.name, f.File.Close) }

// Stat implements vfs.File.
func (f *guardedFile) Stat() (info vfs.FileInfo, err error) {
	err = f.guard.once("look at", f.name, func() error {
		info, err = f.File.Stat()
		return err
	})
	return info, err
}

// SyncTo implements vfs.File.
func (f *guardedFile) SyncTo(length int64) (full bool, err error) {
	err = f.guard.sync(f.name, func() error {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, err
}
