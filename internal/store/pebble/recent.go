package pebble

import (
	"hash/maphash"
	"strings"
	"sync/atomic"

	"stocktake/internal/inventory"
)

// records keeps records that were just read, each for the commit that is mostly computed from it: that commit then need
// not read its node a second time. A record is taken out by who uses it, and pushed out by others.
type records struct {
	seed  maphash.Seed
	slots [recordSlots]atomic.Pointer[readRecord]
}

// recordSlots is more than are read at the same time, at some 2 KB each.
const recordSlots = 256

// readRecord is a record as it is in the view of this number.
type readRecord struct {
	view uint64
	record
}

func newRecords() *records { return &records{seed: maphash.MakeSeed()} }

func (r *records) slot(key inventory.NodeKey) *atomic.Pointer[readRecord] {
	return &r.slots[maphash.String(r.seed, string(key.Node))%recordSlots]
}

// put keeps a record. What it holds may be changed by nobody from here on.
func (r *records) put(view uint64, rec record) {
	rec.node.Key.Node = inventory.NodeID(strings.Clone(string(rec.node.Key.Node))) // it may be cut from something much larger
	r.slot(rec.node.Key).Store(&readRecord{view, rec})
}

// take gives the record of a node that was read at a revision, or nil.
func (r *records) take(key inventory.NodeKey, revision uint64) *readRecord {
	rec := r.slot(key).Swap(nil)
	if rec == nil || rec.node.Key != key || rec.node.Revision != revision {
		return nil
	}
	return rec
}

// lately tells which nodes were written after a view, as far back as it remembers. It is the committer's own.
type lately struct {
	now, old map[string]uint64 // node key -> number of the first view that shows the node's last write
	// Every write that the views after since show is in one of the two, and in now if those after begun show it.
	since, begun uint64
}

// maxLately bounds a generation: some hundreds of batches.
const maxLately = 8192

func newLately() lately { return lately{now: map[string]uint64{}, old: map[string]uint64{}} }

// add notes that a node was written, which the view of the given number, not made yet, will be the first to show.
func (l *lately) add(key string, view uint64) {
	if len(l.now) >= maxLately {
		l.now, l.old = l.old, l.now
		clear(l.now)
		l.since, l.begun = l.begun, view
	}
	l.now[key] = view
}

// written reports whether a node was written after a view; known is false where that was too long ago to say.
func (l *lately) written(key []byte, view uint64) (written, known bool) {
	if view < l.since {
		return false, false
	}
	at, ok := l.now[string(key)]
	if !ok {
		at = l.old[string(key)]
	}
	return at > view, true
}
