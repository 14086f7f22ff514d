package storetest

import (
	"errors"
	"testing"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// hours reports so many times from one node, an hour apart, the first at Epoch.
func (r *trial) hours(key inventory.NodeKey, reports int) []inventory.Change {
	r.Helper()
	for i := range reports {
		r.report(key, Epoch.Add(time.Duration(i)*time.Hour), packages("a", string(rune('b'+i))))
	}
	return r.changes(key)
}

func (r *trial) behind(shard int, at inventory.Position) {
	r.Helper()
	if changes, err := r.s.Changes(r.Context(), shard, at, 10); !errors.Is(err, store.ErrBehind) {
		r.Errorf("changes after %d (%x) of shard %d: %d of them, %v; want ErrBehind", at.Seq, at.ID, shard, len(changes), err)
	}
}

// after reads what follows a change, which must be so many.
func (r *trial) after(c inventory.Change, want int) {
	r.Helper()
	changes, err := r.s.Changes(r.Context(), c.Shard, c.Position, 100)
	if err != nil || len(changes) != want {
		r.Errorf("changes after %d: %d of them, %v; want %d", c.Seq, len(changes), err, want)
	}
}

func behindIsTold(t *testing.T, m Maker) {
	r := newTrial(t, m)
	key := Node(1)
	changes := r.hours(key, 6)
	shard := r.shardOf(key)
	other := changes[2].Position
	other.ID[0] ^= 1
	r.behind(shard, other)                                    // another history's change
	r.behind(shard, inventory.Position{Seq: 2})               // a position without an id
	r.behind(shard, inventory.Position{ID: changes[0].ID})    // an id without a position
	r.behind(shard, inventory.Position{Seq: 7, ID: other.ID}) // the future
	r.after(changes[5], 0)
	if empty := (shard + 1) % r.s.Identity().Shards; empty != shard {
		r.behind(empty, changes[0].Position)
		r.after(inventory.Change{Shard: empty}, 0)
	}
	if n := r.prune(Epoch.Add(2 * time.Hour)); n != 2 {
		t.Errorf("prune dropped %d changes, want 2", n)
	}
	r.behind(shard, inventory.Position{})
	r.behind(shard, changes[1].Position)
	r.after(changes[2], 3)
	for _, shard := range []int{-1, r.s.Identity().Shards} {
		if _, err := r.s.Changes(t.Context(), shard, inventory.Position{}, 10); err == nil || errors.Is(err, store.ErrBehind) {
			t.Errorf("changes of shard %d, which is none: %v", shard, err)
		}
	}
}

func oldestChangeBeginsTheFeed(t *testing.T, m Maker) {
	r := newTrial(t, m)
	key := Node(1)
	if c, err := r.s.OldestChange(t.Context(), r.shardOf(key)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("oldest change of an empty feed: %+v, %v; want ErrNotFound", c, err)
	}
	changes := r.hours(key, 5)
	for pruned, want := range []inventory.Change{changes[0], changes[1], changes[3], changes[4], changes[4]} {
		r.prune(Epoch.Add(time.Duration([]int{0, 1, 3, 4, 1000}[pruned]) * time.Hour))
		got, err := r.s.OldestChange(t.Context(), r.shardOf(key))
		r.check(err)
		if d := differ(want, got); d != "" {
			t.Errorf("oldest change (-want +got):\n%s", d)
		}
		r.after(got, int(5-got.Seq))
	}
	if _, err := r.s.OldestChange(t.Context(), r.s.Identity().Shards); err == nil || errors.Is(err, store.ErrNotFound) {
		t.Errorf("oldest change of a shard that is none: %v", err)
	}
}

func pruneKeepsReaders(t *testing.T, m Maker) {
	r := newTrial(t, m)
	key := Node(1)
	changes := r.hours(key, 8)
	read := make([]uint64, r.s.Identity().Shards)
	r.check(r.s.SetReader(t.Context(), "slow", read))
	if n := r.prune(Epoch.Add(1000 * time.Hour)); n != 0 {
		t.Errorf("prune dropped %d changes that a reader had not read", n)
	}
	read[r.shardOf(key)] = 3
	r.check(r.s.SetReader(t.Context(), "slow", read))
	read[r.shardOf(key)] = 6
	r.check(r.s.SetReader(t.Context(), "fast", read))
	if n := r.prune(Epoch.Add(1000 * time.Hour)); n != 2 {
		t.Errorf("prune beside readers at 3 and 6 dropped %d of 8 changes, want 2", n)
	}
	r.after(changes[2], 5)
	r.check(r.s.DropReader(t.Context(), "slow"))
	r.check(r.s.DropReader(t.Context(), "never registered"))
	r.prune(Epoch.Add(1000 * time.Hour))
	r.behind(r.shardOf(key), changes[4].Position)
	r.after(changes[5], 2)
	if err := r.s.SetReader(t.Context(), "short", read[:1]); err == nil && len(read) > 1 {
		t.Error("a reader of one shard was registered")
	}
}

func pruneStopsAtAge(t *testing.T, m Maker) {
	r := newTrial(t, m)
	key := Node(1)
	r.report(key, Epoch, packages("a"))
	r.report(key, Epoch.Add(5*time.Hour), packages("b"))
	r.report(key, Epoch.Add(-time.Hour), packages("c")) // the clock went back
	r.report(key, Epoch.Add(6*time.Hour), packages("d"))
	if n := r.prune(Epoch); n != 0 {
		t.Errorf("prune dropped %d changes although the oldest was not old", n)
	}
	if n := r.prune(Epoch.Add(time.Hour)); n != 1 {
		t.Errorf("prune dropped %d changes, want 1: the next one is young", n)
	}
	if n := r.prune(Epoch.Add(5*time.Hour + time.Second)); n != 2 {
		t.Errorf("prune dropped %d changes, want 2", n)
	}
	r.check(r.s.SetReader(t.Context(), "none", make([]uint64, r.s.Identity().Shards)))
	r.report(key, Epoch.Add(6*time.Hour), packages("e"))
	// Changes go on being readable, and whole, after what their documents were built on is gone.
	scan := r.scanned(func() {})
	heads := r.heads()
	r.report(key, Epoch.Add(7*time.Hour), packages("e", "f"))
	r.follow(scan, heads)
	if now := r.scanned(func() {}); len(now.documents) != 1 || len(scan.documents[DocumentKey(key, inventory.ItemKey{Type: "AWS:Application"})].Refs) != 2 {
		t.Error("replay after a prune lost something")
	}
}

func newestChangeStays(t *testing.T, m Maker) {
	r := newTrial(t, m)
	key := Node(1)
	changes := r.hours(key, 4)
	heads := r.heads()
	r.prune(Epoch.Add(1000 * time.Hour))
	if n := r.prune(Epoch.Add(1000 * time.Hour)); n != 0 {
		t.Errorf("a second prune dropped %d", n)
	}
	if got := r.heads()[r.shardOf(key)]; got != heads[r.shardOf(key)] || got.Seq != 4 {
		t.Errorf("head after a prune of everything: %v, before: %v", got, heads[r.shardOf(key)])
	}
	r.after(changes[3], 0)
	r.behind(r.shardOf(key), changes[2].Position)
	done := r.report(key, Epoch, packages("z"))
	if done.Changes[0].Seq != 5 {
		t.Errorf("the change after a prune has sequence %d, want 5", done.Changes[0].Seq)
	}
	r.after(changes[3], 1)
}
