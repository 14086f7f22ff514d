//go:build clock

package e2e

import (
	"context"
	endian "encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The tests of the clock run the binary with one that lies: it is built over a package time whose Now goes by as many
// seconds more as a file says, while what is monotonic goes on as it should, as when somebody sets a machine's clock. All
// of Go is compiled anew for it, most of a minute of processor time; so they are built with the tag clock alone.

// clockFile names the variable with the path of the file.
const clockFile = "LYING_CLOCK"

// lie is what package time is given besides: eight bytes of the file, looked at by every call. The scheduler asks for the time
// too, where no system call may be made.
const lie = `package time

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

var lieFile = func() *int64 {
	name, _ := syscall.Getenv("` + clockFile + `")
	fd, err := syscall.Open(name, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		panic("` + clockFile + ` names no file")
	}
	memory, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic(err)
	}
	return (*int64)(unsafe.Pointer(&memory[0]))
}()

func lie() (seconds int64) {
	if lieFile == nil {
		return 0
	}
	return atomic.LoadInt64(lieFile)
}
`

var lying struct {
	once sync.Once
	path string
	err  error
}

// lyingBinary builds the binary under test with a clock that lies.
func lyingBinary(t *testing.T) string {
	t.Helper()
	lying.once.Do(func() { lying.path, lying.err = buildLying() })
	if lying.err != nil {
		t.Fatal(lying.err)
	}
	return lying.path
}

func buildLying() (string, error) {
	root, err := exec.CommandContext(context.Background(), "go", "env", "GOROOT").Output()
	if err != nil {
		return "", err
	}
	original := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	text, err := os.ReadFile(original)
	if err != nil {
		return "", err
	}
	const now = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	changed := strings.Replace(string(text), now, now+"\tsec += lie()\n", 1)
	if changed == string(text) {
		return "", fmt.Errorf("%s has another time.Now than this test knows", original)
	}
	dir := filepath.Dir(binary)
	replaced := map[string]string{original: filepath.Join(dir, "time.go"), filepath.Join(filepath.Dir(original), "lie.go"): filepath.Join(dir, "lie.go")}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", err
	}
	for name, text := range map[string]string{"time.go": changed, "lie.go": lie, "overlay.json": string(overlay)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	path := filepath.Join(dir, "lying")
	build := exec.CommandContext(context.Background(), "go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", path, "stocktake/cmd/stocktake")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
}

// liar is a service with such a clock.
type liar struct {
	*service
	file string
	off  atomic.Int64 // nanoseconds
}

// startLiar runs a service that was made and not begun, with its clock as far off as said.
func startLiar(t *testing.T, s *service, off time.Duration) *liar {
	t.Helper()
	l := &liar{service: s, file: filepath.Join(t.TempDir(), "clock")}
	s.process.Path = lyingBinary(t)
	l.set(t, off)
	if s.process.Env == nil {
		s.process.Env = os.Environ()
	}
	s.process.Env = append(s.process.Env, clockFile+"="+l.file)
	if _, err := s.run(); err != nil {
		t.Fatal(err)
	}
	s.watch(t)
	return l
}

// set has the clock go so much before (or after) what it should be, from now on.
func (l *liar) set(t *testing.T, off time.Duration) {
	t.Helper()
	f, err := os.OpenFile(l.file, os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		err = errors.Join(endian.Write(f, endian.NativeEndian, int64(off.Seconds())), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	l.off.Store(int64(off))
}

func (l *liar) ahead() time.Duration { return time.Duration(l.off.Load()) }
