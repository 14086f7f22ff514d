package pebble_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"stocktake/internal/inventory"
	"stocktake/internal/store/pebble"
	"stocktake/internal/store/storetest"
)

// process is the disk of a process that may be killed: the machine still knows what it has written, and its lock is gone.
type process struct{ faultyFS }

// Lock implements vfs.FS.
func (p process) Lock(name string) (io.Closer, error) {
	return p.Create(name, vfs.WriteCategoryUnspecified)
}

// processOn gives the options of a process on a disk, with something to do before each of its writes.
func processOn(mem *vfs.MemFS, before func(write int64, op errorfs.Op) error) pebble.Options {
	d := newDisk(before)
	d.mem = mem
	return optionsOn(process{faultyFS{errorfs.Wrap(mem, d), d}})
}

func undisturbed(int64, errorfs.Op) error { return nil }

// live opens a store, reports, stops, and does so once more.
func live(ctx context.Context, o pebble.Options) error {
	for node := range 2 {
		s, err := pebble.Open(o)
		if err != nil {
			return err
		}
		if err := reported(ctx, s, node); err != nil {
			return err
		}
		if err := s.Close(); err != nil {
			return err
		}
	}
	return nil
}

func reported(ctx context.Context, s *pebble.Store, node int) error {
	_, err := storetest.NewWriter(s).Report(ctx, storetest.Node(node), storetest.Epoch, storetest.NewSource(uint64(node)).Item(3))
	return err
}

// contents reads all that a store holds.
func contents(t *testing.T, s *pebble.Store, what string) storetest.State {
	t.Helper()
	state, err := storetest.Read(t.Context(), s, make([]inventory.Position, s.Identity().Shards))
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return state
}

// TestPowerLossAfterAKill kills a process before a write, the first start's included: before each sync of a folder that the
// engine's own is in, and a sample of the others. The next process finds all that was written, synced or not, and takes a
// report; then the power is lost. What that one found and what it acknowledged must be there.
func TestPowerLossAfterAKill(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	chance := rand.New(rand.NewPCG(seed, 0))
	var mu sync.Mutex
	var chosen []int64
	err := live(t.Context(), processOn(vfs.NewCrashableMem(), func(write int64, op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		outside := op.Kind == errorfs.OpFileSync && strings.HasPrefix("/data/store", op.Path)
		if *every || outside || chance.IntN(32) == 0 {
			chosen = append(chosen, write)
		}
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	for _, write := range chosen {
		what := fmt.Sprintf("seed %d, killed before write %d", seed, write)
		mem := vfs.NewCrashableMem()
		_ = live(t.Context(), processOn(mem, func(at int64, _ errorfs.Op) error { // what came of it is told by the next
			if at >= write {
				return errors.New("killed")
			}
			return nil
		}))
		for _, l := range []loss{lossOfAll, lossOfPages, lossOfSectors} {
			if l == lossOfAll || *every {
				outlive(t, mem, l, rand.New(rand.NewPCG(seed, uint64(write))), what)
			}
		}
	}
	t.Logf("seed %d: killed before %d writes", seed, len(chosen))
}

// outlive opens the store that a killed process left, has it report, and loses the power: all that was there then must be
// there still.
func outlive(t *testing.T, mem *vfs.MemFS, l loss, chance *rand.Rand, what string) {
	t.Helper()
	next, err := pebble.Open(processOn(mem, undisturbed))
	if err != nil {
		t.Fatalf("%s: the store does not open again: %v", what, err)
	}
	if err := reported(t.Context(), next, 2); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	before := contents(t, next, what)
	left := l.left(mem, chance)
	if err := next.Close(); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	what = fmt.Sprintf("%s, and then %v", what, l)
	last, err := pebble.Open(optionsOn(left))
	if err != nil {
		t.Fatalf("%s: the store does not open again: %v", what, err)
	}
	if last.Identity() != next.Identity() {
		t.Errorf("%s: it is another store", what)
	}
	if differ := storetest.Diff(before, contents(t, last, what)); differ != "" {
		t.Errorf("%s: %s", what, differ)
	}
	if err := last.Close(); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}
