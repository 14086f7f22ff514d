package index

import (
	"fmt"
	"slices"
	"time"

	"stocktake/internal/inventory"
)

// MissingError says that shapes are named whose text the index does not have. Nothing was changed; fetch their text and
// try again.
type MissingError struct {
	Partition inventory.Partition
	Type      inventory.TypeName
	IDs       []inventory.ShapeID
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("index does not have the text of %d shapes of %s in %s, the first is %s", len(e.IDs), e.Type, e.Partition, e.IDs[0])
}

// Missing gives those of the shapes whose text must be given to Define (or Apply) before a document that has them is
// loaded.
func (x *Index) Missing(p inventory.Partition, t inventory.TypeName, ids []inventory.ShapeID) []inventory.ShapeID {
	part := x.partition(p)
	if part == nil {
		return slices.Clone(ids)
	}
	part.mu.RLock()
	defer part.mu.RUnlock()
	tab := part.tables[t]
	if tab == nil {
		return slices.Clone(ids)
	}
	return tab.missing(ids)
}

func (t *table) missing(ids []inventory.ShapeID) []inventory.ShapeID {
	var out []inventory.ShapeID
	for _, id := range ids {
		if _, ok := t.findAny(id); !ok {
			out = append(out, id)
		}
	}
	return out
}

// appendFound appends the numbers of shapes under a sub-type, none where a shape is known under another alone, and gives
// those not known at all.
func (t *table) appendFound(dst []uint32, ids []inventory.ShapeID, sub uint32) (found []uint32, missing []inventory.ShapeID) {
	for _, id := range ids {
		n, known := t.number(id, sub)
		if !known {
			missing = append(missing, id)
		}
		dst = append(dst, n)
	}
	return dst, missing
}

// number gives the number of a shape under a sub-type, none where it is known under another alone, or not at all.
func (t *table) number(id inventory.ShapeID, sub uint32) (n uint32, known bool) {
	if n, ok := t.find(id, sub); ok {
		return n, true
	}
	_, known = t.findAny(id)
	return none, known
}

// Define learns shapes from their text. Shapes known already are passed over; damaged text is an error.
func (x *Index) Define(p inventory.Partition, t inventory.TypeName, shapes []inventory.Shape) error {
	return x.makePartition(p).define(t, shapes)
}

func (part *partition) define(t inventory.TypeName, shapes []inventory.Shape) error {
	if len(shapes) == 0 {
		return nil
	}
	part.mu.Lock()
	defer part.mu.Unlock()
	tab := part.table(t)
	begun := time.Now()
	for i, s := range shapes {
		if i%holdLook == holdLook-1 && time.Since(begun) > holdFor {
			part.release()
			part.mu.Lock()
			begun = time.Now()
		}
		if err := tab.define(s); err != nil {
			return err
		}
	}
	return nil
}

// Loaded is one document as a scan finds it, as far as the index is concerned.
type Loaded struct {
	Key inventory.ItemKey
	// Split is the document's; Shapes its shapes, in any order, repeated or not; Volatile the names of all attributes its refs carry themselves.
	Split    uint32
	Shapes   []inventory.ShapeID
	Volatile []string
}

// Load adds a node's documents, as a scan of its shard found them. A *MissingError means that Define was left out.
func (x *Index) Load(shard int, node inventory.NodeKey, documents []Loaded) error {
	if len(documents) == 0 {
		return nil
	}
	part := x.makePartition(node.Partition)
	return part.load(part.names(), shard, node, documents)
}

