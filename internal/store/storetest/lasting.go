package storetest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func reopenKeepsAll(t *testing.T, m Maker) {
	r := newTrial(t, m)
	src := NewSource(41)
	for round := range 5 {
		for range 25 {
			r.step(src)
		}
		r.put("job/"+string(rune('a'+round)), "state", 0)
		before, heads, identity := r.all(), r.heads(), r.s.Identity()
		head := r.recordsHead()
		r.reopen(m)
		if d := Diff(before, r.all()); d != "" {
			t.Fatalf("reopening lost or changed something (-before +after):\n%s", d)
		}
		if d := cmp.Diff(heads, r.heads()); d != "" {
			t.Fatalf("reopening changed the heads (-before +after):\n%s", d)
		}
		if r.s.Identity() != identity {
			t.Fatal("reopening changed the identity")
		}
		if again := r.recordsHead(); again != head {
			t.Fatalf("reopening changed the records' head from %v to %v", head, again)
		}
	}
}

func reopenGoesOn(t *testing.T, m Maker) {
	r := newTrial(t, m)
	key := Node(1)
	changes := r.hours(key, 5)
	stale := r.build(key, Epoch, packages("stale"))
	read := make([]uint64, r.s.Identity().Shards)
	read[r.shardOf(key)] = 3
	r.check(r.s.SetReader(t.Context(), "reader", read))
	record := r.put("k", "1", 0)
	r.report(key, Epoch.Add(10*time.Hour), packages("newer"))

	r.reopen(m)
	if _, err := r.s.Commit(t.Context(), stale); err == nil {
		t.Error("reopening let a stale commit win")
	}
	done := r.report(key, Epoch.Add(11*time.Hour), packages("newest"))
	if done.Changes[0].Seq != 7 {
		t.Errorf("the first change after reopening has sequence %d, want 7", done.Changes[0].Seq)
	}
	if again := r.put("k", "2", record); again <= record {
		t.Errorf("a record's revision went from %d to %d", record, again)
	}
	if n := r.prune(Epoch.Add(1000 * time.Hour)); n != 2 {
		t.Errorf("prune dropped %d changes, want the 2 before the reader's", n)
	}
	r.behind(r.shardOf(key), changes[1].Position)
	r.after(changes[2], 4)
	more := 0
	if r.shardOf(Node(2)) == r.shardOf(key) {
		more = 1
	}
	r.report(Node(2), Epoch, packages("shape after reopening", "a"))

	r.reopen(m)
	r.behind(r.shardOf(key), changes[1].Position)
	r.after(changes[2], 4+more)
	r.sweep()
	if !r.hasShapes(r.shapesOf(key)) || !r.hasShapes(r.shapesOf(Node(2))) {
		t.Error("a sweep after reopening dropped a shape that is named")
	}
	r.whole()
}
