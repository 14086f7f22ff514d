package index

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"iter"
	"slices"
	"strings"

	"stocktake/internal/inventory"
)

// table is what the index knows of one type in one partition: the dictionary of its shapes and the nodes that have them.
// Its partition's lock guards it; a view of it may be read without.
type table struct {
	view
	epoch   uint32
	version uint64 // moves with every write; a view of the same version need not be frozen again
	latest  *view  // the newest frozen view, of version latestAt
	at      uint64

	seed       maphash.Seed
	attrNumber map[string]uint32
	subNumber  map[string]uint32
	byID       lookup // shapes by id, sub-types side by side
	byText     lookup // values by attribute and text

	waiting  []waiting // of each shape, within Bulk
	numbered []uint32  // shapes by a store's numbers, plus one, within Bulk

	bulk bool // groups and counts of values are left for the end of Bulk
	live int  // shapes some node has
	// seen marks the groups an operation has met, by serial.
	seen   []uint32
	serial uint32
}

// view is the part of a table that questions need, once the values they name have been looked up.
type view struct {
	typ      inventory.TypeName
	attrs    []attribute
	subNames []string
	texts    texts
	rows     arena[uint32] // a shape's values, led by their number, in attribute-name order
	lists    arena[uint32] // blocks of values' shapes
	shapes   vector[shape]
	values   vector[value]
	states   vector[state]   // of values
	postings vector[posting] // of shapes
	groups   vector[group]
	all      *bits
	splits   []splitNodes
	elements int // pairs of node and shape
	// subs lists the sub-types of nodes that report any but the empty one; a node in all without any here reports the
	// empty one. It ends with the last that ever had some. A list is never changed in place.
	subs vector[[]uint32]
}

type attribute struct {
	name   string
	values []uint32 // the folded values, in the order first seen
	// volatile holds the nodes with a document that may carry the attribute outside of shapes.
	volatile *bits
	counted  bool
	orders   *orders
}

type shape struct {
	id  inventory.ShapeID
	row uint32
	sub uint32
}

// value is one text of one attribute. Folded values stand for themselves; the others point to theirs.
type value struct {
	text uint32
	fold uint32
	attr uint32
}

// state is what changes about a folded value.
type state struct {
	// list is where its shapes are: the shape itself while there is one, else its newest block.
	list  uint32
	count uint32
	// aux is the value's group while count is above groupAt, else its number of nodes, if known. As a number of nodes it
	// is written by readers, atomically, frozen or not; only they look at it, so a state must not be copied by others.
	aux uint32
}

type splitNodes struct {
	number uint32
	nodes  *bits
}

const (
	unknown = ^uint32(0)
	none    = ^uint32(0)
)

func newTable(t inventory.TypeName) *table {
	return &table{
		view:       view{typ: t, subNames: []string{""}, all: newBits(0)},
		seed:       maphash.MakeSeed(),
		attrNumber: map[string]uint32{},
		subNumber:  map[string]uint32{"": 0},
	}
}

// freeze gives a view that later writes do not reach. The caller holds the partition's lock, for reading at least, and
// its freezing mutex.
func (t *table) freeze() *view {
	if t.latest != nil && t.at == t.version {
		return t.latest
	}
	v := t.view
	v.attrs = slices.Clone(t.attrs)
	v.splits = slices.Clone(t.splits)
	v.states = t.states.frozen()
	v.postings = t.postings.frozen()
	v.groups = t.groups.frozen()
	v.subs = t.subs.frozen()
	t.epoch++
	t.latest, t.at = &v, t.version
	return &v
}

func hashID(id inventory.ShapeID) uint64 { return binary.LittleEndian.Uint64(id[:8]) }

// find gives the number of a shape under a sub-type.
func (t *table) find(id inventory.ShapeID, sub uint32) (uint32, bool) {
	return t.byID.find(hashID(id), func(n uint32) bool {
		s := t.shapes.get(n)
		return s.id == id && s.sub == sub
	})
}

