package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"stocktake/internal/store"
)

// markKey is the record of a target that a copy is under way. It is the first thing written to the target and the last
// one removed.
var markKey = store.Key("transfer", "unfinished")

// Mark is that record: what the source was when the copy began, and the shards that are carried whole.
type Mark struct {
	Source string `json:"source"`
	Done   []int  `json:"done"`

	mu       sync.Mutex
	revision uint64
}

// Unfinished gives ErrUnfinished for a store that is the target of a copy that did not end: it must not be served.
func Unfinished(ctx context.Context, r store.Records) error {
	_, err := r.Record(ctx, markKey)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	return ErrUnfinished
}

// Begin marks an empty target as one that is being filled from a source, which a text names as it is now; or takes up the
// mark that an interrupted filling from the same left. Until Mark.End the target is ErrUnfinished.
func Begin(ctx context.Context, to store.Store, source string) (*Mark, error) {
	r, err := to.Record(ctx, markKey)
	if errors.Is(err, store.ErrNotFound) {
		if err := checkEmpty(ctx, to); err != nil {
			return nil, err
		}
		m := &Mark{Source: source}
		return m, m.write(ctx, to)
	}
	if err != nil {
		return nil, err
	}
	m := &Mark{revision: r.Revision}
	if err := json.Unmarshal(r.Value, m); err != nil {
		return nil, fmt.Errorf("%w: record %q: %w", store.ErrCorrupt, markKey, err)
	}
	if m.Source != source {
		return nil, fmt.Errorf("%w: the target holds the beginning of a copy of something else, or of an earlier time", ErrMoved)
	}
	return m, nil
}

// checkEmpty looks for anything in a store.
func checkEmpty(ctx context.Context, s store.Store) error {
	records, err := s.ListRecords(ctx, "", "", 1)
	if err != nil {
		return err
	}
	if len(records) > 0 {
		return ErrNotEmpty
	}
	for chain := range store.JournalChains {
		intentions, err := s.Intentions(ctx, chain, 1)
		if err != nil {
			return err
		}
		switch _, err := s.JournalHead(ctx, chain); {
		case err == nil || len(intentions) > 0:
			return ErrNotEmpty
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
	}
	heads, err := s.Heads(ctx)
	if err != nil {
		return err
	}
	for shard, head := range heads {
		nodes, _, err := s.Scan(ctx, shard, nil, 1)
		if err != nil {
			return err
		}
		if head.Seq != 0 || len(nodes) > 0 {
			return ErrNotEmpty
		}
	}
	return nil
}

// Has reports whether a shard was carried.
func (m *Mark) Has(shard int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Contains(m.Done, shard)
}

// Add notes that a shard is carried.
func (m *Mark) Add(ctx context.Context, to store.Store, shard int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Done = append(m.Done, shard)
	return m.write(ctx, to)
}

func (m *Mark) write(ctx context.Context, to store.Store) error {
	value, err := json.Marshal(m)
	if err != nil {
		return err
	}
	m.revision, err = to.PutRecord(ctx, store.Record{Key: markKey, Value: value, Revision: m.revision})
	if errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("another copy writes to the same target: %w", err)
	}
	return err
}

// End makes the target a store like any other.
func (m *Mark) End(ctx context.Context, to store.Store) error {
	return to.DeleteRecord(ctx, markKey, m.revision)
}
