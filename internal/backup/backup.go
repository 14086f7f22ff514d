// Package backup writes all of a store at one moment into one file, and reads it back into a store of any kind.
//
// Begin with Write, which is given a view of a store that may be in use; Check reads a file and tells whether it is what
// was written; Restore fills an empty store with it. Read gives a file's content to any loader.
//
// Promises: Write ends without error only when all of the view was handed to the writer. Whatever bytes of a file are
// changed, missing or too many, Check and Restore say ErrDamaged, and Restore says so before it writes anything: each
// section has a SHA-256 that covers all of the file before it. Each shard has the digest of its content besides, which
// Check computes of what it reads, and Restore of the store once it is filled. A restored store gives the same digests, read
// back, as the one that was backed up: identity, keys, revisions, sequences and ids included, so page tokens, hashes and
// positions in the feed are good in it. A store that Restore did not end with is known by transfer.ErrUnfinished until it is
// called again.
//
// A file holds the store's keys and everything the fleet reported: it is as secret as the store. It is compressed, and
// encrypted only where a SealKey is given: Seal wraps a writer, Unseal a reader, and Save and Pass do so by themselves. What
// belongs to the servers over a store is not in it: fences, readers of the feed, snapshots of the index.
package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
	"stocktake/internal/transfer"
)

// The sentinels; test with errors.Is.
var (
	// ErrNoBackup: what is read does not begin as a backup does.
	ErrNoBackup = errors.New("it is no backup of stocktake")
	// ErrDamaged: the file is not as it was written. The error says where.
	ErrDamaged = errors.New("the backup is damaged")
)

// Header is what a file says of itself before all else.
type Header struct {
	// Created is when the view was taken, by the clock of whoever wrote the file; Program the version of the program.
	Created time.Time
	Program string
	// Identity is the store's, with its keys.
	Identity store.Identity
}

// Summary is what a file holds.
type Summary struct {
	Header
	// Bytes is the file's size; Name its last checksum, which no other file has.
	Bytes                           int64
	Name                            [32]byte
	Shapes, Nodes, Changes, Records int
	// Lines and Intentions are the journal's.
	Lines, Intentions int
}

func (s *Summary) add(sum transfer.Sum) {
	s.Shapes += sum.Shapes
	s.Nodes += sum.Nodes
	s.Changes += sum.Changes
	s.Records += sum.Records
	s.Lines += sum.Lines
	s.Intentions += sum.Intentions
}

// ended is the content of the section that ends a shard, or the file.
type ended struct {
	Sum transfer.Sum
	// Journal is what the journal comes to, in the section that ends the file.
	Journal transfer.Sum `json:",omitzero"`
	// Shards is how many shards the file has, in the section that ends it.
	Shards int `json:",omitempty"`
}

// Write writes all that a view shows. Header.Identity is taken from the view.
func Write(ctx context.Context, from store.View, w io.Writer, h Header, o transfer.Options) (Summary, error) {
	h.Identity = from.Identity()
	out, err := newSections(w)
	if err != nil {
		return Summary{}, err
	}
	if err := out.json(kindHeader, 0, h); err != nil {
		return Summary{}, err
	}
	wr := &writer{out: out, sums: transfer.NewSums(h.Identity), numbers: map[dictionary]map[inventory.ShapeID]uint64{}}
	summary := Summary{Header: h}
	var mu sync.Mutex
	err = transfer.Stream(ctx, from, wr, o, func(shard int) error {
		sum, err := wr.end(shard)
		mu.Lock()
		defer mu.Unlock()
		summary.add(sum)
		return err
	})
	if err != nil {
		return summary, err
	}
	records, journal := wr.sums.Records(), wr.sums.Journal()
	summary.add(records)
	summary.add(journal)
	err = out.json(kindTotal, 0, ended{Sum: records, Journal: journal, Shards: h.Identity.Shards})
	summary.Bytes, summary.Name = out.bytes, out.sum
	return summary, err
}

func (s *sections) json(kind byte, shard int, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return s.write(kind, shard, text)
}

// writer is the loader that writes sections. Each shard is given by one goroutine.
type writer struct {
	out  *sections
	sums *transfer.Sums

	// shapes is held while shapes get numbers and are written, in one order.
	shapes  sync.RWMutex
	numbers map[dictionary]map[inventory.ShapeID]uint64
	next    uint64
}

// dictionary names the shapes of one type in one partition.
type dictionary struct {
	inventory.Partition
	Type inventory.TypeName
}

