package inventory

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func ref(shape, volatile int) Ref {
	var r Ref
	binary.BigEndian.PutUint32(r.Shape[:], uint32(shape))
	if volatile > 0 {
		r.Volatile = Entry{{Name: "InstalledTime", Value: fmt.Sprint(volatile)}}
	}
	return r
}

func TestDiffRoundTrip(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 5000 {
		// Few shapes and volatile values, so that entries repeat.
		refs := func() []Ref {
			out := make([]Ref, random.IntN(12))
			for i := range out {
				out[i] = ref(random.IntN(4), random.IntN(3))
			}
			return out
		}
		before := refs()
		after := refs()
		if random.IntN(2) == 0 {
			after = slices.Concat(before[random.IntN(len(before)+1):], after, before)
		}
		checkRoundTrip(t, before, after)
	}
}

func checkRoundTrip(t *testing.T, before, after []Ref) Delta {
	t.Helper()
	d := Diff(before, after)
	got, err := d.Apply(before)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(got, after, Ref.Equal) {
		t.Fatalf("before %v, after %v: the delta %v gives %v", before, after, d, got)
	}
	return d
}

func TestDiffIsShortWhereRunsAreKept(t *testing.T) {
	many := make([]Ref, 400)
	for i := range many {
		many[i] = ref(i, 0)
	}
	changed := slices.Clone(many)
	changed[100], changed[300] = ref(1000, 0), ref(1001, 0)
	for _, c := range []struct {
		name  string
		after []Ref
		edits int
	}{
		{"same", many, 1},
		{"empty", nil, 0},
		{"two entries changed", changed, 3},
		{"one inserted in front", slices.Concat([]Ref{ref(1000, 0)}, many), 2},
		{"one dropped", slices.Concat(many[:100], many[101:]), 2},
		{"halves swapped", slices.Concat(many[200:], many[:200]), 2},
	} {
		if d := checkRoundTrip(t, many, c.after); len(d) > c.edits {
			t.Errorf("%s: %d edits, want at most %d: %v", c.name, len(d), c.edits, d)
		}
	}
}

// Ten thousand entries of one shape, all different in what is volatile, in another order: nothing helps to find them.
func TestDiffOfHostileReport(t *testing.T) {
	before := make([]Ref, 10_000)
	for i := range before {
		before[i] = ref(1, i+1)
	}
	after := slices.Clone(before)
	slices.Reverse(after)
	checkRoundTrip(t, before, after)
	same := slices.Repeat([]Ref{ref(1, 1)}, 10_000)
	checkRoundTrip(t, same, before)
	if d := checkRoundTrip(t, same, same[:9_999]); len(d) != 1 {
		t.Errorf("dropping one of ten thousand equal entries takes %d edits", len(d))
	}
}

func TestDeltaRefusesAnotherDocument(t *testing.T) {
	for _, d := range []Delta{{{From: 0, Copy: 3}}, {{From: 3}}, {{From: -1, Copy: 1}}, {{From: 1, Copy: -1}}, {{From: 1, Copy: int(^uint(0) >> 1)}}} {
		if got, err := d.Apply([]Ref{ref(1, 0), ref(2, 0)}); err == nil {
			t.Errorf("delta %v gives %v", d, got)
		}
	}
}

func TestSetDiff(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	set := func() []ShapeID {
		var d Document
		for range random.IntN(8) {
			d.Refs = append(d.Refs, ref(random.IntN(9), 0))
		}
		return d.ShapeSet()
	}
	for range 2000 {
		before, after := set(), set()
		added, removed := SetDiff(before, after)
		without := func(from, what []ShapeID) []ShapeID {
			return slices.DeleteFunc(slices.Clone(from), func(id ShapeID) bool { return slices.Contains(what, id) })
		}
		if diff := cmp.Diff(without(after, before), added, cmpEmpty); diff != "" {
			t.Fatalf("added (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(without(before, after), removed, cmpEmpty); diff != "" {
			t.Fatalf("removed (-want +got):\n%s", diff)
		}
	}
}

var cmpEmpty = cmp.FilterValues(func(a, b []ShapeID) bool { return len(a)+len(b) == 0 }, cmp.Ignore())

func TestShapesAreSortedWhateverTheirIDs(t *testing.T) {
	const seed = 5
	random := rand.New(rand.NewPCG(seed, 0))
	for range 500 {
		d := Document{Refs: make([]Ref, random.IntN(300))}
		kind, kinds := random.IntN(3), 1+random.IntN(400)
		for i := range d.Refs {
			h := fnv.New128a()
			fmt.Fprint(h, random.IntN(kinds)) // ids that repeat
			copy(d.Refs[i].Shape[:], h.Sum(nil))
			if kind > 0 { // ids that are no hashes
				clear(d.Refs[i].Shape[:8*kind-1])
			}
		}
		var want []ShapeID
		for _, r := range d.Refs {
			want = append(want, r.Shape)
		}
		slices.SortFunc(want, CompareShapeIDs)
		want = slices.Compact(want)
		set, refs := d.Shapes()
		if !slices.Equal(set, want) || len(refs) != len(set) {
			t.Fatalf("seed %d: Shapes of %v = %v, want %v", seed, d.Refs, set, want)
		}
		for i, at := range refs {
			if d.Refs[at].Shape != set[i] {
				t.Fatalf("seed %d: ref %d hasn't the shape %v", seed, at, set[i])
			}
		}
	}
}

func BenchmarkShapeSet(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 0))
	d := Document{Refs: make([]Ref, 400)}
	for i := range d.Refs {
		binary.BigEndian.PutUint64(d.Refs[i].Shape[:8], random.Uint64())
	}
	b.ReportAllocs()
	for b.Loop() {
		d.ShapeSet()
	}
}

// BenchmarkDiff compares two documents of 400 entries, five of which have changed.
func BenchmarkDiff(b *testing.B) {
	before := make([]Ref, 400)
	for i := range before {
		before[i] = ref(i+1, 0)
	}
	after := slices.Clone(before)
	for i := range 5 {
		after[37*i+11] = ref(1000+i, 1)
	}
	b.ReportAllocs()
	for b.Loop() {
		Diff(before, after)
	}
}

func TestShapeSet(t *testing.T) {
	d := Document{Refs: []Ref{ref(3, 1), ref(1, 0), ref(3, 2), ref(2, 0), ref(1, 0)}}
	want := []ShapeID{ref(1, 0).Shape, ref(2, 0).Shape, ref(3, 0).Shape}
	if got := d.ShapeSet(); !slices.Equal(got, want) {
		t.Errorf("ShapeSet = %v, want %v", got, want)
	}
}
