package postgres

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

func mustCodec(tb testing.TB) *codec {
	tb.Helper()
	c, err := newCodec()
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// sample makes a document of so many entries, of three kinds of volatile attributes.
func sample(entries int) inventory.Document {
	doc := inventory.Document{Split: 3}
	for i := range entries {
		r := inventory.Ref{Shape: inventory.ShapeID{byte(i), byte(i >> 8), 7}}
		switch i % 5 {
		case 0:
		case 1:
			r.Volatile = inventory.Entry{{Name: "A", Value: fmt.Sprint(i)}, {Name: "InstalledTime", Value: "2024-02-29T01:02:03Z"}}
		default:
			r.Volatile = inventory.Entry{{Name: "InstalledTime", Value: time.Unix(int64(i)*1e6, 0).UTC().Format(time.RFC3339)}}
		}
		doc.Refs = append(doc.Refs, r)
	}
	return doc
}

// sampleWrite makes a write that changes some of a document.
func sampleWrite() store.Write {
	doc := sample(40)
	return store.Write{
		Key: inventory.ItemKey{Type: "T"}, Document: &doc,
		Delta:   inventory.Delta{{From: 3, Copy: 7, Insert: doc.Refs[:5]}, {Insert: doc.Refs[30:]}},
		Added:   []inventory.ShapeID{doc.Refs[2].Shape, doc.Refs[31].Shape, {99}},
		Removed: []inventory.ShapeID{{5}, {6}},
	}
}

func TestPackedStringsReadBack(t *testing.T) {
	for _, s := range []string{
		"", "x", "2024-02-29T00:00:00Z", "2023-02-29T00:00:00Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
		"1999-12-31T23:59:59Z", "2024-12-31T24:00:00Z", "2016-12-31T23:59:60Z", "2024-01-01t00:00:00Z", "2024-01-01T00:00:0.Z",
		"0123456789abcdef", "0123456789ABCDEF", "0123456789abcdef0", "\x00\xff",
	} {
		d := &decoder{buf: appendPacked(nil, s)}
		if got := d.packed(); got != s || d.end() != nil {
			t.Errorf("%q became %q, %v", s, got, d.err)
		}
	}
	if n := len(appendPacked(nil, "2024-02-29T00:00:00Z")); n > 5 {
		t.Errorf("a time takes %d bytes", n)
	}
}

func TestDocumentsReadBack(t *testing.T) {
	c := mustCodec(t)
	for _, entries := range []int{0, 1, 5, 300} {
		doc := sample(entries)
		value := c.appendDocument(nil, &doc)
		got, err := c.decodeDocument(value)
		if d := cmp.Diff(doc, got, cmpopts.EquateEmpty()); d != "" || err != nil {
			t.Errorf("%d entries, %v (-stored +read):\n%s", entries, err, d)
		}
		for n := range value {
			if _, err := c.decodeDocument(value[:n]); err == nil {
				t.Errorf("a document of %d entries cut to %d of %d bytes is read", entries, n, len(value))
			}
		}
	}
	doc := sample(300)
	if n := len(c.appendDocument(nil, &doc)); n > 16*300+1500 {
		t.Errorf("a document of 300 entries takes %d bytes", n)
	}
}

// FuzzStored reads bytes as each kind of stored value, as damage would make them. None may panic, ask for much memory, or
// be read as something that is not stored again with the same meaning.
func FuzzStored(f *testing.F) {
	c := mustCodec(f)
	doc, write := sample(50), sampleWrite()
	node := inventory.Node{Status: inventory.Active, Enrolled: time.Unix(1700000000, 5).UTC(), Items: []inventory.ItemState{
		{ItemKey: inventory.ItemKey{Type: "A", SubType: "s"}, Arrival: time.Unix(1700000001, 0).UTC(), Hash: "0123456789abcdef", Seq: 9, Entries: 4},
		{ItemKey: inventory.ItemKey{Type: "B"}, Context: inventory.Entry{{Name: "K", Value: "V"}}, CaptureTime: "2024-02-29T00:00:00Z"},
	}}
	change := inventory.Change{Document: inventory.DocumentKey{Type: "T", SubType: "\xff"}, CaptureTime: "x"}
	f.Add(c.appendDocument(nil, &doc))
	f.Add(c.encodeDelta(&write))
	f.Add(appendNode(nil, &node))
	f.Add(appendMeta(nil, &change, true))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, value []byte) {
		if doc, err := c.decodeDocument(value); err == nil {
			again, err := c.decodeDocument(c.appendDocument(nil, &doc))
			if d := cmp.Diff(doc, again, cmpopts.EquateEmpty()); d != "" || err != nil {
				t.Errorf("document, %v (-read +stored again):\n%s", err, d)
			}
		}
		if n, err := decodeNode(inventory.NodeKey{}, 1, value); err == nil {
			again, err := decodeNode(inventory.NodeKey{}, 1, appendNode(nil, &n))
			if d := cmp.Diff(n, again, cmpopts.EquateEmpty()); d != "" || err != nil {
				t.Errorf("node, %v (-read +stored again):\n%s", err, d)
			}
		}
		var delta inventory.Change
		if err := c.decodeContent(&delta, false, value); err == nil {
			var again inventory.Change
			err := c.decodeContent(&again, false, c.encodeDelta(&store.Write{Delta: delta.Delta, Added: delta.Added, Removed: delta.Removed}))
			if d := cmp.Diff(delta, again, cmpopts.EquateEmpty()); d != "" || err != nil {
				t.Errorf("change, %v (-read +stored again):\n%s", err, d)
			}
		}
		row := changeRow{seq: 1, id: make([]byte, 8), node: []byte("a\x00b\x00c"), item: []byte("T\x00\xff"), meta: value, all: value}
		_, _ = c.decodeChange(0, &row) // must not panic
		_ = c.changeShapes(value, value, func([]byte) {})
	})
}
