package storetest

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// State is all that can be read of a store, put so that stores of one content compare equal with Diff: change ids and
// revisions, which a store gives as it likes, are zero.
type State struct {
	Nodes map[inventory.NodeKey]store.NodeScan
	// Texts are those of every shape a document or a change names.
	Texts map[store.Typed]string
	// Changes are what every shard's feed holds, from its oldest position that can be read.
	Changes map[int][]inventory.Change
	Records map[string]string
	// Lines are those of each chain of the journal that has any, Intentions the texts by id of each; their times are not
	// compared.
	Lines      map[int][]store.JournalLine
	Intentions map[int]map[string]string
}

// Read reads all of a store. oldest is, for each shard, the position to read changes after.
func Read(ctx context.Context, s store.Store, oldest []inventory.Position) (State, error) {
	state := State{
		Nodes: map[inventory.NodeKey]store.NodeScan{}, Texts: map[store.Typed]string{},
		Changes: map[int][]inventory.Change{}, Records: map[string]string{},
		Lines: map[int][]store.JournalLine{}, Intentions: map[int]map[string]string{},
	}
	if err := state.addJournal(ctx, s); err != nil {
		return state, err
	}
	for shard := range s.Identity().Shards {
		nodes, err := ScanAll(ctx, s, shard, 3)
		if err != nil {
			return state, err
		}
		if err := readAlike(ctx, s, nodes); err != nil {
			return state, err
		}
		named := naming{}
		for _, n := range nodes {
			if err := state.addNode(ctx, s, n, named); err != nil {
				return state, err
			}
		}
		changes, err := ChangesAll(ctx, s, shard, oldest[shard], 5)
		if err != nil {
			return state, err
		}
		for _, c := range changes {
			named.add(c.Document, ShapesOf(c))
			c.ID = inventory.ChangeID{}
			if len(c.Removed) == 0 {
				c.Removed = nil // as the set of a document without entries is not
			}
			state.Changes[shard] = append(state.Changes[shard], c)
		}
		if err := state.addTexts(ctx, s, shard, named); err != nil {
			return state, err
		}
	}
	for after := ""; ; {
		records, err := s.ListRecords(ctx, "", after, 7)
		if err != nil || len(records) == 0 {
			return state, err
		}
		for _, r := range records {
			state.Records[r.Key] = string(r.Value)
			after = r.Key
		}
	}
}

// readAlike checks that reading nodes by name, the last first, gives what a scan gave.
func readAlike(ctx context.Context, s store.Store, scanned []store.NodeScan) error {
	want := slices.Clone(scanned)
	slices.Reverse(want)
	var keys []inventory.NodeKey
	var types []inventory.TypeName
	for _, n := range want {
		keys = append(keys, n.Node.Key)
		types = append(types, allTypes(n.Node)...)
	}
	slices.Sort(types)
	got, err := s.Read(ctx, keys, slices.Compact(types))
	if err != nil {
		return err
	}
	if d := differ(want, got); d != "" {
		return fmt.Errorf("nodes as scanned and as read (-scanned +read):\n%s", d)
	}
	return nil
}

func allTypes(n inventory.Node) (types []inventory.TypeName) {
	for _, item := range n.Items {
		types = append(types, item.Type)
	}
	return types
}

// addNode adds a scanned node and the shapes it names, and checks on the way that reading it by name gives the same.
func (state *State) addNode(ctx context.Context, s store.Store, n store.NodeScan, named naming) error {
	node, err := s.Node(ctx, n.Node.Key)
	if err != nil {
		return err
	}
	if d := differ(n.Node, node); d != "" {
		return fmt.Errorf("node %s as scanned and as read (-scanned +read):\n%s", n.Node.Key.Node, d)
	}
	for i, item := range n.Node.Items {
		key := DocumentKey(n.Node.Key, item.ItemKey)
		doc, err := s.Document(ctx, key)
		if err != nil {
			return err
		}
		if d := differ(n.Documents[i], doc); d != "" {
			return fmt.Errorf("document %q of node %s as scanned and as read (-scanned +read):\n%s", key.Type, key.Node, d)
		}
		named.add(key, doc.ShapeSet())
	}
	n.Node.Revision = 0
	if len(n.Node.Items) == 0 {
		n.Node.Items, n.Documents = nil, nil // stores differ in which empty they give
	}
	state.Nodes[n.Node.Key] = n
	return nil
}

// naming is the shapes that the documents and changes of a shard name, each once, by partition and type.
type naming map[store.Typed]map[inventory.ShapeID]bool

func (n naming) add(key inventory.DocumentKey, ids []inventory.ShapeID) {
	of := store.Typed{Partition: key.Partition, Type: key.Type}
	if n[of] == nil {
		n[of] = map[inventory.ShapeID]bool{}
	}
	for _, id := range ids {
		n[of][id] = true
	}
}

func (state *State) addTexts(ctx context.Context, s store.Store, shard int, named naming) error {
	for of, ids := range named {
		shapes, err := s.Shapes(ctx, shard, of.Partition, of.Type, slices.SortedFunc(maps.Keys(ids), inventory.CompareShapeIDs))
		if err != nil {
			return err
		}
		for _, sh := range shapes {
			of.ID = sh.ID
			state.Texts[of] = sh.Text
		}
	}
	return nil
}

// ShapesOf lists every shape a change names, each once.
func ShapesOf(c inventory.Change) []inventory.ShapeID {
	set := map[inventory.ShapeID]bool{}
	for _, id := range slices.Concat(c.Added, c.Removed) {
		set[id] = true
	}
	for _, e := range c.Delta {
		for _, r := range e.Insert {
			set[r.Shape] = true
		}
	}
	return slices.SortedFunc(maps.Keys(set), inventory.CompareShapeIDs)
}

// Equate compares values of inventory by content: an empty slice or map is equal to none.
var Equate = cmpopts.EquateEmpty()

// Diff tells how two states differ; empty when they do not.
func Diff(a, b State) string { return differ(a, b) }

func differ(a, b any) string {
	if reflect.DeepEqual(a, b) { // much the faster of the two
		return ""
	}
	return cmp.Diff(a, b, Equate)
}

func alike(a, b any) bool { return reflect.DeepEqual(a, b) || cmp.Equal(a, b, Equate) }

// ScanAll reads a whole shard, so many nodes a page.
func ScanAll(ctx context.Context, s store.View, shard, page int) ([]store.NodeScan, error) {
	var all []store.NodeScan
	var after *inventory.NodeKey
	for {
		nodes, more, err := s.Scan(ctx, shard, after, page)
		if err != nil {
			return nil, err
		}
		all = append(all, nodes...)
		if !more {
			return all, nil
		}
		if len(nodes) == 0 {
			return nil, fmt.Errorf("scan of shard %d gives no node and says there are more", shard)
		}
		after = &nodes[len(nodes)-1].Node.Key
	}
}

// ChangesAll reads all changes of a shard after a position, so many a page.
func ChangesAll(ctx context.Context, s store.View, shard int, after inventory.Position, page int) ([]inventory.Change, error) {
	var all []inventory.Change
	for {
		changes, err := s.Changes(ctx, shard, after, page)
		if err != nil {
			return nil, err
		}
		all = append(all, changes...)
		if len(changes) < page {
			return all, nil
		}
		after = changes[len(changes)-1].Position
	}
}
