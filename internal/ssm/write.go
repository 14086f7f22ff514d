package ssm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// captureTime is the wire's form of a time.
func captureTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// refreshInformation keeps AWS:InstanceInformation, which the service makes for every known node: a report is a sign of
// life.
func (r *report) refreshInformation() {
	key := inventory.ItemKey{Type: inventory.TypeInstanceInformation}
	schema, _ := inventory.BuiltIn(key.Type)
	if _, put := r.contents[key]; put {
		return
	}
	state := r.node.Item(key)
	if state != nil && r.before.Status != r.node.Status {
		r.write(key, content{kept: true})
	}
	if state == nil {
		r.write(key, content{})
		r.node.SetItem(inventory.ItemState{ItemKey: key, SchemaVersion: schema.Version, CaptureTime: captureTime(r.now), Arrival: r.now, Entries: 1})
		return
	}
	state.CaptureTime, state.Arrival = captureTime(r.now), r.now
}

// information gives the one entry of a node's AWS:InstanceInformation: what was put, under what the service knows itself.
func information(n *inventory.Node, put inventory.Entry) inventory.Entry {
	if n.Status == inventory.Terminated {
		put = nil
	} else if _, ok := put.Get("ResourceType"); !ok {
		kind := "EC2Instance"
		if n.Key.Node.Activated() {
			kind = "ManagedInstance"
		}
		put = put.Merge(inventory.Entry{{Name: "ResourceType", Value: kind}})
	}
	return put.Merge(inventory.Entry{
		{Name: "InstanceId", Value: string(n.Key.Node)},
		{Name: "InstanceStatus", Value: string(n.Status)},
	})
}

// store commits the report: what it teaches first, then documents, record and changes in one commit.
func (r *report) store(ctx context.Context) error {
	if err := r.readMissing(ctx); err != nil {
		return err
	}
	commit := store.Commit{}
	if r.remembered {
		commit.Fence = r.types.fence
	}
	for _, key := range r.order {
		w, err := r.writeOf(ctx, key)
		if err != nil {
			return err
		}
		if w == nil {
			continue
		}
		commit.Writes = append(commit.Writes, *w)
		if key.Type.Custom() {
			commit.Fence = r.types.fence
		}
	}
	commit.Node = r.node
	if err := r.s.checkRoom(r.key.Partition, r.enrolls, commit.Writes); err != nil {
		return err
	}
	if err := r.teach(ctx); err != nil {
		return err
	}
	done, err := r.s.commit(ctx, commit)
	if err != nil {
		return err
	}
	r.s.known.remember(r.node, done)
	if len(commit.Writes) > 0 {
		r.s.counters.stored.Add(1)
	} else {
		r.s.counters.unchanged.Add(1)
	}
	r.s.noteIgnored(ctx, r.key, r.ignored)
	return nil
}

// errStale has a report judged anew, by what is stored: no record that it would write over tells how many sub-types there are.
var errStale = errors.New("what is remembered of sub-types may be too old")

// teach writes what the report teaches.
func (r *report) teach(ctx context.Context) error {
	subTypes := r.newSubTypes()
	if len(r.lessons)+len(subTypes) == 0 {
		return nil
	}
	if r.remembered && len(subTypes) > 0 {
		return errStale
	}
	err := r.s.schemas.learn(ctx, r.key.Partition, r.types, r.lessons, subTypes)
	r.attempt.taught = r.attempt.taught || errors.Is(err, store.ErrConflict)
	return err
}

func (r *report) newSubTypes() []string {
	var fresh []string
	for _, sub := range r.subTypes {
		if _, known := slices.BinarySearch(r.types.subTypes, sub); !known && !slices.Contains(fresh, sub) {
			fresh = append(fresh, sub)
		}
	}
	return fresh
}

// writeOf computes the write of one document; nil when it is stored just so already.
func (r *report) writeOf(ctx context.Context, key inventory.ItemKey) (*store.Write, error) {
	state := r.node.Item(key)
	before, stored := r.read.documents[key]
	c := r.contents[key]
	entries := c.entries
	if c.kept {
		var err error
		if entries, err = r.s.entries(ctx, documentKey(r.key, key), before.Refs, nil); err != nil {
			return nil, err
		}
		entries = withoutContext(entries, key.Type)
	}
	if key.Type == inventory.TypeInstanceInformation {
		var put inventory.Entry
		if len(entries) > 0 {
			put = entries[0]
		}
		if !c.kept && stored && !r.s.lastHeartbeat(r.key).IsZero() {
			had, err := r.s.entries(ctx, documentKey(r.key, key), before.Refs, nil)
			if err != nil {
				return nil, err
			}
			for _, e := range had {
				put = agentsWord(e).Merge(put)
			}
		}
		entries = []inventory.Entry{information(&r.node, put)}
		state.Entries = 1
	}
	split := r.types.split(key.Type)
	after := r.s.cut(key.Type, split, entries, state.Context)
	if old := r.before.Item(key); stored && !c.anew && old != nil && old.SchemaVersion == state.SchemaVersion &&
		sameContext(split, old.Context, state.Context) && sameDocument(before, after.document) {
		return nil, nil
	}
	w := after.writeOver(before, inventory.CausePut)
	w.Key = key
	return &w, nil
}