// load adds a node's documents. Those of a hidden node are seen by nobody: the lock is let go between any two shapes.
func (part *partition) load(by names, shard int, node inventory.NodeKey, documents []Loaded) error {
	part.mu.Lock()
	defer part.release()
	begun := time.Now()
	found := part.found[:0] // the numbers of all shapes, or none of those that only a twin stands for so far
	part.found = nil
	defer func() { part.found = found }()
	for _, d := range documents {
		t := part.table(d.Key.Type)
		var missing []inventory.ShapeID
		if found, missing = t.appendFound(found, d.Shapes, t.sub(d.Key.SubType)); len(missing) > 0 {
			return &MissingError{Partition: node.Partition, Type: d.Key.Type, IDs: missing}
		}
	}
	n := part.register(by, node.Node, shard)
	numbers := found
	for _, d := range documents {
		t := part.table(d.Key.Type)
		sub := t.sub(d.Key.SubType)
		t.begin()
		for i, id := range d.Shapes {
			if by.hidden && i%holdLook == 0 && time.Since(begun) > holdFor {
				part.release()
				part.mu.Lock()
				t.begin()
				begun = time.Now()
			}
			s, ok := numbers[i], true
			if s == none {
				s, ok = t.resolve(id, sub)
			}
			if ok {
				t.enter(s, n)
			}
		}
		numbers = numbers[len(d.Shapes):]
		if t.report(n, sub) {
			part.entered(n)
		}
		t.carry(n, d.Volatile)
		t.cut(n, d.Split)
	}
	return nil
}

// Apply follows one change and moves its shard's position to it, if that is forward. shapes holds the text of shapes in
// c.Added the index may not have; one that is still missing is a *MissingError and nothing is changed. Changes of one
// document must be applied in order; a change applied again, followed again by all that followed it, does no harm.
//
// Of an item's context, attributes that shapes leave out count as carried by the document (VolatileContext).
func (x *Index) Apply(c inventory.Change, shapes []inventory.Shape) error {
	part := x.makePartition(c.Document.Partition)
	if err := part.apply(part.names(), c, shapes); err != nil {
		return err
	}
	x.advance(c.Shard, c.Position)
	return nil
}

func (part *partition) apply(by names, c inventory.Change, shapes []inventory.Shape) error {
	part.mu.Lock()
	defer func() { part.mu.Unlock() }()
	t := part.table(c.Document.Type)
	sub := t.sub(c.Document.SubType)
	added, missing := t.appendFound(part.found[:0], c.Added, sub)
	part.found = nil // the lock may be let go
	if len(missing) > 0 {
		var err error
		if added, err = part.learn(t, c.Added, sub, added, among(shapes, missing)); err != nil {
			return err
		}
	}
	part.found = added
	if c.Gone {
		if n, ok := by.numbers[c.Document.Node]; ok {
			part.applyGone(t, n, sub, c)
		}
		return nil
	}
	n := part.register(by, c.Document.Node, c.Shard)
	t.begin()
	for i, s := range added {
		if s == none { // its twin was found
			s, _ = t.resolve(c.Added[i], sub)
		}
		t.enter(s, n)
	}
	// Groups the added shapes have are marked as seen: the node is in them without doubt.
	for _, fold := range t.leaveAll(c.Removed, sub, n) {
		t.doubt(fold, n)
	}
	if t.report(n, sub) {
		part.entered(n)
	}
	names, whole := inserted(c.Delta)
	names = append(names, VolatileContext(t.typ, c.Context)...)
	if whole && t.alone(n) {
		t.shed(n, names)
	}
	t.carry(n, names)
	t.cut(n, c.Split)
	return nil
}

// learn defines shapes of a document that were not found, with the lock let go meanwhile, and looks for them again. found
// are the numbers of the document's shapes so far.
func (part *partition) learn(t *table, ids []inventory.ShapeID, sub uint32, found []uint32, shapes []inventory.Shape) ([]uint32, error) {
	made := t.seed
	part.mu.Unlock()
	err := part.define(t.typ, shapes)
	part.mu.Lock()
	if err != nil {
		return nil, err
	}
	if t.seed != made { // a sweep made the table anew, with other numbers
		for i := range found {
			found[i] = none
		}
	}
	var missing []inventory.ShapeID
	for i, n := range found {
		if n != none {
			continue
		}
		var known bool
		if found[i], known = t.number(ids[i], sub); !known {
			missing = append(missing, ids[i])
		}
	}
	if len(missing) > 0 {
		return nil, &MissingError{Partition: part.key, Type: t.typ, IDs: missing}
	}
	return found, nil
}

