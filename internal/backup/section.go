package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// A file is the magic, the format's version, and sections to the end. A section is
//
//	kind          1 byte
//	shard         2 bytes, big endian; the chain of what is the journal's, 0 where it is of neither
//	plain length  4 bytes, big endian
//	stored length 4 bytes, big endian
//	content       compressed with zstd
//	sum           32 bytes: SHA-256 of the sum before, the four fields above and the content
//
// The sum before the first section is that of the magic and the version. So each sum vouches for all of the file up to
// it: a section that was changed, left out, moved or taken from another file does not fit, and the last one's sum names
// the whole.
const (
	magic = "stocktake backup"
	// version is that of what is written; all from the oldest on are read. The first had no journal.
	version       = 2
	oldestVersion = 1

	fieldBytes = 1 + 2 + 4 + 4
)

// The kinds of sections. A file begins with a header and ends with a total.
const (
	kindHeader     = 'H' // JSON of Header
	kindShapes     = 'S' // texts, of no shard: numbered in their order within the file
	kindNodes      = 'N'
	kindChanges    = 'C'
	kindEnd        = 'E' // JSON of ended: no more of the shard follows
	kindRecords    = 'R'
	kindLines      = 'J' // of a chain of the journal
	kindIntentions = 'W' // of a chain of the journal
	kindTotal      = 'Z' // JSON of ended, of the records and the journal: the end of the file
)

// The sizes of sections: one is closed once it has so much, and is no larger than the largest, uncompressed.
const (
	sectionBytes = 1 << 20
	largest      = 1 << 30
)

// fields are what stands before a section's content.
type fields struct {
	kind          byte
	shard         int
	plain, stored int
}

func (f fields) encode() (b [fieldBytes]byte) {
	b[0] = f.kind
	binary.BigEndian.PutUint16(b[1:], uint16(f.shard))
	binary.BigEndian.PutUint32(b[3:], uint32(f.plain))
	binary.BigEndian.PutUint32(b[7:], uint32(f.stored))
	return b
}

func decodeFields(b []byte) fields {
	return fields{
		kind: b[0], shard: int(binary.BigEndian.Uint16(b[1:])),
		plain: int(binary.BigEndian.Uint32(b[3:])), stored: int(binary.BigEndian.Uint32(b[7:])),
	}
}

func preamble() []byte { return binary.BigEndian.AppendUint32([]byte(magic), version) }

// sections writes sections, from several goroutines.
type sections struct {
	encoder *zstd.Encoder

	mu    sync.Mutex
	w     io.Writer
	sum   [sha256.Size]byte
	bytes int64
	err   error // of the first write that failed
}

func newSections(w io.Writer) (*sections, error) {
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		return nil, err
	}
	s := &sections{encoder: encoder, w: w}
	s.sum = sha256.Sum256(preamble())
	return s, s.put(preamble())
}

func (s *sections) put(b []byte) error {
	if s.err == nil {
		var n int
		n, s.err = s.w.Write(b)
		s.bytes += int64(n)
	}
	return s.err
}

// write writes one section.
func (s *sections) write(kind byte, shard int, plain []byte) error {
	if len(plain) > largest {
		return fmt.Errorf("%d bytes are more than a section of a backup may have", len(plain))
	}
	stored := s.encoder.EncodeAll(plain, nil)
	head := fields{kind, shard, len(plain), len(stored)}.encode()
	s.mu.Lock()
	defer s.mu.Unlock()
	whole := sha256.New()
	for _, part := range [][]byte{s.sum[:], head[:], stored} {
		_, _ = whole.Write(part) // a hash does not fail
	}
	whole.Sum(s.sum[:0])
	return errors.Join(s.put(head[:]), s.put(stored), s.put(s.sum[:]))
}

// sectionReader reads what sections wrote, and gives nothing that its sum does not fit.
type sectionReader struct {
	r       io.Reader
	decoder *zstd.Decoder
	sum     [sha256.Size]byte
	bytes   int64 // read so far
}

func newSectionReader(r io.Reader) (*sectionReader, error) {
	s := &sectionReader{r: r}
	begin := make([]byte, len(magic)+4)
	if err := s.full(begin); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoBackup, err)
	}
	if bytes.HasPrefix(begin, []byte(sealedMagic)) {
		return nil, ErrSealed
	}
	if !bytes.HasPrefix(begin, []byte(magic)) {
		return nil, ErrNoBackup
	}
	if v := binary.BigEndian.Uint32(begin[len(magic):]); v < oldestVersion || v > version {
		return nil, fmt.Errorf("the backup has format %d and this program knows %d to %d: read it with the version of the program that wrote it", v, oldestVersion, version)
	}
	s.sum = sha256.Sum256(begin)
	var err error
	s.decoder, err = zstd.NewReader(nil, zstd.WithDecoderMaxMemory(largest), zstd.WithDecoderConcurrency(1))
	return s, err
}

func (s *sectionReader) close() { s.decoder.Close() }

// full reads all of b. A file that ends sooner is damaged.
func (s *sectionReader) full(b []byte) error {
	n, err := io.ReadFull(s.r, b)
	s.bytes += int64(n)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends after %d bytes, before its end: it was cut short", ErrDamaged, s.bytes)
	}
	return err
}

// next reads a section, checks it, and gives its content.
func (s *sectionReader) next() (fields, []byte, error) {
	at := s.bytes
	f, stored, err := s.checked()
	if err != nil {
		return f, nil, err
	}
	plain, err := s.decoder.DecodeAll(stored, nil)
	if err == nil && len(plain) != f.plain {
		err = fmt.Errorf("it has %d bytes and not %d", len(plain), f.plain)
	}
	if err != nil {
		return f, nil, fmt.Errorf("%w: the section at byte %d: %w", ErrDamaged, at, err)
	}
	return f, plain, nil
}

// checked reads a section as it is stored, and compares it with its sum.
func (s *sectionReader) checked() (fields, []byte, error) {
	at := s.bytes
	var head [fieldBytes]byte
	if err := s.full(head[:]); err != nil {
		return fields{}, nil, err
	}
	f := decodeFields(head[:])
	if f.plain > largest || f.stored > 2*largest {
		return f, nil, fmt.Errorf("%w: the section at byte %d has no possible length", ErrDamaged, at)
	}
	// A length that was damaged must not take more memory than there is file.
	var stored bytes.Buffer
	n, err := io.CopyN(&stored, s.r, int64(f.stored))
	s.bytes += n
	if err != nil && !errors.Is(err, io.EOF) {
		return f, nil, err
	}
	var sum [sha256.Size]byte
	if err := s.full(sum[:]); err != nil {
		return f, nil, err
	}
	whole := sha256.New()
	for _, part := range [][]byte{s.sum[:], head[:], stored.Bytes()} {
		_, _ = whole.Write(part) // a hash does not fail
	}
	if whole.Sum(s.sum[:0]); s.sum != sum {
		return f, nil, fmt.Errorf("%w: the checksum of the section at bytes %d to %d does not fit", ErrDamaged, at, s.bytes)
	}
	return f, stored.Bytes(), nil
}

// end checks that the file ends here.
func (s *sectionReader) end() error {
	var more [1]byte
	switch _, err := io.ReadFull(s.r, more[:]); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("%w: something follows its end at byte %d", ErrDamaged, s.bytes)
}
