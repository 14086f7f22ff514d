// Package backup writes all of a store at one moment into one file, and reads it back into a store of any kind.
//
// Begin with Write, which is given a view of a store that may be in use; Check reads a file and tells whether it is what
// was written; Restore fills an empty store with it. Read gives a file's content to any loader.
//
// Promises: Write ends without error only when all of the view was handed to the writer. Whatever bytes of a file are
// changed, missing or too many, Check and Restore say ErrDamaged, and Restore says so before it writes anything: each
// section has a SHA-256 that covers all of the file before it, and each shard the digest of its content. A restored store
// gives the same digests, read back, as the one that was backed up: identity, keys, revisions, sequences and ids included,
// so page tokens, hashes and positions in the feed are good in it. A store that Restore did not end with is known by
// transfer.ErrUnfinished until it is called again.
//
// A file holds the store's keys and everything the fleet reported: it is as secret as the store. It is compressed and not
// encrypted. What belongs to the servers over a store is not in it: fences, readers of the feed, snapshots of the index.
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
}

func (s *Summary) add(sum transfer.Sum) {
	s.Shapes += sum.Shapes
	s.Nodes += sum.Nodes
	s.Changes += sum.Changes
	s.Records += sum.Records
}

// ended is the content of the section that ends a shard, or the file.
type ended struct {
	Sum transfer.Sum
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
	wr := &writer{out: out, sums: transfer.NewSums(h.Identity), shards: make([]shardWriter, h.Identity.Shards)}
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
	records := wr.sums.Records()
	summary.add(records)
	err = out.json(kindTotal, 0, ended{Sum: records, Shards: h.Identity.Shards})
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

// writer is the loader that writes sections.
type writer struct {
	out    *sections
	sums   *transfer.Sums
	shards []shardWriter
}

// shardWriter is a shard on its way into the file, which one goroutine gives it.
type shardWriter struct {
	numbers map[dictionary]map[inventory.ShapeID]uint64
	next    uint64
}

// dictionary names the shapes of one type in one partition.
type dictionary struct {
	inventory.Partition
	Type inventory.TypeName
}

func (s *shardWriter) of(p inventory.Partition, t inventory.TypeName) numberOf {
	numbers := s.numbers[dictionary{p, t}]
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
	s := &w.shards[shard]
	var e encoder
	for i := range shapes {
		sh := &shapes[i]
		in := dictionary{sh.Partition, sh.Type}
		if s.numbers == nil {
			s.numbers = map[dictionary]map[inventory.ShapeID]uint64{}
		}
		if s.numbers[in] == nil {
			s.numbers[in] = map[inventory.ShapeID]uint64{}
		}
		s.numbers[in][sh.ID] = s.next
		s.next++
		e.text(sh.Account, sh.Region, string(sh.Type), sh.Text)
		e.raw(sh.ID[:])
		if err := w.cut(kindShapes, shard, &e, i == len(shapes)-1); err != nil {
			return err
		}
	}
	return nil
}

// LoadNodes implements store.Loader.
func (w *writer) LoadNodes(ctx context.Context, shard int, nodes []store.NodeScan) error {
	if err := w.sums.LoadNodes(ctx, shard, nodes); err != nil {
		return err
	}
	var e encoder
	for i := range nodes {
		if err := e.node(&nodes[i], w.shards[shard].of); err != nil {
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
		if err := e.change(c, w.shards[shard].of(c.Document.Partition, c.Document.Type)); err != nil {
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

// end writes the section that ends a shard.
func (w *writer) end(shard int) (transfer.Sum, error) {
	sum := w.sums.Shard(shard)
	w.shards[shard] = shardWriter{}
	return sum, w.out.json(kindEnd, shard, ended{Sum: sum})
}
