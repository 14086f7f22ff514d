package stores_test

import (
	"fmt"
	"testing"
	"time"

	"stocktake/internal/store/storetest"
	"stocktake/internal/store/storetest/stores"
)

func TestLaws(t *testing.T) {
	for _, m := range stores.All(4) {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel() // most of them wait for a disk
			storetest.Run(t, m)
		})
	}
}

// TestModel plays the same scripts on all kinds of store at once.
func TestModel(t *testing.T) {
	for _, seed := range []uint64{1, 2, uint64(time.Now().UnixNano() % 1e6)} {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			storetest.Model(t, stores.All(3), 3, seed, 400)
		})
	}
}

func TestCopyBetweenKinds(t *testing.T) {
	kinds := stores.All(2)
	for _, from := range kinds {
		for _, to := range kinds {
			if from.Name != to.Name { // which is a law
				t.Run(from.Name+" to "+to.Name, func(t *testing.T) { storetest.Copy(t, from, to, 61) })
			}
		}
	}
}
