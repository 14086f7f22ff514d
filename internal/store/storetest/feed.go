package storetest

import (
	"sync"
	"testing"
	"time"

	"stocktake/internal/inventory"
)

// followed is what a reader of the feed has seen of every shard.
type followed struct {
	*trial
	shards [][]inventory.Change
}

// read reads on in one shard and holds what comes to what came before.
func (f *followed) read(shard int) {
	f.Helper()
	after := inventory.Position{}
	if n := len(f.shards[shard]); n > 0 {
		after = f.shards[shard][n-1].Position
	}
	changes, err := f.s.Changes(f.Context(), shard, after, 3)
	if err != nil {
		f.Errorf("follow shard %d: %v", shard, err)
	}
	for _, c := range changes {
		if after.Seq++; c.Seq != after.Seq {
			f.Errorf("shard %d: change %d where %d comes next", shard, c.Seq, after.Seq)
		}
	}
	f.shards[shard] = append(f.shards[shard], changes...)
}

func changesNeverGoBack(t *testing.T, m Maker) {
	r := newTrial(t, m)
	const writers, reports = 4, 25
	var writing, reading sync.WaitGroup
	for i := range writers {
		writing.Go(func() {
			src := NewSource(uint64(i))
			for range reports {
				r.report(Node(i), Epoch, src.Item(5))
			}
		})
	}
	stop := make(chan struct{})
	seen := &followed{trial: r, shards: make([][]inventory.Change, r.s.Identity().Shards)}
	reading.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			for i := range writers {
				seen.read(r.shardOf(Node(i)))
			}
		}
	})
	writing.Wait()
	close(stop)
	reading.Wait()
	total := 0
	for shard := range seen.shards {
		for before := -1; len(seen.shards[shard]) > before; {
			before = len(seen.shards[shard])
			seen.read(shard)
		}
		total += len(seen.shards[shard])
		again, err := ChangesAll(t.Context(), r.s, shard, inventory.Position{}, 100)
		r.check(err)
		if d := differ(seen.shards[shard], again); d != "" {
			t.Errorf("shard %d (-as followed +as read at the end):\n%s", shard, d)
		}
		if n := len(again); n > 0 && r.heads()[shard] != again[n-1].Position {
			t.Errorf("shard %d: head %v, newest change %v", shard, r.heads()[shard], again[n-1].Position)
		}
	}
	if total != writers*reports {
		t.Errorf("%d reports made %d changes", writers*reports, total)
	}
}

func changesSayWhatHappened(t *testing.T, m Maker) {
	r := newTrial(t, m)
	key := Node(3)
	r.report(key, Epoch, packages("a", "b"))
	second := packages("b", "c", "c")
	second.SchemaVersion, second.CaptureTime = "1.2", "2024-05-01T13:00:00Z"
	second.Context = inventory.Entry{{Name: "Who", Value: "agent"}}
	build := r.build(key, Epoch.Add(time.Hour), second)
	build.Writes[0].Cause = inventory.CauseSplit
	r.commit(build)
	r.commit(r.drop(key, Epoch.Add(2*time.Hour), inventory.CauseRetention, build.Writes[0].Key))
	changes := r.changes(key)
	if len(changes) != 3 {
		t.Fatalf("three commits made %d changes", len(changes))
	}
	want := inventory.Change{
		Shard: r.shardOf(key), Position: inventory.Position{Seq: 2, ID: changes[1].ID},
		Document: DocumentKey(key, build.Writes[0].Key), Cause: inventory.CauseSplit,
		SchemaVersion: "1.2", CaptureTime: second.CaptureTime, Arrival: Epoch.Add(time.Hour), Context: second.Context,
		Split: 1, Delta: build.Writes[0].Delta, Added: build.Writes[0].Added, Removed: build.Writes[0].Removed,
	}
	if d := differ(want, changes[1]); d != "" {
		t.Errorf("change of a rewrite (-want +got):\n%s", d)
	}
	gone := want
	gone.Position, gone.Cause, gone.Arrival = inventory.Position{Seq: 3, ID: changes[2].ID}, inventory.CauseRetention, Epoch.Add(2*time.Hour)
	gone.Gone, gone.Split, gone.Delta, gone.Added = true, 0, nil, nil
	gone.Removed = build.Writes[0].Document.ShapeSet()
	if d := differ(gone, changes[2]); d != "" {
		t.Errorf("change of a removal (-want +got):\n%s", d)
	}
	ids := map[inventory.ChangeID]bool{}
	for _, c := range changes {
		if ids[c.ID] || c.ID == (inventory.ChangeID{}) {
			t.Errorf("change %d has an id that is not its own: %x", c.Seq, c.ID)
		}
		ids[c.ID] = true
	}
}

// commitTellsWhatItFollows commits to a few nodes from several sides at once: the commits are the feed, each where it says.
func commitTellsWhatItFollows(t *testing.T, m Maker) {
	r := newTrial(t, m)
	const workers, rounds = 6, 12
	var mu sync.Mutex
	after := map[inventory.Position]inventory.Position{} // of the first change of each commit
	var group sync.WaitGroup
	for i := range workers {
		group.Go(func() {
			for n := range rounds {
				done := r.report(Node(i), Epoch, packages(string(rune('a'+n))), rack(string(rune('a'+n%3))))
				mu.Lock()
				if len(done.Changes) > 0 {
					after[done.Changes[0].Position] = done.After
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	for shard := range r.s.Identity().Shards {
		changes, err := ChangesAll(r.Context(), r.s, shard, inventory.Position{}, 100)
		r.check(err)
		before := inventory.Position{}
		for _, c := range changes {
			if follows, first := after[c.Position]; first && follows != before {
				t.Errorf("shard %d: the commit of change %d follows %v, the feed has %v there", shard, c.Seq, follows, before)
			}
			delete(after, c.Position)
			before = c.Position
		}
	}
	if len(after) > 0 {
		t.Errorf("%d commits are not in the feed", len(after))
	}
	if done := r.commit(r.refresh(Node(0))); done.After != (inventory.Position{}) {
		t.Errorf("an unchanged report follows %v", done.After)
	}
}
