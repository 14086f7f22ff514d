package stores_test

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"stocktake/internal/store/storetest"
	"stocktake/internal/store/storetest/stores"
)

var (
	seeds = flag.Int("seeds", 2, "scripts of the model run, the last of them of the clock")
	steps = flag.Int("steps", 250, "steps of each")
)

func TestLaws(t *testing.T) {
	for _, m := range stores.All(4) {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, m)
		})
	}
}

// TestModel plays the same scripts on all kinds of store at once.
func TestModel(t *testing.T) {
	for n := range *seeds {
		seed := uint64(n + 1)
		if n == *seeds-1 {
			seed = uint64(time.Now().UnixNano() % 1e6)
		}
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			storetest.Model(t, stores.All(3), 3, seed, *steps)
		})
	}
}

func TestCopyBetweenKinds(t *testing.T) {
	kinds := stores.All(2)
	for _, from := range kinds {
		for _, to := range kinds {
			if from.Name != to.Name { // which is a law
				t.Run(from.Name+" to "+to.Name, func(t *testing.T) {
					t.Parallel()
					storetest.Copy(t, from, to, 61)
				})
			}
		}
	}
}
