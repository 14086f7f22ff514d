// Package indextest is a plain scan that answers what the index answers, for tests that hold the two beside each other.
//
// Begin with Fleet: put and remove documents, and ask. It keeps whole entries and goes through all of them for every
// question, by inventory's rules and nothing else; it is as slow as that. It is for tests only.
package indextest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"stocktake/internal/inventory"
)

// Fleet is the nodes of one partition, with the entries of every document. The zero Fleet is empty. It is not safe for
// concurrent use, but for reading.
type Fleet struct {
	nodes map[inventory.NodeID]map[inventory.ItemKey][]inventory.Entry
}

// Put stores a document's entries.
func (f *Fleet) Put(node inventory.NodeID, key inventory.ItemKey, entries []inventory.Entry) {
	if f.nodes == nil {
		f.nodes = map[inventory.NodeID]map[inventory.ItemKey][]inventory.Entry{}
	}
	if f.nodes[node] == nil {
		f.nodes[node] = map[inventory.ItemKey][]inventory.Entry{}
	}
	f.nodes[node][key] = entries
}

// Remove drops a document; a node without documents is no longer known.
func (f *Fleet) Remove(node inventory.NodeID, key inventory.ItemKey) {
	delete(f.nodes[node], key)
	if len(f.nodes[node]) == 0 {
		delete(f.nodes, node)
	}
}

// Nodes lists the known nodes by id.
func (f *Fleet) Nodes() []inventory.NodeID { return slices.Sorted(maps.Keys(f.nodes)) }

// Documents lists a node's documents by key.
func (f *Fleet) Documents(node inventory.NodeID) []inventory.ItemKey {
	return slices.SortedFunc(maps.Keys(f.nodes[node]), inventory.CompareItemKeys)
}

// Document gives one document's entries.
func (f *Fleet) Document(node inventory.NodeID, key inventory.ItemKey) ([]inventory.Entry, bool) {
	entries, ok := f.nodes[node][key]
	return entries, ok
}

// Entries gives nodes' entries of a type, all sub-types together. It makes Fleet an index.Documents.
func (f *Fleet) Entries(_ context.Context, nodes []inventory.NodeID, t inventory.TypeName, _ []string) ([][]inventory.Entry, []bool, error) {
	all, reports := make([][]inventory.Entry, len(nodes)), make([]bool, len(nodes))
	for i, node := range nodes {
		all[i], reports[i] = f.entries(node, t)
	}
	return all, reports, nil
}

// Meet tells which nodes meet a question.
func (f *Fleet) Meet(_ context.Context, nodes []inventory.NodeID, q inventory.TypeQuestion) ([]bool, error) {
	met := make([]bool, len(nodes))
	for i, node := range nodes {
		entries, reports := f.entries(node, q.Type)
		met[i] = q.MatchEntries(reports, entries)
	}
	return met, nil
}

func (f *Fleet) entries(node inventory.NodeID, t inventory.TypeName) (entries []inventory.Entry, reports bool) {
	for _, key := range f.Documents(node) {
		if key.Type == t {
			entries = append(entries, f.nodes[node][key]...)
			reports = true
		}
	}
	return entries, reports
}

// Match lists, by id, the nodes that meet every filter.
func (f *Fleet) Match(filters []inventory.Filter) []inventory.NodeID {
	var out []inventory.NodeID
	for _, node := range f.Nodes() {
		if f.meets(node, filters) {
			out = append(out, node)
		}
	}
	return out
}

func (f *Fleet) meets(node inventory.NodeID, filters []inventory.Filter) bool {
	for _, q := range inventory.Questions(filters) {
		entries, reports := f.entries(node, q.Type)
		if !q.MatchEntries(reports, entries) {
			return false
		}
	}
	for _, filter := range filters {
		if filter.Operator != inventory.Exists {
			continue
		}
		if !slices.ContainsFunc(filter.Values, func(t string) bool {
			_, reports := f.entries(node, inventory.TypeName(t))
			return reports
		}) {
			return false
		}
	}
	return true
}

// Row is one row of counts: `Attribute=value` for each expression of the path, joined by commas, and the count.
type Row struct {
	Path  string
	Count int
}

// Count counts the nodes that meet the filters by an aggregator: its rows in the order answers have, or, for groups, one
// row for each: its name and the number that match, and the number that do not in Path after a slash.
func (f *Fleet) Count(a inventory.Aggregator, filters []inventory.Filter) []Row {
	nodes := f.Match(filters)
	if len(a.Groups) > 0 {
		var out []Row
		for _, g := range a.Groups {
			n := 0
			for _, node := range nodes {
				if f.meets(node, g.Filters) {
					n++
				}
			}
			out = append(out, Row{Path: fmt.Sprintf("%s/%d", g.Name, len(nodes)-n), Count: n})
		}
		return out
	}
	// Every combination of one entry for each type on a path, of every node; sets make each node count once.
	paths := map[string]map[inventory.NodeID]bool{}
	for _, node := range nodes {
		f.walk(node, a, "", map[inventory.TypeName]inventory.Entry{}, paths)
	}
	return rows(a, "", paths)
}

// walk notes a node under every path of values it has, from an aggregator on down. chosen holds the entry each type is
// bound to.
func (f *Fleet) walk(node inventory.NodeID, a inventory.Aggregator, path string, chosen map[inventory.TypeName]inventory.Entry, paths map[string]map[inventory.NodeID]bool) {
	entries, _ := f.entries(node, a.Type)
	if e, bound := chosen[a.Type]; bound {
		entries = []inventory.Entry{e}
	}
	for _, e := range entries {
		v, ok := e.Get(a.Attribute)
		if !ok {
			continue
		}
		here := step(path, a, inventory.Fold(v))
		if paths[here] == nil {
			paths[here] = map[inventory.NodeID]bool{}
		}
		paths[here][node] = true
		inner := maps.Clone(chosen)
		inner[a.Type] = e
		for i, n := range a.Nested {
			f.walk(node, n, fmt.Sprintf("%s\x00%d", here, i), inner, paths)
		}
	}
}

func step(path string, a inventory.Aggregator, value string) string {
	return path + "\x01" + a.Attribute + "=" + value
}

// rows orders the paths below a parent: by count, then value, each followed by what is inside.
func rows(a inventory.Aggregator, parent string, paths map[string]map[inventory.NodeID]bool) []Row {
	type value struct {
		text, path string
		count      int
	}
	var values []value
	prefix := step(parent, a, "")
	for path, nodes := range paths {
		if text, ok := strings.CutPrefix(path, prefix); ok && !strings.ContainsAny(text, "\x00\x01") {
			values = append(values, value{text, path, len(nodes)})
		}
	}
	slices.SortFunc(values, func(x, y value) int {
		return cmp.Or(cmp.Compare(y.count, x.count), cmp.Compare(x.text, y.text))
	})
	var out []Row
	for _, v := range values {
		if len(a.Nested) == 0 {
			out = append(out, Row{Path: shown(v.path), Count: v.count})
		}
		for i, n := range a.Nested {
			out = append(out, rows(n, fmt.Sprintf("%s\x00%d", v.path, i), paths)...)
		}
	}
	return out
}

// shown drops the marks that keep siblings apart.
func shown(path string) string {
	var parts []string
	for part := range strings.SplitSeq(path, "\x01") {
		part, _, _ = strings.Cut(part, "\x00")
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ",")
}
