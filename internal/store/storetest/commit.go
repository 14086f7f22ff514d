package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// packages makes an item of AWS:Application of these names, one entry a name.
func packages(names ...string) inventory.Item {
	item := inventory.Item{
		Type: "AWS:Application", SchemaVersion: "1.1", CaptureTime: "2024-05-01T11:59:58Z",
		ContentHash: "0123456789abcdef0123456789abcdef", HasContent: true,
	}
	for _, name := range names {
		item.Content = append(item.Content, inventory.Entry{
			{Name: "InstalledTime", Value: "2023-01-02T03:04:05Z"}, {Name: "Name", Value: name},
		})
	}
	return item
}

// rack makes an item of a custom type.
func rack(name string) inventory.Item {
	return inventory.Item{
		Type: "Custom:RackInfo", SchemaVersion: "1.0", CaptureTime: "2024-05-01T11:59:59Z", HasContent: true,
		Content: []inventory.Entry{{{Name: "Rack", Value: name}}},
	}
}

func commitIsAllOrNothing(t *testing.T, m Maker) {
	r := newTrial(t, m)
	first := r.build(Node(1), Epoch, packages("a", "b"), rack("r1"))
	r.commit(first)
	before := r.all()
	if _, err := r.s.Commit(r.Context(), first); !errors.Is(err, store.ErrConflict) {
		t.Fatalf("commit from revision 0 of a stored node: %v, want ErrConflict", err)
	}
	second := r.build(Node(1), Epoch, packages("c", "d"), rack("r2"))
	second.Writes[1].Document.Refs[0].Shape[0] ^= 1 // a shape without text
	if _, err := r.s.Commit(r.Context(), second); err == nil {
		t.Fatal("a document of a shape without text was stored")
	}
	if d := Diff(before, r.all()); d != "" {
		t.Fatalf("refused commits left something behind (-before +after):\n%s", d)
	}
	c := r.report(Node(1), Epoch, packages("c", "d"), rack("r2"))
	if len(c.Changes) != 2 {
		t.Fatalf("commit of two documents made %d changes", len(c.Changes))
	}
}

func commitGivesWhatIsStored(t *testing.T, m Maker) {
	r := newTrial(t, m)
	key := Node(7)
	var fed []inventory.Change
	for i, items := range [][]inventory.Item{{packages("a", "b"), rack("x")}, {packages("b")}, {rack("y"), packages()}} {
		build := r.build(key, Epoch.Add(time.Duration(i)*time.Hour), items...)
		done := r.commit(build)
		fed = append(fed, done.Changes...)
		node := r.node(key)
		if node.Revision != done.Revision {
			t.Errorf("commit gave revision %d, stored is %d", done.Revision, node.Revision)
		}
		want := build.Node.Clone()
		want.Revision = done.Revision
		for j, change := range done.Changes {
			want.Item(build.Writes[j].Key).Seq = change.Seq
		}
		if d := differ(want, node); d != "" {
			t.Errorf("node (-committed +stored):\n%s", d)
		}
		for _, write := range build.Writes {
			doc := r.document(DocumentKey(key, write.Key))
			if d := differ(*write.Document, doc); d != "" {
				t.Errorf("document (-committed +stored):\n%s", d)
			}
		}
	}
	changes := r.changes(key)
	if d := differ(fed, changes); d != "" {
		t.Errorf("changes (-as commits gave them +as the feed gives them):\n%s", d)
	}
	if _, err := r.s.Node(r.Context(), Node(8)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("node that was never stored: %v, want ErrNotFound", err)
	}
	if _, err := r.s.Document(r.Context(), inventory.DocumentKey{NodeKey: key, Type: "AWS:Network"}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("document that was never stored: %v, want ErrNotFound", err)
	}
}

func staleCommitConflicts(t *testing.T, m Maker) {
	r := newTrial(t, m)
	r.report(Node(1), Epoch, packages("a"))
	stale := r.build(Node(1), Epoch, packages("b"))
	refreshed := packages()
	refreshed.HasContent = false
	r.report(Node(1), Epoch, refreshed)
	if _, err := r.s.Commit(r.Context(), stale); !errors.Is(err, store.ErrConflict) {
		t.Fatalf("commit over a refreshed record: %v, want ErrConflict", err)
	}
	ahead := r.build(Node(1), Epoch, packages("b"))
	ahead.Node.Revision += 1000
	if _, err := r.s.Commit(r.Context(), ahead); !errors.Is(err, store.ErrConflict) {
		t.Fatalf("commit from a revision of the future: %v, want ErrConflict", err)
	}
	unknown := r.build(Node(2), Epoch, packages("b"))
	unknown.Node.Revision = 1
	if _, err := r.s.Commit(r.Context(), unknown); !errors.Is(err, store.ErrConflict) {
		t.Fatalf("commit of a node that is not stored, from a revision: %v, want ErrConflict", err)
	}
}

