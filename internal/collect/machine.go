package collect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	commandTimeout = 60 * time.Second
	commandGrace   = 2 * time.Second
	// maxCommandOutput bounds what is kept of a command's output: some forty times the listing of a large machine.
	maxCommandOutput = 64 << 20
	maxSmallFile     = 1 << 20
)

// Machine is what is read, through the few doors it is read by. Tests give recorded ones; Local gives the real ones.
// Its methods may be called from several goroutines when its functions may.
type Machine struct {
	// Root stands before every absolute path that is read; "/" is the machine itself.
	Root string
	// Run runs a command and gives its standard output. The error of a command that is not there wraps
	// exec.ErrNotFound.
	Run func(ctx context.Context, name string, args ...string) ([]byte, error)
	// Interfaces lists the network interfaces in the kernel's order.
	Interfaces func() ([]Interface, error)
	// Getenv reads the environment, for paths in file filters and for the instance-metadata settings.
	Getenv func(string) string
	// Now gives the capture time.
	Now func() time.Time
}

// Interface is one network interface and its addresses in the kernel's order.
type Interface struct {
	Name     string
	MAC      string
	Loopback bool
	Up       bool
	Addrs    []netip.Addr
}

// Local is the machine this process runs on.
func Local() *Machine {
	return &Machine{Root: "/", Run: runCommand, Interfaces: interfaces, Getenv: os.Getenv, Now: time.Now}
}

func (m *Machine) path(name string) string { return filepath.Join(m.Root, name) }

// readText reads a small text file (under /proc, /sys, /etc), whitespace at its ends removed.
func (m *Machine) readText(name string) (string, error) {
	data, err := readBounded(m.path(name), maxSmallFile)
	return strings.TrimSpace(string(data)), err
}

// readBounded reads a regular file of at most limit bytes; a larger one is an error, not a part of it.
func readBounded(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("not a regular file")}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("larger than %d bytes", limit)}
	}
	return data, nil
}

// errOutputLimit ends a command whose output has no end.
var errOutputLimit = fmt.Errorf("output beyond %d MiB", maxCommandOutput>>20)

// boundedBuffer keeps up to limit bytes and refuses more. The buffer is a member, for its ReadFrom knows no limit.
type boundedBuffer struct {
	buf   bytes.Buffer
	limit int
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	if b.buf.Len()+len(p) > b.limit {
		return 0, errOutputLimit
	}
	return b.buf.Write(p)
}

// tailBuffer keeps the last bytes written, for the end of a command's complaints.
type tailBuffer struct{ data []byte }

func (b *tailBuffer) Write(p []byte) (int, error) {
	const keep = 512
	b.data = append(b.data, p...)
	if over := len(b.data) - keep; over > 0 {
		b.data = append(b.data[:0], b.data[over:]...)
	}
	return len(p), nil
}

// runCommand runs in the C locale, for labels are parsed, and never longer than commandTimeout.
func runCommand(ctx context.Context, name string, args ...string) ([]byte, error) {
	return runWithin(ctx, commandTimeout, name, args...)
}

func runWithin(ctx context.Context, limit time.Duration, name string, args ...string) ([]byte, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	out := &boundedBuffer{limit: maxCommandOutput}
	var complaints tailBuffer
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "LANG=C")
	cmd.Stdout, cmd.Stderr = out, &complaints
	cmd.WaitDelay = commandGrace
	// A group of its own, so that what it started ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); !errors.Is(err, syscall.ESRCH) {
			return err
		}
		return os.ErrProcessDone
	}
	switch err := cmd.Run(); {
	case err == nil:
		return out.buf.Bytes(), nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("%s gave no answer within %s: run it by hand to see what it waits for", name, limit)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s: %w", name, ctx.Err())
	default:
		return nil, fmt.Errorf("%s failed: %w: %s", name, err, strings.TrimSpace(string(complaints.data)))
	}
}

func interfaces() ([]Interface, error) {
	list, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	all := make([]Interface, 0, len(list))
	for _, i := range list {
		addrs, err := i.Addrs()
		if err != nil {
			return nil, fmt.Errorf("addresses of %s: %w", i.Name, err)
		}
		all = append(all, Interface{
			Name: i.Name, MAC: i.HardwareAddr.String(), Addrs: addresses(addrs),
			Loopback: i.Flags&net.FlagLoopback != 0, Up: i.Flags&net.FlagUp != 0,
		})
	}
	return all, nil
}

func addresses(addrs []net.Addr) []netip.Addr {
	out := make([]netip.Addr, 0, len(addrs))
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr().Unmap())
		}
	}
	return out
}
