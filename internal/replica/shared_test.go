package replica_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/replica"
	"stocktake/internal/store"
	"stocktake/internal/store/storetest"
)

// shelf keeps one snapshot.
type shelf struct {
	mu    sync.Mutex
	kept  []byte
	saves int
	err   error
}

func (s *shelf) SaveSnapshot(_ context.Context, write func(io.Writer) error) error {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept, s.saves = b.Bytes(), s.saves+1
	return s.err
}

func (s *shelf) LoadSnapshot(_ context.Context, read func(io.Reader) error) error {
	s.mu.Lock()
	kept, err := s.kept, s.err
	s.mu.Unlock()
	if err == nil && kept == nil {
		err = store.ErrNotFound
	}
	if err != nil {
		return err
	}
	return read(bytes.NewReader(kept))
}

func (s *shelf) saved() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saves
}

func (s *shelf) await(t *testing.T, saves int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); s.saved() < saves; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d snapshots were shared, want %d", s.saved(), saves)
		}
	}
}

func openShared(t *testing.T, st store.Store, s store.Snapshots, every time.Duration) *replica.Replica {
	t.Helper()
	r, err := replica.Open(t.Context(), st, replica.Options{
		Follow: time.Millisecond, Shared: s, SharedEvery: every, Limits: inventory.DefaultLimits(), Logger: discard,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// startShared starts a server without a disk, and tells whether it read the store whole.
func startShared(t *testing.T, when string, st store.Store, s store.Snapshots) (scanned bool) {
	t.Helper()
	counted := &scans{Store: st}
	r := openShared(t, counted, s, time.Hour)
	n := counted.n.Load()
	check(t, when, r, st)
	closed(t, r)
	return n > 0
}

func TestSharedSnapshotSparesTheStore(t *testing.T) {
	st, s := newMemory(t), &shelf{}
	p := storetest.NewPlayer(st, 80)
	play(t, p, 100)
	r := openShared(t, st, s, time.Hour)
	s.await(t, 1)
	closed(t, r)
	if startShared(t, "second server", st, s) {
		t.Error("a server read the store though a snapshot was kept")
	}
	if _, err := storetest.NewWriter(st).Report(t.Context(), storetest.Node(1), storetest.Epoch, storetest.NewSource(7).Item(9)); err != nil {
		t.Fatal(err)
	}
	if startShared(t, "a change later", st, s) {
		t.Error("a server read the store for one change")
	}
	if s.saved() != 1 {
		t.Errorf("%d snapshots were shared, and the first was young", s.saved())
	}
}

func TestSharedSnapshotThatCannotBeUsedCostsTimeAlone(t *testing.T) {
	st, s := newMemory(t), &shelf{}
	play(t, storetest.NewPlayer(st, 81), 60)
	r := openShared(t, st, s, time.Hour)
	s.await(t, 1)
	closed(t, r)
	whole := s.kept
	damaged := map[string][]byte{"empty": {}, "of zeros": make([]byte, len(whole)), "of another version": append([]byte("STKSHRD\x02"), whole[8:]...)}
	for part := 1; part < 6; part++ {
		at := len(whole) * part / 6
		flipped := bytes.Clone(whole)
		flipped[at] ^= 0x20
		damaged[fmt.Sprint("flipped at ", at)] = flipped
		damaged[fmt.Sprint("cut at ", at)] = whole[:at]
	}
	for how, text := range damaged {
		if !startShared(t, how, st, &shelf{kept: text}) {
			t.Errorf("a snapshot %s was taken for whole", how)
		}
	}
	if !startShared(t, "away", st, &shelf{err: store.ErrUnavailable}) {
		t.Error("a snapshot that could not be read was used")
	}
	other := newMemory(t)
	play(t, storetest.NewPlayer(other, 81), 60)
	if !startShared(t, "of another store", other, &shelf{kept: whole}) {
		t.Error("the snapshot of another store was taken")
	}
	// The store lost the history of the snapshot: the feed leads on from it nowhere.
	lost := like(t, st)
	play(t, storetest.NewPlayer(lost, 82), 90)
	if !startShared(t, "of another history", lost, &shelf{kept: whole}) {
		t.Error("the snapshot of another history was taken")
	}
}

// TestServersShareOneSnapshotSeldom has three servers of which none needs to write when another just has.
func TestServersShareOneSnapshotSeldom(t *testing.T) {
	st, s := newMemory(t), &shelf{}
	p := storetest.NewPlayer(st, 83)
	play(t, p, 20)
	var all []*replica.Replica
	for range 3 {
		all = append(all, openShared(t, st, s, time.Hour))
		s.await(t, 1)
	}
	for _, r := range all {
		play(t, p, 10)
		check(t, "before the end", r, st)
		closed(t, r)
	}
	if s.saved() != 1 {
		t.Errorf("%d snapshots were shared within an hour", s.saved())
	}
	clear(s.kept[8:16]) // as if it had been written long ago
	r := openShared(t, st, s, 10*time.Millisecond)
	play(t, p, 30)
	check(t, "long after", r, st)
	s.await(t, 2)
	closed(t, r)
}

func TestSharedSnapshotThatCannotBeWrittenStopsNothing(t *testing.T) {
	st, s := newMemory(t), &shelf{err: errors.New("no room")}
	play(t, storetest.NewPlayer(st, 84), 40)
	r := openShared(t, st, s, time.Millisecond)
	check(t, "without", r, st)
	closed(t, r)
}
