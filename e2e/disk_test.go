//go:build disk

package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

// The tests of this file are built with the tag disk alone: they want root, for a disk of their own to fill, to freeze and to
// let fail.

// smallDisk mounts an ext4 file system of 256 MiB in a file, and gives the folder it is at.
func smallDisk(t *testing.T) string {
	t.Helper()
	image, at := filepath.Join(t.TempDir(), "image"), t.TempDir()
	shell(t, "truncate", "-s", "256M", image)
	shell(t, "mkfs.ext4", "-q", image)
	shell(t, "mount", "-o", "loop,noatime", image, at)
	t.Cleanup(func() { shell(t, "umount", at) })
	return at
}

func shell(t *testing.T, name string, args ...string) {
	t.Helper()
	if text, err := exec.CommandContext(context.Background(), tool(t, name), args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, text)
	}
}

// newWriters are writers of nodes of their own.
func newWriters(n int) []*writer {
	all := make([]*writer, n)
	for i := range all {
		all[i] = &writer{node: fmt.Sprintf("i-%017d", 100+i)}
	}
	return all
}

// each lets every writer report so many times at once.
func each(s *service, all []*writer, times int) {
	var writing sync.WaitGroup
	for _, w := range all {
		writing.Go(func() {
			client := s.client(killRegion)
			for range times {
				w.report(context.Background(), client)
			}
		})
	}
	writing.Wait()
}

// ready has something stored of every writer, and what questions here ask for.
func ready(t *testing.T, s *service, all []*writer) {
	t.Helper()
	each(s, all, 5)
	if err := putRack(s.client(killRegion), sentinel); err != nil {
		t.Fatal(err)
	}
}

// allRead holds what is stored of every writer's node to what was acknowledged.
func allRead(t *testing.T, s *service, all []*writer) {
	t.Helper()
	for i, w := range all {
		w.readBack(t, s, i)
	}
}

// restarted kills a service and starts it again over the same folder, where all that was acknowledged must be, and fit
// together.
func restarted(t *testing.T, s *service, all []*writer) {
	t.Helper()
	s.kill()
	again := start(t, s.dir)
	allRead(t, again, all)
	if err := again.stop(); err != nil {
		t.Error(err)
	}
	text, err := exec.CommandContext(t.Context(), binary, "verify", "--data", s.dir).CombinedOutput()
	if err != nil {
		t.Errorf("verify: %v\n%s", err, text)
	}
}

// TestDiskFullAndBack fills the disk under the service, by what others write: reports are refused and questions answered, until
// there is room, and then within 5 seconds all goes on in the same process.
func TestDiskFullAndBack(t *testing.T) {
	disk := smallDisk(t)
	s := start(t, filepath.Join(disk, "data"))
	all := newWriters(writers)
	ready(t, s, all)
	ballast := filepath.Join(disk, "ballast")
	if err := fill(ballast); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	client := s.client(killRegion)
	eventually(t, "a report is refused", patience, func() error {
		if err := putRack(client, "i-00000000000000002"); code(err) != "InternalServerError" {
			return fmt.Errorf("on a full disk: %w", err)
		}
		return nil
	})
	for range 200 {
		if err := putRack(client, "i-00000000000000002"); code(err) != "InternalServerError" {
			t.Fatalf("a report on a full disk: %v", err)
		}
		if _, err := client.GetInventory(t.Context(), rackFilter("a")); err != nil {
			t.Fatalf("a question on a full disk: %v", err)
		}
	}
	allRead(t, s, all)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	freed := time.Now()
	eventually(t, "a report is taken once there is room", 5*time.Second, func() error { return putRack(client, "i-00000000000000002") })
	t.Logf("reports were taken %v after there was room", time.Since(freed))
	each(s, all, 5)
	restarted(t, s, all)
}

// fill writes until there is no room.
func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	block := make([]byte, 1<<20)
	for err == nil {
		_, err = f.Write(block)
	}
	for small := block[:512]; ; {
		if _, err := f.Write(small); err != nil {
			return errors.Join(err, f.Sync(), f.Close())
		}
	}
}

func putRack(client *ssm.Client, node string) error {
	_, err := client.PutInventory(context.Background(), &ssm.PutInventoryInput{InstanceId: &node, Items: rackItems(fmt.Sprint(rand.Uint64()))})
	return err
}

