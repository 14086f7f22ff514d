package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
	"stocktake/internal/store/memory"
)

// content is all that a copy of a store takes over, with the revisions and ids the store gave.
type content struct {
	Nodes      map[int][]store.NodeScan
	Changes    map[int][]inventory.Change
	Shapes     map[int][]store.Typed
	Records    []store.Record
	Lines      map[int][]store.JournalLine
	Intentions map[int][]store.Intention
	Heads      []inventory.Position
}

// contentOf reads all of a store. Nodes and shapes are sorted, because each store scans in an order of its own.
func contentOf(ctx context.Context, s store.View) (content, error) {
	c := content{
		Nodes: map[int][]store.NodeScan{}, Changes: map[int][]inventory.Change{}, Shapes: map[int][]store.Typed{},
		Lines: map[int][]store.JournalLine{}, Intentions: map[int][]store.Intention{},
	}
	var err error
	if c.Heads, err = s.Heads(ctx); err != nil {
		return c, err
	}
	for shard := range s.Identity().Shards {
		if err := c.readShard(ctx, s, shard); err != nil {
			return c, fmt.Errorf("shard %d: %w", shard, err)
		}
	}
	if c.Records, err = s.ListRecords(ctx, "", "", 1_000_000); err != nil {
		return c, err
	}
	return c, c.readJournal(ctx, s)
}

func (c *content) readShard(ctx context.Context, s store.View, shard int) error {
	nodes, err := ScanAll(ctx, s, shard, 7)
	if err != nil {
		return err
	}
	slices.SortFunc(nodes, func(a, b store.NodeScan) int {
		x, y := a.Node.Key, b.Node.Key
		return cmp.Or(cmp.Compare(x.Account, y.Account), cmp.Compare(x.Region, y.Region), cmp.Compare(x.Node, y.Node))
	})
	for i := range nodes {
		if len(nodes[i].Node.Items) == 0 {
			nodes[i].Node.Items, nodes[i].Documents = nil, nil // stores differ in which empty they give: alike, they compare fast
		}
	}
	c.Nodes[shard] = nodes
	oldest, err := s.OldestChange(ctx, shard)
	switch {
	case err == nil:
		rest, err := ChangesAll(ctx, s, shard, oldest.Position, 7)
		if err != nil {
			return err
		}
		c.Changes[shard] = append([]inventory.Change{oldest}, rest...)
		for i := range c.Changes[shard] {
			if change := &c.Changes[shard][i]; len(change.Removed) == 0 {
				change.Removed = nil
			}
		}
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	return c.readShapes(ctx, s, shard)
}

// readShapes reads the text of every shape that a document or a change of the shard names.
func (c *content) readShapes(ctx context.Context, s store.View, shard int) error {
	named := map[store.Typed]bool{}
	name := func(p inventory.Partition, t inventory.TypeName, ids []inventory.ShapeID) {
		for _, id := range ids {
			named[store.Typed{Partition: p, Type: t, Shape: inventory.Shape{ID: id}}] = true
		}
	}
	for _, n := range c.Nodes[shard] {
		for i, item := range n.Node.Items {
			name(n.Node.Key.Partition, item.Type, n.Documents[i].ShapeSet())
		}
	}
	for _, change := range c.Changes[shard] {
		name(change.Document.Partition, change.Document.Type, ShapesOf(change))
	}
	c.Shapes[shard] = slices.SortedFunc(maps.Keys(named), func(a, b store.Typed) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Region, b.Region), cmp.Compare(a.Type, b.Type), inventory.CompareShapeIDs(a.ID, b.ID))
	})
	for all := c.Shapes[shard]; len(all) > 0; {
		var ids []inventory.ShapeID
		for _, sh := range all {
			if sh.Partition == all[0].Partition && sh.Type == all[0].Type {
				ids = append(ids, sh.ID)
			}
		}
		shapes, err := s.Shapes(ctx, shard, all[0].Partition, all[0].Type, ids)
		if err != nil {
			return err
		}
		for i := range shapes {
			all[i].Shape = shapes[i]
		}
		all = all[len(ids):]
	}
	return nil
}

