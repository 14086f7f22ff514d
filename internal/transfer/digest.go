package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math/bits"
	"sync"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// Sum is what a shard, the records or the journal of a store come to. Two are equal just when what was summed up is.
type Sum struct {
	Digest                          [sha256.Size]byte
	Shapes, Nodes, Changes, Records int
	Lines, Intentions               int `json:",omitempty"` // of the journal
}

// Sums sums up what a Loader is given, and keeps none of it: the shards' nodes and shapes and the journal's intentions in
// whatever order, each once; changes, records and lines in theirs. The text of a shape must be the one its id was made of, else it is ErrCorrupt. It may be
// used for several shards at once. Make one with NewSums.
type Sums struct {
	key     inventory.HashKey
	shards  []shardSums
	mu      sync.Mutex
	records running
	journal [store.JournalChains]chainSums
}

type chainSums struct {
	lines      running
	intentions heap
}

type shardSums struct {
	mu            sync.Mutex
	nodes, shapes heap
	changes       running
}

var _ store.Loader = (*Sums)(nil)

// NewSums makes the sums of nothing, for what a store of this identity holds.
func NewSums(id store.Identity) *Sums {
	return &Sums{key: id.HashKey, shards: make([]shardSums, id.Shards)}
}

func (s *Sums) shard(shard int) (*shardSums, error) {
	if shard < 0 || shard >= len(s.shards) {
		return nil, fmt.Errorf("there is no shard %d of %d", shard, len(s.shards))
	}
	return &s.shards[shard], nil
}

// LoadShapes implements store.Loader.
func (s *Sums) LoadShapes(_ context.Context, shard int, shapes []store.Typed) error {
	to, err := s.shard(shard)
	if err != nil {
		return err
	}
	to.mu.Lock()
	defer to.mu.Unlock()
	var c canon
	for i := range shapes {
		sh := &shapes[i]
		if s.key.ShapeIDOf(sh.Type, []byte(sh.Text)) != sh.ID {
			return fmt.Errorf("%w: the text of shape %s of %s is not the one it was made of", store.ErrCorrupt, sh.ID, sh.Type)
		}
		c.reset()
		c.text(sh.Account, sh.Region, string(sh.Type), sh.Text)
		c.bytes(sh.ID[:])
		to.shapes.add(c.sum())
	}
	return nil
}

// LoadNodes implements store.Loader.
func (s *Sums) LoadNodes(_ context.Context, shard int, nodes []store.NodeScan) error {
	to, err := s.shard(shard)
	if err != nil {
		return err
	}
	to.mu.Lock()
	defer to.mu.Unlock()
	for i := range nodes {
		to.nodes.add(sumNode(&nodes[i]))
	}
	return nil
}

// LoadChanges implements store.Loader.
func (s *Sums) LoadChanges(_ context.Context, shard int, changes []inventory.Change) error {
	to, err := s.shard(shard)
	if err != nil {
		return err
	}
	to.mu.Lock()
	defer to.mu.Unlock()
	var c canon
	for i := range changes {
		c.reset()
		c.change(&changes[i])
		to.changes.add(c.sum())
	}
	return nil
}

// LoadRecords implements store.Loader.
func (s *Sums) LoadRecords(_ context.Context, records []store.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var c canon
	for i := range records {
		c.reset()
		c.text(records[i].Key)
		c.bytes(records[i].Value)
		c.number(records[i].Revision)
		s.records.add(c.sum())
	}
	return nil
}

// Shard gives what a shard comes to so far.
func (s *Sums) Shard(shard int) Sum {
	of := &s.shards[shard]
	of.mu.Lock()
	defer of.mu.Unlock()
	var c canon
	for _, part := range [][sha256.Size]byte{of.nodes.sum, of.shapes.sum, of.changes.digest()} {
		c.bytes(part[:])
	}
	return Sum{Digest: c.sum(), Shapes: of.shapes.count, Nodes: of.nodes.count, Changes: of.changes.count}
}

// Records gives what the records come to so far.
func (s *Sums) Records() Sum {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Sum{Digest: s.records.digest(), Records: s.records.count}
}

// LoadJournal implements store.Loader.
func (s *Sums) LoadJournal(_ context.Context, chain int, lines []store.JournalLine, intentions []store.Intention) error {
	if err := store.CheckChain(chain); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var c canon
	for _, l := range lines {
		c.reset()
		c.line(l)
		s.journal[chain].lines.add(c.sum())
	}
	for _, in := range intentions {
		c.reset()
		c.text(in.ID)
		c.bytes(in.Text)
		c.time(in.Since)
		s.journal[chain].intentions.add(c.sum())
	}
	return nil
}

// Journal gives what the journal comes to so far: the zero Sum for none.
func (s *Sums) Journal() (sum Sum) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var c canon
	for i := range s.journal {
		chain := &s.journal[i]
		sum.Lines += chain.lines.count
		sum.Intentions += chain.intentions.count
		lines := chain.lines.digest()
		c.bytes(lines[:])
		c.bytes(chain.intentions.sum[:])
	}
	if sum.Lines+sum.Intentions > 0 {
		sum.Digest = c.sum()
	}
	return sum
}