// of gives the numbers of shapes, all of which were loaded before. The caller holds shapes for reading.
func (w *writer) of(p inventory.Partition, t inventory.TypeName) numberOf {
	numbers := w.numbers[dictionary{p, t}]
	return func(id inventory.ShapeID) (uint64, bool) {
		n, ok := numbers[id]
		return n, ok
	}
}

// cut writes a section when there is enough for one, or whatever there is when it is the last.
func (w *writer) cut(kind byte, shard int, e *encoder, last bool) error {
	if len(e.buf) == 0 || !last && len(e.buf) < sectionBytes {
		return nil
	}
	err := w.out.write(kind, shard, e.buf)
	e.buf = e.buf[:0]
	return err
}

// LoadShapes implements store.Loader.
func (w *writer) LoadShapes(ctx context.Context, shard int, shapes []store.Typed) error {
	if err := w.sums.LoadShapes(ctx, shard, shapes); err != nil {
		return err
	}
	w.shapes.Lock()
	defer w.shapes.Unlock()
	var e encoder
	var last dictionary
	for i := range shapes {
		sh := &shapes[i]
		in := dictionary{sh.Partition, sh.Type}
		numbers := w.numbers[in]
		if numbers == nil {
			numbers = map[inventory.ShapeID]uint64{}
			w.numbers[in] = numbers
		}
		if _, known := numbers[sh.ID]; known {
			continue
		}
		numbers[sh.ID] = w.next
		w.next++
		if len(e.buf) == 0 {
			last = dictionary{}
		}
		e.dictionary(in, last)
		last = in
		e.text(sh.Text)
		if err := w.cut(kindShapes, 0, &e, false); err != nil {
			return err
		}
	}
	return w.cut(kindShapes, 0, &e, true)
}

// LoadNodes implements store.Loader.
func (w *writer) LoadNodes(ctx context.Context, shard int, nodes []store.NodeScan) error {
	if err := w.sums.LoadNodes(ctx, shard, nodes); err != nil {
		return err
	}
	var e encoder
	for i := range nodes {
		if err := w.node(&e, &nodes[i]); err != nil {
			return err
		}
		if err := w.cut(kindNodes, shard, &e, i == len(nodes)-1); err != nil {
			return err
		}
	}
	return nil
}

// LoadChanges implements store.Loader.
func (w *writer) LoadChanges(ctx context.Context, shard int, changes []inventory.Change) error {
	if err := w.sums.LoadChanges(ctx, shard, changes); err != nil {
		return err
	}
	var e encoder
	for i := range changes {
		c := &changes[i]
		if err := w.change(&e, c); err != nil {
			return fmt.Errorf("change %d of shard %d: %w", c.Seq, shard, err)
		}
		if err := w.cut(kindChanges, shard, &e, i == len(changes)-1); err != nil {
			return err
		}
	}
	return nil
}

// LoadRecords implements store.Loader.
func (w *writer) LoadRecords(ctx context.Context, records []store.Record) error {
	if err := w.sums.LoadRecords(ctx, records); err != nil {
		return err
	}
	var e encoder
	for i, r := range records {
		e.text(r.Key, string(r.Value))
		e.number(r.Revision)
		if err := w.cut(kindRecords, 0, &e, i == len(records)-1); err != nil {
			return err
		}
	}
	return nil
}

// LoadJournal implements store.Loader.
func (w *writer) LoadJournal(ctx context.Context, chain int, lines []store.JournalLine, intentions []store.Intention) error {
	if err := w.sums.LoadJournal(ctx, chain, lines, intentions); err != nil {
		return err
	}
	var e encoder
	for i, l := range lines {
		e.number(l.Seq)
		e.text(string(l.Text))
		if err := w.cut(kindLines, chain, &e, i == len(lines)-1); err != nil {
			return err
		}
	}
	for i, in := range intentions {
		e.text(in.ID, string(in.Text))
		e.time(in.Since)
		if err := w.cut(kindIntentions, chain, &e, i == len(intentions)-1); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) node(e *encoder, n *store.NodeScan) error {
	w.shapes.RLock()
	defer w.shapes.RUnlock()
	return e.node(n, w.of)
}

func (w *writer) change(e *encoder, c *inventory.Change) error {
	w.shapes.RLock()
	defer w.shapes.RUnlock()
	return e.change(c, w.of(c.Document.Partition, c.Document.Type))
}

// end writes the section that ends a shard.
func (w *writer) end(shard int) (transfer.Sum, error) {
	sum := w.sums.Shard(shard)
	return sum, w.out.json(kindEnd, shard, ended{Sum: sum})
}
