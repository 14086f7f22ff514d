package ssm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
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
	// heartbeatWrites is how long the writes of one time may take. What is left waits for the next: reading, and with it
	// the judgement of silence, waits for neither.
	heartbeatWrites = heartbeatEvery / 2
	// tidyEvery is how often what is too old is looked for in all buckets.
	tidyEvery = time.Hour
)

const recordHeartbeat = "heartbeat"

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
	// refusals counts those in the buckets; strangers are those of nodes that are not known, which are never written.
	refusals  int
	strangers map[inventory.NodeKey]Refusal
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

// bucket is what one record holds. Its maps are made with what is first put into them.
type bucket struct {
	beats    map[inventory.NodeID]beat
	refusals map[inventory.NodeID]Refusal
	dirty    bool          // it has news
	since    time.Duration // the oldest of them
	revision uint64        // of the record, as it was last read or written
}

func (b *bucket) empty() bool { return len(b.beats)+len(b.refusals) == 0 }

func newHeartbeats() *heartbeats {
	return &heartbeats{began: time.Now(), buckets: map[bucketKey]*bucket{}, strangers: map[inventory.NodeKey]Refusal{}}
}

func (h *heartbeats) now() time.Duration { return time.Since(h.began) }

// bucket gives a bucket, made where there is none. The caller holds the lock.
func (h *heartbeats) bucket(k bucketKey) *bucket {
	b := h.buckets[k]
	if b == nil {
		k.Partition = keyApart(inventory.NodeKey{Partition: k.Partition}).Partition
		b = &bucket{}
		h.buckets[k] = b
	}
	return b
}

// news notes that a bucket has to be written. The caller holds the lock.
func (h *heartbeats) news(b *bucket) {
	if !b.dirty {
		b.dirty, b.since = true, h.now()
	}
}

// hear keeps a heartbeat.
func (b *bucket) hear(id inventory.NodeID, heard beat) {
	if b.beats == nil {
		b.beats = map[inventory.NodeID]beat{}
	}
	b.beats[id] = heard
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
	b.hear(key.Node, heard)
	h.news(b)
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

// forget drops what is remembered of a node that is no longer known.
func (h *heartbeats) forget(key inventory.NodeKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.strangers, key)
	if in := h.buckets[bucketOf(key)]; in != nil {
		delete(in.beats, key.Node)
		h.dropRefusal(in, key.Node)
		h.news(in)
	}
}

// dirty lists the buckets with news, the oldest first.
func (h *heartbeats) dirty() []bucketKey {
	h.mu.Lock()
	defer h.mu.Unlock()
	var keys []bucketKey
	for k, b := range h.buckets {
		if b.dirty {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b bucketKey) int { return cmp.Compare(h.buckets[a].since, h.buckets[b].since) })
	return keys
}

// value gives the record of a bucket, tidied, and takes its news as written; empty: there is to be none.
func (h *heartbeats) value(k bucketKey, known func(inventory.NodeKey) bool) (rec store.Record, empty bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.bucket(k)
	h.tidyBucket(k, b, known)
	b.dirty = false
	return store.Record{Key: k.record(), Value: encodeBucket(b), Revision: b.revision}, b.empty()
}

// tidy forgets, in all buckets, the nodes that known denies and the refusals that are too old. Buckets that it changes are
// to be written, and so are those that hold nothing.
func (h *heartbeats) tidy(known func(inventory.NodeKey) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	past := time.Now().Add(-refusalLife)
	maps.DeleteFunc(h.strangers, func(_ inventory.NodeKey, r Refusal) bool { return r.Time.Before(past) })
	for k, b := range h.buckets {
		if h.tidyBucket(k, b, known) || b.empty() {
			h.news(b)
		}
	}
}

// tidyBucket reports whether it changed anything. The caller holds the lock.
func (h *heartbeats) tidyBucket(k bucketKey, b *bucket, known func(inventory.NodeKey) bool) bool {
	before, now := len(b.beats)+len(b.refusals), time.Now()
	gone := func(id inventory.NodeID, last time.Time) bool {
		return last.Before(now.Add(-forgottenFrom)) && !known(inventory.NodeKey{Partition: k.Partition, Node: id})
	}
	maps.DeleteFunc(b.beats, func(id inventory.NodeID, heard beat) bool { return gone(id, time.Unix(heard.at, 0)) })
	for id, r := range b.refusals {
		if r.Time.Before(now.Add(-refusalLife)) || gone(id, r.Time) {
			h.dropRefusal(b, id)
		}
	}
	return len(b.beats)+len(b.refusals) < before
}

