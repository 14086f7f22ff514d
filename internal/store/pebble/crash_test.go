package pebble_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"stocktake/internal/store/pebble"
	"stocktake/internal/store/storetest"
)

var seeds = flag.Int("seeds", 2, "scripts to lose the power in")

// loss is how much of what was not synced a loss of power takes: all of it; by chance each page and each entry of a folder,
// in any order; or by chance each sector of 512 bytes.
type loss uint8

const (
	lossOfAll loss = iota
	lossOfPages
	lossOfSectors
	losses
)

func (l loss) String() string {
	return [...]string{"all that was not synced is lost", "pages are lost", "sectors are lost"}[l]
}

// left gives what is on a disk after the power was lost.
func (l loss) left(mem *vfs.MemFS, chance *rand.Rand) *vfs.MemFS {
	switch l {
	case lossOfPages:
		return mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 10 + chance.IntN(90), RNG: chance})
	case lossOfSectors:
		synced := mem.CrashClone(vfs.CrashCloneCfg{})
		torn := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: chance})
		tear(torn, synced, "/", chance)
		return torn
	}
	return mem.CrashClone(vfs.CrashCloneCfg{})
}

// tear puts back by chance each sector of every file to what it was when it was last synced.
func tear(torn, synced *vfs.MemFS, dir string, chance *rand.Rand) {
	const sector = 512
	names, err := torn.List(dir)
	if err != nil {
		return
	}
	for _, name := range names {
		path := torn.PathJoin(dir, name)
		data, err := torn.UnsafeGetFileDataBuffer(path)
		if err != nil {
			tear(torn, synced, path, chance)
			continue
		}
		before, _ := synced.UnsafeGetFileDataBuffer(path) // none is an empty one
		for at := 0; at < len(data); at += sector {
			if chance.IntN(2) == 0 {
				part := data[at:min(at+sector, len(data))]
				clear(part[copy(part, before[min(at, len(before)):]):])
			}
		}
	}
}

// remains are what a loss of power left, and how far the script had come.
type remains struct {
	mem        *vfs.MemFS
	played     *storetest.Player // nil before the first step
	from, upTo int64
	write      int64
	loss       loss
}

func (r *remains) String() string {
	return fmt.Sprintf("power lost before write %d, %v", r.write, r.loss)
}

// check holds what is left to what was acknowledged.
func (r *remains) check(t *testing.T, sc *script, what string) {
	t.Helper()
	sc.holds(t, r.mem.CrashClone(vfs.CrashCloneCfg{}), r.played, r.from, r.upTo, what)
}

// losing plays a script once, and gives what a loss of power would leave before every write that is chosen: of each kind of
// loss by turns.
func losing(t *testing.T, tr *trace, chosen func(write int64) bool, use func(*remains)) (writes int64) {
	t.Helper()
	left, over := make(chan *remains), make(chan struct{})
	tr.limit = time.Hour // it waits for what is checked meanwhile
	var d *disk
	var turn atomic.Uint64
	d = newDisk(func(at int64, _ errorfs.Op) error {
		if !chosen(at) {
			return nil
		}
		r := &remains{from: tr.acknowledged.Load(), write: at, loss: loss(turn.Add(1) % uint64(losses))}
		r.mem = r.loss.left(d.mem, rand.New(rand.NewPCG(tr.seed, uint64(at))))
		r.played = tr.played.Load()
		r.upTo = min(tr.acknowledged.Load()+1, tr.steps)
		select {
		case left <- r:
		case <-over:
		}
		return nil
	})
	var err error
	go func() {
		defer close(over)
		_, err = tr.play(t.Context(), d.options())
	}()
	for {
		select {
		case r := <-left:
			use(r)
			continue
		case <-over:
		}
		if err != nil {
			t.Fatal(err)
		}
		return d.writes.Load()
	}
}

// reopening opens what is left, closes it, and loses the power again before each write of that, or every fourth without
// -every.
func (r *remains) reopening(t *testing.T, sc *script) (tried int) {
	t.Helper()
	var mu sync.Mutex
	var left []*remains
	var again *disk
	again = newDisk(func(at int64, _ errorfs.Op) error {
		if !*every && at%4 != 0 {
			return nil
		}
		l := loss(at % int64(losses))
		second := &remains{played: r.played, from: r.from, upTo: r.upTo, write: at, loss: l}
		second.mem = l.left(again.mem, rand.New(rand.NewPCG(uint64(r.write), uint64(at))))
		mu.Lock()
		defer mu.Unlock()
		left = append(left, second)
		return nil
	})
	again.mem = r.mem
	s, err := pebble.Open(again.options())
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		t.Fatalf("%v: %v", r, err)
	}
	for _, second := range left {
		second.check(t, sc, fmt.Sprintf("%v; while it was opened again, %v", r, second))
	}
	return len(left)
}

// TestCrashAtEveryWrite cuts the power before each write in turn, first start and opening again included. All that was not
// synced is lost, or a random part of it; some are cut off again while they are opened.
func TestCrashAtEveryWrite(t *testing.T) {
	t.Parallel()
	const seed = 6
	steps, oneIn, again := int64(traceSteps), int64(41), 8
	if *every {
		steps, oneIn, again = 500, 1, 100
	}
	sc := newScript(t, seed)
	tried, twice := 0, 0
	writes := losing(t, newTrace(seed, steps), func(write int64) bool { return write%oneIn == 0 }, func(r *remains) {
		r.check(t, sc, r.String())
		tried++
		if tried%again == 0 {
			twice += r.reopening(t, sc)
		}
	})
	t.Logf("a script of %d steps took %d writes: power lost %d times, and %d times once more while it was opened again", steps, writes, tried, twice)
}

// TestPowerLossOfScripts loses the power at random writes of many scripts.
func TestPowerLossOfScripts(t *testing.T) {
	t.Parallel()
	tried := 0
	for seed := range uint64(*seeds) {
		chance := rand.New(rand.NewPCG(seed, 77))
		first := 1 + chance.Int64N(40)
		gap := 40 + chance.Int64N(120)
		sc := newScript(t, 1000+seed)
		losing(t, newTrace(1000+seed, 20+chance.Int64N(60)), func(write int64) bool { return write%gap == first%gap }, func(r *remains) {
			what := fmt.Sprintf("seed %d: %v", seed, r)
			r.check(t, sc, what)
			tried++
		})
	}
	t.Logf("power lost %d times in %d scripts", tried, *seeds)
}
