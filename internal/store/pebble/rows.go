package pebble

import (
	"hash/maphash"
	"slices"
	"sync"

	"stocktake/internal/inventory"
)

// rows keeps what is stored of nodes that were read lately, as it is stored: records, and documents that are small. To find
// a record in Pebble takes several searches, each through memory that is in no cache of the processor; a page of fifty
// nodes is mostly that. What is kept is exact: the committer puts what it writes in the place of what it replaces before
// anyone can see it written.
type rows struct {
	seed  maphash.Seed
	most  int // bytes of a part
	parts [rowParts]rowPart
}

const (
	rowParts  = 64
	rowStamps = 64
	// rowOverhead is about what a row takes beside the bytes it holds.
	rowOverhead = 200
	// smallDocument bounds the documents kept. Most types have a few entries, and a few have hundreds.
	smallDocument = 256
)

type rowPart struct {
	mu    sync.Mutex
	rows  map[string]*row
	bytes int
	// written tells for the keys that share a stamp which view shows the last write to any of them first.
	written [rowStamps]uint64
}

// row is what is stored of a node. It is not changed, only replaced.
type row struct {
	since     uint64 // the number of the first view that is known to show it; all later ones do
	record    []byte
	documents []rowDocument
}

type rowDocument struct {
	key   string // what follows the node's own
	value []byte
}

func newRows(most int) *rows {
	r := &rows{seed: maphash.MakeSeed(), most: most / rowParts}
	for i := range r.parts {
		r.parts[i].rows = map[string]*row{}
	}
	return r
}

func (r *rows) part(key []byte) (p *rowPart, stamp *uint64) {
	h := maphash.Bytes(r.seed, key)
	p = &r.parts[h%rowParts]
	return p, &p.written[h/rowParts%rowStamps]
}

// get gives what a view shows of the node at a key, or nil.
func (r *rows) get(key []byte, view uint64) *row {
	p, _ := r.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	if row := p.rows[string(key)]; row != nil && row.since <= view {
		return row
	}
	return nil
}

// put keeps what was read in a view, unless the node was, or may have been, written since.
func (r *rows) put(key []byte, read *row) {
	p, written := r.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	if *written <= read.since {
		p.replace(string(key), read, r.most)
	}
}

// wrote puts what a commit made of a node in the place of what was known of it. view is the number of the one that will
// show it first; nobody has it yet. Without a commit what is known is forgotten.
func (r *rows) wrote(key string, o *commit, view uint64) {
	p, written := r.part([]byte(key))
	p.mu.Lock()
	defer p.mu.Unlock()
	*written = view
	old := p.rows[key]
	if old == nil {
		return
	}
	if o == nil || o.record == nil {
		p.drop(key)
		return
	}
	next := &row{since: view, record: o.record, documents: slices.Clone(old.documents)}
	for i := range o.writes {
		next.setDocument(o.writes[i].key[len(key):], o.writes[i].document)
	}
	p.replace(key, next, r.most)
}

func (p *rowPart) replace(key string, next *row, most int) {
	if _, known := p.rows[key]; known {
		p.drop(key)
	}
	for other := range p.rows { // any
		if p.bytes <= most {
			break
		}
		p.drop(other)
	}
	p.rows[key] = next
	p.bytes += next.bytes(key)
}

func (p *rowPart) drop(key string) {
	p.bytes -= p.rows[key].bytes(key)
	delete(p.rows, key)
}

func (w *row) bytes(key string) int {
	n := rowOverhead + len(key) + len(w.record)
	for _, d := range w.documents {
		n += rowOverhead/2 + len(d.key) + len(d.value)
	}
	return n
}

// decode reads the record of a node, which is stored at the key.
func (w *row) decode(node inventory.NodeKey, key []byte) (record, error) {
	r, err := decodeNode(node, w.record)
	if err != nil {
		return record{}, damaged(key, err)
	}
	return r, nil
}

// document gives a document by its key behind the node's, or nil where it is not known.
func (w *row) document(key []byte) []byte {
	for _, d := range w.documents {
		if d.key == string(key) {
			return d.value
		}
	}
	return nil
}

// with gives the row as a view shows it with one more of the node's documents.
func (w *row) with(view uint64, key, value []byte) *row {
	next := &row{since: view, record: w.record, documents: slices.Clone(w.documents)}
	next.setDocument(key, value)
	return next
}

func (w *row) setDocument(key, value []byte) {
	w.documents = slices.DeleteFunc(w.documents, func(d rowDocument) bool { return d.key == string(key) })
	if value != nil && len(value) <= smallDocument {
		w.documents = append(w.documents, rowDocument{string(key), value})
	}
}