// among gives those of the shapes that are wanted, which are in order. The others are of other documents of the commit, and
// of other types, or known. Those of one document mostly stand in order too.
func among(shapes []inventory.Shape, wanted []inventory.ShapeID) []inventory.Shape {
	out := make([]inventory.Shape, 0, len(wanted))
	next := 0
	for i := range shapes {
		id := shapes[i].ID
		if i > 0 && inventory.CompareShapeIDs(shapes[i-1].ID, id) > 0 {
			next = 0
		}
		for next < len(wanted) && inventory.CompareShapeIDs(wanted[next], id) < 0 {
			next++
		}
		if next < len(wanted) && wanted[next] == id {
			out = append(out, shapes[i])
		}
	}
	return out
}

func (part *partition) applyGone(t *table, n, sub uint32, c inventory.Change) {
	t.begin()
	suspects := t.leaveAll(c.Removed, sub, n)
	if !t.retract(n, sub) {
		for _, fold := range suspects {
			t.doubt(fold, n)
		}
		return
	}
	if !t.all.Contains(n) {
		return
	}
	for _, fold := range suspects {
		t.leaveGroup(fold, n)
	}
	t.all = t.all.own(t.epoch)
	t.all.Remove(n)
	t.shed(n, nil)
	t.uncut(n, none)
	part.left(n)
}

// inserted gives the names of the volatile attributes a delta brings, and whether it keeps nothing of the document
// before.
func inserted(d inventory.Delta) (names []string, whole bool) {
	whole = true
	for _, e := range d {
		whole = whole && e.Copy == 0
		for _, r := range e.Insert {
			for _, a := range r.Volatile {
				if !slices.Contains(names, a.Name) {
					names = append(names, a.Name)
				}
			}
		}
	}
	return names, whole
}

// begin forgets which groups were seen.
func (t *table) begin() {
	t.version++
	t.serial++
	if t.serial == 0 {
		clear(t.seen)
		t.serial = 1
	}
}

// enter gives a node a shape.
func (t *table) enter(s, n uint32) {
	if t.bulk {
		t.wait(s, n)
		return
	}
	fresh := t.put(s, n)
	// Groups are entered even when the shape is not new to the node: a replay of a removal may have left only them.
	for _, val := range t.row(s) {
		v := t.values.get(val)
		st := t.states.get(v.fold)
		if st.count > groupAt {
			if t.seen[st.aux] != t.serial {
				t.seen[st.aux] = t.serial
				t.enterGroup(st.aux, n)
			}
		} else if fresh {
			t.recount(v)
		}
	}
}

// put adds a node to a shape's set and reports whether it was not there.
func (t *table) put(s, n uint32) bool {
	p := t.postings.edit(s, t.epoch)
	if p.empty() {
		t.live++
	}
	fresh := p.add(n, t.epoch)
	if fresh {
		t.elements++
	}
	return fresh
}

// recount forgets a value's number of nodes.
func (t *table) recount(v *value) {
	if t.attrs[v.attr].counted && t.states.get(v.fold).aux != unknown {
		t.states.edit(v.fold, t.epoch).aux = unknown
	}
}

// leaveAll takes shapes from a node and gives the values with groups they had, each once, but for those of groups seen
// before: the node may have them no more.
func (t *table) leaveAll(ids []inventory.ShapeID, sub, n uint32) (suspects []uint32) {
	for _, id := range ids {
		if s, ok := t.find(id, sub); ok {
			suspects = t.leave(s, n, suspects)
		}
	}
	return suspects
}

