package inventory

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNodeIDs(t *testing.T) {
	for id, want := range map[NodeID]bool{
		"i-12345678": true, "i-0123456789abcdef0": true, "mi-0123456789abcdef0": true, "i-ABCDEF_8": true,
		"": false, "i-": false, "i-1234567": false, "i-123456789": false, "mi-12345678": false, "i-1234567-": false,
		"x-12345678": false, "i-12345678\n": false, " i-12345678": false, "i-1234567é": false, "I-12345678": false,
	} {
		if got := id.Valid(); got != want {
			t.Errorf("%q is valid: %v, want %v", id, got, want)
		}
	}
	if NodeID("i-12345678").Activated() || !NodeID("mi-0123456789abcdef0").Activated() {
		t.Error("ids that exist only by activation are those that begin with mi-")
	}
}

func TestNodeItems(t *testing.T) {
	var n Node
	keys := []ItemKey{{"B", ""}, {"C", "z"}, {"A", ""}, {"C", "a"}, {"C", ""}, {"Ca", ""}}
	for i, key := range keys {
		n.SetItem(ItemState{ItemKey: key, Entries: i})
	}
	before := n.Clone()
	n.SetItem(ItemState{ItemKey: keys[0], Entries: 9})
	if before.Item(keys[0]).Entries != 0 || n.Item(keys[0]).Entries != 9 {
		t.Error("a clone changed with the node it was made of")
	}
	if !slices.IsSortedFunc(n.Items, func(a, b ItemState) int { return CompareItemKeys(a.ItemKey, b.ItemKey) }) || len(n.Items) != len(keys) {
		t.Errorf("items are %v", n.Items)
	}
	var subs []string
	for _, s := range n.ItemsOf("C") {
		subs = append(subs, s.SubType)
	}
	if diff := cmp.Diff([]string{"", "a", "z"}, subs); diff != "" {
		t.Errorf("sub-types (-want +got):\n%s", diff)
	}
	n.RemoveItem(ItemKey{"C", "a"})
	n.RemoveItem(ItemKey{"D", ""})
	if n.Item(ItemKey{"C", "a"}) != nil || len(n.Items) != len(keys)-1 || len(n.ItemsOf("D")) != 0 {
		t.Errorf("after removal the items are %v", n.Items)
	}
}

func TestEntryGetAndMerge(t *testing.T) {
	e, over := entry("A", "1", "C", "3", "D", ""), entry("B", "2", "C", "33", "E", "5")
	for name, want := range map[string]string{"A": "1", "D": ""} {
		if got, ok := e.Get(name); !ok || got != want {
			t.Errorf("Get(%q) = %q, %v", name, got, ok)
		}
	}
	if _, ok := e.Get("a"); ok {
		t.Error("Get ignores case")
	}
	if diff := cmp.Diff(entry("A", "1", "B", "2", "C", "33", "D", "", "E", "5"), e.Merge(over)); diff != "" {
		t.Errorf("Merge (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(e, Entry(nil).Merge(e)); diff != "" {
		t.Errorf("Merge of nothing (-want +got):\n%s", diff)
	}
}
