package pebble

import (
	"math/rand/v2"
	"slices"
	"testing"

	"stocktake/internal/inventory"
)

func TestShapeSetsAreTold(t *testing.T) {
	const seed = 11
	random := rand.New(rand.NewPCG(seed, 0))
	told := map[bool]int{}
	for range 20_000 {
		refs := make([]inventory.Ref, random.IntN(12))
		for i := range refs { // few enough to meet, and all over the range of ids or close together
			refs[i].Shape[0], refs[i].Shape[15] = byte(random.IntN(4)*85), byte(random.IntN(4))
		}
		list := inventory.Document{Refs: refs}.ShapeSet()
		switch at := random.IntN(len(list) + 1); random.IntN(5) {
		case 0:
			list = list[:at]
		case 1:
			list = slices.Insert(list, at, inventory.ShapeID{0: byte(random.IntN(256))})
		case 2:
			random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		}
		want := slices.Equal(list, inventory.Document{Refs: refs}.ShapeSet())
		if got := isShapeSet(list, refs); got != want {
			t.Fatalf("seed %d: %v the shape set of %v: %v", seed, list, refs, got)
		}
		told[want]++
	}
	if told[true] < 1000 || told[false] < 1000 {
		t.Errorf("told %v", told)
	}
}