// removed notes that a bucket that held nothing has no record any more.
func (h *heartbeats) removed(k bucketKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.bucket(k)
	if b.revision = 0; b.empty() && !b.dirty {
		delete(h.buckets, k)
	}
}

// written notes the record a bucket was written as.
func (h *heartbeats) written(k bucketKey, revision uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bucket(k).revision = revision
}

// unwritten notes that a bucket still has news.
func (h *heartbeats) unwritten(k bucketKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.news(h.bucket(k))
}

// behind reports whether a record's revision is another than the one known.
func (h *heartbeats) behind(k bucketKey, revision uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.buckets[k]
	return b == nil || b.revision != revision
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
			b.hear(id, beat{at: min(heard.at, now.Unix()), told: heard.at, seen: seen})
		}
	}
	for id, r := range said.refusals {
		mine := b.refusals[id] // the zero time where there is none
		if r.Time.After(mine.Time) && r.Time.After(now.Add(-refusalLife)) && !r.Time.After(now.Add(aheadMost)) {
			h.note(b, id, r)
		}
	}
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
	failed, tidied := false, time.Time{}
	for sleep(ctx, heartbeatEvery) {
		if time.Since(tidied) >= tidyEvery {
			s.heard.tidy(s.replica.Index().Knows)
			tidied = time.Now()
		}
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
	if err := s.writeHeartbeats(last, heartbeatLast); err != nil {
		s.log.Warn("the last heartbeats were not written", "error", err)
	}
}

// syncHeartbeats writes what was heard here and reads what was heard elsewhere.
func (s *Service) syncHeartbeats(ctx context.Context) error {
	err := s.writeHeartbeats(ctx, heartbeatWrites)
	if s.cfg.Exclusive {
		// Also the store is asked for nothing else when all is quiet: that it answers is what silence is judged by.
		_, head := s.store.RecordsHead(ctx)
		return cmp.Or(err, head)
	}
	return cmp.Or(err, s.readHeartbeats(ctx))
}

// writeHeartbeats writes the buckets with news, as many as it comes to in the time given, and gives the first error.
func (s *Service) writeHeartbeats(ctx context.Context, most time.Duration) error {
	var first error
	until := s.heard.now() + most
	for _, k := range s.heard.dirty() {
		if s.heard.now() >= until {
			break
		}
		first = cmp.Or(first, retry(ctx, func() error { return s.writeBucket(ctx, k) }))
	}
	return first
}

// writeBucket writes one bucket, or removes the record of one that holds nothing. ErrConflict: another server wrote it; what
// that said is taken in, and it can be tried again.
func (s *Service) writeBucket(ctx context.Context, k bucketKey) error {
	rec, empty := s.heard.value(k, s.replica.Index().Knows)
	if empty {
		err := s.removeRecord(ctx, rec)
		if err == nil {
			s.heard.removed(k)
			return nil
		}
		return s.notWritten(ctx, k, rec.Key, err)
	}
	revision, err := s.store.PutRecord(ctx, rec)
	if err != nil {
		return s.notWritten(ctx, k, rec.Key, err)
	}
	s.heard.written(k, revision)
	return nil
}

// removeRecord removes the record of a bucket, if there is one.
func (s *Service) removeRecord(ctx context.Context, rec store.Record) error {
	if rec.Revision == 0 {
		return nil
	}
	err := s.store.DeleteRecord(ctx, rec.Key, rec.Revision)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// notWritten gives the error with which a bucket was not written, once what another server wrote was taken in.
func (s *Service) notWritten(ctx context.Context, k bucketKey, record string, err error) error {
	s.heard.unwritten(k)
	if !errors.Is(err, store.ErrConflict) {
		return err
	}
	found, problem := s.store.Record(ctx, record)
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
