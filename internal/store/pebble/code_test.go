package pebble

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
	"stocktake/internal/store/storetest"
)

var equate = cmpopts.EquateEmpty()

// numbering gives shapes the numbers a test reads them back by: a shape's number is in its id.
func numbering(id inventory.ShapeID) (uint32, bool) {
	return binary.BigEndian.Uint32(id[:]), id != inventory.ShapeID{}
}

func unnumbering(n uint32) (id inventory.ShapeID, ok bool) {
	binary.BigEndian.PutUint32(id[:], n)
	return id, n != 0
}

func shape(n uint32) inventory.ShapeID {
	id, _ := unnumbering(n)
	return id
}

// TestSecondsAreThoseOfTime holds the packing of times to package time: every string one takes the other takes, and it
// comes back as it was.
func TestSecondsAreThoseOfTime(t *testing.T) {
	const form = "2006-01-02T15:04:05Z"
	begin := time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	chance := rand.New(rand.NewPCG(1, 0))
	texts := []string{
		"0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2000-02-29T23:59:59Z", "1900-02-29T00:00:00Z", "2024-02-30T00:00:00Z",
		"2024-04-31T00:00:00Z", "2024-00-01T00:00:00Z", "2024-01-00T00:00:00Z", "2024-01-01T23:59:60Z", "2024-01-01 00:00:00Z",
		"2024-01-01T00:00:00z", "+024-01-01T00:00:00Z", "2024-01-01T00:00:00", "",
	}
	for range 20000 {
		texts = append(texts, begin.Add(time.Duration(chance.Int64N(292*365*86400))*time.Second).AddDate(chance.IntN(9700), 0, 0).Format(form))
		texts = append(texts, fmt.Sprintf("%04d-%02d-%02dT%02d:%02d:%02dZ", chance.IntN(10000), chance.IntN(14), chance.IntN(33), chance.IntN(25), chance.IntN(61), chance.IntN(62)))
	}
	for _, text := range texts {
		seconds, ok := parseSeconds(text)
		want, err := time.Parse(form, text)
		if ok != (err == nil && want.Format(form) == text) {
			t.Fatalf("%q is a time: %v, by package time: %v", text, ok, err)
		}
		if !ok {
			continue
		}
		if got := want.Unix() - begin.Unix(); seconds != got || seconds > maxSeconds {
			t.Fatalf("%q is %d seconds, want %d", text, seconds, got)
		}
		if back := string(appendSeconds(nil, seconds)); back != text {
			t.Fatalf("%q came back as %q", text, back)
		}
	}
}

func TestPackedStringsComeBack(t *testing.T) {
	for _, text := range []string{
		"", "a", "2024-05-01T00:00:00Z", strings.Repeat("0f", 16), strings.Repeat("0f", 32), strings.Repeat("0F", 16),
		strings.Repeat("0f", 16) + "0", "\x00", strings.Repeat("x", 300),
	} {
		value := appendPacked(nil, text)
		d := &decoder{buf: value}
		if got := d.packed(); got != text || d.end() != nil {
			t.Errorf("%q came back as %q, %v", text, got, d.end())
		}
	}
	if n := len(appendPacked(nil, "2024-05-01T00:00:00Z")); n > 6 {
		t.Errorf("a time takes %d bytes", n)
	}
}

func TestKeysOrderAsTheirParts(t *testing.T) {
	parts := []string{"", "\x00", "\x00\x00", "\x00\x01", "\x00\xff", "\x01", "a", "a\x00", "a\x00b", "aa", "b", "\xff", "\xff\xff"}
	var last []byte
	for _, a := range parts {
		for _, b := range parts {
			key := appendKeyString(appendKeyString(nil, a), b)
			if string(key) <= string(last) {
				t.Errorf("key of %q, %q is not behind the one before it", a, b)
			}
			last = key
			one, rest, err := cutKeyString(key)
			if err != nil || one != a {
				t.Fatalf("%q came back as %q, %v", a, one, err)
			}
			two, rest, err := cutKeyString(rest)
			if err != nil || two != b || len(rest) > 0 {
				t.Fatalf("%q came back as %q, %v", b, two, err)
			}
		}
	}
}