// loads are the calls that load the content into a store, in an order that is fit, so few things a call.
func (c *content) loads(ctx context.Context, to store.Store) []func() error {
	const page = 4
	var calls []func() error
	for shard := range to.Identity().Shards {
		for shapes := range slices.Chunk(c.Shapes[shard], page) {
			calls = append(calls, func() error { return to.LoadShapes(ctx, shard, shapes) })
		}
		for nodes := range slices.Chunk(c.Nodes[shard], page) {
			calls = append(calls, func() error { return to.LoadNodes(ctx, shard, nodes) })
		}
		for changes := range slices.Chunk(c.Changes[shard], page) {
			calls = append(calls, func() error { return to.LoadChanges(ctx, shard, changes) })
		}
	}
	for records := range slices.Chunk(c.Records, page) {
		calls = append(calls, func() error { return to.LoadRecords(ctx, records) })
	}
	for chain := range store.JournalChains {
		for lines := range slices.Chunk(c.Lines[chain], page) {
			calls = append(calls, func() error { return to.LoadJournal(ctx, chain, lines, nil) })
		}
		for intentions := range slices.Chunk(c.Intentions[chain], page) {
			calls = append(calls, func() error { return to.LoadJournal(ctx, chain, nil, intentions) })
		}
	}
	return calls
}

func (r *trial) content(s store.View) content {
	r.Helper()
	c, err := contentOf(r.Context(), s)
	r.check(err)
	return c
}

func (r *trial) load(calls []func() error) {
	r.Helper()
	for i, call := range calls {
		if err := call(); err != nil {
			r.Fatalf("load %d of %d: %v", i, len(calls), err)
		}
	}
}

func (r *trial) sameContent(want content, s store.View, what string) {
	r.Helper()
	if d := differ(want, r.content(s)); d != "" {
		r.Fatalf("%s (-source +loaded):\n%s", what, d)
	}
}

// played plays a script on a store: its feed is pruned at the old end, nothing is left of readers, and every shape is
// named.
func (r *trial) played(seed uint64, steps int) *Player {
	r.Helper()
	p := NewPlayer(r.s, seed)
	for range steps {
		_, err := p.Next(r.Context())
		r.check(err)
	}
	for _, name := range []string{"0", "1"} {
		r.check(r.s.DropReader(r.Context(), name))
	}
	r.prune(Epoch.Add(time.Duration(steps/4) * time.Minute))
	r.sweep()
	return p
}

// oracle makes memory stores: to load from, so that a law needs no more than one store of the kind on trial, and to load
// into.
var oracle = Maker{
	Name: "memory",
	Open: func(tb testing.TB) store.Store {
		tb.Helper()
		s, err := memory.New(3)
		if err != nil {
			tb.Fatal(err)
		}
		return s
	},
	Like: func(tb testing.TB, id store.Identity) store.Store {
		tb.Helper()
		s, err := memory.NewLike(id)
		if err != nil {
			tb.Fatal(err)
		}
		return s
	},
}

func loaderGivesTheSameStore(t *testing.T, m Maker) { Copy(t, oracle, m, 51) }

func loadedElsewhereIsTheSame(t *testing.T, m Maker) { Copy(t, m, oracle, 54) }

// Copy carries a played store of one kind into an empty one of another, holds the copy against it, and goes on playing on
// both.
func Copy(t *testing.T, from, to Maker, seed uint64) {
	r := newTrial(t, from)
	source := r.played(seed, 100)
	want := r.content(r.s)
	s := to.Like(t, r.s.Identity())
	if s.Identity() != r.s.Identity() {
		t.Fatal("a store made like another has an identity of its own")
	}
	r.load(want.loads(t.Context(), s))
	r.sameContent(want, s, "loaded")
	r.goOn(source, s)
}

// goOn plays on where a player is and on a copy of its store.
func (r *trial) goOn(source *Player, s store.Store) {
	r.Helper()
	copied, err := source.on(r.Context(), s)
	r.check(err)
	for step := range 60 {
		want, errA := source.Next(r.Context())
		got, errB := copied.Next(r.Context())
		if errA != nil || errB != nil || got != want {
			r.Fatalf("step %d after loading: %s (%v), source: %s (%v)", step, got, errB, want, errA)
		}
		if step%12 == 0 { // before all that was loaded is pruned
			Same(r.T, source, copied, "step %d after loading", step)
		}
	}
	Same(r.T, source, copied, "after loading and going on")
}

