package ssm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// The rhythm and the bounds of heartbeats.
const (
	// heartbeatEvery is how often what was heard is written, and what other servers heard is read.
	heartbeatEvery = 30 * time.Second
	// heartbeatLast is how long the last write may take at the stop.
	heartbeatLast = 5 * time.Second
	// heartbeatBuckets is how many records the heartbeats of a partition are spread over. It never changes.
	heartbeatBuckets = 64
	// aheadMost is how far in the future a time may lie that another's clock gave: further, that clock lied.
	aheadMost = 10 * time.Minute
	// forgottenFrom is how old the heartbeat of a node that is not known must be to be forgotten: a younger one may be of a
	// node this server does not know yet.
	forgottenFrom = time.Hour
	// mostRefusals bounds the refusals kept in a bucket, the newest, and refusalText the text of each, in bytes.
	mostRefusals = 128
	refusalText  = 300
	// mostBuckets bounds the memory for refusals in partitions that hold no node.
	mostBuckets = 1 << 16
)

const recordHeartbeat = "heartbeat"

// Refusal is what a node was last refused for.
type Refusal struct {
	Action string
	Code   string // the error's name on the wire
	Text   string
	Time   time.Time
}

// beat is the last heartbeat of a node.
type beat struct {
	// at is in seconds since 1970, by the clock of the server that took it. It is shown and never judged by.
	at int64
	// seen is when this server learnt of it, on the monotonic clock since it began.
	seen time.Duration
	// told is what the record said that it was learnt from; 0: it was heard here.
	told int64
}

// heartbeats remembers when each node was last heard of, and what it was last refused for. A heartbeat costs memory alone;
// what changed is written in batches, a bucket a record, and read by the other servers at the same pace: they merge by the
// later one. What is lost with a server that dies is half a minute of heartbeats, which nodes send every five.
type heartbeats struct {
	began time.Time // with its monotonic part

	mu      sync.Mutex
	buckets map[bucketKey]*bucket
	// synced is when the store was last read and written, and returned when it was after longer than it should: silence
	// counts from there.
	synced, returned time.Duration
}

type bucketKey struct {
	inventory.Partition
	number int
}

func (k bucketKey) record() string {
	return store.Key(recordHeartbeat, k.Account, k.Region, fmt.Sprintf("%02d", k.number))
}

func parseBucketKey(record string) (k bucketKey, ok bool) {
	parts := store.KeyParts(record)
	if len(parts) != 4 {
		return k, false
	}
	number, err := strconv.Atoi(parts[3])
	k = bucketKey{inventory.Partition{Account: parts[1], Region: parts[2]}, number}
	return k, err == nil && number >= 0 && number < heartbeatBuckets && k.record() == record
}

// bucketOf gives where a node is kept. The key shares no memory with a request.
func bucketOf(key inventory.NodeKey) bucketKey {
	return bucketKey{key.Partition, store.ShardOf(key, heartbeatBuckets)}
}

type bucket struct {
	beats    map[inventory.NodeID]beat
	refusals map[inventory.NodeID]Refusal
	dirty    bool
	revision uint64 // of the record, as it was last read or written
}

func newHeartbeats() *heartbeats {
	return &heartbeats{began: time.Now(), buckets: map[bucketKey]*bucket{}}
}

func (h *heartbeats) now() time.Duration { return time.Since(h.began) }

// bucket gives a bucket, made where there is none. The caller holds the lock.
func (h *heartbeats) bucket(k bucketKey) *bucket {
	b := h.buckets[k]
	if b == nil {
		k.Partition = inventory.Partition{Account: strings.Clone(k.Account), Region: strings.Clone(k.Region)}
		b = &bucket{beats: map[inventory.NodeID]beat{}, refusals: map[inventory.NodeID]Refusal{}}
		h.buckets[k] = b
	}
	return b
}

// take notes that a node was heard of now.
func (h *heartbeats) take(key inventory.NodeKey) {
	heard := beat{at: time.Now().Unix(), seen: h.now()}
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.bucket(bucketOf(key))
	if _, known := b.beats[key.Node]; !known {
		key.Node = inventory.NodeID(strings.Clone(string(key.Node)))
	}
	b.beats[key.Node] = heard
	b.dirty = true
}

