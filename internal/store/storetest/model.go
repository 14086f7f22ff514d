package storetest

import (
	"math/rand/v2"
	"testing"

	"stocktake/internal/store/memory"
)

// Model plays one script on a store and on the memory store and holds one against the other, step by step what came of
// it and every so often all that is stored. A store that lasts is reopened at random. A failure names its seed.
func Model(t *testing.T, m Maker, seed uint64, steps int) {
	s := m.Open(t)
	oracle, err := memory.New(s.Identity().Shards)
	if err != nil {
		t.Fatal(err)
	}
	a, b := NewPlayer(s, seed), NewPlayer(oracle, seed)
	chance := rand.New(rand.NewPCG(seed, 1))
	for i := range steps {
		got, errA := a.Next(t.Context())
		want, errB := b.Next(t.Context())
		if errA != nil || errB != nil || got != want {
			t.Fatalf("seed %d, step %d: store: %s (%v), oracle: %s (%v)", seed, i, got, errA, want, errB)
		}
		if m.Reopen != nil && chance.IntN(60) == 0 {
			s = m.Reopen(t, s)
			a.Take(s)
		}
		if chance.IntN(25) == 0 || i == steps-1 {
			Same(t, b, a, "seed %d, step %d", seed, i)
		}
	}
}

// Same fails the test when the stores of two players differ in anything that can be read.
func Same(tb testing.TB, want, got *Player, format string, args ...any) {
	tb.Helper()
	a, err := want.Read(tb.Context())
	if err != nil {
		tb.Fatalf(format+": oracle: %v", append(args, err)...)
	}
	b, err := got.Read(tb.Context())
	if err != nil {
		tb.Fatalf(format+": %v", append(args, err)...)
	}
	if d := Diff(a, b); d != "" {
		tb.Fatalf(format+" (-oracle +store):\n%s", append(args, d)...)
	}
}
