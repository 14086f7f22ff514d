package pebble_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"stocktake/internal/store"
	"stocktake/internal/store/memory"
	"stocktake/internal/store/pebble"
	"stocktake/internal/store/storetest"
)

var every = flag.Bool("every", false, "fault and crash at every single write instead of at a sample of them")

// traceSteps is how many steps of a script a fault or crash is tried in: enough for tables to be flushed and compacted,
// logs to be rotated, the whole of a first start and of opening again.
const traceSteps = 60

// trace is one script on one disk.
type trace struct {
	seed  uint64
	steps int64
	// reopen is after how many steps the store is closed and opened again, each time.
	reopen int64
	// limit is how long a step may take: one that takes longer hangs.
	limit time.Duration
	// acknowledged is how many steps were. While the player is at work on the next, played is one as it was before.
	acknowledged atomic.Int64
	played       atomic.Pointer[storetest.Player]
}

func newTrace(seed uint64, steps int64) *trace {
	return &trace{seed: seed, steps: steps, reopen: steps/2 + 1, limit: 20 * time.Second}
}

// disk is a file system in memory that a power loss can be acted out on, with something to do before every write.
type disk struct {
	mem    *vfs.MemFS
	writes atomic.Int64
	before func(n int64, op errorfs.Op) error
}

func (d *disk) String() string { return "disk" }

// MaybeError implements errorfs.Injector.
func (d *disk) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || op.Kind == errorfs.OpFilePreallocate {
		return nil
	}
	return d.before(d.writes.Add(1), op)
}

func newDisk(before func(n int64, op errorfs.Op) error) *disk {
	return &disk{mem: vfs.NewCrashableMem(), before: before}
}

func (d *disk) options() pebble.Options {
	return optionsOn(faultyFS{errorfs.Wrap(d.mem, d), d})
}

// faultyFS has faults in files that are used again, too.
type faultyFS struct {
	*errorfs.FS
	disk *disk
}

// ReuseForWrite implements vfs.FS, in two steps: that of vfs.MemFS takes its lock for readers twice, and so waits for ever where
// a clone of the disk is asked for in between.
func (f faultyFS) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.disk.MaybeError(errorfs.Op{Kind: errorfs.OpReuseForWrite, Path: to}); err != nil {
		return nil, err
	}
	if err := f.disk.mem.Rename(from, to); err != nil {
		return nil, err
	}
	file, err := f.disk.mem.OpenReadWrite(to, category)
	if err != nil {
		return nil, err
	}
	return errorfs.WrapFile(file, f.disk), nil
}

// optionsOn are options that make Pebble flush and compact within a few commits.
func optionsOn(fs vfs.FS) pebble.Options {
	return pebble.Options{
		Dir: "/data/store", FS: fs, Shards: 2, MemTableBytes: 24 << 10, CacheBytes: 1 << 20, StallAfter: time.Hour,
		Logger: slog.New(slog.DiscardHandler),
	}
}

// play opens a store and plays the script on it until it is through or fails. It gives the player, nil where opening
// failed already, and the error.
func (tr *trace) play(ctx context.Context, o pebble.Options) (*storetest.Player, error) {
	s, err := pebble.Open(o)
	if err != nil {
		return nil, err
	}
	p := storetest.NewPlayer(s, tr.seed)
	for step := range tr.steps {
		if step > 0 && step%tr.reopen == 0 {
			err := s.Close()
			if err == nil {
				s, err = pebble.Open(o)
			}
			if err != nil {
				return p, err
			}
			p.Take(s)
		}
		tr.played.Store(p.Copy())
		if err := tr.next(ctx, p); err != nil {
			return p, err
		}
		tr.acknowledged.Add(1)
	}
	tr.played.Store(p.Copy())
	return p, s.Close()
}

func (tr *trace) next(ctx context.Context, p *storetest.Player) error {
	ctx, cancel := context.WithTimeout(ctx, tr.limit)
	defer cancel()
	_, err := p.Next(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("a step hangs: %w", err)
	}
	return err
}

// script tells what a store must hold after each step of a script, by what the store in memory does. It is asked mostly for
// later steps, and plays again from the start for one it has forgotten.
type script struct {
	t      *testing.T
	seed   uint64
	player *storetest.Player
	played int64
	states map[int64]storetest.State // of the last few steps played
}

func newScript(t *testing.T, seed uint64) *script {
	t.Helper()
	return &script{t: t, seed: seed}
}

// after gives what a store must hold after so many steps.
func (sc *script) after(steps int64) storetest.State {
	sc.t.Helper()
	if state, known := sc.states[steps]; known {
		return state
	}
	if sc.player == nil || steps < sc.played {
		s, err := memory.New(2)
		if err != nil {
			sc.t.Fatal(err)
		}
		sc.player, sc.played, sc.states = storetest.NewPlayer(s, sc.seed), 0, map[int64]storetest.State{}
	}
	for ; sc.played < steps; sc.played++ {
		if _, err := sc.player.Next(sc.t.Context()); err != nil {
			sc.t.Fatal(err)
		}
	}
	state, err := sc.player.Read(sc.t.Context())
	if err != nil {
		sc.t.Fatal(err)
	}
	sc.states[steps] = state
	delete(sc.states, steps-4)
	return state
}

