package pebble

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"

	engine "github.com/cockroachdb/pebble/v2"
	"github.com/google/go-cmp/cmp"

	"stocktake/internal/inventory"
	"stocktake/internal/store/storetest"
)

// versioned is a node's record, a document of it and two changes of that, all of which some version stored.
type versioned struct {
	node     inventory.Node
	places   []place
	document inventory.Document
	whole    inventory.Change // borrows the document
	edit     inventory.Change
}

// versionedValues gives the same values in every version of the program.
func versionedValues() []versioned {
	src := storetest.NewSource(5)
	w := storetest.Writer{Split: inventory.Split{Number: 1, Volatile: []string{"InstalledTime"}}}
	numbers := map[inventory.ShapeID]inventory.ShapeID{}
	renumber := func(refs []inventory.Ref) {
		for i, r := range refs {
			if numbers[r.Shape] == (inventory.ShapeID{}) {
				numbers[r.Shape] = shape(uint32(1 + len(numbers)*len(numbers)*37%100_000))
			}
			refs[i].Shape = numbers[r.Shape]
		}
	}
	var all []versioned
	for i := range 20 {
		item := src.Item(40)
		doc, _ := w.Document(item.Type, item.Content)
		renumber(doc.Refs)
		v := versioned{document: doc, places: []place{{seq: uint64(3 + i), borrowed: true}}}
		v.node = inventory.Node{Key: storetest.Node(i), Status: inventory.Active, Enrolled: storetest.Epoch, Revision: uint64(i)}
		v.node.SetItem(inventory.ItemState{
			ItemKey: storetest.KeyOf(item), SchemaVersion: "1.0", CaptureTime: item.CaptureTime, Hash: item.ContentHash, Arrival: storetest.Epoch,
			Context: item.Context, Seq: uint64(3 + i), Entries: len(doc.Refs),
		})
		v.whole = inventory.Change{
			Document: inventory.DocumentKey{NodeKey: v.node.Key, Type: item.Type}, Cause: inventory.CausePut, CaptureTime: item.CaptureTime,
			SchemaVersion: "1.0", Arrival: storetest.Epoch, Context: item.Context, Split: doc.Split, Delta: inventory.Diff(nil, doc.Refs), Added: doc.ShapeSet(),
		}
		v.edit = v.whole
		v.edit.Delta = inventory.Delta{{From: 1, Copy: 2, Insert: doc.Refs}, {From: 9, Copy: 4}}
		v.edit.Removed = []inventory.ShapeID{shape(7)}
		all = append(all, v)
	}
	return all
}

func (v versioned) encode() [][]byte {
	refs, _, _ := appendRefs(nil, v.document.Refs, numbering)
	document := appendDocument(nil, v.document.Split, refs)
	whole, _ := draftChange(&v.whole, &v.document, numbering)
	own := whole.value
	if whole.borrowed {
		own, _ = ownRefs(whole.value, document)
	}
	edit, _ := draftChange(&v.edit, &v.document, numbering)
	return [][]byte{appendNodeBody(appendNodeHead(nil, v.node.Revision, v.places), &v.node), document, whole.value, own, edit.value}
}

// check decodes what encode gave, in whatever version.
func (v versioned) check(t *testing.T, values [][]byte) {
	t.Helper()
	r, err := decodeNode(v.node.Key, values[0])
	if diff := cmp.Diff(v.node, r.node, equate); err != nil || diff != "" {
		t.Errorf("node: %v (-want +got):\n%s", err, diff)
	}
	doc, err := decodeDocument(values[1], unnumbering)
	if diff := cmp.Diff(v.document, doc, equate); err != nil || diff != "" {
		t.Errorf("document: %v (-want +got):\n%s", err, diff)
	}
	from := changeSource{
		ids:      func(inventory.Partition, inventory.TypeName) idOf { return unnumbering },
		borrowed: func(inventory.DocumentKey) ([]byte, error) { return values[1], nil },
	}
	for i, want := range []inventory.Change{v.whole, v.whole, v.edit} {
		c, err := decodeChange(values[2+i], from)
		if diff := cmp.Diff(want, c, equate); err != nil || diff != "" {
			t.Errorf("change %d: %v (-want +got):\n%s", i, err, diff)
		}
		if _, _, err := changeNumbers(values[2+i]); err != nil {
			t.Errorf("numbers of change %d: %v", i, err)
		}
	}
}

// TestEveryVersionIsRead reads values that earlier versions of the program stored.
func TestEveryVersionIsRead(t *testing.T) {
	f, err := os.Open("testdata/version1")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for _, v := range versionedValues() {
		var values [][]byte
		for len(values) < 5 && lines.Scan() {
			value, err := hex.DecodeString(lines.Text())
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, value)
		}
		if len(values) < 5 {
			t.Fatal("too few values are stored")
		}
		v.check(t, values)
		v.check(t, v.encode())
	}
}

// TestOlderStoreIsAdopted: a store of the version before is read as it is, and one of this version from the first write on.
func TestOlderStoreIsAdopted(t *testing.T) {
	var log bytes.Buffer
	o := Options{Dir: t.TempDir(), Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	s := openVersioned(t, o, formatVersion)
	id := s.Identity()
	older := append([]byte{formatVersion - 1}, encodeIdentity(id)[1:]...)
	if err := errors.Join(s.db.Set(keyIdentity, older, engine.Sync), s.Close()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		log.Reset()
		s = openVersioned(t, o, formatVersion-1)
		if !strings.Contains(log.String(), "`stocktake backup` of that release first") || s.Identity() != id {
			t.Errorf("opening %v says %q", s.Identity(), log.String())
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s = openVersioned(t, o, formatVersion-1)
	if err := errors.Join(s.Intend(t.Context(), 0, "id", []byte("x")), s.Close()); err != nil {
		t.Fatal(err)
	}
	log.Reset()
	s = openVersioned(t, o, formatVersion)
	if err := s.Close(); err != nil || s.Identity() != id || log.Len() > 0 {
		t.Errorf("opening %v again: %v, %q", s.Identity(), err, log.String())
	}
}

// openVersioned opens a store and checks the version it has on disk.
func openVersioned(t *testing.T, o Options, want byte) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	_, err = get(s.db, keyIdentity, func(value []byte) error {
		if value[0] != want {
			t.Errorf("the store has format %d, want %d", value[0], want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
