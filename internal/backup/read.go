package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
	"stocktake/internal/transfer"
)

// Sink is what Read fills.
type Sink struct {
	store.Loader
	// Ended, if set, is called after the last of a shard, with what its content comes to.
	Ended func(ctx context.Context, shard int, sum transfer.Sum) error
	// Unsummed has Ended given what the file says the shard comes to, and not computed anew: for a sink that is summed up
	// itself afterwards. What is of a shape is still checked against its name there.
	Unsummed bool
}

// Read gives a file's content to a loader as it comes: open is called with the header first, and gives it. Of each shard
// shapes come before what names them, and nodes before changes; shards are mixed, and the records and the journal come last. What was
// given before ErrDamaged is what was backed up, but not all of it.
func Read(ctx context.Context, from io.Reader, o transfer.Options, open func(Header) (Sink, error)) (Summary, error) {
	in, err := newSectionReader(from)
	if err != nil {
		return Summary{}, err
	}
	defer in.close()
	rd := &reader{in: in, progress: o.Progress}
	if err := rd.header(open); err != nil {
		return rd.summary, err
	}
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return rd.summary, err
		}
		if more, err = rd.section(ctx); err != nil {
			return rd.summary, err
		}
	}
	rd.summary.Bytes, rd.summary.Name = in.bytes, in.sum
	return rd.summary, in.end()
}

// Check reads a file to its end and compares all of it with its checksums and digests. Nothing is written.
func Check(ctx context.Context, from io.Reader, o transfer.Options) (Summary, error) {
	return Read(ctx, from, o, func(h Header) (Sink, error) {
		return Sink{Loader: nowhere{}}, nil
	})
}

// survey reads a file to its end and compares it with its checksums. What its sections hold is not looked at: it was by
// whoever made the file, and the checksums are of what it was then.
func survey(ctx context.Context, from io.Reader, o transfer.Options) (Summary, error) {
	in, err := newSectionReader(from)
	if err != nil {
		return Summary{}, err
	}
	defer in.close()
	rd := &reader{in: in}
	if err := rd.header(func(Header) (Sink, error) { return Sink{Unsummed: true}, nil }); err != nil {
		return rd.summary, err
	}
	for last := byte(0); last != kindTotal; {
		f, _, err := in.checked()
		if err := errors.Join(err, ctx.Err()); err != nil {
			return rd.summary, err
		}
		if last = f.kind; last == kindEnd && o.Progress != nil {
			rd.done++
			o.Progress(transfer.Progress{Phase: transfer.Reading, Shards: rd.done, Of: len(rd.shards)})
		}
	}
	rd.summary.Bytes, rd.summary.Name = in.bytes, in.sum
	return rd.summary, in.end()
}

// nowhere is the loader that keeps nothing.
type nowhere struct{}

func (nowhere) LoadShapes(context.Context, int, []store.Typed) error       { return nil }
func (nowhere) LoadNodes(context.Context, int, []store.NodeScan) error     { return nil }
func (nowhere) LoadChanges(context.Context, int, []inventory.Change) error { return nil }
func (nowhere) LoadRecords(context.Context, []store.Record) error          { return nil }
func (nowhere) LoadJournal(context.Context, int, []store.JournalLine, []store.Intention) error {
	return nil
}

// reader reads the sections of a file.
type reader struct {
	in       *sectionReader
	sink     Sink
	sums     *transfer.Sums // nil where nothing is summed up
	texts    []store.Typed
	shards   []shardReader
	done     int // shards that ended
	summary  Summary
	progress func(transfer.Progress)
}

type shardReader struct {
	texts texts
	ended bool
}

// errContent is for a section that is as it was written, and is not what Write writes.
func errContent(kind byte, err error) error {
	return fmt.Errorf("%w: a section of kind %q: %w", ErrDamaged, kind, err)
}

func (rd *reader) header(open func(Header) (Sink, error)) error {
	f, content, err := rd.in.next()
	if err != nil {
		return err
	}
	var h Header
	if f.kind != kindHeader {
		return fmt.Errorf("%w: it does not begin with a header", ErrDamaged)
	}
	if err := json.Unmarshal(content, &h); err != nil {
		return errContent(f.kind, err)
	}
	if err := h.Identity.Check(); err != nil {
		return errContent(f.kind, err)
	}
	rd.summary.Header = h
	rd.shards = make([]shardReader, h.Identity.Shards)
	if rd.sink, err = open(h); !rd.sink.Unsummed {
		rd.sums = transfer.NewSums(h.Identity)
	}
	return err
}

// section reads one section and reports whether more are to follow.
func (rd *reader) section(ctx context.Context) (more bool, err error) {
	f, content, err := rd.in.next()
	if err != nil {
		return false, err
	}
	if ofShard := f.kind != kindLines && f.kind != kindIntentions; ofShard && f.shard >= len(rd.shards) {
		return false, errContent(f.kind, fmt.Errorf("it is of shard %d of %d", f.shard, len(rd.shards)))
	}
	d := &decoder{buf: content}
	switch f.kind {
	case kindShapes:
		rd.shapes(d)
	case kindNodes, kindChanges:
		if rd.shards[f.shard].ended {
			return false, errContent(f.kind, fmt.Errorf("it follows the end of shard %d", f.shard))
		}
		err = rd.shardSection(ctx, f, d)
	case kindRecords:
		err = rd.records(ctx, d)
	case kindLines, kindIntentions:
		err = rd.journal(ctx, f, d)
	case kindEnd:
		return true, rd.endShard(ctx, f.shard, content)
	case kindTotal:
		return false, rd.endFile(content)
	default:
		err = errContent(f.kind, fmt.Errorf("this program knows none such"))
	}
	if d.err != nil {
		err = errContent(f.kind, d.err)
	}
	return true, err
}

