package replica_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"stocktake/internal/store"
	"stocktake/internal/store/storetest"
)

// startFrom opens a replica with the snapshot in dir, and tells whether it read the store whole.
func startFrom(t *testing.T, when string, st store.Store, dir string) (scanned bool) {
	t.Helper()
	counted := &scans{Store: st}
	r := openReplica(t, counted, dir)
	n := counted.n.Load()
	check(t, when, r, st)
	closed(t, r)
	return n > 0
}

func TestSnapshotSparesTheStore(t *testing.T) {
	st, dir := newMemory(t), t.TempDir()
	p := storetest.NewPlayer(st, 1)
	play(t, p, 100)
	if !startFrom(t, "first start", st, dir) {
		t.Error("the first start read nothing")
	}
	if startFrom(t, "second start", st, dir) {
		t.Error("the second start read the store again")
	}
	// Changes after the snapshot come from the feed.
	w := storetest.NewWriter(st)
	if _, err := w.Report(t.Context(), storetest.Node(1), storetest.Epoch, storetest.NewSource(7).Item(9)); err != nil {
		t.Fatal(err)
	}
	if startFrom(t, "a change later", st, dir) {
		t.Error("a start after one change read the store again")
	}
	if startFrom(t, "after that", st, dir) {
		t.Error("the snapshot was not written anew")
	}
}

// TestDamagedSnapshotCostsTimeAlone cuts, flips and replaces the snapshot in many ways.
func TestDamagedSnapshotCostsTimeAlone(t *testing.T) {
	st, dir := newMemory(t), t.TempDir()
	play(t, storetest.NewPlayer(st, 2), 60)
	startFrom(t, "first start", st, dir)
	name := snapshotFile(t, dir)
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	damaged := map[string][]byte{"empty": {}, "of zeros": make([]byte, len(whole))}
	for part := 1; part < 6; part++ {
		at := len(whole) * part / 6
		flipped := append([]byte(nil), whole...)
		flipped[at] ^= 0x20
		damaged[fmt.Sprint("flipped at ", at)] = flipped
		damaged[fmt.Sprint("cut at ", at)] = whole[:at]
	}
	for how, text := range damaged {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if !startFrom(t, how, st, dir) {
			t.Errorf("a snapshot %s was taken for whole", how)
		}
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name+".123.tmp", whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if !startFrom(t, "missing", st, dir) {
		t.Error("a snapshot that is missing was read")
	}
	snapshotFile(t, dir) // what was half written is gone
}

func TestSnapshotOfAnotherStoreIsNotTaken(t *testing.T) {
	dir := t.TempDir()
	other := newMemory(t)
	play(t, storetest.NewPlayer(other, 3), 80)
	startFrom(t, "the other store", other, dir)
	st := newMemory(t)
	play(t, storetest.NewPlayer(st, 3), 80) // the same script, and yet another store
	if !startFrom(t, "this store", st, dir) {
		t.Error("the snapshot of another store was taken")
	}
}

// TestOlderBackupUnderANewerSnapshot restores a store to a backup, once as it was and once with a history of its own that
// gives the lost sequences again; the snapshot of the lost history must not show through.
func TestOlderBackupUnderANewerSnapshot(t *testing.T) {
	t.Parallel() // it waits for the disk
	for _, steps := range []int{0, 5, 120} {
		work, backup, snapshots := filepath.Join(t.TempDir(), "store"), filepath.Join(t.TempDir(), "backup"), t.TempDir()
		st := openPebble(t, work)
		p := storetest.NewPlayer(st, 4)
		play(t, p, 60)
		closed(t, st)
		copyDir(t, work, backup)
		st = openPebble(t, work)
		p.Take(st)
		play(t, p, 60)
		startFrom(t, "before", st, snapshots)
		closed(t, st)
		copyDir(t, backup, work)
		st = openPebble(t, work)
		other := storetest.NewPlayer(st, uint64(5+steps))
		play(t, other, steps)
		startFrom(t, fmt.Sprint("restored, ", steps, " steps later"), st, snapshots)
		startFrom(t, fmt.Sprint("and started again, ", steps, " steps later"), st, snapshots)
		closed(t, st)
	}
}

// TestStoreRestoredUnderARunningReplica puts an older backup in the place of the store while the replica runs, as a
// fail-over to a server that lags does.
func TestStoreRestoredUnderARunningReplica(t *testing.T) {
	t.Parallel() // it waits for the disk
	for _, steps := range []int{0, 40, 120} {
		work, backup := filepath.Join(t.TempDir(), "store"), filepath.Join(t.TempDir(), "backup")
		st := openPebble(t, work)
		p := storetest.NewPlayer(st, 6)
		play(t, p, 60)
		closed(t, st)
		copyDir(t, work, backup)
		changing := &scans{Store: openPebble(t, work)}
		p.Take(changing.Store)
		play(t, p, 60)
		r := openReplica(t, changing, "")
		check(t, "before", r, changing)
		closed(t, changing.Store)
		changing.Store = openPebble(t, backup)
		play(t, storetest.NewPlayer(changing.Store, uint64(7+steps)), steps)
		check(t, fmt.Sprint("restored, ", steps, " steps later"), r, changing)
		closed(t, r)
		closed(t, changing.Store)
	}
}
