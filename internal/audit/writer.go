package audit

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"stocktake/internal/store"
)

// The bounds of a chain's queue.
const (
	mostGroup = 256  // lines of one write
	mostLoose = 4096 // lines that wait and nobody waits for
)

// An entry is an event on its way to be a line.
type entry struct {
	kind    Kind
	body    []byte
	settles string // the intention it ends, which this process holds; empty: none
	waited  bool   // somebody waits for done
	done    chan error
}

// chain writes the lines of one chain, as many at once as there are.
type chain struct {
	number int
	trail  *Trail

	mu     sync.Mutex
	queue  []*entry
	loose  int // of the queue that nobody waits for
	closed bool
	wake   chan struct{}

	// What follows is run's own.
	known bool // the head is the store's, as far as is known
	head  place
}

// place is a line of a chain as what comes after it has to know it; the zero place is before the first.
type place struct {
	sequence uint64
	hash     Hash
}

func newChain(t *Trail, number int) *chain {
	return &chain{number: number, trail: t, wake: make(chan struct{}, 1)}
}

// add puts an entry at the end of the queue and gives what it will be done with. One that nobody waits for is dropped
// where there is no room.
func (c *chain) add(e *entry) <-chan error {
	e.done = make(chan error, 1)
	c.mu.Lock()
	switch {
	case c.closed:
		c.finish(e, ErrClosed)
	case !e.waited && c.loose >= mostLoose:
		c.finish(e, errMany)
	default:
		c.queue = append(c.queue, e)
		if !e.waited {
			c.loose++
		}
	}
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default: // it is awake
	}
	return e.done
}

// errMany is of an entry that nobody waits for, where too many do not wait.
var errMany = errors.New("audit: more lines than can be written")

// finish counts what became of an entry, and tells who waits for it.
func (c *chain) finish(e *entry, err error) {
	switch {
	case err == nil:
		c.trail.counters.lines[e.kind].Add(1)
	case !e.waited:
		c.trail.counters.dropped.Add(1)
	}
	if e.settles != "" {
		c.trail.release(e.settles)
	}
	e.done <- err
}

func (c *chain) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run writes until the chain is closed and its queue empty.
func (c *chain) run() {
	for {
		group, closed := c.next()
		if len(group) == 0 {
			if closed {
				return
			}
			<-c.wake
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		err := c.write(ctx, group)
		cancel()
		if err != nil {
			c.trail.options.Log.Error("the audit's lines cannot be written", "chain", c.number, "lines", len(group), "error", err)
		}
		for _, e := range group {
			c.finish(e, err)
		}
	}
}

// next takes the first of the queue.
func (c *chain) next() (group []*entry, closed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(c.queue), mostGroup)
	group, c.queue = c.queue[:n:n], c.queue[n:]
	if len(c.queue) == 0 {
		c.queue = nil
	}
	for _, e := range group {
		if !e.waited {
			c.loose--
		}
	}
	return group, c.closed
}

// write appends a group after whatever is the head, until it is there or ctx is done.
func (c *chain) write(ctx context.Context, group []*entry) error {
	bodies := make([][]byte, len(group))
	var settled []string
	for i, e := range group {
		bodies[i] = e.body
		if e.settles != "" {
			settled = append(settled, e.settles)
		}
	}
	var last attempt
	for wait := leastPause; ; wait = min(2*wait, time.Second) {
		done, err := c.attempt(ctx, bodies, settled, &last)
		if done || errors.Is(err, store.ErrClosed) {
			return err
		}
		switch {
		case errors.Is(err, store.ErrConflict):
			wait = leastPause // another server was faster
		case c.makesWay(group):
			return err
		}
		if !pause(ctx, wait) {
			return err
		}
	}
}

// makesWay reports whether nobody waits for a group that fails, and somebody for what stands behind it: that may be
// written where this is not, as on a disk that is nearly full.
func (c *chain) makesWay(group []*entry) bool {
	if slices.ContainsFunc(group, func(e *entry) bool { return e.waited }) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.queue) > c.loose
}

// leastPause is the pause after an attempt that was overtaken, and the first after one that failed.
const leastPause = 5 * time.Millisecond

// attempt tries once to append bodies after the head. Last is the attempt before: where its outcome was not learnt it is
// looked for first, so that no line is written twice.
func (c *chain) attempt(ctx context.Context, bodies [][]byte, settled []string, last *attempt) (done bool, err error) {
	if err := c.locate(ctx); err != nil {
		return false, err
	}
	landed, err := c.landed(ctx, *last)
	switch {
	case err != nil:
		c.known = false
	case landed:
		err = c.confirm(ctx)
	default:
		*last = sealAfter(c.number, c.head, bodies)
		err = c.append(ctx, *last, settled)
	}
	return err == nil, err
}

// append makes an attempt durable, after the head.
func (c *chain) append(ctx context.Context, a attempt, settled []string) error {
	if err := c.trail.journal.AppendJournal(ctx, c.number, a.after, a.texts, settled); err != nil {
		c.known = false // lines of others may follow
		return err
	}
	c.head = a.end
	return nil
}

// nameOfConfirming is the action of the lines that confirm those before them.
const nameOfConfirming = "ConfirmAuditLines"

// confirm makes durable what was found in the journal after an attempt of unknown outcome: a database shows what its
// standby may not have yet. What is appended after it is durable only together with it.
func (c *chain) confirm(ctx context.Context) error {
	e := ofService(Confirmation, nameOfConfirming, "", nil)
	e.complete(c.trail.options.Now())
	if err := c.append(ctx, sealAfter(c.number, c.head, [][]byte{e.Append(nil)}), nil); err != nil {
		return err
	}
	c.trail.counters.lines[Confirmation].Add(1)
	return nil
}

// attempt is a group sealed to be written after a line.
type attempt struct {
	after uint64
	texts [][]byte
	end   place
}

func sealAfter(chain int, head place, bodies [][]byte) attempt {
	a := attempt{after: head.sequence, end: head, texts: make([][]byte, len(bodies))}
	for i, body := range bodies {
		a.end.sequence++
		a.texts[i], a.end.hash = seal(nil, body, chain, a.end.sequence, a.end.hash)
	}
	return a
}

// locate learns the head, where it is not known.
func (c *chain) locate(ctx context.Context) (err error) {
	if c.known {
		return nil
	}
	c.head, err = headOf(ctx, c.trail.journal, c.number)
	c.known = err == nil
	return err
}

// landed reports whether an attempt that failed took effect after all.
func (c *chain) landed(ctx context.Context, a attempt) (bool, error) {
	if len(a.texts) == 0 || c.head.sequence <= a.after {
		return false, nil
	}
	found, err := c.trail.journal.ReadJournal(ctx, c.number, a.after, 1)
	if err != nil {
		return false, err
	}
	return len(found) > 0 && bytes.Equal(found[0].Text, a.texts[0]), nil
}

// headOf gives where a chain ends.
func headOf(ctx context.Context, j store.JournalReader, chain int) (place, error) {
	l, err := j.JournalHead(ctx, chain)
	if errors.Is(err, store.ErrNotFound) {
		return place{}, nil
	}
	if err != nil {
		return place{}, err
	}
	return place{l.Seq, hashOf(l.Text)}, nil
}

// pause waits about so long; false: ctx is done.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d/2 + rand.N(d))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