// loaderGoesOn interrupts a copy, begins it again, and again when it is done.
func loaderGoesOn(t *testing.T, m Maker) {
	r := newTrial(t, oracle)
	r.played(52, 120)
	c := r.content(r.s)
	to := m.Like(t, r.s.Identity())
	calls := c.loads(t.Context(), to)
	r.load(calls[:len(calls)/2])
	r.load(calls[:len(calls)/3])
	r.load(calls)
	r.sameContent(c, to, "loaded in parts")
	r.load(calls)
	r.sameContent(c, to, "loaded twice")
}

// loaderTakesAnyOrder loads shard by shard, in pages that overlap, and changes before nodes.
func loaderTakesAnyOrder(t *testing.T, m Maker) {
	r := newTrial(t, oracle)
	r.played(52, 120)
	c := r.content(r.s)
	to := m.Like(t, r.s.Identity())
	for shard := range to.Identity().Shards {
		r.check(to.LoadShapes(t.Context(), shard, c.Shapes[shard]))
		n := len(c.Changes[shard])
		r.check(to.LoadChanges(t.Context(), shard, c.Changes[shard][:n/2]))
		r.check(to.LoadChanges(t.Context(), shard, c.Changes[shard][n/3:]))
		r.check(to.LoadNodes(t.Context(), shard, c.Nodes[shard]))
		r.check(to.LoadChanges(t.Context(), shard, nil))
	}
	r.check(to.LoadRecords(t.Context(), c.Records))
	for chain, lines := range c.Lines {
		r.check(to.LoadJournal(t.Context(), chain, lines[:len(lines)/2], c.Intentions[chain]))
		r.check(to.LoadJournal(t.Context(), chain, lines[len(lines)/3:], nil))
	}
	r.sameContent(c, to, "loaded in another order")
}

// loadedRevisionsAreNotGivenAgain loads revisions ahead of those the store would give next.
func loadedRevisionsAreNotGivenAgain(t *testing.T, m Maker) {
	r := newTrial(t, oracle)
	r.report(Node(1), Epoch, packages("a"))
	c := r.content(r.s)
	shard := r.shardOf(Node(1))
	to := newTrialOf(t, m.Like(t, r.s.Identity()))
	before := to.recordsHead()
	const ahead = 1 << 40
	r.check(to.s.LoadRecords(t.Context(), []store.Record{{Key: "a", Revision: ahead}, {Key: "b", Revision: 3}}))
	r.check(to.s.LoadRecords(t.Context(), []store.Record{{Key: "c", Revision: 2}}))
	head := to.recordsHead()
	given := to.put("new", "1", 0)
	if given <= ahead {
		t.Errorf("a record put after loading one of revision %d has the revision %d", ahead, given)
	}
	if head == before || to.recordsHead() == head {
		t.Errorf("records' head before loading: %v, after: %v, after a put: %v", before, head, to.recordsHead())
	}
	r.check(to.s.LoadShapes(t.Context(), shard, c.Shapes[shard]))
	revision := given + 5 // what a store that counts would give in a while
	c.Nodes[shard][0].Node.Revision = revision
	r.check(to.s.LoadNodes(t.Context(), shard, c.Nodes[shard]))
	for range 10 {
		if done := to.report(Node(2), Epoch, packages("new")); done.Revision == revision {
			t.Errorf("a commit has the revision %d of a node that was loaded", revision)
		}
	}
	if got := to.node(Node(1)).Revision; got != revision {
		t.Errorf("a node loaded with revision %d has %d", revision, got)
	}
	done := to.report(Node(1), Epoch, packages("b"))
	if done.Revision == revision {
		t.Errorf("a commit over a loaded node left its revision as it was")
	}
}

