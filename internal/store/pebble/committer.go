package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	engine "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// Bounds of one batch: large enough that a hundred writers share an fsync, small enough that none waits long.
const (
	batchRequests = 1024
	batchBytes    = 8 << 20
)

// op is one write: it checks its condition against the batch and what is stored and adds itself to the batch, or gives
// the reason why not and leaves the batch as it was. It runs on the committer.
type op interface {
	apply(b *batch) error
}

// committer is the one goroutine that writes.
type committer struct {
	s     *Store
	queue chan *request
	ended chan struct{}
	room  room

	// What follows is the committer's own while it runs.
	counters counters
	// recordsID is the id of the last write to a record, stored with each; its sequence is one of the counters.
	recordsID inventory.ChangeID
	fences    map[string]uint64
	journal   [store.JournalChains]chain
	heads     []inventory.Position
	tails     []uint64
	readers   map[string][]uint64
	sweep     *sweep // the sweep under way, or nil
	views     uint64 // how many views were made
	lately    lately
	// nodes are those written in the batch being made: no other commit of one can have been computed from what it now is.
	// Those without a commit were loaded.
	nodes map[string]*commit
}

// counters is what every batch stores anew.
type counters struct {
	// revision is the last one given, to a node or a record.
	revision uint64
	// recordsHead is the revision of the last write to a record.
	recordsHead uint64
}

// batch is what one fsync makes durable.
type batch struct {
	*committer
	writes *engine.Batch
	// records are those written in this batch and their revisions, 0 for one deleted.
	records map[string]uint64
	// lines are those of the journal written in this batch, by key.
	lines map[string][]byte
	fed   bool // heads or tails were replaced by copies of the batch's own
	// durable: something in it is more than loaded.
	durable bool
}

// run takes requests until the queue is closed.
func (c *committer) run() {
	defer close(c.ended)
	for first := range c.queue {
		// Whoever is about to ask gets to before an fsync begins, which all share; where nobody is, this takes no time.
		runtime.Gosched()
		requests := c.gather(first)
		if least, err := c.room.check(); err != nil {
			requests = refuse(requests, least, err)
		}
		c.commit(requests)
		for _, r := range requests {
			close(r.done)
		}
	}
}

// gather takes what else waits, up to the bounds of a batch.
func (c *committer) gather(first *request) []*request {
	var requests []*request
	for r, ok := first, true; ok; {
		if r.state.CompareAndSwap(waiting, taken) {
			requests = append(requests, r)
		}
		if len(requests) == batchRequests {
			break
		}
		select {
		case r, ok = <-c.queue:
		default:
			ok = false
		}
	}
	return requests
}

// refuse answers all requests of a lesser need and gives the rest.
func refuse(requests []*request, least need, err error) []*request {
	return slices.DeleteFunc(requests, func(r *request) bool {
		if r.need >= least {
			return false
		}
		r.err = err
		close(r.done)
		return true
	})
}

// commit writes the requests, in as many batches as their size asks for.
func (c *committer) commit(requests []*request) {
	for len(requests) > 0 {
		b := &batch{committer: c, writes: c.s.db.NewBatch(), records: map[string]uint64{}, lines: map[string][]byte{}}
		clear(c.nodes)
		n := 0
		for n < len(requests) && b.writes.Len() < batchBytes {
			requests[n].err = requests[n].op.apply(b)
			if _, loads := requests[n].op.(load); !loads {
				b.durable = true
			}
			n++
		}
		end := c.s.stall.begin()
		err := b.commit()
		end()
		if err != nil {
			for _, r := range requests[:n] {
				r.err = errors.Join(r.err, err)
			}
		}
		requests = requests[n:]
	}
}

