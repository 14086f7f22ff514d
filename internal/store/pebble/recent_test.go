package pebble

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"stocktake/internal/inventory"
)

func TestLatelyKnowsTheLastWrites(t *testing.T) {
	const seed = 7
	random := rand.New(rand.NewPCG(seed, 0))
	l, last := newLately(), map[string]uint64{}
	unknown := 0
	for view := uint64(1); view < 3000; view++ {
		for range random.IntN(20) {
			key := fmt.Sprint(random.IntN(30_000))
			l.add(key, view)
			last[key] = view
		}
		key, from := fmt.Sprint(random.IntN(30_000)), uint64(random.Int64N(int64(view)+1))
		written, known := l.written([]byte(key), from)
		if known && written != (last[key] > from) {
			t.Fatalf("seed %d: view %d: node %s was last written for view %d; written after %d: %v", seed, view, key, last[key], from, written)
		}
		if !known {
			unknown++
			if view-from < maxLately/20 {
				t.Fatalf("seed %d: view %d: writes after %d are forgotten", seed, view, from)
			}
		}
	}
	if unknown == 0 || len(l.now)+len(l.old) > 2*maxLately {
		t.Errorf("%d looks back were too far; %d writes are kept", unknown, len(l.now)+len(l.old))
	}
}

func TestRecordsAreTakenOnceAtTheirRevision(t *testing.T) {
	r := newRecords()
	key := inventory.NodeKey{Partition: inventory.Partition{Account: "1", Region: "r"}, Node: "i-1"}
	elsewhere := key
	elsewhere.Region = "other"
	for _, wrong := range []struct {
		key      inventory.NodeKey
		revision uint64
	}{{key, 4}, {key, 0}, {elsewhere, 3}} {
		r.put(9, record{node: inventory.Node{Key: key, Revision: 3}})
		if r.take(wrong.key, wrong.revision) != nil {
			t.Errorf("record of %v at 3 was given for %v at %d", key, wrong.key, wrong.revision)
		}
	}
	r.put(9, record{node: inventory.Node{Key: key, Revision: 3}})
	if got := r.take(key, 3); got == nil || got.view != 9 {
		t.Fatalf("took %v", got)
	}
	if r.take(key, 3) != nil {
		t.Error("a record was taken twice")
	}
}
