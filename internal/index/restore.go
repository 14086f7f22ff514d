package index

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/RoaringBitmap/roaring/v2"

	"stocktake/internal/inventory"
)

// ErrSnapshot is wrapped by every error of ReadSnapshot that is not of the reader: the snapshot is damaged, of another
// version, or of another store. The text says which; an index can be loaded from the store without it.
var ErrSnapshot = errors.New("index snapshot can't be used")

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrSnapshot, fmt.Sprintf(format, args...))
}

// ReadSnapshot reads what WriteSnapshot wrote. c must name the store and number of shards the snapshot was written for.
// Any input is safe: what is not a whole snapshot is an error, and memory is taken only as input arrives.
func ReadSnapshot(r io.Reader, c Config) (*Index, error) {
	magic := make([]byte, len(snapshotMagic))
	if _, err := io.ReadFull(r, magic); err != nil {
		return nil, damaged("it is cut short: %v", err)
	}
	if last := len(magic) - 1; string(magic[:last]) != snapshotMagic[:last] {
		return nil, damaged("it is no index snapshot")
	} else if string(magic) != snapshotMagic {
		return nil, damaged("it has format version %d, not %d", magic[last], snapshotMagic[last])
	}
	rd := &snapshotReader{sectionReader: sectionReader{r: r}, index: New(c)}
	err := rd.read()
	for _, t := range rd.tables { // all of them end, whatever became of the rest
		err = errors.Join(err, t.wait())
	}
	for _, t := range rd.tables {
		if err == nil {
			err = t.finish()
		}
	}
	if err != nil {
		return nil, err
	}
	return rd.index, nil
}

type snapshotReader struct {
	sectionReader
	*section // the one being read
	index    *Index
	part     *partition
	free     *roaring.Bitmap // the partition's free numbers
	tables   []*tableReader
	after    byte // kind of the section before
}

// follows says after which kinds a section may stand.
var follows = map[byte]string{
	sectionHeader:    "\x00",
	sectionPartition: "HNA",
	sectionNodes:     "PN",
	sectionType:      "NA",
	sectionValues:    "TV",
	sectionShapes:    "VS",
	sectionPostings:  "SB",
	sectionGroups:    "BG",
	sectionSets:      "G",
	sectionEnd:       "HNA",
}

func (rd *snapshotReader) read() error {
	for rd.after != sectionEnd {
		var err error
		if rd.section, err = rd.next(); err != nil {
			return err
		}
		if strings.IndexByte(follows[rd.kind], rd.after) < 0 {
			return damaged("section %q does not belong after %q", rd.kind, rd.after)
		}
		rd.after = rd.kind
		if err := rd.take(); err != nil {
			return err
		}
	}
	return nil
}

// take reads a section, or gives it to who reads its table.
func (rd *snapshotReader) take() error {
	switch rd.kind {
	case sectionHeader:
		if err := rd.header(); err != nil {
			return err
		}
	case sectionPartition:
		rd.partition()
	case sectionNodes:
		rd.unpack()
		rd.nodes()
	case sectionType:
		rd.tableHead()
	case sectionEnd:
	default:
		rd.tables[len(rd.tables)-1].feed(rd.section)
		return nil
	}
	if rd.bad || len(rd.rest) > 0 {
		return rd.malformed()
	}
	rd.release()
	return nil
}

func (rd *snapshotReader) header() error {
	x := rd.index
	if !bytes.Equal(rd.bytes(16), x.config.Store[:]) {
		return damaged("it belongs to another store")
	}
	if n := rd.uint(math.MaxInt32); !rd.bad && n != uint64(len(x.positions)) {
		return damaged("it has %d shards, the store %d", n, len(x.positions))
	}
	for i := range x.positions {
		x.positions[i].Seq = rd.uint(math.MaxUint64)
		copy(x.positions[i].ID[:], rd.bytes(8))
	}
	return nil
}

func (rd *snapshotReader) partition() {
	key := inventory.Partition{Account: rd.string(), Region: rd.string()}
	if rd.index.partitions[key] != nil {
		rd.bad = true
		return
	}
	rd.part, rd.free = rd.index.makePartition(key), roaring.New()
}

func (rd *snapshotReader) nodes() {
	p := rd.part
	for !rd.bad && len(rd.rest) > 0 {
		id := inventory.NodeID(rd.string())
		if id == "" {
			n := p.ids.push("", 0)
			p.free = append(p.free, n)
			rd.free.Add(n)
			p.lives = append(p.lives, life{})
			continue
		}
		shard := rd.uint(uint64(len(rd.index.positions)) - 1)
		if _, twice := p.numbers[id]; twice {
			rd.bad = true
			return
		}
		n := p.ids.push(id, 0)
		p.lives = append(p.lives, life{shard: uint16(shard)})
		p.numbers[id] = n
		p.registered = append(p.registered, n)
	}
}

func (rd *snapshotReader) tableHead() {
	name := inventory.TypeName(rd.string())
	if rd.part.tables[name] != nil {
		rd.bad = true
		return
	}
	t := rd.part.table(name)
	for i := range rd.count() {
		rd.bad = rd.bad || uint64(t.sub(rd.string())) != i
	}
	for i := range rd.count() {
		rd.bad = rd.bad || uint64(t.attr(rd.string())) != i
	}
	values, shapes := rd.uint(math.MaxUint32-1), rd.uint(math.MaxUint32-1)
	rd.tables = append(rd.tables, newTableReader(t, rd.part, rd.free, uint32(values), uint32(shapes)))
}
