package pebble_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
	"stocktake/internal/store/pebble"
	"stocktake/internal/store/storetest"
)

// until tries something until it gives no error, and fails the test when it does not come to that in a while.
func until(t *testing.T, what string, try func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}

// TestFullDiskRefusesAndRecovers fills the disk under the store at different writes: what changes the disk is refused, what
// reads goes on, and once there is room writing does too, without opening the store anew. Nothing is lost or doubled.
func TestFullDiskRefusesAndRecovers(t *testing.T) {
	for seed, steps := range []int{0, 20, 60} {
		fullDisk(t, uint64(1+seed), steps)
	}
}

func fullDisk(t *testing.T, seed uint64, steps int) {
	t.Helper()
	var full atomic.Bool
	d := newDisk(func(_ int64, op errorfs.Op) error {
		takesRoom := op.Kind == errorfs.OpCreate || op.Kind == errorfs.OpFileWrite || op.Kind == errorfs.OpReuseForWrite
		if takesRoom && full.Load() {
			return syscall.ENOSPC
		}
		return nil
	})
	s := open(t, d.options())
	p := storetest.NewPlayer(s, seed)
	for range steps {
		if _, err := p.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	key := storetest.Node(1000)
	w := storetest.NewWriter(s)
	item := storetest.NewSource(seed).Item(20)
	if _, err := w.Report(t.Context(), key, storetest.Epoch, item); err != nil {
		t.Fatal(err)
	}
	before, err := p.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	full.Store(true)
	for i := range 8 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		_, err := s.PutRecord(ctx, store.Record{Key: store.Key("full", string(rune('a'+i)))})
		cancel()
		if err == nil || !strings.Contains(err.Error(), "full") {
			t.Fatalf("seed %d steps %d write %d on a full disk: %v", seed, steps, i, err)
		}
	}
	refuseAll(t, s)
	if s.Health() == nil {
		t.Error("a store on a full disk calls itself healthy")
	}
	if after, err := p.Read(t.Context()); err != nil || storetest.Diff(before, after) != "" {
		t.Fatalf("reading on a full disk: %v", err)
	}
	full.Store(false)
	until(t, "writing after room was made", func() error {
		_, err := w.Report(t.Context(), key, storetest.Epoch, item)
		return err
	})
	until(t, "health after room was made", s.Health)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, optionsOn(d.mem.CrashClone(vfs.CrashCloneCfg{})))
	if node, err := again.Node(t.Context(), key); err != nil || node.Item(storetest.KeyOf(item)) == nil {
		t.Fatalf("after the disk was full and the power went: %v", err)
	}
}

// refuseAll sends more writes to a full disk than the store queues: none may be left waiting.
func refuseAll(t *testing.T, s *pebble.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			if _, err := s.PutRecord(ctx, store.Record{Key: store.Key("crowd", fmt.Sprint(i))}); err == nil || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("write %d of many on a full disk: %v", i, err)
			}
		})
	}
	all.Wait()
}

// TestLittleRoomIsKeptFree: writes are refused before the last of the disk is taken, but for those that make room.
func TestLittleRoomIsKeptFree(t *testing.T) {
	fs := &smallDisk{FS: vfs.NewMem()}
	fs.left.Store(1 << 40)
	s := open(t, pebble.Options{Dir: "/store", FS: fs, Shards: 1})
	w := storetest.NewWriter(s)
	for range 3 {
		if _, err := w.Report(t.Context(), storetest.Node(1), storetest.Epoch, storetest.NewSource(1).Item(9)); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"old", "older"} {
		if _, err := s.PutRecord(t.Context(), store.Record{Key: key}); err != nil {
			t.Fatal(err)
		}
	}
	fs.left.Store(10 << 20)
	refused := func(what string, write func() error) {
		until(t, what, func() error {
			if err := write(); err == nil || !strings.Contains(err.Error(), "full") {
				return fmt.Errorf("it is not refused for want of room: %w", err)
			}
			return nil
		})
	}
	refused("a record", func() error {
		_, err := s.PutRecord(t.Context(), store.Record{Key: "k"})
		return err
	})
	if n, err := s.Prune(t.Context(), storetest.Epoch.Add(time.Hour)); err != nil || n != 2 {
		t.Errorf("prune with little room left: %d, %v", n, err)
	}
	makeRoom(t, s, w)
	fs.left.Store(40 << 20)
	until(t, "the journal", func() error { return tell(t.Context(), s, "while half is left") })
	refused("a line that nobody waits for", func() error { return s.AppendJournal(t.Context(), 0, 1, [][]byte{[]byte("line")}, nil) })
	fs.left.Store(10 << 20)
	refused("the journal", func() error { return tell(t.Context(), s, "when less is left") })
	forget(t, s, "older")
	fs.left.Store(1 << 40)
	until(t, "writing after room was made", func() error {
		_, err := s.PutRecord(t.Context(), store.Record{Key: "room"})
		return err
	})
}

// tell writes the line of a call that began, to the journal.
func tell(ctx context.Context, s *pebble.Store, id string) error {
	if err := s.Intend(ctx, 0, id, []byte(id)); err != nil {
		return err
	}
	var after uint64
	if head, err := s.JournalHead(ctx, 0); err == nil {
		after = head.Seq
	}
	return s.AppendJournal(ctx, 0, after, [][]byte{[]byte(id)}, []string{id})
}

// forget deletes a record.
func forget(t *testing.T, s *pebble.Store, key string) {
	t.Helper()
	old, err := s.Record(t.Context(), key)
	if err == nil {
		err = s.DeleteRecord(t.Context(), key, old.Revision)
	}
	if err != nil {
		t.Errorf("the delete of a record with little room left: %v", err)
	}
}

// makeRoom removes what takes room: a record, documents.
func makeRoom(t *testing.T, s *pebble.Store, w *storetest.Writer) {
	t.Helper()
	forget(t, s, "old")
	c, err := w.Drop(t.Context(), storetest.Node(1), storetest.Epoch, inventory.CauseDeletion)
	if err == nil {
		_, err = s.Commit(t.Context(), c)
	}
	if err != nil {
		t.Errorf("the removal of documents with little room left: %v", err)
	}
}

// smallDisk says how much room is left.
type smallDisk struct {
	vfs.FS
	left atomic.Uint64
}

func (d *smallDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: d.left.Load(), TotalBytes: 1 << 40}, nil
}
