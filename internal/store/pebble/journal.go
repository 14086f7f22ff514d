package pebble

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	engine "github.com/cockroachdb/pebble/v2"

	"stocktake/internal/store"
)

func lineKey(chain int, seq uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kindLine, byte(chain)}, seq)
}

func parseLineKey(key []byte) (uint64, error) {
	if len(key) != 10 {
		return 0, fmt.Errorf("key of %d bytes", len(key))
	}
	return binary.BigEndian.Uint64(key[2:]), nil
}

func intentionKey(chain int, id string) []byte {
	return append([]byte{kindIntention, byte(chain)}, id...)
}

func appendIntention(dst []byte, in store.Intention) []byte {
	dst = binary.AppendVarint(append(dst, valueVersion), in.Since.UnixMicro())
	return append(dst, in.Text...)
}

func decodeIntention(key, value []byte) (in store.Intention, err error) {
	if len(key) < 3 || int(key[1]) >= store.JournalChains {
		return in, errors.New("key of no intention")
	}
	d := newDecoder(value)
	in.ID, in.Since = string(key[2:]), time.UnixMicro(d.varint()).UTC()
	in.Text = slices.Clone(d.bytes(d.left()))
	return in, d.end()
}

func appendLine(dst, text []byte) []byte { return append(append(dst, valueVersion), text...) }

func decodeLine(key, value []byte) (l store.JournalLine, err error) {
	if l.Seq, err = parseLineKey(key); err != nil {
		return l, err
	}
	d := newDecoder(value)
	l.Text = slices.Clone(d.bytes(d.left()))
	return l, d.end()
}

// chain is where one of the journal's chains stands, with the batch being made.
type chain struct {
	// head is the newest line's sequence, 0 where there is none, and tail the oldest's.
	head, tail uint64
	// intended are the texts of what is not settled, by id.
	intended map[string][]byte
}

// loadJournal reads where the chains stand.
func (c *committer) loadJournal() error {
	for i := range c.journal {
		ch := &c.journal[i]
		ch.intended = map[string][]byte{}
		var err error
		if ch.tail, err = lineEnd(c.s.db, i, (*engine.Iterator).First); err != nil {
			return err
		}
		if ch.head, err = lineEnd(c.s.db, i, (*engine.Iterator).Last); err != nil {
			return err
		}
	}
	return each(c.s.db, []byte{kindIntention}, []byte{kindIntention + 1}, func(key, value []byte) error {
		in, err := decodeIntention(key, value)
		if err == nil {
			c.journal[key[1]].intended[in.ID] = in.Text
		}
		return err
	})
}

// lineEnd gives the sequence of a chain's line at one of its ends, 0 where there is none.
func lineEnd(r engine.Reader, chain int, seek func(*engine.Iterator) bool) (seq uint64, err error) {
	l, found, err := endLine(r, chain, seek)
	if !found {
		return 0, err
	}
	return l.Seq, err
}