// findAny gives the number of a shape under any sub-type.
func (t *table) findAny(id inventory.ShapeID) (uint32, bool) {
	return t.byID.find(hashID(id), func(n uint32) bool { return t.shapes.get(n).id == id })
}

// resolve gives the number of a shape under a sub-type, making it from its twin under another when there is one.
func (t *table) resolve(id inventory.ShapeID, sub uint32) (uint32, bool) {
	if n, ok := t.find(id, sub); ok {
		return n, true
	}
	twin, ok := t.findAny(id)
	if !ok {
		return 0, false
	}
	return t.addShape(id, sub, slices.Clone(t.row(twin))), true
}

// define learns a shape from its text. A shape known already is passed over.
func (t *table) define(s inventory.Shape) error {
	if _, ok := t.findAny(s.ID); ok {
		return nil
	}
	e, err := inventory.ParseShapeText(s.Text)
	if err != nil {
		return fmt.Errorf("shape %s of %s: %w", s.ID, t.typ, err)
	}
	t.defineEntry(s.ID, e)
	return nil
}

// defineEntry learns a shape that is not known from its entry.
func (t *table) defineEntry(id inventory.ShapeID, e inventory.Entry) uint32 {
	row := make([]uint32, len(e))
	for i, a := range e {
		row[i] = t.value(t.attr(a.Name), a.Value)
	}
	return t.addShape(id, 0, row)
}

func (t *table) addShape(id inventory.ShapeID, sub uint32, row []uint32) uint32 {
	at, run := t.rows.alloc(1 + len(row))
	run[0] = uint32(len(row))
	copy(run[1:], row)
	n := t.shapes.push(shape{id: id, row: uint32(at), sub: sub}, t.epoch)
	t.postings.push(posting{}, t.epoch)
	t.byID.add(hashID(id), n)
	for _, v := range row {
		t.list(t.values.get(v).fold, n)
	}
	t.version++
	return n
}

// row gives a shape's values.
func (v *view) row(shape uint32) []uint32 {
	at := uint64(v.shapes.get(shape).row)
	return v.rows.run(at+1, int(v.rows.run(at, 1)[0]))
}

func (v *view) text(val uint32) string { return v.texts.get(v.values.get(val).text) }

// entry rebuilds a shape's entry.
func (v *view) entry(shape uint32) inventory.Entry {
	row := v.row(shape)
	e := make(inventory.Entry, len(row))
	for i, val := range row {
		e[i] = inventory.Attribute{Name: v.attrs[v.values.get(val).attr].name, Value: v.text(val)}
	}
	return e
}

// foldOf gives the folded value a shape has for an attribute. hint is where in a row the attribute was last: shapes of a
// type are alike.
func (v *view) foldOf(shape, attr uint32, hint *int) (uint32, bool) {
	row := v.row(shape)
	if *hint < len(row) {
		if x := v.values.get(row[*hint]); x.attr == attr {
			return x.fold, true
		}
	}
	for i, val := range row {
		if x := v.values.get(val); x.attr == attr {
			*hint = i
			return x.fold, true
		}
	}
	return 0, false
}

func (t *table) attr(name string) uint32 {
	if n, ok := t.attrNumber[name]; ok {
		return n
	}
	n := uint32(len(t.attrs))
	name = strings.Clone(name)
	t.attrs = append(t.attrs, attribute{name: name, orders: &orders{}})
	t.attrNumber[name] = n
	t.version++
	return n
}

func (t *table) sub(name string) uint32 {
	if n, ok := t.subNumber[name]; ok {
		return n
	}
	n := uint32(len(t.subNames))
	name = strings.Clone(name)
	t.subNames = append(t.subNames, name)
	t.subNumber[name] = n
	return n
}

func (t *table) hashText(attr uint32, text string) uint64 {
	return maphash.String(t.seed, text) ^ (uint64(attr)+1)*0x9e3779b97f4a7c15
}

func (t *table) findValue(attr uint32, text string) (uint32, bool) {
	return t.findHashed(t.hashText(attr, text), attr, text)
}