// differs tells how a state differs from the script's after so many steps, empty when it is that after any of them.
func (sc *script) differs(got storetest.State, from, upTo int64) (differ string) {
	for steps := from; steps <= upTo; steps++ { // this is mostly the end of it, and much faster than to tell a difference
		if reflect.DeepEqual(sc.after(steps), got) {
			return ""
		}
	}
	for steps := from; steps <= upTo; steps++ {
		if differ = storetest.Diff(sc.after(steps), got); differ == "" {
			break
		}
	}
	return differ
}

// holds opens what is left of a disk and fails the test unless it holds the script after from steps, or after a step up
// to upTo: what was under way may have happened. Then the store must go on. played knows where its feed began.
func (sc *script) holds(t *testing.T, mem vfs.FS, played *storetest.Player, from, upTo int64, what string) {
	t.Helper()
	s, err := pebble.Open(optionsOn(mem))
	if err != nil {
		t.Fatalf("%s: the store does not open again: %v", what, err)
	}
	if played == nil {
		played = storetest.NewPlayer(s, sc.seed)
	}
	played.Take(s)
	got, err := played.Read(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if d := sc.differs(got, from, upTo); d != "" {
		t.Fatalf("%s: %d steps were acknowledged, and the store holds something else: %s", what, from, d)
	}
	if _, err := storetest.NewWriter(s).Report(t.Context(), storetest.Node(99), storetest.Epoch, storetest.NewSource(1).Item(9)); err != nil {
		t.Fatalf("%s: the store does not go on: %v", what, err)
	}
	if err := s.Close(); err != nil {
		t.Fatalf("%s: close: %v", what, err)
	}
}

// countWrites plays the script on a sound disk and gives how many writes that took.
func countWrites(t *testing.T, seed uint64) int64 {
	t.Helper()
	d := newDisk(func(int64, errorfs.Op) error { return nil })
	if _, err := newTrace(seed, traceSteps).play(t.Context(), d.options()); err != nil {
		t.Fatal(err)
	}
	return d.writes.Load()
}

// sample calls try for one in so many of the writes 1 to n, or for all with -every.
func sample(n int64, oneIn int, try func(write int64)) {
	chance := rand.New(rand.NewPCG(uint64(n), uint64(oneIn)))
	for write := int64(1); write <= n; write++ {
		if *every || chance.IntN(oneIn) == 0 {
			try(write)
		}
	}
}

// TestFaultAtEveryWrite lets each write, sync, rename and so on fail in turn, once or from then on. What was acknowledged
// must be there after a restart, with the failure and with the loss of power right after it.
func TestFaultAtEveryWrite(t *testing.T) {
	t.Parallel()
	const seed = 5
	sc, n := newScript(t, seed), countWrites(t, seed)
	t.Logf("%d writes", n)
	for _, lasting := range []bool{false, true} {
		sample(n, 40, func(write int64) {
			var failed atomic.Value
			d := newDisk(func(at int64, op errorfs.Op) error {
				if at == write || lasting && at > write {
					failed.CompareAndSwap(nil, fmt.Sprintf("write %d (%d on %s), lasting %v", at, op.Kind, op.Path, lasting))
					return syscall.EIO
				}
				return nil
			})
			tr := newTrace(seed, traceSteps)
			played, err := tr.play(t.Context(), d.options())
			what := fmt.Sprint(failed.Load(), ": ", err)
			if err != nil && strings.Contains(err.Error(), "hangs") {
				t.Fatal(what)
			}
			steps := tr.acknowledged.Load()
			if played != nil && err != nil {
				sc.readable(t, played, steps, what)
			}
			sc.holds(t, d.mem.CrashClone(vfs.CrashCloneCfg{}), played, steps, steps+1, what)
		})
	}
}

// readable fails the test unless the store still reads what was acknowledged, and refuses to write.
func (sc *script) readable(t *testing.T, played *storetest.Player, steps int64, what string) {
	t.Helper()
	got, err := played.Read(t.Context())
	if errors.Is(err, store.ErrClosed) {
		return // closing was what failed, or opening again
	}
	if played.Store.(*pebble.Store).Health() == nil {
		t.Fatalf("%s: the store gave an error and calls itself healthy", what)
	}
	if err != nil {
		t.Fatalf("%s: a read-only store: %v", what, err)
	}
	if d := sc.differs(got, steps, steps+1); d != "" {
		t.Fatalf("%s: a read-only store does not read what was acknowledged: %s", what, d)
	}
	if _, err := played.Store.PutRecord(t.Context(), store.Record{Key: "k"}); err == nil {
		t.Fatalf("%s: a store that failed to write took a write", what)
	}
}