func endLine(r engine.Reader, chain int, seek func(*engine.Iterator) bool) (l store.JournalLine, found bool, err error) {
	prefix := lineKey(chain, 0)[:2]
	it, err := r.NewIter(&engine.IterOptions{LowerBound: prefix, UpperBound: keyAfter(prefix)})
	if err != nil {
		return l, false, damaged(prefix, err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	if !seek(it) {
		if err := it.Error(); err != nil {
			return l, false, damaged(prefix, err)
		}
		return l, false, nil
	}
	value, err := it.ValueAndErr()
	if err == nil {
		l, err = decodeLine(it.Key(), value)
	}
	if err != nil {
		return l, false, damaged(it.Key(), err)
	}
	return l, true, nil
}

// addLine puts a line after a chain's newest.
func (b *batch) addLine(chain int, l store.JournalLine) {
	ch := &b.journal[chain]
	key := lineKey(chain, l.Seq)
	b.lines[string(key)] = l.Text
	b.set(key, appendLine(make([]byte, 0, 1+len(l.Text)), l.Text))
	if ch.head == 0 {
		ch.tail = l.Seq
	}
	ch.head = l.Seq
}

// addIntention puts an intention unless it is there, or gives ErrConflict for another of its id.
func (b *batch) addIntention(chain int, in store.Intention) {
	intended := b.journal[chain].intended
	if _, there := intended[in.ID]; !there {
		intended[in.ID] = in.Text
		b.set(intentionKey(chain, in.ID), appendIntention(nil, in))
	}
}

// fits gives ErrConflict where another text is intended under the id.
func (c *chain) fits(in store.Intention) error {
	if text, there := c.intended[in.ID]; there && !bytes.Equal(text, in.Text) {
		return fmt.Errorf("intention %q: %w", in.ID, store.ErrConflict)
	}
	return nil
}

type intend struct {
	chain     int
	intention store.Intention
}

func (o *intend) apply(b *batch) error {
	if err := b.journal[o.chain].fits(o.intention); err != nil {
		return err
	}
	b.addIntention(o.chain, o.intention)
	return nil
}

// Intend implements store.Journal.
func (s *Store) Intend(ctx context.Context, chain int, id string, text []byte) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if err := store.CheckIntention(chain, id, text); err != nil {
		return err
	}
	in := store.Intention{ID: id, Text: slices.Clone(text), Since: time.Now().UTC().Truncate(time.Microsecond)}
	return s.submit(ctx, &intend{chain, in}, tells)
}

type appendJournal struct {
	chain   int
	after   uint64
	texts   [][]byte
	settled []string
}

func (o *appendJournal) apply(b *batch) error {
	ch := &b.journal[o.chain]
	if ch.head != o.after {
		return fmt.Errorf("chain %d of the journal ends at line %d, not %d: %w", o.chain, ch.head, o.after, store.ErrConflict)
	}
	for i, text := range o.texts {
		b.addLine(o.chain, store.JournalLine{Seq: o.after + 1 + uint64(i), Text: text})
	}
	for _, id := range o.settled {
		if _, there := ch.intended[id]; there {
			delete(ch.intended, id)
			b.delete(intentionKey(o.chain, id))
		}
	}
	return nil
}

// AppendJournal implements store.Journal.
func (s *Store) AppendJournal(ctx context.Context, chain int, after uint64, texts [][]byte, settled []string) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if err := store.CheckAppend(chain, after, texts); err != nil {
		return err
	}
	own := make([][]byte, len(texts))
	for i, text := range texts {
		own[i] = slices.Clone(text) // the caller may give up while the committer still works
	}
	need := takes
	if len(settled) > 0 {
		need = tells
	}
	return s.submit(ctx, &appendJournal{chain, after, own, slices.Clone(settled)}, need)
}

type pruneJournal struct {
	chain   int
	through uint64
}

func (o pruneJournal) apply(b *batch) error {
	ch := &b.journal[o.chain]
	if ch.head == 0 {
		return nil
	}
	if keep := min(o.through, ch.head-1) + 1; keep > ch.tail {
		b.deleteRange(lineKey(o.chain, 0), lineKey(o.chain, keep))
		ch.tail = keep
	}
	return nil
}

// PruneJournal implements store.Journal.
func (s *Store) PruneJournal(ctx context.Context, chain int, through uint64) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if err := store.CheckChain(chain); err != nil {
		return err
	}
	return s.submit(ctx, pruneJournal{chain, through}, frees)
}

// loadJournal puts lines and intentions of another store.
type loadJournal struct {
	chain      int
	lines      []store.JournalLine
	intentions []store.Intention
}