// heap sums things up whatever their order: their digests are added as numbers of 256 bits.
type heap struct {
	sum   [sha256.Size]byte
	count int
}

func (h *heap) add(one [sha256.Size]byte) {
	h.count++
	carry := uint64(0)
	for i := 0; i < len(one); i += 8 {
		var word uint64
		word, carry = bits.Add64(binary.LittleEndian.Uint64(h.sum[i:]), binary.LittleEndian.Uint64(one[i:]), carry)
		binary.LittleEndian.PutUint64(h.sum[i:], word)
	}
}

// running sums things up in their order.
type running struct {
	whole hash.Hash // nil before the first
	count int
}

func (r *running) add(one [sha256.Size]byte) {
	if r.whole == nil {
		r.whole = sha256.New()
	}
	r.count++
	_, _ = r.whole.Write(one[:]) // a hash does not fail
}

func (r *running) digest() (sum [sha256.Size]byte) {
	if r.whole != nil {
		r.whole.Sum(sum[:0])
	}
	return sum
}

// sumShard reads a shard, sumRecords the records and sumJournal the journal.
func sumShard(ctx context.Context, s store.View, shard int, kept *texts, track *tracker) (Sum, error) {
	sums := NewSums(s.Identity())
	if err := streamShard(ctx, s, shard, sums, kept, track); err != nil {
		return Sum{}, err
	}
	return sums.Shard(shard), nil
}

func sumRecords(ctx context.Context, s store.View) (Sum, error) {
	sums := NewSums(s.Identity())
	err := StreamRecords(ctx, s, sums)
	return sums.Records(), err
}

func sumJournal(ctx context.Context, s store.View) (Sum, error) {
	sums := NewSums(s.Identity())
	err := StreamJournal(ctx, s, sums)
	return sums.Journal(), err
}

func sumNode(n *store.NodeScan) [sha256.Size]byte {
	var c canon
	c.node(n.Node.Key)
	c.number(n.Node.Revision)
	c.text(string(n.Node.Status))
	c.time(n.Node.Enrolled)
	c.number(uint64(len(n.Node.Items)))
	for i, s := range n.Node.Items {
		c.text(string(s.Type), s.SubType, s.SchemaVersion, s.CaptureTime, s.Hash)
		c.time(s.Arrival)
		c.entry(s.Context)
		c.number(uint64(s.Entries))
		c.number(s.Seq)
		c.number(uint64(n.Documents[i].Split))
		c.refs(n.Documents[i].Refs)
	}
	return c.sum()
}

// canon renders values so that equal ones are the same bytes in whatever store they were, and unequal ones are not: every
// text and every list begins with its length.
type canon struct{ buf []byte }

func (c *canon) reset() { c.buf = c.buf[:0] }

func (c *canon) sum() [sha256.Size]byte { return sha256.Sum256(c.buf) }

func (c *canon) number(n uint64) { c.buf = binary.AppendUvarint(c.buf, n) }

func (c *canon) bytes(b []byte) {
	c.number(uint64(len(b)))
	c.buf = append(c.buf, b...)
}

func (c *canon) text(texts ...string) {
	for _, s := range texts {
		c.number(uint64(len(s)))
		c.buf = append(c.buf, s...)
	}
}

// time renders the moment, not the zone or the clock it was read from.
func (c *canon) time(t time.Time) {
	c.buf = binary.AppendVarint(c.buf, t.Unix())
	c.number(uint64(t.Nanosecond()))
}

func (c *canon) line(l store.JournalLine) {
	c.number(l.Seq)
	c.bytes(l.Text)
}

func (c *canon) node(k inventory.NodeKey) { c.text(k.Account, k.Region, string(k.Node)) }

func (c *canon) entry(e inventory.Entry) {
	c.number(uint64(len(e)))
	for _, a := range e {
		c.text(a.Name, a.Value)
	}
}

func (c *canon) refs(refs []inventory.Ref) {
	c.number(uint64(len(refs)))
	for _, r := range refs {
		c.bytes(r.Shape[:])
		c.entry(r.Volatile)
	}
}

func (c *canon) ids(ids []inventory.ShapeID) {
	c.number(uint64(len(ids)))
	for _, id := range ids {
		c.bytes(id[:])
	}
}

func (c *canon) change(v *inventory.Change) {
	c.number(v.Seq)
	c.bytes(v.ID[:])
	c.node(v.Document.NodeKey)
	c.text(string(v.Document.Type), v.Document.SubType, v.SchemaVersion, v.CaptureTime)
	c.number(uint64(v.Cause))
	c.time(v.Arrival)
	c.entry(v.Context)
	gone := uint64(0)
	if v.Gone {
		gone = 1
	}
	c.number(gone)
	c.number(uint64(v.Split))
	c.number(uint64(len(v.Delta)))
	for _, e := range v.Delta {
		c.number(uint64(e.From))
		c.number(uint64(e.Copy))
		c.refs(e.Insert)
	}
	c.ids(v.Added)
	c.ids(v.Removed)
}
