package storetest

import (
	"math/rand/v2"
	"testing"

	"stocktake/internal/store/memory"
)

// Model plays one script on a store of each kind and on the memory store, all of them of so many shards, and holds each
// against that one, step by step what came of it and every so often all that is stored. Stores that last are reopened at
// random, those that several servers share are gone on with through another handle. A failure names its seed.
func Model(t *testing.T, makers []Maker, shards int, seed uint64, steps int) {
	truth, err := memory.New(shards)
	if err != nil {
		t.Fatal(err)
	}
	players := make([]*Player, len(makers))
	for i, m := range makers {
		s := m.Open(t)
		if s.Identity().Shards != shards {
			t.Fatalf("%s has %d shards, not %d", m.Name, s.Identity().Shards, shards)
		}
		players[i] = NewPlayer(s, seed)
	}
	model := NewPlayer(truth, seed)
	chance := rand.New(rand.NewPCG(seed, 1))
	for step := range steps {
		want, err := model.Next(t.Context())
		if err != nil {
			t.Fatalf("seed %d, step %d: oracle: %s: %v", seed, step, want, err)
		}
		look := chance.IntN(25) == 0 || step == steps-1
		for i, p := range players {
			got, err := p.Next(t.Context())
			if err != nil || got != want {
				t.Fatalf("seed %d, step %d: %s: %s (%v), oracle: %s", seed, step, makers[i].Name, got, err, want)
			}
			p.move(t, makers[i], chance)
			if look {
				Same(t, model, p, "seed %d, step %d, %s", seed, step, makers[i].Name)
			}
		}
	}
}

// move goes on with the store reopened, or through another handle, once in a while.
func (p *Player) move(t *testing.T, m Maker, chance *rand.Rand) {
	t.Helper()
	switch n := chance.IntN(60); {
	case n == 0 && m.Reopen != nil:
		p.Take(m.Reopen(t, p.Store))
	case n == 1 && m.Handle != nil:
		p.Take(m.Handle(t, p.Store))
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
