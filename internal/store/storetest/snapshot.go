package storetest

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"

	"stocktake/internal/store"
)

// save keeps a snapshot of so many equal bytes, written in pieces.
func save(t *testing.T, s store.Snapshots, b byte, size int) {
	t.Helper()
	err := s.SaveSnapshot(t.Context(), func(w io.Writer) error { return fill(w, b, size) })
	if err != nil {
		t.Fatal(err)
	}
}

func fill(w io.Writer, b byte, size int) error {
	for size > 0 {
		n, err := w.Write(bytes.Repeat([]byte{b}, min(size, 70_001)))
		if err != nil {
			return err
		}
		size -= n
	}
	return nil
}

// loads checks that the snapshot kept is whole, and gives which it is and its size.
func loads(t *testing.T, s store.Snapshots) (which byte, size int) {
	t.Helper()
	err := s.LoadSnapshot(t.Context(), func(r io.Reader) error {
		all, err := io.ReadAll(r)
		if len(all) > 0 {
			which, size = all[0], len(all)
			if bytes.Count(all, all[:1]) != len(all) {
				t.Error("a snapshot is made of several")
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return which, size
}

func snapshotsKeepTheNewest(t *testing.T, m Maker) {
	s, ok := m.Open(t).(store.Snapshots)
	if !ok {
		return // the store's kind has no such role
	}
	read := func(io.Reader) error {
		t.Error("a snapshot is read that was never saved")
		return nil
	}
	failed := errors.New("half way")
	fail := func(w io.Writer) error { return errors.Join(fill(w, 'f', 300_000), failed) }
	if err := s.LoadSnapshot(t.Context(), read); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("snapshot of a new store: %v, want ErrNotFound", err)
	}
	if err := s.SaveSnapshot(t.Context(), fail); !errors.Is(err, failed) {
		t.Errorf("snapshot whose writing failed: %v", err)
	}
	if err := s.LoadSnapshot(t.Context(), read); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("snapshot whose writing failed is kept: %v, want ErrNotFound", err)
	}
	for i, size := range []int{5_000_000, 10, 1_234_567, 1} {
		which := byte('a' + i)
		save(t, s, which, size)
		if err := s.SaveSnapshot(t.Context(), fail); !errors.Is(err, failed) {
			t.Errorf("snapshot whose writing failed: %v", err)
		}
		if got, n := loads(t, s); got != which || n != size {
			t.Errorf("snapshot of %d times %c became %d times %c", size, which, n, got)
		}
	}
	if err := s.LoadSnapshot(t.Context(), func(io.Reader) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("snapshot whose reading failed: %v", err)
	}
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			for range 5 {
				save(t, s, byte('p'+i), 200_000+i)
				if got, n := loads(t, s); n != 200_000+int(got-'p') {
					t.Errorf("snapshot of %c has %d bytes", got, n)
				}
			}
		})
	}
	group.Wait()
}

func reopenKeepsTheSnapshot(t *testing.T, m Maker) {
	r := newTrial(t, m)
	s, ok := r.s.(store.Snapshots)
	if !ok {
		return // the store's kind has no such role
	}
	save(t, s, 'a', 3_000_000)
	r.reopen(m)
	if got, n := loads(t, r.s.(store.Snapshots)); got != 'a' || n != 3_000_000 {
		t.Errorf("after reopening the snapshot is %d times %c", n, got)
	}
}
