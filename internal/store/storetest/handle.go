package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// handlesReadAtOnce holds what one handle reads against what the other has just acknowledged, turn about.
func handlesReadAtOnce(t *testing.T, m Maker) {
	r := newTrialBy2(t, m)
	src := NewSource(61)
	revision := uint64(0)
	for round := range 30 {
		here, there := r.on(round), r.on(round+1)
		key := src.NodeKey(3)
		item := src.Item(10)
		c := here.build(key, Epoch, item)
		done := here.commit(c)
		node := there.node(key)
		if node.Revision != done.Revision || node.Item(KeyOf(item)).CaptureTime != item.CaptureTime {
			t.Fatalf("round %d: the other handle reads revision %d after %d", round, node.Revision, done.Revision)
		}
		name := DocumentKey(key, KeyOf(item))
		doc := there.document(name)
		if d := differ(*c.Writes[0].Document, doc); d != "" {
			t.Fatalf("round %d: document (-committed +read by the other handle):\n%s", round, d)
		}
		entries, err := Entries(t.Context(), there.s, name, doc)
		r.check(err)
		if d := differ(item.Content, entries); d != "" {
			t.Fatalf("round %d: entries (-committed +read by the other handle):\n%s", round, d)
		}
		if d := differ([]store.NodeScan{there.scan(key)}, there.read([]inventory.NodeKey{key}, allTypes(node)...)); d != "" {
			t.Fatalf("round %d: node (-scanned +read):\n%s", round, d)
		}
		last := done.Changes[0]
		if head := there.heads()[last.Shard]; head != last.Position {
			t.Fatalf("round %d: the other handle's head is %v, want %v", round, head, last.Position)
		}
		changes := there.changes(key)
		if d := differ(last, changes[len(changes)-1]); d != "" {
			t.Fatalf("round %d: change (-committed +read by the other handle):\n%s", round, d)
		}
		refreshed := there.commit(there.refreshOf(key, KeyOf(item)))
		if node := here.node(key); node.Revision != refreshed.Revision {
			t.Fatalf("round %d: revision %d after an unchanged report that gave %d", round, node.Revision, refreshed.Revision)
		}
		revision = here.put("k", fmt.Sprint(round), revision)
		if rec, err := there.s.Record(t.Context(), "k"); err != nil || rec.Revision != revision || string(rec.Value) != fmt.Sprint(round) {
			t.Fatalf("round %d: record: %+v, %v", round, rec, err)
		}
		if a, b := here.recordsHead(), there.recordsHead(); a != b {
			t.Fatalf("round %d: the records' heads are %v and %v", round, a, b)
		}
	}
}

// scan finds one node in its shard.
func (r *trial) scan(key inventory.NodeKey) store.NodeScan {
	r.Helper()
	nodes, err := ScanAll(r.Context(), r.s, r.shardOf(key), 100)
	r.check(err)
	for _, n := range nodes {
		if n.Node.Key == key {
			return n
		}
	}
	r.Fatalf("a scan does not find node %s", key.Node)
	return store.NodeScan{}
}

// refreshOf builds an unchanged report of one document.
func (r *trial) refreshOf(key inventory.NodeKey, k inventory.ItemKey) store.Commit {
	r.Helper()
	node := r.node(key)
	node.Item(k).Arrival = Epoch.Add(time.Hour)
	return store.Commit{Node: node}
}

// handlesShareTheFeed checks what is not read but heeded: readers, pruning, fences, the snapshot, closing.
func handlesShareTheFeed(t *testing.T, m Maker) {
	r := newTrialBy2(t, m)
	a, b := r.on(0), r.on(1)
	if a.s.Identity() != b.s.Identity() {
		t.Fatal("two handles of one store have two identities")
	}
	key := Node(1)
	changes := a.hours(key, 6)
	shard := a.shardOf(key)
	read := make([]uint64, a.s.Identity().Shards)
	read[shard] = 3
	r.check(a.s.SetReader(t.Context(), "reader", read))
	if n := b.prune(Epoch.Add(1000 * time.Hour)); n != 2 {
		t.Errorf("prune dropped %d changes, want the 2 before those of the reader of another handle", n)
	}
	a.behind(shard, changes[1].Position)
	a.after(changes[2], 3)
	oldest, err := a.s.OldestChange(t.Context(), shard)
	r.check(err)
	if oldest.Position != changes[2].Position {
		t.Errorf("oldest change is %v, want %v", oldest.Position, changes[2].Position)
	}
	r.check(b.s.DropReader(t.Context(), "reader"))
	if n := a.prune(Epoch.Add(1000 * time.Hour)); n != 3 {
		t.Errorf("prune dropped %d changes after another handle dropped the reader, want 3", n)
	}
	b.raise("lease", 2)
	if err := a.commitUnder(store.Fence{Lease: "lease", Number: 1}, key, 0); !errors.Is(err, store.ErrFenced) {
		t.Errorf("commit under a lease another handle took over: %v, want ErrFenced", err)
	}
	if s, ok := a.s.(store.Snapshots); ok {
		save(t, s, 'a', 100_000)
		if got, n := loads(t, b.s.(store.Snapshots)); got != 'a' || n != 100_000 {
			t.Errorf("the other handle loads a snapshot of %d times %c", n, got)
		}
	}
	b.close()
	if done := a.report(key, Epoch, packages("z")); len(done.Changes) != 1 {
		t.Error("closing one handle stopped the other")
	}
}
