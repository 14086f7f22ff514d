package pebble

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

func appendRecord(dst []byte, revision uint64, value []byte) []byte {
	dst = binary.AppendUvarint(append(dst, valueVersion), revision)
	return append(dst, value...)
}

func decodeRecord(value []byte) (store.Record, error) {
	d := newDecoder(value)
	r := store.Record{Revision: d.uvarint()}
	r.Value = slices.Clone(d.bytes(d.left()))
	return r, d.end()
}

// Record implements store.Records.
func (s *Store) Record(ctx context.Context, key string) (store.Record, error) {
	if err := s.enter(ctx); err != nil {
		return store.Record{}, err
	}
	defer s.leave()
	v := s.views.acquire()
	defer s.views.release(v)
	var r store.Record
	found, err := v.get(stringKey(kindRecord, key), func(value []byte) (err error) {
		r, err = decodeRecord(value)
		return err
	})
	if err == nil && !found {
		err = fmt.Errorf("record %q: %w", key, store.ErrNotFound)
	}
	r.Key = key
	if err != nil {
		return store.Record{}, err
	}
	return r, nil
}

// ListRecords implements store.Records.
func (s *Store) ListRecords(ctx context.Context, prefix, after string, limit int) ([]store.Record, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	v := s.views.acquire()
	defer s.views.release(v)
	return listIn(ctx, v, prefix, after, limit)
}

func listIn(ctx context.Context, v *view, prefix, after string, limit int) ([]store.Record, error) {
	lower, upper := stringKey(kindRecord, prefix), keyAfter(stringKey(kindRecord, prefix))
	if after >= prefix {
		if !strings.HasPrefix(after, prefix) {
			return nil, nil
		}
		lower = append(stringKey(kindRecord, after), 0)
	}
	var records []store.Record
	err := each(v.snapshot, lower, upper, func(key, value []byte) error {
		if len(records) >= limit {
			return io.EOF
		}
		r, err := decodeRecord(value)
		r.Key = string(key[1:])
		records = append(records, r)
		return errors.Join(err, ctx.Err())
	})
	return records, err
}

// RecordsHead implements store.Records.
func (s *Store) RecordsHead(ctx context.Context) (inventory.Position, error) {
	if err := s.enter(ctx); err != nil {
		return inventory.Position{}, err
	}
	defer s.leave()
	v := s.views.acquire()
	defer s.views.release(v)
	return v.recordsHead, nil
}

// recordRevision gives a record's revision as the batch leaves it, 0 where there is none.
func (b *batch) recordRevision(key string) (revision uint64, err error) {
	if revision, ok := b.records[key]; ok {
		return revision, nil
	}
	_, err = get(b.s.db, stringKey(kindRecord, key), func(value []byte) (err error) {
		revision, err = decodeRevision(value)
		return err
	})
	return revision, err
}

// setRecordRevision notes a write to a record, for which a revision was just given out.
func (b *batch) setRecordRevision(key string, revision uint64) {
	b.records[key] = revision
	b.counters.recordsHead = b.counters.revision
	_, _ = rand.Read(b.recordsID[:]) // does not fail: it ends the process instead
	b.set(keyRecords, b.recordsID[:])
}

type putRecord struct {
	record   store.Record
	revision uint64
}

func (o *putRecord) apply(b *batch) error {
	stored, err := b.recordRevision(o.record.Key)
	if err != nil {
		return err
	}
	if stored != o.record.Revision {
		return fmt.Errorf("record %q: %w", o.record.Key, store.ErrConflict)
	}
	o.revision = b.nextRevision()
	b.setRecordRevision(o.record.Key, o.revision)
	b.set(stringKey(kindRecord, o.record.Key), appendRecord(nil, o.revision, o.record.Value))
	return nil
}

type deleteRecord struct {
	key      string
	revision uint64
}

func (o *deleteRecord) apply(b *batch) error {
	stored, err := b.recordRevision(o.key)
	switch {
	case err != nil:
		return err
	case stored == 0:
		return fmt.Errorf("record %q: %w", o.key, store.ErrNotFound)
	case stored != o.revision:
		return fmt.Errorf("record %q: %w", o.key, store.ErrConflict)
	}
	b.nextRevision()
	b.setRecordRevision(o.key, 0)
	b.delete(stringKey(kindRecord, o.key))
	return nil
}

// PutRecord implements store.Records.
func (s *Store) PutRecord(ctx context.Context, r store.Record) (uint64, error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.leave()
	if r.Key == "" {
		return 0, errors.New("a record needs a key")
	}
	r.Value = slices.Clone(r.Value) // the caller may give up while the committer still works
	o := &putRecord{record: r}
	if err := s.submit(ctx, o, takes); err != nil {
		return 0, err
	}
	return o.revision, nil
}

// DeleteRecord implements store.Records.
func (s *Store) DeleteRecord(ctx context.Context, key string, revision uint64) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	return s.submit(ctx, &deleteRecord{key: key, revision: revision}, frees)
}

// setReader registers a reader; nil read forgets it.
type setReader struct {
	name string
	read []uint64
}

func (o setReader) apply(b *batch) error {
	key := stringKey(kindReader, o.name)
	if o.read == nil {
		delete(b.readers, o.name)
		b.delete(key)
		return nil
	}
	b.readers[o.name] = o.read
	b.set(key, appendReader(nil, o.read))
	return nil
}

func appendReader(dst []byte, read []uint64) []byte {
	dst = binary.AppendUvarint(append(dst, valueVersion), uint64(len(read)))
	for _, seq := range read {
		dst = binary.AppendUvarint(dst, seq)
	}
	return dst
}

func decodeReader(value []byte) ([]uint64, error) {
	d := newDecoder(value)
	read := make([]uint64, d.count(1))
	for i := range read {
		read[i] = d.uvarint()
	}
	return read, d.end()
}

// SetReader implements store.Readers.
func (s *Store) SetReader(ctx context.Context, name string, read []uint64) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if len(read) != s.identity.Shards {
		return fmt.Errorf("reader %q has %d sequences for %d shards", name, len(read), s.identity.Shards)
	}
	return s.submit(ctx, setReader{name, slices.Clone(read)}, takes)
}

// DropReader implements store.Readers.
func (s *Store) DropReader(ctx context.Context, name string) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	return s.submit(ctx, setReader{name: name}, frees)
}