// race commits from many goroutines at once what each is given, through all handles, and gives how many won. All others
// must conflict.
func (r *trial) race(commits []store.Commit) int {
	r.Helper()
	var won atomic.Int32
	var group sync.WaitGroup
	begin := make(chan struct{})
	for i, c := range commits {
		group.Go(func() {
			<-begin
			_, err := r.handle(i).Commit(r.Context(), c)
			switch {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, store.ErrConflict):
				r.Errorf("racing commit: %v, want none or ErrConflict", err)
			}
		})
	}
	close(begin)
	group.Wait()
	return int(won.Load())
}

func racingCommitsOneWins(t *testing.T, m Maker) { newTrial(t, m).raceCommits() }

func (r *trial) raceCommits() {
	r.Helper()
	r.report(Node(1), Epoch, packages("a"))
	for round := range 20 {
		var commits []store.Commit
		for i := range 8 {
			commits = append(commits, r.build(Node(1), Epoch, packages("p", string(rune('a'+i)), string(rune('a'+round)))))
		}
		if won := r.race(commits); won != 1 {
			r.Fatalf("round %d: %d of 8 racing commits won", round, won)
		}
	}
	changes := r.changes(Node(1))
	if len(changes) != 21 {
		r.Fatalf("21 commits won and the feed has %d changes", len(changes))
	}
}

func racingFirstCommitsOneWins(t *testing.T, m Maker) { newTrial(t, m).raceFirstCommits() }

func (r *trial) raceFirstCommits() {
	r.Helper()
	for round := range 10 {
		var commits []store.Commit
		for range 8 {
			commits = append(commits, r.build(Node(round), Epoch, packages("a", "b")))
		}
		if won := r.race(commits); won != 1 {
			r.Fatalf("round %d: %d of 8 first commits of a node won", round, won)
		}
	}
}

func racingUnchangedOneWins(t *testing.T, m Maker) { newTrial(t, m).raceUnchanged() }

// raceUnchanged races reports that write no document against each other and, every third round, against one that does.
func (r *trial) raceUnchanged() {
	r.Helper()
	for i := range 3 {
		r.report(Node(i), Epoch, packages("a"), rack("r"))
	}
	for round := range 9 {
		won := 0
		var commits []store.Commit
		for i := range 24 {
			item := packages()
			item.HasContent = round%3 == 0 && i < 3
			item.CaptureTime = fmt.Sprintf("2024-06-%02dT00:00:%02dZ", round+1, i)
			commits = append(commits, r.build(Node(i%3), Epoch, item)) // reports of other nodes beside it
		}
		if won = r.race(commits); won != 3 {
			r.Fatalf("round %d: %d of 3 times 8 racing unchanged reports won", round, won)
		}
		for i := range 3 {
			r.wonBy(commits, Node(i))
		}
	}
}

// wonBy checks that a node's record is just what one of the commits of it left.
func (r *trial) wonBy(commits []store.Commit, key inventory.NodeKey) {
	r.Helper()
	node := r.node(key)
	for _, c := range commits {
		want := c.Node.Clone()
		want.Revision = node.Revision
		for i := range want.Items {
			want.Items[i].Seq = node.Items[i].Seq
		}
		if alike(want, node) && c.Node.Revision != node.Revision {
			return
		}
	}
	r.Fatalf("node %s is as none of the racing commits left it: %+v", key.Node, node)
}

func soundCommitsOnly(t *testing.T, m Maker) {
	r := newTrial(t, m)
	r.report(Node(1), Epoch, packages("a"), rack("r"))
	before := r.all()
	for name, spoil := range map[string]func(c *store.Commit){
		"no node":       func(c *store.Commit) { c.Node.Key.Node = "" },
		"state missing": func(c *store.Commit) { c.Node.RemoveItem(c.Writes[0].Key) },
		"document lost": func(c *store.Commit) { c.Node.RemoveItem(c.Writes[1].Key); c.Writes = c.Writes[:1] },
		"state without any": func(c *store.Commit) {
			c.Node.SetItem(inventory.ItemState{ItemKey: inventory.ItemKey{Type: "AWS:Service"}})
		},
		"written twice":      func(c *store.Commit) { c.Writes[1] = c.Writes[0] },
		"added without text": func(c *store.Commit) { c.Writes[0].Shapes = nil },
		"removed and kept":   func(c *store.Commit) { c.Writes[0].Document = nil },
		"node removed, kept": func(c *store.Commit) { c.Remove = true },
		"items out of order": func(c *store.Commit) { i := c.Node.Items; i[0], i[1] = i[1], i[0] },
		"removes what is not": func(c *store.Commit) {
			c.Writes = append(c.Writes, store.Write{Key: inventory.ItemKey{Type: "AWS:Service"}})
		},
	} {
		c := r.build(Node(1), Epoch, packages("b"), rack("q"))
		spoil(&c)
		if _, err := r.s.Commit(r.Context(), c); err == nil || errors.Is(err, store.ErrConflict) {
			t.Errorf("%s: %v, want a refusal that tells what is wrong", name, err)
		}
	}
	if d := Diff(before, r.all()); d != "" {
		t.Fatalf("refused commits left something behind (-before +after):\n%s", d)
	}
}

