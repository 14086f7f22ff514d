package ssm

import (
	"unsafe"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// cutDocument is a document just cut into shapes, with the shapes' texts at hand.
type cutDocument struct {
	document inventory.Document
	// set is the document's shape set; ref[i] is an entry that has the shape set[i].
	set []inventory.ShapeID
	ref []int32
	// text holds all entries' shape texts; entry i's ends at end[i] and begins where the one before ends.
	text []byte
	end  []int
}

// cut makes a document of entries: each divided into a shape and its volatile attributes. The context's attributes are
// part of every entry; those of them that are volatile stay in the record alone.
func (s *Service) cut(t inventory.TypeName, split inventory.Split, entries []inventory.Entry, context inventory.Entry) cutDocument {
	key := s.store.Identity().HashKey
	shapeContext, _ := split.Cut(context)
	d := cutDocument{
		document: inventory.Document{Split: split.Number, Refs: make([]inventory.Ref, len(entries))},
		end:      make([]int, len(entries)),
		text:     make([]byte, 0, textBytes(entries)),
	}
	cutter := split.Cutter()
	volatile := make([]inventory.Attribute, 0, min(len(entries), len(entries)*len(split.Volatile)))
	for i, e := range entries {
		begin, first := len(d.text), len(volatile)
		d.text, volatile = cutter.Append(d.text, volatile, e.Merge(shapeContext))
		d.end[i] = len(d.text)
		d.document.Refs[i].Shape = key.ShapeIDOf(t, d.text[begin:])
		if own := volatile[first:len(volatile):len(volatile)]; len(own) > 0 {
			d.document.Refs[i].Volatile = own
		}
	}
	d.set, d.ref = d.document.Shapes()
	return d
}

// textBytes is about how much the shape texts of entries take.
func textBytes(entries []inventory.Entry) int {
	n := 0
	for _, e := range entries {
		for _, a := range e {
			n += len(a.Name) + len(a.Value) + 3
		}
	}
	return n
}

// writeOver gives the write that puts the document in place of the one before it. The caller sets its Key.
func (d cutDocument) writeOver(before inventory.Document, cause inventory.Cause) store.Write {
	w := store.Write{Cause: cause, Document: &d.document, Delta: inventory.Diff(before.Refs, d.document.Refs)}
	w.Added, w.Removed = inventory.SetDiff(before.ShapeSet(), d.set)
	w.Shapes = make([]inventory.Shape, len(w.Added))
	text, at := "", 0
	if 2*len(w.Added) > len(d.set) {
		// No copy: the text is not written again. Where only few are wanted it is not held on to for them.
		text = unsafe.String(unsafe.SliceData(d.text), len(d.text))
	}
	for i, id := range w.Added {
		for d.set[at] != id { // both are sorted
			at++
		}
		begin, end := d.shapeText(int(d.ref[at]))
		w.Shapes[i].ID = id
		if text != "" {
			w.Shapes[i].Text = text[begin:end]
		} else {
			w.Shapes[i].Text = string(d.text[begin:end])
		}
	}
	return w
}

// shapeText gives where in the text an entry's is.
func (d cutDocument) shapeText(entry int) (begin, end int) {
	if entry > 0 {
		begin = d.end[entry-1]
	}
	return begin, d.end[entry]
}

// removal gives the write that removes a document.
func removal(key inventory.ItemKey, before inventory.Document, cause inventory.Cause) store.Write {
	return store.Write{Key: key, Cause: cause, Removed: before.ShapeSet()}
}
