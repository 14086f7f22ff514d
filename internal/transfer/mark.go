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

// mark is that record: where the source stood when the copy began, and the shards that are carried whole.
type mark struct {
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

// begin puts the mark into an empty target, or takes up the one an interrupted copy left.
func begin(ctx context.Context, to store.Store, standing string) (*mark, error) {
	r, err := to.Record(ctx, markKey)
	if errors.Is(err, store.ErrNotFound) {
		if err := checkEmpty(ctx, to); err != nil {
			return nil, err
		}
		m := &mark{Source: standing}
		return m, m.write(ctx, to)
	}
	if err != nil {
		return nil, err
	}
	m := &mark{revision: r.Revision}
	if err := json.Unmarshal(r.Value, m); err != nil {
		return nil, fmt.Errorf("%w: record %q: %w", store.ErrCorrupt, markKey, err)
	}
	if m.Source != standing {
		return nil, fmt.Errorf("%w: an interrupted copy is in the target, and the source has gone on", ErrMoved)
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

func (m *mark) has(shard int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Contains(m.Done, shard)
}

// add notes that a shard is carried.
func (m *mark) add(ctx context.Context, to store.Store, shard int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Done = append(m.Done, shard)
	return m.write(ctx, to)
}

func (m *mark) write(ctx context.Context, to store.Store) error {
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

func (m *mark) remove(ctx context.Context, to store.Store) error {
	return to.DeleteRecord(ctx, markKey, m.revision)
}
