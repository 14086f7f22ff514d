package pebble_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
	"stocktake/internal/store/pebble"
	"stocktake/internal/store/storetest"
)

// stallingDisk does not come back from some of its work while it is stalled.
type stallingDisk struct {
	*disk
	met  chan struct{} // something was held up
	mu   sync.Mutex
	gate chan struct{} // closed while the disk answers
}

func newStallingDisk(held func(op errorfs.Op) bool) *stallingDisk {
	d := &stallingDisk{gate: make(chan struct{}), met: make(chan struct{}, 1)}
	close(d.gate)
	d.disk = newDisk(func(_ int64, op errorfs.Op) error {
		if !held(op) {
			return nil
		}
		d.mu.Lock()
		gate := d.gate
		d.mu.Unlock()
		select {
		case <-gate:
		default:
			select {
			case d.met <- struct{}{}:
			default:
			}
			<-gate
		}
		return nil
	})
	return d
}

func syncs(op errorfs.Op) bool {
	return op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
}

// stall stops the disk until what it gives is called.
func (d *stallingDisk) stall() (resume func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	gate := make(chan struct{})
	d.gate = gate
	return sync.OnceFunc(func() { close(gate) })
}

// told is a log that remembers its messages.
type told struct {
	slog.Handler
	mu   sync.Mutex
	text strings.Builder
}

func (l *told) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.WriteString(r.Message + "\n")
	return nil
}

func (l *told) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

func (l *told) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func throttled(err error) bool {
	var refused *inventory.Error
	return errors.As(err, &refused) && refused.Code == inventory.Throttling
}

// openStalling opens a store on a disk that can stall. Nothing keeps it open once the test ends, however that is.
func openStalling(t *testing.T, d *stallingDisk, after time.Duration, log slog.Handler) *pebble.Store {
	t.Helper()
	o := d.options()
	o.StallAfter, o.Logger = after, slog.New(log)
	s, err := pebble.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestStalledDiskShedsWrites has syncs not come back: no write waits for them for long, reads go on, the store says what is
// the matter, and once the disk answers everything does. What was refused for coming too late was not written.
func TestStalledDiskShedsWrites(t *testing.T) {
	t.Parallel()
	d, log := newStallingDisk(syncs), &told{Handler: slog.DiscardHandler}
	s := openStalling(t, d, 100*time.Millisecond, log)
	w := storetest.NewWriter(s)
	before := storetest.Node(0)
	if _, err := w.Report(t.Context(), before, storetest.Epoch, storetest.NewSource(1).Item(9)); err != nil {
		t.Fatal(err)
	}
	resume := d.stall()
	defer resume()
	refused := d.shed(t, s)
	if err := s.Health(); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("health while the disk stalls: %v", err)
	}
	if node, err := s.Node(t.Context(), before); err != nil || len(node.Items) == 0 {
		t.Errorf("reading while the disk stalls: %v", err)
	}
	resume()
	until(t, "health once the disk answers", s.Health)
	if _, err := w.Report(t.Context(), before, storetest.Epoch, storetest.NewSource(2).Item(9)); err != nil {
		t.Errorf("writing once the disk answers: %v", err)
	}
	for _, key := range refused {
		if _, err := s.Record(t.Context(), key); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s was refused as too much and is there: %v", key, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, said := range []string{"does not answer", "answers again"} {
		if !strings.Contains(log.String(), said) {
			t.Errorf("the log does not say that the disk %s: %s", said, log)
		}
	}
}

// shed sends one write to a disk that stalls and many more once its sync is held up, and gives the keys of those that were
// refused without having begun. Every one must be answered.
func (d *stallingDisk) shed(t *testing.T, s *pebble.Store) (refused []string) {
	t.Helper()
	const writes = 200
	outcomes := make([]error, writes)
	var all sync.WaitGroup
	for i := range writes {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			_, outcomes[i] = s.PutRecord(ctx, store.Record{Key: fmt.Sprint("stalled/", i)})
		})
		if i == 0 {
			<-d.met // the others are of no batch yet
		}
	}
	all.Wait()
	begun := 0
	for i, err := range outcomes {
		switch {
		case throttled(err):
			refused = append(refused, fmt.Sprint("stalled/", i))
		case errors.Is(err, store.ErrUnavailable):
			begun++
		default:
			t.Errorf("write %d on a disk that stalls: %v", i, err)
		}
	}
	if begun == 0 || len(refused) == 0 {
		t.Errorf("%d writes were under way when the disk stalled and %d were not; want some of each", begun, len(refused))
	}
	return refused
}

// TestSlowDiskBoundsTheLine: on a disk that is slow, and has not stalled yet, only so many writers wait.
func TestSlowDiskBoundsTheLine(t *testing.T) {
	t.Parallel()
	d := newStallingDisk(syncs)
	s := openStalling(t, d, time.Hour, slog.DiscardHandler)
	resume := d.stall()
	defer resume()
	const surplus = 30
	allowed := 256 * runtime.GOMAXPROCS(0)
	var sent, throttles, acknowledged atomic.Int64
	var all sync.WaitGroup
	put := func() {
		_, err := s.PutRecord(context.Background(), store.Record{Key: fmt.Sprint("k", sent.Add(1))})
		switch {
		case err == nil:
			acknowledged.Add(1)
		case throttled(err):
			throttles.Add(1)
		default:
			t.Errorf("a write on a slow disk: %v", err)
		}
	}
	all.Go(put)
	<-d.met
	for range allowed - 1 + surplus/2 { // before the batch under way is slow
		all.Go(put)
	}
	time.Sleep(400 * time.Millisecond)
	for range surplus - surplus/2 { // after
		all.Go(put)
	}
	until(t, "refusals of the surplus", func() error {
		if n := throttles.Load(); n < surplus {
			return fmt.Errorf("%d of %d", n, surplus)
		}
		return nil
	})
	resume()
	all.Wait()
	if throttles.Load() != surplus || acknowledged.Load() != int64(allowed) {
		t.Errorf("%d writes were refused and %d acknowledged; want %d and %d", throttles.Load(), acknowledged.Load(), surplus, allowed)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestReadersDoNotWaitForTheManifest holds up Pebble's writing of its manifest, as a disk that stalls or has failed does.
// Whoever is the last to let go of an old view goes on.
func TestReadersDoNotWaitForTheManifest(t *testing.T) {
	t.Parallel()
	d := newStallingDisk(func(op errorfs.Op) bool { return strings.Contains(op.Path, "MANIFEST") })
	s := openStalling(t, d, time.Hour, slog.DiscardHandler)
	w := storetest.NewWriter(s)
	if _, err := w.Report(t.Context(), storetest.Node(0), storetest.Epoch, storetest.NewSource(1).Item(9)); err != nil {
		t.Fatal(err)
	}
	view, err := s.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	resume := d.stall()
	defer resume()
	ctx, stop := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := uint64(2); ctx.Err() == nil; i++ {
			if _, err := w.Report(ctx, storetest.Node(int(i)), storetest.Epoch, storetest.NewSource(i).Item(99)); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	<-d.met
	ended := make(chan error, 1)
	go func() {
		_, err := s.Node(context.Background(), storetest.Node(0))
		ended <- errors.Join(err, view.Close())
	}()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("a reader waits for the manifest")
	}
	stop()
	resume()
	writing.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