// TestDiskStalls freezes the disk for 30 seconds under writers and readers: what asks is answered as before, what writes is
// refused, memory is bounded, and once the disk answers all goes on.
func TestDiskStalls(t *testing.T) {
	disk := smallDisk(t)
	s := start(t, filepath.Join(disk, "data"))
	all := newWriters(writers)
	ready(t, s, all)
	before := s.memoryUsed(t)
	shell(t, "fsfreeze", "-f", disk)
	thaw := sync.OnceFunc(func() { shell(t, "fsfreeze", "-u", disk) })
	defer thaw()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	refused := s.press(ctx, 1500)
	took := s.ask(ctx, t)
	after, outcomes := s.memoryUsed(t), <-refused
	slices.Sort(took)
	t.Logf("%d questions, p50 %v, p99 %v; refusals of reports: %v; memory %d MiB, then %d MiB",
		len(took), took[len(took)/2], took[len(took)*99/100], outcomes, before>>20, after>>20)
	if late := took[len(took)*99/100]; late > 100*time.Millisecond {
		t.Errorf("questions took %v at the 99th percentile", late)
	}
	if outcomes["ThrottlingException"] == 0 || outcomes[""] > 0 || after > before+swelling {
		t.Errorf("outcomes %v, memory from %d to %d", outcomes, before, after)
	}
	if status, said, err := s.get("/readyz"); err != nil || status != 503 || !strings.Contains(said, "disk") {
		t.Errorf("/readyz while the disk stalls: %d %s %v", status, said, err)
	}
	thaw()
	back := time.Now()
	eventually(t, "a report is taken once the disk answers", 5*time.Second, func() error { return putRack(s.client(killRegion), "i-00000000000000002") })
	t.Logf("reports were taken %v after the disk answered", time.Since(back))
	each(s, all, 5)
	restarted(t, s, all)
}

// press has so many writers report at once, again and again until ctx is done, and tells how often by which code they were
// refused. "" is success.
func (s *service) press(ctx context.Context, writers int) <-chan map[string]int {
	told := make(chan map[string]int, 1)
	var mu sync.Mutex
	outcomes := map[string]int{}
	var writing sync.WaitGroup
	for n := range writers {
		writing.Go(func() {
			client, node := s.client(killRegion), fmt.Sprintf("i-%017d", 1000+n)
			time.Sleep(time.Duration(rand.IntN(5000)) * time.Millisecond) // as a fleet does
			for ctx.Err() == nil {
				_, err := client.PutInventory(ctx, &ssm.PutInventoryInput{InstanceId: aws.String(node), Items: rackItems("x")})
				if ctx.Err() != nil {
					return
				}
				mu.Lock()
				outcomes[code(err)]++
				mu.Unlock()
				time.Sleep(5 * time.Second)
			}
		})
	}
	go func() {
		writing.Wait()
		told <- outcomes
	}()
	return told
}

// ask asks one question after another until ctx is done, and gives how long each took.
func (s *service) ask(ctx context.Context, t *testing.T) (took []time.Duration) {
	t.Helper()
	client := s.client(killRegion)
	for ctx.Err() == nil {
		begin := time.Now()
		_, err := client.GetInventory(ctx, rackFilter("a"))
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			t.Errorf("a question while the disk stalls: %v", err)
		}
		took = append(took, time.Since(begin))
		time.Sleep(20 * time.Millisecond)
	}
	return took
}

// memoryUsed gives what the process takes, in bytes.
func (s *service) memoryUsed(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	used := 0
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	if _, err := fmt.Sscanf(rest, "%d kB", &used); err != nil {
		t.Fatal(err)
	}
	return used << 10
}

// TestDiskFails has every sync of the running service fail from some moment on, as a disk does that lost pages. Nothing is
// acknowledged any more, the service says so and answers questions, and a restart finds all that was acknowledged.
func TestDiskFails(t *testing.T) {
	s := start(t, t.TempDir())
	all := newWriters(writers)
	ready(t, s, all)
	tracer := exec.CommandContext(t.Context(), tool(t, "strace"), "-f", "-qq", "-o", "/dev/null", "-p", fmt.Sprint(s.process.Process.Pid),
		"-e", "trace=fsync,fdatasync,sync_file_range", "-e", "inject=fsync,fdatasync,sync_file_range:error=EIO")
	if err := tracer.Start(); err != nil {
		t.Fatal(err)
	}
	client := s.client(killRegion)
	eventually(t, "a report is refused", patience, func() error {
		if err := putRack(client, "i-00000000000000002"); code(err) != "InternalServerError" {
			return fmt.Errorf("a report on a disk that fails: %w", err)
		}
		return nil
	})
	each(s, all, 1) // which are not acknowledged
	if _, err := client.GetInventory(t.Context(), rackFilter("a")); err != nil {
		t.Errorf("a question after the disk failed: %v", err)
	}
	if err := tracer.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = tracer.Wait() // by the signal
	if err := putRack(client, "i-00000000000000002"); code(err) != "InternalServerError" {
		t.Errorf("a report once syncs are said to be good again: %v", err)
	}
	status, said, err := s.get("/readyz")
	if err != nil || status != 503 || !strings.Contains(said, "read-only") || !strings.Contains(s.log.String(), "store: read-only") {
		t.Errorf("/readyz after the disk failed: %d %s %v; or the log says nothing", status, said, err)
	}
	restarted(t, s, all)
}