func (t *table) findHashed(hash uint64, attr uint32, text string) (uint32, bool) {
	return t.byText.find(hash, func(n uint32) bool {
		v := t.values.get(n)
		return v.attr == attr && t.texts.get(v.text) == text
	})
}

// value gives the number of an attribute's text, making it and its folded one when they are new.
func (t *table) value(attr uint32, text string) uint32 {
	hash := t.hashText(attr, text)
	if n, ok := t.findHashed(hash, attr, text); ok {
		return n
	}
	folded := inventory.Fold(text)
	if folded != text {
		return t.addValue(hash, attr, text, t.value(attr, folded))
	}
	n := t.addValue(hash, attr, text, t.values.n)
	t.attrs[attr].values = append(t.attrs[attr].values, n)
	return n
}

func (t *table) addValue(hash uint64, attr uint32, text string, fold uint32) uint32 {
	n := t.values.push(value{text: t.texts.put(text), fold: fold, attr: attr}, t.epoch)
	t.states.push(state{aux: unknown}, t.epoch)
	t.byText.add(hash, n)
	return n
}

// blockSlots is the size of a list's k-th block: its first slot leads to the block before, the others hold shapes.
func blockSlots(k int) int { return 4 << min(k, 8) }

// list adds a shape to those of a folded value.
func (t *table) list(fold, shape uint32) {
	s := t.states.edit(fold, t.epoch)
	s.count++
	switch {
	case s.count == 1:
		s.list = shape
	case s.count == 2:
		at, run := t.lists.alloc(blockSlots(0))
		run[0], run[1], run[2] = none, s.list, shape
		s.list = uint32(at)
	default:
		k, used := lastBlock(s.count - 1)
		if used == blockSlots(k)-1 {
			at, run := t.lists.alloc(blockSlots(k + 1))
			run[0], run[1] = s.list, shape
			s.list = uint32(at)
		} else {
			t.lists.run(uint64(s.list)+1+uint64(used), 1)[0] = shape
		}
	}
	switch {
	case s.count == groupAt+1:
		t.makeGroup(s)
	case s.count <= groupAt:
		s.aux = unknown
	}
}

// listAll makes the list of a value's state that has none, of several shapes in the order they were added.
func (t *table) listAll(s *state, shapes []uint32) {
	s.count = uint32(len(shapes))
	if s.list = shapes[0]; s.count == 1 {
		return
	}
	s.list = none
	for k := 0; len(shapes) > 0; k++ {
		slots := blockSlots(k)
		at, run := t.lists.alloc(slots)
		run[0] = s.list
		s.list = uint32(at)
		shapes = shapes[copy(run[1:], shapes):]
	}
}

// lastBlock gives the number of the block that holds the last of count shapes (two at least), and how many it holds.
func lastBlock(count uint32) (k, used int) {
	left := int(count)
	for left > blockSlots(k)-1 {
		left -= blockSlots(k) - 1
		k++
		if slots := blockSlots(k); slots == blockSlots(k+1) && left > slots-1 {
			skip := (left - 1) / (slots - 1)
			return k + skip, left - skip*(slots-1)
		}
	}
	return k, left
}

// blocks goes through the shapes of a value's state, newest blocks first.
func (v *view) blocks(s *state) iter.Seq[[]uint32] {
	return func(yield func([]uint32) bool) {
		if s.count < 2 {
			if s.count == 1 {
				yield([]uint32{s.list})
			}
			return
		}
		k, used := lastBlock(s.count)
		for at := s.list; ; {
			block := v.lists.run(uint64(at), 1+used)
			if !yield(block[1:]) || k == 0 {
				return
			}
			k--
			at, used = block[0], blockSlots(k)-1
		}
	}
}

// appendShapes appends the shapes of a value's state.
func (v *view) appendShapes(dst []uint32, s *state) []uint32 {
	if s.count == 1 {
		return append(dst, s.list)
	}
	for block := range v.blocks(s) {
		dst = append(dst, block...)
	}
	return dst
}
