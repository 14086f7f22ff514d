package ssm

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"stocktake/internal/index"
	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// learnSplits looks for attributes of Custom types that are nearly unique to a node and entry, records them as volatile,
// and rewrites the documents that were cut before. Answers are the same before, during and after.
func (s *Service) learnSplits(ctx context.Context) error {
	idx, err := s.index(ctx)
	if err != nil {
		return err
	}
	for _, p := range idx.Partitions() {
		types, err := s.schemas.catalogue(ctx, p)
		if err != nil {
			return err
		}
		for t, own := range types.custom {
			if err := s.learnSplit(ctx, idx, p, t, own); err != nil {
				return fmt.Errorf("type %s: %w", t, err)
			}
		}
	}
	return nil
}

func (s *Service) learnSplit(ctx context.Context, idx *index.Index, p inventory.Partition, t inventory.TypeName, own customSchema) error {
	volatile := slices.Clone(own.Split.Volatile)
	for _, name := range idx.Volatility(p, t, nil) {
		if at, known := slices.BinarySearch(volatile, name); !known {
			volatile = slices.Insert(volatile, at, name)
		}
	}
	if len(volatile) > len(own.Split.Volatile) {
		split := inventory.Split{Number: own.Split.Number + 1, Volatile: volatile}
		s.log.Info("attributes learnt to be volatile", "account", p.Account, "region", p.Region, "type", string(t), "attributes", volatile)
		if err := s.updateSchema(ctx, p, t, func(c *customSchema) { c.Split = split }); err != nil {
			return err
		}
		// Servers that judge reports by what they remember would cut them as before for ever.
		if err := s.schemas.raise(ctx); err != nil {
			return err
		}
		own.Split = split
	}
	return s.recut(ctx, idx, p, t)
}

// updateSchema changes a Custom type's record. A type dropped in the meantime stays dropped.
func (s *Service) updateSchema(ctx context.Context, p inventory.Partition, t inventory.TypeName, change func(*customSchema)) error {
	key := schemaKey(p, t)
	return retry(ctx, func() error {
		var own customSchema
		revision, err := s.readRecord(ctx, key, &own)
		if err != nil || revision == 0 {
			return err
		}
		change(&own)
		return s.schemas.putSchema(ctx, p, t, own, revision)
	})
}

// recut rewrites every document of a type that was cut with another split than the type has now.
func (s *Service) recut(ctx context.Context, idx *index.Index, p inventory.Partition, t inventory.TypeName) error {
	types, err := s.schemas.catalogue(ctx, p)
	if err != nil {
		return err
	}
	outdated, err := idx.Outdated(ctx, p, t, types.split(t).Number)
	if err != nil {
		return err
	}
	return s.eachNode(ctx, p, outdated, func(n inventory.Node) error {
		return retry(ctx, func() error {
			err := s.recutNode(ctx, n.Key, t)
			if errors.Is(err, store.ErrFenced) { // a deletion took its place in time
				err = fmt.Errorf("node %s: %w", n.Key.Node, store.ErrConflict)
			}
			return err
		})
	})
}

// recutNode rewrites a node's documents of a type with the split of now. Its fence is that of what is computed from the
// catalogue: a document of before a deletion must not be carried past it. That serves as well against a server that lost
// the upkeep and does not know it, as the same document is written in any case.
func (s *Service) recutNode(ctx context.Context, key inventory.NodeKey, t inventory.TypeName) error {
	lock := s.nodes.of(key)
	lock.Lock()
	defer lock.Unlock()
	types, err := s.schemas.catalogue(ctx, key.Partition)
	if err != nil {
		return err
	}
	if _, known := types.custom[t]; !known || types.deletions[t] != nil {
		return nil // a rewritten document would look newer than the deletion
	}
	split := types.split(t)
	scan, err := s.readNode(ctx, key, t)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	c := store.Commit{Node: scan.Node.Clone(), Fence: types.fence}
	for i, state := range scan.Node.Items {
		before := scan.Documents[i]
		if state.Type != t || before.Split == split.Number {
			continue
		}
		entries, err := s.entries(ctx, documentKey(key, state.ItemKey), before.Refs, nil)
		if err != nil {
			return err
		}
		w := s.cut(t, split, entries, nil).writeOver(before, inventory.CauseSplit)
		w.Key = state.ItemKey
		c.Writes = append(c.Writes, w)
	}
	if len(c.Writes) == 0 {
		return nil
	}
	_, err = s.commit(ctx, c)
	return err
}
