package inventory

import (
	"fmt"
	"slices"
	"time"
)

// Cause says why a document changed.
type Cause uint8

// The causes. CauseSplit rewrites a document under another split: its entries are the same, so readers that follow
// content pass it over.
const (
	CausePut Cause = iota + 1
	CauseStatus
	CauseRetention
	CauseDeletion
	CauseSplit
)

// ChangeID is random and unique to a change. A position is a sequence together with the id found there, because a
// restored backup or a lagging fail-over can reuse sequence numbers for other changes.
type ChangeID [8]byte

// Position is a place in one shard's feed. The zero Position is before the first change.
type Position struct {
	Seq uint64
	ID  ChangeID
}

// Change is one event of the feed: one document written or removed. It carries enough to rebuild the document after it
// from the one before (Delta) and enough to keep an index without it (Added, Removed).
type Change struct {
	Shard int
	Position
	Document      DocumentKey
	Cause         Cause
	SchemaVersion string
	CaptureTime   string
	Arrival       time.Time
	Context       Entry
	// Gone is true when the document was removed; Delta is then empty and Removed holds its whole set.
	Gone bool
	// Split is the split of the document after the change.
	Split uint32
	Delta Delta
	// Added and Removed are the difference of the two documents' shape sets: each shape once, in no set twice.
	Added   []ShapeID
	Removed []ShapeID
}

// Edit is one step of a Delta: first Copy entries of the document before, from From on, then Insert.
type Edit struct {
	From   int
	Copy   int
	Insert []Ref
}

// Delta rebuilds a document from the one before it: the edits' output one after the other, order, duplicates and
// volatile values included. The zero Delta gives a document without entries.
type Delta []Edit

// Apply gives the document after the delta. An edit that reaches outside the document before is an error: the delta
// belongs to another document, or was damaged.
func (d Delta) Apply(before []Ref) ([]Ref, error) {
	n := 0
	for _, e := range d {
		if e.From < 0 || e.Copy < 0 || e.Copy > len(before)-e.From {
			return nil, fmt.Errorf("delta copies entries %d to %d of a document of %d", e.From, e.From+e.Copy, len(before))
		}
		n += e.Copy + len(e.Insert)
	}
	after := make([]Ref, 0, n)
	for _, e := range d {
		after = append(after, before[e.From:e.From+e.Copy]...)
		after = append(after, e.Insert...)
	}
	return after, nil
}

// Diff gives the delta from one document's entries to another's. It is exact, and short where runs of entries are kept,
// moved or not; it does not look for the shortest.
func Diff(before, after []Ref) Delta {
	if len(before) == 0 && len(after) > 0 {
		return Delta{{Insert: slices.Clone(after)}}
	}
	var d Delta
	var where map[ShapeID][]int // made when the first entry is found out of place
	next := 0                   // where in before the run being copied goes on
	for _, r := range after {
		if next < len(before) && before[next].Equal(r) {
			d = d.copyOne(next)
			next++
			continue
		}
		if where == nil {
			where = make(map[ShapeID][]int, len(before))
			for i, b := range before {
				where[b.Shape] = append(where[b.Shape], i)
			}
		}
		if at := find(before, where[r.Shape], r, next); at >= 0 {
			d = d.copyOne(at)
			next = at + 1
			continue
		}
		if len(d) == 0 {
			d = append(d, Edit{})
		}
		last := &d[len(d)-1]
		last.Insert = append(last.Insert, r)
		// A changed entry usually stands where the one it replaces stood.
		if next < len(before) {
			next++
		}
	}
	return d
}

// findTries bounds the search for an entry among others of its shape: a report may hold ten thousand entries of one
// shape, and a longer delta is better than a quadratic search.
const findTries = 16

// find looks for r among the candidates (ascending), nearest at or after next first, so that runs stay long.
func find(before []Ref, candidates []int, r Ref, next int) int {
	ahead, _ := slices.BinarySearch(candidates, next)
	for _, i := range candidates[ahead:min(ahead+findTries, len(candidates))] {
		if before[i].Equal(r) {
			return i
		}
	}
	for _, i := range candidates[:min(ahead, findTries)] {
		if before[i].Equal(r) {
			return i
		}
	}
	return -1
}

func (d Delta) copyOne(from int) Delta {
	if n := len(d); n > 0 {
		if e := &d[n-1]; len(e.Insert) == 0 && e.Copy > 0 && e.From+e.Copy == from {
			e.Copy++
			return d
		}
	}
	return append(d, Edit{From: from, Copy: 1})
}

// SetDiff gives what is in after and not in before, and the reverse. Both must be sorted sets (Document.ShapeSet).
func SetDiff(before, after []ShapeID) (added, removed []ShapeID) {
	i, j := 0, 0
	for i < len(before) && j < len(after) {
		switch c := CompareShapeIDs(before[i], after[j]); {
		case c < 0:
			removed = append(removed, before[i])
			i++
		case c > 0:
			added = append(added, after[j])
			j++
		default:
			i++
			j++
		}
	}
	return append(added, after[j:]...), append(removed, before[i:]...)
}
