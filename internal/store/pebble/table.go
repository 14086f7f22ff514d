package pebble

import (
	"context"
	"errors"
	"fmt"
	"os"

	engine "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
)

// CheckTables holds every block of every table to its checksum, also those that nothing stored is read from at present, and
// gives a sentence for each damaged file. It reads the whole store from disk, and may be called while it is in use.
func (s *Store) CheckTables(ctx context.Context) (findings []string, err error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	levels, err := s.db.SSTables()
	if err != nil {
		return nil, fmt.Errorf("list of tables: %w", err)
	}
	seen := map[string]bool{}
	for _, tables := range levels {
		for i := range tables {
			path := s.guard.PathJoin(s.engine.dir, tables[i].BackingSSTNum.String()+".sst")
			if seen[path] {
				continue
			}
			seen[path] = true
			if err := ctx.Err(); err != nil {
				return findings, err
			}
			// One that is gone was compacted meanwhile.
			if err := s.checkTable(ctx, path); err != nil && !errors.Is(err, os.ErrNotExist) {
				findings = append(findings, fmt.Sprintf("table %s is damaged: %v", path, err))
			}
		}
	}
	return findings, nil
}

func (s *Store) checkTable(ctx context.Context, path string) (err error) {
	f, err := s.guard.Open(path)
	if err != nil {
		return err
	}
	source, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	// Whatever becomes of it, the reader closes what it reads.
	r, err := sstable.NewReader(ctx, source, sstable.ReaderOptions{Comparer: engine.DefaultComparer, Filters: map[string]engine.FilterPolicy{tableFilter.Name(): tableFilter}})
	if err != nil {
		return err
	}
	return errors.Join(r.ValidateBlockChecksums(), r.Close())
}
