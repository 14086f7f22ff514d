package verify

import (
	"context"
	"crypto/sha256"
	"encoding/binary"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// replay is a document as the feed makes it.
type replay struct {
	seq   uint64
	gone  bool
	split uint32
	// known: refs are the document's. It is not while the feed does not go back to a change that names all of it.
	known bool
	refs  []inventory.Ref
}

func (s *shardChecker) changes(changes []inventory.Change) {
	for i := range changes {
		c := &changes[i]
		if err := store.CheckChanges(s.shard, s.c.id.Shards, changes[i:i+1]); err != nil {
			s.c.find("shard %d: %v", s.shard, err)
			continue
		}
		if s.newest != (inventory.Position{}) && c.Seq != s.newest.Seq+1 {
			s.c.find("shard %d: change %d follows change %d in the feed", s.shard, c.Seq, s.newest.Seq)
		}
		if s.oldest == (inventory.Position{}) {
			s.oldest = c.Position
		}
		s.newest = c.Position
		s.replay(c)
	}
	s.c.count(func(r *Report) { r.Changes += len(changes) })
}

// replay makes the document after a change of the one before it, and holds what the change says of both against them.
func (s *shardChecker) replay(c *inventory.Change) {
	r := s.replayed[c.Document]
	if r == nil {
		r = &replay{known: s.oldest.Seq == 1} // before the first change of all there was nothing
		s.replayed[c.Document] = r
	}
	if c.Cause < inventory.CausePut || c.Cause > inventory.CauseSplit {
		s.c.find("change %d of shard %d has the cause %d, which is none", c.Seq, s.shard, c.Cause)
	}
	if c.Gone && len(c.Delta)+len(c.Added) > 0 {
		s.c.find("change %d of shard %d removes %s, and adds to it", c.Seq, s.shard, shown(c.Document))
	}
	if r.seq != 0 && r.gone && c.Gone {
		s.c.find("change %d of shard %d removes %s, which change %d removed", c.Seq, s.shard, shown(c.Document), r.seq)
	}
	before, after, known := r.refs, []inventory.Ref(nil), r.known
	whole := copiesNothing(c.Delta)
	switch {
	case r.known:
		var err error
		if after, err = c.Delta.Apply(before); err != nil {
			s.c.find("change %d of shard %d, %s: %v", c.Seq, s.shard, shown(c.Document), err)
			known = false
		}
	case c.Gone:
		known = true
	case whole:
		after, _ = c.Delta.Apply(nil) // copies nothing, so it does not fail
		known = true
	}
	if r.known && known {
		s.sets(c, before, after)
	}
	*r = replay{seq: c.Seq, gone: c.Gone, split: c.Split, known: known, refs: after}
}

// sets compares what a change says was added and removed with the documents before and after it.
func (s *shardChecker) sets(c *inventory.Change, before, after []inventory.Ref) {
	added, removed := inventory.SetDiff(inventory.Document{Refs: before}.ShapeSet(), inventory.Document{Refs: after}.ShapeSet())
	if !setsEqual(added, c.Added) || !setsEqual(removed, c.Removed) {
		s.c.find("change %d of shard %d, %s: it says %d shapes added and %d removed, and its delta adds %d and removes %d, or others",
			c.Seq, s.shard, shown(c.Document), len(c.Added), len(c.Removed), len(added), len(removed))
	}
}

// copiesNothing tells a delta that names all of the document after it.
func copiesNothing(d inventory.Delta) bool {
	for _, e := range d {
		if e.Copy > 0 {
			return false
		}
	}
	return true
}

// LoadRecords implements store.Loader.
func (c *Checker) LoadRecords(_ context.Context, all []store.Record) error {
	c.keys.check(c, all)
	c.count(func(r *Report) { r.Records += len(all) })
	return nil
}

// digest stands for the entries of a document.
type digest [sha256.Size]byte

func digestOf(refs []inventory.Ref) digest {
	var buf []byte
	text := func(s string) {
		buf = binary.AppendUvarint(buf, uint64(len(s)))
		buf = append(buf, s...)
	}
	for _, r := range refs {
		buf = append(buf, r.Shape[:]...)
		buf = binary.AppendUvarint(buf, uint64(len(r.Volatile)))
		for _, a := range r.Volatile {
			text(a.Name)
			text(a.Value)
		}
	}
	return sha256.Sum256(buf)
}