func sameDocument(a, b inventory.Document) bool {
	return a.Split == b.Split && slices.EqualFunc(a.Refs, b.Refs, inventory.Ref.Equal)
}

// withoutContext drops the context attributes that a document's shapes carry, so that new ones can take their place.
func withoutContext(entries []inventory.Entry, t inventory.TypeName) []inventory.Entry {
	schema, ok := inventory.BuiltIn(t)
	if !ok {
		return entries
	}
	out := make([]inventory.Entry, len(entries))
	for i, e := range entries {
		out[i] = slices.DeleteFunc(slices.Clone(e), func(a inventory.Attribute) bool {
			known, ok := schema.Attribute(a.Name)
			return ok && known.Context
		})
	}
	return out
}

func documentKey(node inventory.NodeKey, item inventory.ItemKey) inventory.DocumentKey {
	return inventory.DocumentKey{NodeKey: node, Type: item.Type, SubType: item.SubType}
}

// documentsRead is what was read of a node's documents.
type documentsRead struct {
	types     []inventory.TypeName
	documents map[inventory.ItemKey]inventory.Document
}

// readNode reads the node, with its documents of types reported without a hash: they have to be compared. It gives
// whether the node is known.
func (r *report) readNode(ctx context.Context, items []inventory.Item) (known bool, err error) {
	var types []inventory.TypeName
	for _, it := range items {
		if it.HasContent && it.ContentHash == "" && !slices.Contains(types, it.Type) {
			types = append(types, it.Type)
		}
	}
	if len(types) > 0 {
		scan, err := r.readTypes(ctx, types)
		r.before = scan.Node
		return scan.Node.Revision != 0, err
	}
	r.before, err = r.s.store.Node(ctx, r.key)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// readMissing reads the documents that are to be written over and were not read with the node.
func (r *report) readMissing(ctx context.Context) error {
	var types []inventory.TypeName
	for _, key := range r.order {
		if r.before.Item(key) != nil && !slices.Contains(r.read.types, key.Type) && !slices.Contains(types, key.Type) {
			types = append(types, key.Type)
		}
	}
	if len(types) == 0 {
		return nil
	}
	scan, err := r.readTypes(ctx, types)
	if err == nil && scan.Node.Revision != r.before.Revision {
		err = fmt.Errorf("node %s: %w", r.key.Node, store.ErrConflict)
	}
	return err
}

// readTypes reads the node with its documents of some types; the zero scan where it is not known.
func (r *report) readTypes(ctx context.Context, types []inventory.TypeName) (scan store.NodeScan, err error) {
	scans, err := r.s.store.Read(ctx, []inventory.NodeKey{r.key}, types)
	if err != nil || len(scans) == 0 {
		return scan, err
	}
	scan = scans[0]
	r.read.types = append(r.read.types, types...)
	if r.read.documents == nil {
		r.read.documents = map[inventory.ItemKey]inventory.Document{}
	}
	for i, state := range scan.Node.Items {
		if slices.Contains(types, state.Type) {
			r.read.documents[state.ItemKey] = scan.Documents[i]
		}
	}
	return scan, nil
}

// checkRoom refuses what would pass the caps on nodes and shapes.
func (s *Service) checkRoom(p inventory.Partition, enrolls bool, writes []store.Write) error {
	nodes := 0
	if enrolls {
		nodes = 1
	}
	idx := s.replica.Index()
	for _, w := range writes {
		// Mostly there is room for all, known or not, which needs no look at each.
		if idx.Fits(p, nodes, w.Key.Type, len(w.Added)) == nil {
			continue
		}
		if err := idx.Fits(p, nodes, w.Key.Type, len(idx.Missing(p, w.Key.Type, w.Added))); err != nil {
			return err
		}
	}
	return nil
}

// commit makes one write durable and brings the index up to it, whatever becomes of the request: an acknowledged write
// is in every later answer, and one whose caller went away is too.
func (s *Service) commit(ctx context.Context, c store.Commit) (store.Committed, error) {
	done, err := s.store.Commit(ctx, c)
	if err != nil {
		return done, err
	}
	number := 0
	for _, w := range c.Writes {
		number += len(w.Shapes)
	}
	shapes := make([]inventory.Shape, 0, number)
	for _, w := range c.Writes {
		shapes = append(shapes, w.Shapes...)
	}
	return done, s.replica.Apply(context.WithoutCancel(ctx), done, shapes)
}