// refuse notes a refusal.
func (h *heartbeats) refuse(key inventory.NodeKey, r Refusal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := bucketOf(key)
	if h.buckets[k] == nil && len(h.buckets) >= mostBuckets {
		return
	}
	b := h.bucket(k)
	b.refusals[inventory.NodeID(strings.Clone(string(key.Node)))] = r
	b.boundRefusals()
	b.dirty = true
}

// boundRefusals drops the oldest refusal where there is one too many.
func (b *bucket) boundRefusals() {
	for len(b.refusals) > mostRefusals {
		var oldest inventory.NodeID
		for id, r := range b.refusals {
			if oldest == "" || r.Time.Before(b.refusals[oldest].Time) {
				oldest = id
			}
		}
		delete(b.refusals, oldest)
	}
}

// last gives a node's last heartbeat; ok is false when there never was one.
func (h *heartbeats) last(key inventory.NodeKey) (b beat, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if in := h.buckets[bucketOf(key)]; in != nil {
		b, ok = in.beats[key.Node]
	}
	return b, ok
}

func (h *heartbeats) refusal(key inventory.NodeKey) (Refusal, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	in := h.buckets[bucketOf(key)]
	if in == nil {
		return Refusal{}, false
	}
	r, ok := in.refusals[key.Node]
	return r, ok
}

// forget drops what is remembered of a node that is no longer known.
func (h *heartbeats) forget(key inventory.NodeKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if in := h.buckets[bucketOf(key)]; in != nil {
		delete(in.beats, key.Node)
		delete(in.refusals, key.Node)
		in.dirty = true
	}
}

// dirty lists the buckets with news.
func (h *heartbeats) dirty() []bucketKey {
	h.mu.Lock()
	defer h.mu.Unlock()
	var keys []bucketKey
	for k, b := range h.buckets {
		if b.dirty {
			keys = append(keys, k)
		}
	}
	return keys
}

// value gives the record of a bucket and takes its news as written. Nodes that known denies are left out and forgotten.
func (h *heartbeats) value(k bucketKey, known func(inventory.NodeKey) bool) store.Record {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.bucket(k)
	old := time.Now().Add(-forgottenFrom)
	for id, heard := range b.beats {
		if heard.at < old.Unix() && !known(inventory.NodeKey{Partition: k.Partition, Node: id}) {
			delete(b.beats, id)
		}
	}
	b.dirty = false
	return store.Record{Key: k.record(), Value: encodeBucket(b), Revision: b.revision}
}

// written notes the outcome of a write.
func (h *heartbeats) written(k bucketKey, revision uint64, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.bucket(k)
	if err != nil {
		b.dirty = true
		return
	}
	b.revision = revision
}

// behind reports whether a record's revision is another than the one known.
func (h *heartbeats) behind(k bucketKey, revision uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.bucket(k).revision != revision
}

// merge takes in what a record says: of each node the later word. What another server heard moves a node on even where that
// server's clock is ahead, but only when it is told anew, and never to a time that has not come: that would hide every true
// heartbeat until then.
func (h *heartbeats) merge(k bucketKey, said *bucket, revision uint64) {
	seen, now := h.now(), time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.bucket(k)
	b.revision = revision
	for id, heard := range said.beats {
		if mine, ok := b.beats[id]; !ok || heard.at > mine.at && heard.at != mine.told {
			b.beats[id] = beat{at: min(heard.at, now.Unix()), told: heard.at, seen: seen}
		}
	}
	for id, r := range said.refusals {
		if mine, ok := b.refusals[id]; !r.Time.After(now.Add(aheadMost)) && (!ok || r.Time.After(mine.Time)) {
			b.refusals[id] = r
		}
	}
	b.boundRefusals()
}

// settle notes that the store was read and written, or was not.
func (h *heartbeats) settle(err error) {
	now := h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		return
	}
	if now-h.synced > 2*heartbeatEvery {
		h.returned = now
	}
	h.synced = now
}