func (o *loadJournal) apply(b *batch) error {
	ch := &b.journal[o.chain]
	for _, in := range o.intentions {
		if err := ch.fits(in); err != nil {
			return err
		}
	}
	var failed error
	fresh, err := store.PassOver(o.chain, ch.head, o.lines, func(seq uint64) []byte {
		key := lineKey(o.chain, seq)
		if text := b.lines[string(key)]; text != nil {
			return text
		}
		var l store.JournalLine
		_, err := get(b.s.db, key, func(value []byte) (err error) {
			l, err = decodeLine(key, value)
			return err
		})
		failed = errors.Join(failed, err)
		return l.Text
	})
	if failed != nil {
		return failed
	}
	if err != nil {
		return err
	}
	for _, l := range fresh {
		b.addLine(o.chain, l)
	}
	for _, in := range o.intentions {
		b.addIntention(o.chain, in)
	}
	return nil
}

// LoadJournal implements store.Loader.
func (s *Store) LoadJournal(ctx context.Context, chain int, lines []store.JournalLine, intentions []store.Intention) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if err := store.CheckJournal(chain, lines, intentions); err != nil {
		return err
	}
	o := &loadJournal{chain, slices.Clone(lines), slices.Clone(intentions)}
	for i := range o.lines {
		o.lines[i].Text = slices.Clone(lines[i].Text) // the caller may give up while the committer still works
	}
	for i := range o.intentions {
		o.intentions[i].Text = slices.Clone(intentions[i].Text)
	}
	return s.submit(ctx, o, takes)
}

// JournalHead implements store.JournalReader.
func (s *Store) JournalHead(ctx context.Context, chain int) (store.JournalLine, error) {
	if err := s.enter(ctx); err != nil {
		return store.JournalLine{}, err
	}
	defer s.leave()
	v := s.views.acquire()
	defer s.views.release(v)
	return v.journalHead(chain)
}

func (v *view) journalHead(chain int) (store.JournalLine, error) {
	if err := store.CheckChain(chain); err != nil {
		return store.JournalLine{}, err
	}
	l, found, err := endLine(v.snapshot, chain, (*engine.Iterator).Last)
	if err == nil && !found {
		err = fmt.Errorf("newest line of the journal's chain %d: %w", chain, store.ErrNotFound)
	}
	return l, err
}

// ReadJournal implements store.JournalReader.
func (s *Store) ReadJournal(ctx context.Context, chain int, after uint64, limit int) ([]store.JournalLine, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	v := s.views.acquire()
	defer s.views.release(v)
	return v.readJournal(ctx, chain, after, limit)
}

func (v *view) readJournal(ctx context.Context, chain int, after uint64, limit int) (lines []store.JournalLine, err error) {
	if err := store.CheckChain(chain); err != nil || after+1 == 0 {
		return nil, err
	}
	prefix := lineKey(chain, 0)[:2]
	err = each(v.snapshot, lineKey(chain, after+1), keyAfter(prefix), func(key, value []byte) error {
		if len(lines) >= limit {
			return io.EOF
		}
		l, err := decodeLine(key, value)
		if err == nil && len(lines) > 0 && l.Seq != lines[len(lines)-1].Seq+1 {
			err = fmt.Errorf("the lines before it, from %d on, are missing", lines[len(lines)-1].Seq+1)
		}
		lines = append(lines, l)
		return errors.Join(err, ctx.Err())
	})
	if err != nil {
		return nil, err
	}
	return lines, nil
}

// Intentions implements store.JournalReader.
func (s *Store) Intentions(ctx context.Context, chain int, limit int) ([]store.Intention, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	v := s.views.acquire()
	defer s.views.release(v)
	return v.intentions(ctx, chain, limit)
}

func (v *view) intentions(ctx context.Context, chain int, limit int) (all []store.Intention, err error) {
	if err := store.CheckChain(chain); err != nil {
		return nil, err
	}
	prefix := intentionKey(chain, "")
	err = each(v.snapshot, prefix, keyAfter(prefix), func(key, value []byte) error {
		in, err := decodeIntention(key, value)
		all = append(all, in)
		return errors.Join(err, ctx.Err())
	})
	if err != nil {
		return nil, err
	}
	return store.SortIntentions(all, limit), nil
}
