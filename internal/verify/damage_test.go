package verify_test

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
	"stocktake/internal/store/storetest"
)

// damage changes what a store gives: the first node with entries it can change, the first change, record or head.
type damage struct {
	node   func(n *store.NodeScan)
	change func(c *inventory.Change) bool
	record func(all []store.Record) []store.Record
	heads  func(all []inventory.Position)
	shapes func(all []inventory.Shape)
	id     func(id *store.Identity)
	lines  func(chain int, all []store.JournalLine) []store.JournalLine
	err    error // of every scan
	says   string
}

var damages = map[string]damage{
	"revision": {node: func(n *store.NodeScan) { n.Node.Revision = 0 }, says: "has the revision 0, which no store gives"},
	"status":   {node: func(n *store.NodeScan) { n.Node.Status = "Gone" }, says: "has the status \"Gone\", which is none"},
	"entries":  {node: func(n *store.NodeScan) { n.Node.Items[0].Entries++ }, says: "entries, and the document has"},
	"arrival":  {node: func(n *store.NodeScan) { n.Node.Items[0].Arrival = time.Time{} }, says: "the record has no time of arrival"},
	"sequence": {node: func(n *store.NodeScan) { n.Node.Items[0].Seq += 100000 }, says: "the record says that change 1000"},
	"split":    {node: func(n *store.NodeScan) { n.Documents[0].Split++ }, says: "it is stored of split 2"},
	"entry repeated": {node: func(n *store.NodeScan) {
		n.Documents[0].Refs = append(slices.Clone(n.Documents[0].Refs), n.Documents[0].Refs[0])
	}, says: "the feed makes another document of it than is stored"},
	"item gone": {node: func(n *store.NodeScan) { n.Node.Items, n.Documents = n.Node.Items[1:], n.Documents[1:] }, says: "wrote it, and it is not stored"},
	"volatile changed": {node: func(n *store.NodeScan) {
		r := slices.Clone(n.Documents[0].Refs)
		r[0].Volatile = inventory.Entry{{Name: "InstalledTime", Value: "!"}}
		n.Documents[0].Refs = r
	}, says: "the feed makes another document of it"},
	"attribute twice": {node: func(n *store.NodeScan) {
		r := slices.Clone(n.Documents[0].Refs)
		r[0].Volatile = inventory.Entry{{Name: "Name", Value: "!"}}
		n.Documents[0].Refs = r
	}, says: "has the attribute \"Name\" twice"},
	"another shard": {node: elsewhere, says: "is not of shard"},
	"added":         {change: func(c *inventory.Change) bool { had := len(c.Added) > 0; c.Added = nil; return had }, says: "0 shapes added"},
	"cause":         {change: func(c *inventory.Change) bool { c.Cause = 77; return true }, says: "has the cause 77"},
	"delta": {change: func(c *inventory.Change) bool {
		had := !c.Gone
		c.Delta = inventory.Delta{{From: 5, Copy: 500}}
		return had
	}, says: "delta copies entries 5 to 505"},
	"gone":            {change: func(c *inventory.Change) bool { had := !c.Gone && len(c.Added) > 0; c.Gone = true; return had }, says: "removes document"},
	"change id":       {change: func(c *inventory.Change) bool { c.ID = inventory.ChangeID{}; return true }, says: "has no position"},
	"head":            {heads: func(all []inventory.Position) { all[0].Seq++ }, says: "shard 0: the newest change of its feed is"},
	"head id":         {heads: func(all []inventory.Position) { all[1].ID[0]++ }, says: "shard 1: the newest change of its feed is"},
	"record twice":    {record: func(all []store.Record) []store.Record { all[1].Revision = all[0].Revision; return all }, says: "have the same revision"},
	"record revision": {record: func(all []store.Record) []store.Record { all[0].Revision = 0; return all }, says: "has the revision 0"},
	"line gone": {lines: func(chain int, all []store.JournalLine) []store.JournalLine {
		if chain == 2 && len(all) > 3 {
			return slices.Delete(all, 1, 2)
		}
		return all
	}, says: "the lines 1 and 3 of the journal's chain 2 do not follow one another"},
	"last line gone": {lines: func(chain int, all []store.JournalLine) []store.JournalLine {
		if chain == 1 && len(all) > 0 {
			return all[:len(all)-1]
		}
		return all
	}, says: "chain 1 of the journal ends at line 9, and its newest is 10"},
	"shape text": {shapes: func(all []inventory.Shape) { all[0].Text += "\x01a\x01b" }, says: "its text is not the one it is named by"},
	"shape cut":  {shapes: func(all []inventory.Shape) { all[0].Text = all[0].Text[:len(all[0].Text)-1] }, says: "cut short"},
	"hash key":   {id: func(id *store.Identity) { id.HashKey[0]++ }, says: "its text is not the one it is named by"},
}