// silence gives for how long a node has not been heard of while it could have been, by this server's monotonic clock; ok is
// false when it never sent a heartbeat, or when this server has been out of touch itself.
func (h *heartbeats) silence(key inventory.NodeKey) (d time.Duration, ok bool) {
	now := h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	in := h.buckets[bucketOf(key)]
	if in == nil || now-h.synced > 2*heartbeatEvery {
		return 0, false
	}
	heard, ok := in.beats[key.Node]
	return now - max(heard.seen, h.returned), ok
}

// keepHeartbeats writes and reads heartbeats until the service stops, and writes once more then.
func (s *Service) keepHeartbeats(ctx context.Context) {
	failed := false
	for sleep(ctx, heartbeatEvery) {
		err := s.syncHeartbeats(ctx)
		if ctx.Err() != nil {
			break
		}
		s.heard.settle(err)
		if err != nil && !failed {
			s.log.Warn("heartbeats wait in memory for the store", "error", err)
		}
		failed = err != nil
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), heartbeatLast)
	defer cancel()
	if err := s.writeHeartbeats(last); err != nil {
		s.log.Warn("the last heartbeats were not written", "error", err)
	}
}

// syncHeartbeats writes what was heard here and reads what was heard elsewhere.
func (s *Service) syncHeartbeats(ctx context.Context) error {
	err := s.writeHeartbeats(ctx)
	if s.cfg.Exclusive {
		// Also the store is asked for nothing else when all is quiet: that it answers is what silence is judged by.
		_, head := s.store.RecordsHead(ctx)
		return cmp.Or(err, head)
	}
	return cmp.Or(err, s.readHeartbeats(ctx))
}

// writeHeartbeats writes every bucket with news, and gives the first error.
func (s *Service) writeHeartbeats(ctx context.Context) error {
	var first error
	for _, k := range s.heard.dirty() {
		first = cmp.Or(first, retry(ctx, func() error { return s.writeBucket(ctx, k) }))
	}
	return first
}

// writeBucket writes one bucket. ErrConflict: another server wrote it; what that said is taken in, and it can be tried again.
func (s *Service) writeBucket(ctx context.Context, k bucketKey) error {
	rec := s.heard.value(k, s.replica.Index().Knows)
	revision, err := s.store.PutRecord(ctx, rec)
	s.heard.written(k, revision, err)
	if !errors.Is(err, store.ErrConflict) {
		return err
	}
	found, problem := s.store.Record(ctx, rec.Key)
	switch {
	case errors.Is(problem, store.ErrNotFound):
		s.heard.merge(k, &bucket{}, 0)
	case problem != nil:
		return problem
	default:
		s.mergeBucket(k, found)
	}
	return err
}

// readHeartbeats takes in what others wrote since the last time.
func (s *Service) readHeartbeats(ctx context.Context) error {
	return eachRecord(ctx, s.store, store.Key(recordHeartbeat, ""), func(rec store.Record) error {
		if k, ok := parseBucketKey(rec.Key); ok && s.heard.behind(k, rec.Revision) {
			s.mergeBucket(k, rec)
		}
		return nil
	})
}

// mergeBucket takes in a record. One that is damaged is written over: heartbeats come again.
func (s *Service) mergeBucket(k bucketKey, rec store.Record) {
	said, err := decodeBucket(rec.Value)
	if err != nil {
		s.log.Warn("heartbeats can't be read and are begun anew", "record", rec.Key, "error", err)
		said = &bucket{}
	}
	s.heard.merge(k, said, rec.Revision)
}

// lastHeartbeat gives when a node last sent a heartbeat, the zero time when it never did.
func (s *Service) lastHeartbeat(key inventory.NodeKey) time.Time {
	b, ok := s.heard.last(key)
	if !ok {
		return time.Time{}
	}
	return time.Unix(b.at, 0).UTC()
}

// NoteRefusal keeps what a node was refused for, for those who ask why it is stale. The code is the error's name on the wire.
func (s *Service) NoteRefusal(key inventory.NodeKey, action, code, text string) {
	if !key.Node.Valid() {
		return
	}
	if len(text) > refusalText {
		text = strings.ToValidUTF8(text[:refusalText], "") + "..."
	}
	s.heard.refuse(key, Refusal{
		Action: strings.Clone(action), Code: strings.Clone(code), Text: strings.Clone(text), Time: time.Now().UTC().Truncate(time.Millisecond),
	})
}