// TestRefsComeBack: documents of random entries and of every mixture of volatile attributes.
func TestRefsComeBack(t *testing.T) {
	src := storetest.NewSource(3)
	for round := range 300 {
		var refs []inventory.Ref
		for range src.IntN(60) {
			r := inventory.Ref{Shape: shape(1 + uint32(src.IntN(1<<src.IntN(31))))}
			for _, name := range []string{"A", "InstalledTime", "Z"} {
				if src.IntN(3) > 0 {
					value := src.Time()
					if src.IntN(40) == 0 {
						value = fmt.Sprint(src.IntN(9))
					}
					if round%3 == 0 {
						value = "2024-05-01T00:00:00Z"
					}
					r.Volatile = append(r.Volatile, inventory.Attribute{Name: name, Value: value})
				}
			}
			refs = append(refs, r)
		}
		value, numbers, ok := appendRefs(nil, refs, numbering)
		if !ok || len(numbers) != len(refs) {
			t.Fatalf("%d numbers of %d refs, %v", len(numbers), len(refs), ok)
		}
		d := &decoder{buf: value}
		got := d.refs(unnumbering)
		if err := d.end(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(refs, got, equate); diff != "" {
			t.Fatalf("round %d (-before +after):\n%s", round, diff)
		}
	}
}

// TestManyVolatileAttributesComeBack: more attributes than the store packs as of one value.
func TestManyVolatileAttributesComeBack(t *testing.T) {
	var refs []inventory.Ref
	for i := range 200 {
		r := inventory.Ref{Shape: shape(uint32(i + 1))}
		for j := range 120 {
			r.Volatile = append(r.Volatile, inventory.Attribute{Name: fmt.Sprintf("%03d", j), Value: []string{"", "2024-05-01T00:00:00Z"}[j%2]})
		}
		refs = append(refs, r)
	}
	value, _, _ := appendRefs(nil, refs, numbering)
	d := &decoder{buf: value}
	if diff := cmp.Diff(refs, d.refs(unnumbering), equate); diff != "" || d.end() != nil {
		t.Fatalf("%v (-before +after):\n%s", d.end(), diff)
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	value := binary.AppendUvarint(nil, formatVersion+1)
	if _, err := decodeIdentity(append(value, "whatever comes then"...)); err == nil || !strings.Contains(err.Error(), fmt.Sprint("format ", formatVersion+1)) {
		t.Errorf("identity of a newer format: %v", err)
	}
}

func TestDictionaryNumbersOnce(t *testing.T) {
	s := newSpace(1)
	chance := rand.New(rand.NewPCG(1, 0))
	numbers := map[inventory.ShapeID]uint32{}
	var gone bitset
	for i := range 12000 {
		var id inventory.ShapeID
		binary.LittleEndian.PutUint64(id[:], uint64(chance.IntN(6000))*0x9e3779b97f4a7c15)
		n := s.intern(id)
		if want, ok := numbers[id]; ok && want != n {
			t.Fatalf("shape %s has number %d and had %d", id, n, want)
		}
		numbers[id] = n
		if back, ok := s.reverse()(n); !ok || back != id {
			t.Fatalf("number %d of shape %s is %s's", n, id, back)
		}
		if i%4000 == 3999 { // a sweep
			gone = nil
			for id, n := range numbers {
				if n%3 == 0 {
					gone.set(n)
					delete(numbers, id)
				}
			}
			s.forget(gone)
			for n := range s.ids {
				id, _ := s.reverse()(uint32(n))
				if _, ok := s.lookup(id); gone.has(uint32(n)) && ok && numbers[id] == 0 {
					t.Fatalf("shape %s was swept and has a number", id)
				}
			}
		}
	}
}

// FuzzStoredValues gives every decoder any bytes: it must not panic, nor ask for memory out of proportion, and what it
// takes it must encode to something it takes for the same.
func FuzzStoredValues(f *testing.F) {
	src := storetest.NewSource(1)
	w := storetest.Writer{Split: inventory.Split{Number: 1, Volatile: []string{"InstalledTime"}}}
	number := map[inventory.ShapeID]uint32{}
	for range 12 {
		item := src.Item(8)
		doc, _ := w.Document(item.Type, item.Content)
		for i := range doc.Refs {
			number[doc.Refs[i].Shape]++
			doc.Refs[i].Shape = shape(uint32(1 + len(number)))
		}
		refs, _, _ := appendRefs(nil, doc.Refs, numbering)
		f.Add(appendDocument(nil, doc.Split, refs))
		c := inventory.Change{
			Document: inventory.DocumentKey{NodeKey: storetest.Node(1), Type: item.Type}, Cause: inventory.CausePut, CaptureTime: item.CaptureTime,
			Arrival: storetest.Epoch, Context: item.Context, Delta: inventory.Diff(nil, doc.Refs), Added: doc.ShapeSet(), Removed: []inventory.ShapeID{shape(7)},
		}
		draft, _ := draftChange(&c, &doc, numbering)
		f.Add(draft.value)
		if own, err := ownRefs(draft.value, appendDocument(nil, 1, refs)); err == nil {
			f.Add(own)
		}
		node := inventory.Node{Key: storetest.Node(1), Status: inventory.Active, Enrolled: storetest.Epoch}
		node.SetItem(inventory.ItemState{ItemKey: storetest.KeyOf(item), CaptureTime: item.CaptureTime, Hash: item.ContentHash, Arrival: storetest.Epoch, Context: item.Context})
		f.Add(appendNodeBody(appendNodeHead(nil, 9, []place{{seq: 3, borrowed: true}}), &node))
	}
	f.Add(encodeIdentity(store.Identity{Shards: 64}))
	f.Add(appendReader(nil, []uint64{1, 2, 3}))
	f.Add(appendRecord(nil, 3, []byte("value")))
	f.Add(appendCounters(nil, counters{1, 2}))
	f.Fuzz(func(t *testing.T, value []byte) {
		fuzzNode(t, value)
		fuzzDocument(t, value)
		_ = documentDecoder(value).span("InstalledTime")
		_, _ = decodeExcerpt(value, part{1, 3}, unnumbering)
		fuzzChange(t, value)
		_, _ = decodeIdentity(value)
		_, _ = decodeReader(value)
		_, _ = decodeRecord(value)
		_, _ = decodeCounters(value)
		_, _, _ = decodeSpace([]byte("p1234"), value)
		_, _ = decodeRevision(value)
		_, _, _ = changeNumbers(value)
		_, _ = parseNodeKey(value)
		_, _ = parseDocumentKey(value)
	})
}

func fuzzNode(t *testing.T, value []byte) {
	r, err := decodeNode(storetest.Node(1), value)
	if err != nil {
		return
	}
	again, err := decodeNode(storetest.Node(1), appendNodeBody(appendNodeHead(nil, r.node.Revision, r.places), &r.node))
	if diff := cmp.Diff(r.node, again.node, equate); err != nil || diff != "" {
		t.Fatalf("node %v (-before +after):\n%s", err, diff)
	}
}

func fuzzDocument(t *testing.T, value []byte) {
	doc, err := decodeDocument(value, unnumbering)
	if err != nil {
		return
	}
	refs, _, _ := appendRefs(nil, doc.Refs, numbering)
	again, err := decodeDocument(appendDocument(nil, doc.Split, refs), unnumbering)
	if diff := cmp.Diff(doc, again, equate); err != nil || diff != "" {
		t.Fatalf("document %v (-before +after):\n%s", err, diff)
	}
}

func fuzzChange(t *testing.T, value []byte) {
	document, _, _ := appendRefs(nil, []inventory.Ref{{Shape: shape(5)}}, numbering)
	from := changeSource{
		ids:      func(inventory.Partition, inventory.TypeName) idOf { return unnumbering },
		borrowed: func(inventory.DocumentKey) ([]byte, error) { return appendDocument(nil, 0, document), nil },
	}
	c, err := decodeChange(value, from)
	if err != nil || c.Gone && (len(c.Delta) > 0 || len(c.Added) > 0) {
		return
	}
	var doc *inventory.Document
	if !c.Gone {
		doc = &inventory.Document{}
	}
	draft, ok := draftChange(&c, doc, numbering)
	if !ok {
		t.Fatal("a change that was read cannot be written")
	}
	again, err := decodeChange(draft.value, from)
	again.ID = c.ID
	if diff := cmp.Diff(c, again, equate); err != nil || diff != "" {
		t.Fatalf("change %v (-before +after):\n%s", err, diff)
	}
}
