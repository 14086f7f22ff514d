package ssm

import (
	"context"
	"encoding/json"
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
		own.Split = split
	}
	return s.recut(ctx, idx, p, t, own.Split)
}

// updateSchema changes a Custom type's record. A type dropped in the meantime stays dropped.
func (s *Service) updateSchema(ctx context.Context, p inventory.Partition, t inventory.TypeName, change func(*customSchema)) error {
	key := schemaKey(p, t)
	for range conflictTries {
		var own customSchema
		revision, err := s.readRecord(ctx, key, &own)
		if err != nil || revision == 0 {
			return err
		}
		change(&own)
		text, err := json.Marshal(own)
		if err != nil {
			return err
		}
		_, err = s.store.PutRecord(ctx, store.Record{Key: key, Value: text, Revision: revision})
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return store.ErrConflict
}

// recut rewrites every document of a type that was cut with another split.
func (s *Service) recut(ctx context.Context, idx *index.Index, p inventory.Partition, t inventory.TypeName, split inventory.Split) error {
	return s.eachNode(ctx, p, idx.Outdated(p, t, split.Number), func(n inventory.Node) error {
		for range conflictTries {
			err := s.recutNode(ctx, n.Key, t, split)
			if !errors.Is(err, store.ErrConflict) {
				return err
			}
		}
		return store.ErrConflict
	})
}

func (s *Service) recutNode(ctx context.Context, key inventory.NodeKey, t inventory.TypeName, split inventory.Split) error {
	lock := s.nodes.of(key)
	lock.Lock()
	defer lock.Unlock()
	s.deleting.RLock()
	defer s.deleting.RUnlock()
	if running, err := s.runningDeletion(ctx, key.Partition, t); running != nil || err != nil {
		return err // a rewritten document would look newer than the deletion
	}
	node, err := s.store.Node(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	c := store.Commit{Node: node.Clone()}
	for _, state := range node.ItemsOf(t) {
		before, _, err := s.storedDocument(ctx, key, state.ItemKey)
		if err != nil || before.Split == split.Number {
			return err
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
	return s.commit(ctx, c)
}
