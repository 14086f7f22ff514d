package ssm

import (
	"strings"
	"time"

	"stocktake/internal/inventory"
)

// The bounds of what is kept of refusals.
const (
	// mostRefusals bounds the refusals kept in a bucket, the newest, and refusalText the text of each, in bytes.
	mostRefusals = 128
	refusalText  = 300
	// refusalsInAll bounds those of all buckets, some 0.5 KB each.
	refusalsInAll = 1 << 15
	// mostStrangers bounds the refusals kept of nodes that are not known.
	mostStrangers = 1 << 10
	// refusalLife is how long a refusal is kept.
	refusalLife = 30 * 24 * time.Hour
)

// Refusal is what a node was last refused for.
type Refusal struct {
	Action string
	Code   string // the error's name on the wire
	Text   string
	Time   time.Time
}

// NoteRefusal keeps what a node was refused for, for those who ask why it is stale. The code is the error's name on the wire.
// A refusal that only says that the caller may not speak for the node is not for here: it tells nothing of the node. Of a
// node that is not known it is kept in memory alone, and among few: whoever may report can name any.
func (s *Service) NoteRefusal(key inventory.NodeKey, action, code, text string) {
	if !key.Node.Valid() {
		return
	}
	if len(text) > refusalText {
		text = strings.ToValidUTF8(text[:refusalText], "") + "..."
	}
	s.heard.refuse(key, s.replica.Index().Knows(key), Refusal{
		Action: strings.Clone(action), Code: strings.Clone(code), Text: strings.Clone(text), Time: time.Now().UTC().Truncate(time.Millisecond),
	})
}

// refuse notes a refusal of a node that is known, or is not.
func (h *heartbeats) refuse(key inventory.NodeKey, known bool, r Refusal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !known {
		if _, had := h.strangers[key]; !had && len(h.strangers) >= mostStrangers {
			for other := range h.strangers {
				delete(h.strangers, other)
				break
			}
		}
		h.strangers[keyApart(key)] = r
		return
	}
	delete(h.strangers, key)
	b := h.bucket(bucketOf(key))
	h.note(b, inventory.NodeID(strings.Clone(string(key.Node))), r)
	h.news(b)
}

// note keeps a refusal. One too many costs the oldest of its bucket, or of any. The caller holds the lock.
func (h *heartbeats) note(b *bucket, id inventory.NodeID, r Refusal) {
	if b.refusals == nil {
		b.refusals = map[inventory.NodeID]Refusal{}
	}
	before := len(b.refusals)
	b.refusals[id] = r
	h.refusals += len(b.refusals) - before
	if len(b.refusals) > mostRefusals {
		h.dropOldest(b)
	}
	if h.refusals <= refusalsInAll {
		return
	}
	for _, other := range h.buckets {
		if len(other.refusals) > 0 {
			h.dropOldest(other)
			return
		}
	}
}

// dropOldest drops the oldest refusal of a bucket. The caller holds the lock.
func (h *heartbeats) dropOldest(b *bucket) {
	var oldest inventory.NodeID
	for id, r := range b.refusals {
		if oldest == "" || r.Time.Before(b.refusals[oldest].Time) {
			oldest = id
		}
	}
	h.dropRefusal(b, oldest)
}

func (h *heartbeats) dropRefusal(b *bucket, id inventory.NodeID) {
	before := len(b.refusals)
	delete(b.refusals, id)
	h.refusals -= before - len(b.refusals)
}

// refusal gives what a node was last refused for.
func (h *heartbeats) refusal(key inventory.NodeKey) (r Refusal, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if in := h.buckets[bucketOf(key)]; in != nil {
		r, ok = in.refusals[key.Node]
	}
	if !ok {
		r, ok = h.strangers[key]
	}
	return r, ok
}