// elsewhere gives a node a name that another shard has.
func elsewhere(n *store.NodeScan) {
	shard := store.ShardOf(n.Node.Key, shards)
	for i := 5000; store.ShardOf(n.Node.Key, shards) == shard; i++ {
		n.Node.Key.Node = storetest.Node(i).Node
	}
}

// damaged is a store seen through a damage.
type damaged struct {
	store.Store
	damage damage
	once   atomic.Bool
}

func (s *damaged) Identity() store.Identity {
	id := s.Store.Identity()
	if s.damage.id != nil {
		s.damage.id(&id)
	}
	return id
}

func (s *damaged) Scan(ctx context.Context, shard int, after *inventory.NodeKey, limit int) ([]store.NodeScan, bool, error) {
	if s.damage.err != nil {
		return nil, false, s.damage.err
	}
	nodes, more, err := s.Store.Scan(ctx, shard, after, limit)
	for i := range nodes {
		n := &nodes[i]
		if s.damage.node != nil && len(n.Documents) > 0 && len(n.Documents[0].Refs) > 0 && s.once.CompareAndSwap(false, true) {
			n.Node = n.Node.Clone()
			s.damage.node(n)
		}
	}
	return nodes, more, err
}

func (s *damaged) Changes(ctx context.Context, shard int, after inventory.Position, limit int) ([]inventory.Change, error) {
	changes, err := s.Store.Changes(ctx, shard, after, limit)
	if s.damage.change == nil || len(changes) < 2 { // the last one is where the reader goes on
		return changes, err
	}
	for i := range changes[:len(changes)-1] {
		if s.once.CompareAndSwap(false, true) && !s.damage.change(&changes[i]) {
			s.once.Store(false) // there was nothing to damage
		}
	}
	return changes, err
}

func (s *damaged) Heads(ctx context.Context) ([]inventory.Position, error) {
	heads, err := s.Store.Heads(ctx)
	if s.damage.heads != nil {
		s.damage.heads(heads)
	}
	return heads, err
}

func (s *damaged) ListRecords(ctx context.Context, prefix, after string, limit int) ([]store.Record, error) {
	records, err := s.Store.ListRecords(ctx, prefix, after, limit)
	if s.damage.record != nil && len(records) > 1 {
		records = s.damage.record(records)
	}
	return records, err
}

func (s *damaged) Shapes(ctx context.Context, shard int, p inventory.Partition, t inventory.TypeName, ids []inventory.ShapeID) ([]inventory.Shape, error) {
	shapes, err := s.Store.Shapes(ctx, shard, p, t, ids)
	if s.damage.shapes != nil && len(shapes) > 0 && s.once.CompareAndSwap(false, true) {
		s.damage.shapes(shapes)
	}
	return shapes, err
}

func (s *damaged) ReadJournal(ctx context.Context, chain int, after uint64, limit int) ([]store.JournalLine, error) {
	lines, err := s.Store.ReadJournal(ctx, chain, after, limit)
	if s.damage.lines != nil && s.once.CompareAndSwap(false, chain == 2) {
		lines = s.damage.lines(chain, lines)
	}
	return lines, err
}
