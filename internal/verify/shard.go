package verify

import (
	"slices"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// shardChecker checks one shard; one goroutine at a time gives it what there is.
type shardChecker struct {
	c     *Checker
	shard int

	texts     map[typeKey]map[inventory.ShapeID]inventory.Entry
	seen      map[inventory.NodeKey]struct{}
	revisions map[uint64]inventory.NodeID
	stored    map[inventory.DocumentKey]storedDocument
	writers   map[uint64]inventory.DocumentKey // of sequences, by documents

	oldest, newest inventory.Position // of the feed
	replayed       map[inventory.DocumentKey]*replay
}

// typeKey names a type of a partition.
type typeKey struct {
	inventory.Partition
	Type inventory.TypeName
}

// storedDocument is what is kept of a document until the feed was read.
type storedDocument struct {
	seq   uint64
	split uint32
	refs  digest
}

func newShardChecker(c *Checker, shard int) *shardChecker {
	return &shardChecker{
		c: c, shard: shard,
		texts: map[typeKey]map[inventory.ShapeID]inventory.Entry{}, seen: map[inventory.NodeKey]struct{}{},
		revisions: map[uint64]inventory.NodeID{}, stored: map[inventory.DocumentKey]storedDocument{},
		writers: map[uint64]inventory.DocumentKey{}, replayed: map[inventory.DocumentKey]*replay{},
	}
}

// shapes names texts anew.
func (s *shardChecker) shapes(shapes []store.Typed) {
	for i := range shapes {
		sh := &shapes[i]
		if s.c.id.HashKey.ShapeIDOf(sh.Type, []byte(sh.Text)) != sh.ID {
			s.c.find("shape %s of %s in %s: its text is not the one it is named by", sh.ID, sh.Type, sh.Partition)
		}
		entry, err := inventory.ParseShapeText(sh.Text)
		if err != nil {
			s.c.find("shape %s of %s in %s: %v", sh.ID, sh.Type, sh.Partition, err)
		}
		in := typeKey{sh.Partition, sh.Type}
		if s.texts[in] == nil {
			s.texts[in] = map[inventory.ShapeID]inventory.Entry{}
		}
		s.texts[in][sh.ID] = entry
	}
	s.c.count(func(r *Report) { r.Shapes += len(shapes) })
}

func (s *shardChecker) nodes(nodes []store.NodeScan) {
	documents, entries := 0, 0
	for i := range nodes {
		n := &nodes[i]
		documents += len(n.Documents)
		for _, d := range n.Documents {
			entries += len(d.Refs)
		}
		if err := store.CheckNodes(s.shard, s.c.id.Shards, nodes[i:i+1]); err != nil {
			s.c.find("shard %d: %v", s.shard, err)
			continue
		}
		s.node(n)
	}
	s.c.count(func(r *Report) {
		r.Nodes += len(nodes)
		r.Documents += documents
		r.Entries += entries
	})
}

func (s *shardChecker) node(n *store.NodeScan) {
	key := n.Node.Key
	if _, twice := s.seen[key]; twice {
		s.c.find("node %s of %s is stored twice", key.Node, key.Partition)
	}
	s.seen[key] = struct{}{}
	if other, twice := s.revisions[n.Node.Revision]; twice {
		s.c.find("the nodes %s and %s have the same revision %d", other, key.Node, n.Node.Revision)
	}
	s.revisions[n.Node.Revision] = key.Node
	switch n.Node.Status {
	case inventory.Active, inventory.ConnectionLost, inventory.Stopped, inventory.Terminated:
	default:
		s.c.find("node %s of %s has the status %q, which is none", key.Node, key.Partition, n.Node.Status)
	}
	for i := range n.Node.Items {
		item := &n.Node.Items[i]
		name := inventory.DocumentKey{NodeKey: key, Type: item.Type, SubType: item.SubType}
		s.document(name, item, n.Documents[i])
		if s.c.index != nil {
			s.c.index.document(s.c, name, n.Documents[i], i == 0 || n.Node.Items[i-1].Type != item.Type)
		}
	}
}

// document checks a document against the record and the shapes it is made of.
func (s *shardChecker) document(name inventory.DocumentKey, item *inventory.ItemState, doc inventory.Document) {
	if item.Entries != len(doc.Refs) {
		s.c.find("%s: the record says %d entries, and the document has %d", shown(name), item.Entries, len(doc.Refs))
	}
	if item.Arrival.IsZero() {
		s.c.find("%s: the record has no time of arrival", shown(name))
	}
	if other, twice := s.writers[item.Seq]; twice {
		s.c.find("%s and %s: both say that change %d of shard %d wrote them", shown(name), shown(other), item.Seq, s.shard)
	}
	s.writers[item.Seq] = name
	texts := s.texts[typeKey{name.Partition, name.Type}]
	for i, r := range doc.Refs {
		entry, ok := texts[r.Shape]
		if !ok {
			s.c.find("%s: entry %d is of shape %s, which has no text", shown(name), i, r.Shape)
			continue
		}
		for j, a := range r.Volatile {
			if _, both := entry.Get(a.Name); both || j > 0 && r.Volatile[j-1].Name >= a.Name {
				s.c.find("%s: entry %d has the attribute %q twice, or out of order", shown(name), i, a.Name)
			}
		}
	}
	s.stored[name] = storedDocument{seq: item.Seq, split: doc.Split, refs: digestOf(doc.Refs)}
}

// shown names a document for people.
func shown(k inventory.DocumentKey) string {
	name := "document " + string(k.Type)
	if k.SubType != "" {
		name += " (" + k.SubType + ")"
	}
	return name + " of node " + string(k.Node) + " in " + k.Partition.String()
}

// end compares the feed with the documents.
func (s *shardChecker) end(head *inventory.Position) {
	if head != nil && *head != s.newest {
		s.c.find("shard %d: the newest change of its feed is %d (%x), and its head says %d (%x)", s.shard, s.newest.Seq, s.newest.ID, head.Seq, head.ID)
	}
	recomputed := 0
	for name, r := range s.replayed {
		is, stored := s.stored[name]
		switch {
		case r.gone && stored:
			s.c.find("%s: change %d removed it, and it is stored", shown(name), r.seq)
		case r.gone:
			recomputed++
		case !stored:
			s.c.find("%s: change %d wrote it, and it is not stored", shown(name), r.seq)
		case is.seq != r.seq:
			s.c.find("%s: the record says that change %d wrote it, and the newest of it in the feed is %d", shown(name), is.seq, r.seq)
		case is.split != r.split:
			s.c.find("%s: it is stored of split %d, and change %d wrote it of split %d", shown(name), is.split, r.seq, r.split)
		case r.known:
			recomputed++
			if digestOf(r.refs) != is.refs {
				s.c.find("%s: the feed makes another document of it than is stored", shown(name))
			}
		}
	}
	for name, is := range s.stored {
		if _, told := s.replayed[name]; !told && (is.seq >= s.oldest.Seq || is.seq == 0) {
			s.c.find("%s: the record says that change %d wrote it, and the feed, from %d to %d, has no such change", shown(name), is.seq, s.oldest.Seq, s.newest.Seq)
		}
	}
	s.c.count(func(r *Report) { r.Recomputed += recomputed })
}

// records checks the control plane's records as they come.
type records struct {
	last      string
	revisions map[uint64]string
}

func (k *records) check(c *Checker, all []store.Record) {
	if k.revisions == nil {
		k.revisions = map[uint64]string{}
	}
	for i, r := range all {
		if err := store.CheckRecords(all[i : i+1]); err != nil {
			c.find("%v", err)
		}
		if k.last != "" && r.Key <= k.last {
			c.find("record %q comes after %q", r.Key, k.last)
		}
		if other, twice := k.revisions[r.Revision]; twice {
			c.find("the records %q and %q have the same revision %d", other, r.Key, r.Revision)
		}
		k.last, k.revisions[r.Revision] = r.Key, r.Key
	}
}

// setsEqual tells whether two lists have the same shapes, sorted or not.
func setsEqual(a, b []inventory.ShapeID) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.SortFunc(a, inventory.CompareShapeIDs)
	slices.SortFunc(b, inventory.CompareShapeIDs)
	return slices.Equal(a, b)
}
