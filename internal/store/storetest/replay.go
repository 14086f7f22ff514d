package storetest

import (
	"testing"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// copied is a copy of a store's documents, made by a scan and kept by its feed.
type copied struct {
	documents map[inventory.DocumentKey]inventory.Document
	seqs      map[inventory.DocumentKey]uint64
	// doomed are documents the scan did not find because they were removed while it ran: until the feed comes to that,
	// its deltas have nothing to be applied to.
	doomed map[inventory.DocumentKey]bool
}

func newCopied() *copied {
	return &copied{
		documents: map[inventory.DocumentKey]inventory.Document{}, seqs: map[inventory.DocumentKey]uint64{},
		doomed: map[inventory.DocumentKey]bool{},
	}
}

func (p *copied) add(n store.NodeScan) {
	for i, item := range n.Node.Items {
		key := DocumentKey(n.Node.Key, item.ItemKey)
		p.documents[key], p.seqs[key] = n.Documents[i], item.Seq
	}
}

func (p *copied) apply(t *testing.T, c inventory.Change) {
	t.Helper()
	if c.Seq <= p.seqs[c.Document] {
		return
	}
	before, known := p.documents[c.Document]
	if c.Gone {
		delete(p.documents, c.Document)
		delete(p.doomed, c.Document)
	} else {
		refs, err := c.Delta.Apply(before.Refs)
		if err != nil && known {
			t.Fatalf("change %d of shard %d: %v", c.Seq, c.Shard, err)
		}
		if p.doomed[c.Document] || err != nil {
			p.doomed[c.Document] = true
			return
		}
		p.documents[c.Document] = inventory.Document{Split: c.Split, Refs: refs}
	}
	if !known && (c.Gone || len(c.Removed) > 0) {
		return // what it was before nobody knows
	}
	added, removed := inventory.SetDiff(before.ShapeSet(), p.documents[c.Document].ShapeSet())
	if d := differ([][]inventory.ShapeID{added, removed}, [][]inventory.ShapeID{c.Added, c.Removed}); d != "" {
		t.Fatalf("change %d of shard %d (-sets as replayed +as told):\n%s", c.Seq, c.Shard, d)
	}
}

// scanned copies all shards and calls between after every page.
func (r *trial) scanned(between func()) *copied {
	r.Helper()
	p := newCopied()
	for shard := range r.s.Identity().Shards {
		var after *inventory.NodeKey
		for more := true; more; {
			var nodes []store.NodeScan
			var err error
			nodes, more, err = r.s.Scan(r.Context(), shard, after, 1)
			r.check(err)
			for _, n := range nodes {
				p.add(n)
				after = &n.Node.Key
				between()
			}
		}
	}
	return p
}

// follow applies to a copy all changes after the given heads.
func (r *trial) follow(p *copied, heads []inventory.Position) {
	r.Helper()
	for shard, head := range heads {
		changes, err := ChangesAll(r.Context(), r.s, shard, head, 7)
		r.check(err)
		for _, c := range changes {
			p.apply(r.T, c)
		}
	}
}

// step does one random thing to one of a few nodes: a report of part of what the node has and new, or a removal.
func (r *trial) step(src *Source) {
	r.Helper()
	key := src.NodeKey(4)
	node, err := r.s.Node(r.Context(), key)
	switch {
	case err == nil && src.IntN(6) == 0:
		var keys []inventory.ItemKey
		if len(node.Items) > 0 && src.IntN(2) == 0 {
			keys = append(keys, node.Items[src.IntN(len(node.Items))].ItemKey)
		}
		r.commit(r.drop(key, Epoch, inventory.CauseDeletion, keys...))
	case err == nil && len(node.Items) > 0 && src.IntN(2) == 0:
		r.report(key, Epoch, r.edited(src, key, node.Items[src.IntN(len(node.Items))]))
	default:
		r.report(key, Epoch, src.Item(25))
	}
}

// edited reports a document again with a few entries changed, moved or dropped.
func (r *trial) edited(src *Source, key inventory.NodeKey, state inventory.ItemState) inventory.Item {
	r.Helper()
	name := DocumentKey(key, state.ItemKey)
	entries, err := Entries(r.Context(), r.s, name, r.document(name))
	r.check(err)
	for range src.IntN(4) {
		if len(entries) == 0 {
			break
		}
		i, j := src.IntN(len(entries)), src.IntN(len(entries))
		switch src.IntN(4) {
		case 0:
			entries[i] = src.Entry()
		case 1:
			entries[i], entries[j] = entries[j], entries[i]
		case 2:
			entries = append(entries[:i:i], entries[i+1:]...)
		case 3:
			entries = append(entries, entries[i])
		}
	}
	return inventory.Item{
		Type: state.Type, SchemaVersion: state.SchemaVersion, CaptureTime: src.Time(), HasContent: true,
		Context: state.Context, Content: entries,
	}
}

func replayOverScanGivesNow(t *testing.T, m Maker) {
	r := newTrial(t, m)
	src := NewSource(31)
	for range 60 {
		r.step(src)
	}
	heads := r.heads()
	scanned := r.scanned(func() {
		for range 3 {
			r.step(src)
		}
	})
	for range 60 {
		r.step(src)
	}
	r.follow(scanned, heads)
	whole := newCopied()
	r.follow(whole, r.start())
	now := r.scanned(func() {})
	if d := differ(now.documents, scanned.documents); d != "" || len(scanned.doomed) > 0 {
		t.Errorf("replay over a scan, %d documents never removed (-now +replayed):\n%s", len(scanned.doomed), d)
	}
	if d := differ(now.documents, whole.documents); d != "" {
		t.Errorf("replay over nothing (-now +replayed):\n%s", d)
	}
}