func (t *table) leave(s, n uint32, suspects []uint32) []uint32 {
	if !t.postings.get(s).contains(n) {
		return suspects
	}
	p := t.postings.edit(s, t.epoch)
	p.remove(n, t.epoch)
	t.elements--
	if p.empty() {
		t.live--
	}
	for _, val := range t.row(s) {
		v := t.values.get(val)
		st := t.states.get(v.fold)
		if st.count <= groupAt {
			t.recount(v)
		} else if t.seen[st.aux] != t.serial {
			t.seen[st.aux] = t.serial
			suspects = append(suspects, v.fold)
		}
	}
	return suspects
}

// report notes that a node has a document of the type, and tells whether it had none.
func (t *table) report(n, sub uint32) bool {
	had := t.all.Contains(n)
	if subs := t.subsOf(n); sub != 0 || len(subs) > 0 {
		if had && len(subs) == 0 {
			subs = []uint32{0}
		}
		if !slices.Contains(subs, sub) {
			t.setSubs(n, append(slices.Clip(subs), sub))
		}
	}
	if !had {
		t.all = t.all.own(t.epoch)
		t.all.Add(n)
	}
	return !had
}

// retract notes that a node has no document of the sub-type, and tells whether it has no other of the type.
func (t *table) retract(n, sub uint32) bool {
	subs := t.subsOf(n)
	if len(subs) == 0 {
		return sub == 0 || !t.all.Contains(n)
	}
	subs = slices.DeleteFunc(slices.Clone(subs), func(s uint32) bool { return s == sub })
	t.setSubs(n, subs)
	return len(subs) == 0
}

// subsOf gives a node's sub-types, none of one that reports at most the empty one.
func (v *view) subsOf(n uint32) []uint32 {
	if n >= v.subs.n {
		return nil
	}
	return *v.subs.get(n)
}

func (t *table) setSubs(n uint32, subs []uint32) {
	for t.subs.n <= n {
		t.subs.push(nil, t.epoch)
	}
	*t.subs.edit(n, t.epoch) = subs
}

// alone reports whether a node has at most one document of the type.
func (t *table) alone(n uint32) bool { return len(t.subsOf(n)) <= 1 }

// carry notes that a node's document carries attributes outside of its shapes.
func (t *table) carry(n uint32, names []string) {
	for _, name := range names {
		a := &t.attrs[t.attr(name)]
		if a.volatile == nil {
			a.volatile = newBits(t.epoch)
		}
		if !a.volatile.Contains(n) {
			a.volatile = a.volatile.own(t.epoch)
			a.volatile.Add(n)
		}
	}
}

// shed notes that a node's documents carry none but the given attributes outside of their shapes.
func (t *table) shed(n uint32, keep []string) {
	for i := range t.attrs {
		a := &t.attrs[i]
		if a.volatile != nil && a.volatile.Contains(n) && !slices.Contains(keep, a.name) {
			a.volatile = a.volatile.own(t.epoch)
			a.volatile.Remove(n)
		}
	}
}

// cut notes the split a node's document is cut with. Of a node with several documents all their splits are kept.
func (t *table) cut(n, split uint32) {
	if t.alone(n) {
		t.uncut(n, split)
	}
	i := slices.IndexFunc(t.splits, func(s splitNodes) bool { return s.number == split })
	if i < 0 {
		i = len(t.splits)
		t.splits = append(t.splits, splitNodes{number: split, nodes: newBits(t.epoch)})
	}
	if b := t.splits[i].nodes; !b.Contains(n) {
		b = b.own(t.epoch)
		b.Add(n)
		t.splits[i].nodes = b
	}
}

// uncut takes a node from every split but one.
func (t *table) uncut(n, keep uint32) {
	for i, s := range t.splits {
		if s.number != keep && s.nodes.Contains(n) {
			b := s.nodes.own(t.epoch)
			b.Remove(n)
			t.splits[i].nodes = b
		}
	}
}