func unchangedReportWritesNoChange(t *testing.T, m Maker) {
	r := newTrial(t, m)
	r.report(Node(1), Epoch, packages("a"), rack("r"))
	heads := r.heads()
	before := r.node(Node(1))
	refreshed := packages()
	refreshed.HasContent, refreshed.CaptureTime, refreshed.SchemaVersion = false, "2024-05-02T00:00:00Z", "1.2"
	done := r.report(Node(1), Epoch.Add(time.Hour), refreshed)
	if len(done.Changes) != 0 {
		t.Errorf("an unchanged report made %d changes", len(done.Changes))
	}
	if d := cmp.Diff(heads, r.heads()); d != "" {
		t.Errorf("an unchanged report moved the heads:\n%s", d)
	}
	want := before.Clone()
	want.Revision = done.Revision
	item := want.Item(inventory.ItemKey{Type: "AWS:Application"})
	item.CaptureTime, item.SchemaVersion, item.Arrival = refreshed.CaptureTime, refreshed.SchemaVersion, Epoch.Add(time.Hour)
	if d := differ(want, r.node(Node(1))); d != "" {
		t.Errorf("record after an unchanged report (-want +stored):\n%s", d)
	}
	if done.Revision == before.Revision {
		t.Error("an unchanged report left the revision as it was")
	}
}

func removedNodeIsGone(t *testing.T, m Maker) {
	r := newTrial(t, m)
	r.report(Node(1), Epoch, packages("a"), rack("r"))
	c := r.drop(Node(1), Epoch, inventory.CauseDeletion)
	done := r.commit(c)
	for _, change := range done.Changes {
		if !change.Gone || change.Cause != inventory.CauseDeletion || len(change.Removed) != 1 || change.SchemaVersion == "" {
			t.Errorf("change of a removal: %+v", change)
		}
	}
	if _, err := r.s.Node(r.Context(), Node(1)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("removed node: %v, want ErrNotFound", err)
	}
	if _, err := r.s.Document(r.Context(), inventory.DocumentKey{NodeKey: Node(1), Type: "AWS:Application"}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("document of a removed node: %v, want ErrNotFound", err)
	}
	if state := r.all(); len(state.Nodes) != 0 {
		t.Errorf("a scan still finds %d nodes", len(state.Nodes))
	}
	r.report(Node(1), Epoch, packages("z"))
	if state := r.all(); len(state.Nodes) != 1 || len(state.Nodes[Node(1)].Documents) != 1 {
		t.Error("a removed node that reports again is not as if new")
	}
}

func revisionNeverReturns(t *testing.T, m Maker) {
	r := newTrial(t, m)
	seen := map[uint64]bool{}
	for range 3 {
		done := r.report(Node(1), Epoch, packages("a"))
		if seen[done.Revision] {
			t.Fatalf("revision %d was given to an earlier life of the node: a commit computed from that would win", done.Revision)
		}
		seen[done.Revision] = true
		r.commit(r.drop(Node(1), Epoch, inventory.CauseDeletion))
	}
}

func givenUpCallStops(t *testing.T, m Maker) {
	r := newTrial(t, m)
	c := r.build(Node(1), Epoch, packages("a"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.s.Commit(ctx, c); !errors.Is(err, context.Canceled) {
		t.Errorf("commit under a cancelled context: %v", err)
	}
	if _, err := r.s.Node(ctx, Node(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("read under a cancelled context: %v", err)
	}
	if err := r.s.AppendJournal(ctx, 0, 0, [][]byte{{'x'}}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("line under a cancelled context: %v", err)
	}
}

func closedStoreSaysSo(t *testing.T, m Maker) {
	r := newTrial(t, m)
	c := r.build(Node(1), Epoch, packages("a"))
	r.close()
	_, commit := r.s.Commit(r.Context(), c)
	_, node := r.s.Node(r.Context(), Node(1))
	_, heads := r.s.Heads(r.Context())
	_, put := r.s.PutRecord(r.Context(), store.Record{Key: "k"})
	_, view := r.s.View(r.Context())
	intend := r.s.Intend(r.Context(), 0, "id", []byte("x"))
	_, line := r.s.JournalHead(r.Context(), 0)
	for name, err := range map[string]error{
		"Commit": commit, "Node": node, "Heads": heads, "PutRecord": put, "View": view, "Intend": intend, "JournalHead": line,
	} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s of a closed store: %v, want ErrClosed", name, err)
		}
	}
	r.close()
}