func loaderRefusesOther(t *testing.T, m Maker) {
	r := newTrial(t, oracle)
	key := Node(1)
	shard := r.shardOf(key)
	r.hours(key, 6)
	r.prune(Epoch.Add(time.Hour))
	r.put("k", "1", 0)
	c := r.content(r.s)
	to := m.Like(t, r.s.Identity())
	ctx := t.Context()
	if err := to.LoadNodes(ctx, shard, c.Nodes[shard]); err == nil {
		t.Error("a node was loaded whose shapes have no text")
	}
	if err := to.LoadChanges(ctx, shard, c.Changes[shard]); err == nil {
		t.Error("changes were loaded whose shapes have no text")
	}
	r.load(c.loads(ctx, to))
	node := func(change func(n *store.NodeScan)) error {
		n := c.Nodes[shard][0]
		n.Node = n.Node.Clone()
		change(&n)
		return to.LoadNodes(ctx, shard, []store.NodeScan{n})
	}
	changes := func(from int, change func(c *inventory.Change)) error {
		cs := slices.Clone(c.Changes[shard])[from:]
		change(&cs[0])
		return to.LoadChanges(ctx, shard, cs[:1])
	}
	record := func(rec store.Record) error { return to.LoadRecords(ctx, []store.Record{rec}) }
	for what, err := range map[string]error{
		"a node of another revision":   node(func(n *store.NodeScan) { n.Node.Revision++ }),
		"another change in its place":  changes(1, func(c *inventory.Change) { c.ID[0] ^= 1 }),
		"another newest change":        changes(4, func(c *inventory.Change) { c.ID[0] ^= 1 }),
		"a change before the first":    changes(0, func(c *inventory.Change) { c.Seq-- }),
		"a change beyond the next":     changes(4, func(c *inventory.Change) { c.Seq += 2 }),
		"a record of another revision": record(store.Record{Key: "k", Value: []byte("2"), Revision: c.Records[0].Revision + 1}),
	} {
		if !errors.Is(err, store.ErrConflict) {
			t.Errorf("loading %s: %v, want ErrConflict", what, err)
		}
	}
	for what, err := range map[string]error{
		"a node without a revision":    node(func(n *store.NodeScan) { n.Node.Revision = 0 }),
		"a node without documents":     node(func(n *store.NodeScan) { n.Documents = nil }),
		"a node of another shard":      node(func(n *store.NodeScan) { n.Node.Key = r.elsewhere(shard) }),
		"a change of another shard":    changes(4, func(c *inventory.Change) { c.Shard++ }),
		"a change without an id":       changes(4, func(c *inventory.Change) { c.ID = inventory.ChangeID{} }),
		"a record without a revision":  record(store.Record{Key: "l"}),
		"a record without a key":       record(store.Record{Revision: 9}),
		"changes that leave one out":   to.LoadChanges(ctx, shard, []inventory.Change{c.Changes[shard][0], c.Changes[shard][2]}),
		"shapes of no shard":           to.LoadShapes(ctx, to.Identity().Shards, nil),
		"nodes of no shard":            to.LoadNodes(ctx, -1, nil),
		"a change of an unknown shape": changes(4, func(c *inventory.Change) { c.Seq, c.ID[0], c.Added = c.Seq+1, 9, []inventory.ShapeID{{9}} }),
	} {
		if err == nil {
			t.Errorf("%s was loaded", what)
		}
	}
	r.sameContent(c, to, "refused loads left something behind")
}

// elsewhere gives a node that is not of a shard; one without a name where there is but one shard.
func (r *trial) elsewhere(shard int) (key inventory.NodeKey) {
	for i := 0; r.s.Identity().Shards > 1; i++ {
		if key = Node(i); r.shardOf(key) != shard {
			return key
		}
	}
	return key
}

func reopenKeepsWhatWasLoaded(t *testing.T, m Maker) {
	r := newTrial(t, oracle)
	source := r.played(53, 120)
	c := r.content(r.s)
	to := m.Like(t, r.s.Identity())
	r.load(c.loads(t.Context(), to))
	to = m.Reopen(t, to)
	r.sameContent(c, to, "loaded and reopened")
	r.goOn(source, to)
}