// commit makes the batch durable, unless it only loads, and lets readers see it.
func (b *batch) commit() error {
	if b.writes.Empty() {
		return b.writes.Close()
	}
	b.set(keyCounters, appendCounters(nil, b.counters))
	b.adopt()
	for key, o := range b.nodes {
		b.lately.add(key, b.views+1)
		b.s.rows.wrote(key, o, b.views+1)
	}
	how := engine.NoSync // the next sync of the log is of all before it
	if b.durable {
		how = engine.Sync
	}
	if err := b.writes.Commit(how); err != nil {
		b.s.guard.fail(err)
		return b.s.unwritable(err)
	}
	// Pebble hands some failures to its logger alone.
	if err := b.s.guard.failure(); err != nil {
		return b.s.unwritable(err)
	}
	b.s.batches.Add(1)
	b.publish()
	return b.writes.Close()
}

// adopt makes a store of an older version one of this, with what is written first.
func (b *batch) adopt() {
	if b.s.older {
		b.set(keyIdentity, encodeIdentity(b.s.identity))
		b.s.older = false
	}
}

// publish lets readers see all that was written.
func (c *committer) publish() {
	c.views++
	c.s.views.replace(&view{
		number:   c.views,
		snapshot: c.s.db.NewSnapshot(),
		heads:    c.heads, tails: c.tails,
		recordsHead: inventory.Position{Seq: c.counters.recordsHead, ID: c.recordsID},
	})
}

// set and the like cannot fail: a batch is memory.
func (b *batch) set(key, value []byte) { _ = b.writes.Set(key, value, nil) }

func (b *batch) delete(key []byte) { _ = b.writes.Delete(key, nil) }

func (b *batch) deleteRange(lower, upper []byte) { _ = b.writes.DeleteRange(lower, upper, nil) }

// nextRevision gives out a revision greater than any before.
func (b *batch) nextRevision() uint64 {
	b.counters.revision++
	return b.counters.revision
}

// feed makes heads and tails the batch's own, so that they can be changed; views hold the old ones.
func (b *batch) feed() {
	if !b.fed {
		b.heads, b.tails, b.fed = slices.Clone(b.heads), slices.Clone(b.tails), true
	}
}

func appendCounters(dst []byte, c counters) []byte {
	dst = binary.AppendUvarint(append(dst, valueVersion), c.revision)
	return binary.AppendUvarint(dst, c.recordsHead)
}

func decodeCounters(value []byte) (counters, error) {
	d := newDecoder(value)
	c := counters{revision: d.uvarint(), recordsHead: d.uvarint()}
	return c, d.end()
}

// room keeps the store from filling the disk to the last byte: while little is left, writes are refused before Pebble
// sees them, which is the one failure that leaves nothing to recover from.
type room struct {
	fs      vfs.FS
	dir     string
	looked  time.Time
	least   need // of what is still written
	outcome error
}

// need says how far into what is kept free a request may go.
type need uint8

const (
	takes need = iota // not at all
	// tells is of the lines that calls wait for, and for half of it: what makes room has such a line too.
	tells
	frees // makes room: to the end
)

const (
	// roomLeast is left free, or a twentieth of a smaller disk.
	roomLeast = 64 << 20
	// roomLook is how long a look at the disk holds.
	roomLook = 200 * time.Millisecond
)

var errFull = errors.New("the disk is full: make room, and writing goes on by itself")

// check gives the least need that is still written, and why others are not.
func (r *room) check() (need, error) {
	if now := time.Now(); now.Sub(r.looked) > roomLook {
		r.looked = now
		r.least, r.outcome = takes, nil
		usage, err := r.fs.GetDiskUsage(r.dir)
		if reserve := min(roomLeast, usage.TotalBytes/20); err == nil && usage.AvailBytes < reserve {
			r.least = tells
			if usage.AvailBytes < reserve/2 {
				r.least = frees
			}
			r.outcome = fmt.Errorf("%w (%d MiB are left where %s is)", errFull, usage.AvailBytes>>20, r.dir)
		}
	}
	return r.least, r.outcome
}
