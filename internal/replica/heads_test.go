package replica

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"stocktake/internal/inventory"
)

// TestHeadsAreSharedByThoseWhoCameBefore has many ask while a read is under way: one more read serves them all, and it
// begins after the last of them came.
func TestHeadsAreSharedByThoseWhoCameBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		reads := uint64(0)
		h := headReads{read: func() ([]inventory.Position, error) {
			reads++
			now := reads
			<-answer
			return []inventory.Position{{Seq: now}}, nil
		}}
		ask := func(want uint64) {
			go func() {
				heads, err := h.get(t.Context())
				if err != nil || heads[0].Seq != want {
					t.Errorf("heads %v (%v), want those of read %d", heads, err, want)
				}
			}()
		}
		ask(1)
		synctest.Wait()
		for range 10 {
			ask(2)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := h.get(gone); !errors.Is(err, context.Canceled) {
			t.Errorf("who gave up got %v", err)
		}
		synctest.Wait()
		for n := uint64(1); n <= 2; n++ {
			if reads != n {
				t.Errorf("%d reads began, want %d", reads, n)
			}
			answer <- struct{}{}
			synctest.Wait()
		}
		if reads != 2 {
			t.Errorf("%d reads served them, want 2", reads)
		}
	})
}

func TestTrailKnowsThePositionsPassedLast(t *testing.T) {
	var tr trail
	at := func(n int) inventory.Position {
		return inventory.Position{Seq: uint64(n), ID: inventory.ChangeID{byte(n), byte(n >> 8)}}
	}
	for n := range 2000 {
		tr.add(at(n))
	}
	for n, want := range map[int]bool{1999: true, 1999 - 2*followPage + 1: true, 1999 - 2*followPage: false, 2000: false} {
		if got := tr.has(at(n)); got != want {
			t.Errorf("position %d is known: %v", n, got)
		}
	}
	if tr.has(inventory.Position{Seq: 1999}) {
		t.Error("a position of another change is known")
	}
}
