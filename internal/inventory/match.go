package inventory

import "slices"

// TypeQuestion is what a set of filters asks of one type. A node meets it when
//   - with Same or Differ present, one and the same entry meets every filter of Same and differs from every value of each
//     filter of Differ (a missing attribute differs), and
//   - it reports the type and none of its entries equals any value of a filter of None.
type TypeQuestion struct {
	Type   TypeName
	Same   []Filter
	Differ []Filter
	None   []Filter
}

// Questions sorts filters by type, in the order types first appear. A NotEqual binds to the entry the positive filters of
// its type describe, unless there are none, or one of them is on the same attribute: then it asks that no entry of the
// node equals. Exists filters are not among the questions; see ExistsOf.
func Questions(filters []Filter) []TypeQuestion {
	var out []TypeQuestion
	for _, f := range filters {
		if f.Operator == Exists {
			continue
		}
		i := slices.IndexFunc(out, func(q TypeQuestion) bool { return q.Type == f.Type })
		if i < 0 {
			i = len(out)
			out = append(out, TypeQuestion{Type: f.Type})
		}
		q := &out[i]
		if f.Positive() {
			q.Same = append(q.Same, f)
		} else {
			q.None = append(q.None, f)
		}
	}
	for i := range out {
		out[i].bindNotEquals()
	}
	return out
}

func (q *TypeQuestion) bindNotEquals() {
	if len(q.Same) == 0 {
		return
	}
	none := q.None
	q.None = nil
	for _, f := range none {
		if slices.ContainsFunc(q.Same, func(s Filter) bool { return s.Attribute == f.Attribute }) {
			q.None = append(q.None, f)
		} else {
			q.Differ = append(q.Differ, f)
		}
	}
}

// Attributes gives the attributes the question looks at.
func (q TypeQuestion) Attributes() []string {
	var names []string
	for _, filters := range [][]Filter{q.Same, q.Differ, q.None} {
		for _, f := range filters {
			names = append(names, f.Attribute)
		}
	}
	return names
}

// MatchEntry reports whether one entry meets Same and Differ.
func (q TypeQuestion) MatchEntry(e Entry) bool {
	for _, f := range q.Same {
		if v, ok := e.Get(f.Attribute); !ok || !f.Holds(Fold(v)) {
			return false
		}
	}
	for _, f := range q.Differ {
		if v, ok := e.Get(f.Attribute); ok && f.Holds(Fold(v)) {
			return false
		}
	}
	return true
}

// MatchEntries reports whether a node with exactly these entries of the type meets the question. reports tells whether
// it has a document of the type at all; a document without entries counts.
func (q TypeQuestion) MatchEntries(reports bool, entries []Entry) bool {
	if len(q.Same)+len(q.Differ) > 0 && !slices.ContainsFunc(entries, q.MatchEntry) {
		return false
	}
	if len(q.None) == 0 {
		return true
	}
	return reports && !slices.ContainsFunc(entries, func(e Entry) bool {
		return slices.ContainsFunc(q.None, func(f Filter) bool {
			v, ok := e.Get(f.Attribute)
			return ok && f.Holds(Fold(v))
		})
	})
}

// FilterEntries gives the entries of a listing that meet every filter, in their order. Here each entry stands for itself:
// NotEqual keeps the entries that differ, a missing attribute included.
func FilterEntries(filters []Filter, entries []Entry) []Entry {
	if len(filters) == 0 {
		return entries
	}
	var q TypeQuestion
	for _, f := range filters {
		if f.Positive() {
			q.Same = append(q.Same, f)
		} else {
			q.Differ = append(q.Differ, f)
		}
	}
	var out []Entry
	for _, e := range entries {
		if q.MatchEntry(e) {
			out = append(out, e)
		}
	}
	return out
}