func (rd *reader) shardSection(ctx context.Context, f fields, d *decoder) error {
	of := &rd.shards[f.shard].texts
	of.all = rd.texts
	var nodes []store.NodeScan
	var changes []inventory.Change
	for len(d.buf) > 0 {
		if f.kind == kindNodes {
			nodes = append(nodes, d.node(of))
		} else {
			changes = append(changes, d.change(f.shard, of))
		}
	}
	if d.err != nil {
		return d.err
	}
	shapes := of.fresh
	of.fresh = nil
	if rd.sums != nil {
		if err := give(ctx, rd.sums, f.shard, shapes, nodes, changes); err != nil {
			return err
		}
	}
	return give(ctx, rd.sink, f.shard, shapes, nodes, changes)
}

// give loads what a section holds, and before it the shapes it is the first of its shard to name.
func give(ctx context.Context, to store.Loader, shard int, shapes []store.Typed, nodes []store.NodeScan, changes []inventory.Change) error {
	if len(shapes) > 0 {
		if err := to.LoadShapes(ctx, shard, shapes); err != nil {
			return err
		}
	}
	if len(nodes) > 0 {
		return to.LoadNodes(ctx, shard, nodes)
	}
	return to.LoadChanges(ctx, shard, changes)
}

// shapes reads texts, and names them anew.
func (rd *reader) shapes(d *decoder) {
	key := rd.summary.Identity.HashKey
	var of dictionary
	for len(d.buf) > 0 {
		of = d.dictionary(of)
		text := d.text()
		if d.err != nil {
			return
		}
		id := key.ShapeIDOf(of.Type, []byte(text))
		rd.texts = append(rd.texts, store.Typed{Partition: of.Partition, Type: of.Type, Shape: inventory.Shape{ID: id, Text: text}})
	}
}

func (rd *reader) records(ctx context.Context, d *decoder) error {
	var records []store.Record
	for len(d.buf) > 0 {
		records = append(records, store.Record{Key: d.text(), Value: []byte(d.text()), Revision: d.number()})
	}
	if d.err != nil {
		return d.err
	}
	if rd.sums != nil {
		if err := rd.sums.LoadRecords(ctx, records); err != nil {
			return err
		}
	}
	return rd.sink.LoadRecords(ctx, records)
}

func (rd *reader) journal(ctx context.Context, f fields, d *decoder) error {
	var lines []store.JournalLine
	var intentions []store.Intention
	for len(d.buf) > 0 {
		if f.kind == kindLines {
			lines = append(lines, store.JournalLine{Seq: d.number(), Text: []byte(d.text())})
		} else {
			intentions = append(intentions, store.Intention{ID: d.text(), Text: []byte(d.text()), Since: d.time()})
		}
	}
	if d.err != nil {
		return d.err
	}
	if err := store.CheckJournal(f.shard, lines, intentions); err != nil {
		return errContent(f.kind, err)
	}
	if rd.sums != nil {
		if err := rd.sums.LoadJournal(ctx, f.shard, lines, intentions); err != nil {
			return err
		}
	}
	return rd.sink.LoadJournal(ctx, f.shard, lines, intentions)
}

// endShard compares what was read of a shard with what was written.
func (rd *reader) endShard(ctx context.Context, shard int, content []byte) error {
	var want ended
	if err := json.Unmarshal(content, &want); err != nil {
		return errContent(kindEnd, err)
	}
	sum := want.Sum
	if rd.sums != nil {
		sum = rd.sums.Shard(shard)
	}
	if rd.shards[shard].ended || sum != want.Sum {
		return fmt.Errorf("%w: shard %d does not give the digest it was written with", ErrDamaged, shard)
	}
	rd.shards[shard] = shardReader{ended: true}
	rd.done++
	rd.summary.add(sum)
	if rd.progress != nil {
		rd.progress(transfer.Progress{Phase: transfer.Reading, Shards: rd.done, Of: len(rd.shards), Nodes: rd.summary.Nodes})
	}
	if rd.sink.Ended == nil {
		return nil
	}
	return rd.sink.Ended(ctx, shard, sum)
}

func (rd *reader) endFile(content []byte) error {
	var want ended
	if err := json.Unmarshal(content, &want); err != nil {
		return errContent(kindTotal, err)
	}
	sum, journal := want.Sum, want.Journal
	if rd.sums != nil {
		sum, journal = rd.sums.Records(), rd.sums.Journal()
	}
	if sum != want.Sum || journal != want.Journal || want.Shards != len(rd.shards) || rd.done != want.Shards {
		return fmt.Errorf("%w: it does not hold all it says", ErrDamaged)
	}
	rd.summary.add(sum)
	rd.summary.add(journal)
	return nil
}
