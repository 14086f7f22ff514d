package transfer

import (
	"context"
	"fmt"
	"math"
	"slices"

	"stocktake/internal/store"
)

// Stream gives everything a view shows to a loader: of each shard its nodes and then its changes, the shapes they name
// before them, and at last the records in the order of their keys and the journal, chain by chain. Several shards are given
// at a time, each by one goroutine, which calls ended (if set) after the last of it. The text of a shape that several shards
// name may be read once for all of them. Nothing is read back.
func Stream(ctx context.Context, from store.View, to store.Loader, o Options, ended func(shard int) error) error {
	shards := from.Identity().Shards
	track := &tracker{phase: Reading, of: shards, tell: o.Progress}
	kept := newTexts()
	err := eachShard(ctx, shards, o.Workers, func(ctx context.Context, shard int) error {
		if err := streamShard(ctx, from, shard, to, kept, track); err != nil {
			return err
		}
		if ended != nil {
			if err := ended(shard); err != nil {
				return err
			}
		}
		track.shard()
		return nil
	})
	if err != nil {
		return err
	}
	if err := StreamRecords(ctx, from, to); err != nil {
		return err
	}
	return StreamJournal(ctx, from, to)
}

// StreamShard gives one shard to a loader as Stream does.
func StreamShard(ctx context.Context, from store.View, shard int, to store.Loader) error {
	return streamShard(ctx, from, shard, to, nil, nil)
}

func streamShard(ctx context.Context, from store.View, shard int, to store.Loader, kept *texts, track *tracker) error {
	if err := newLoading(from, to, shard, kept, track).run(ctx); err != nil {
		return fmt.Errorf("shard %d: %w", shard, err)
	}
	return nil
}

// StreamRecords gives the records to a loader as Stream does.
func StreamRecords(ctx context.Context, from store.View, to store.Loader) error {
	return eachRecords(ctx, from, func(records []store.Record) error { return another(to.LoadRecords(ctx, records)) })
}

// StreamJournal gives the journal to a loader as Stream does: of each chain the lines before the intentions.
func StreamJournal(ctx context.Context, from store.View, to store.Loader) error {
	for chain := range store.JournalChains {
		if err := streamChain(ctx, from, chain, to); err != nil {
			return fmt.Errorf("chain %d of the journal: %w", chain, err)
		}
	}
	return nil
}

func streamChain(ctx context.Context, from store.View, chain int, to store.Loader) error {
	for after := uint64(0); ; {
		lines, err := from.ReadJournal(ctx, chain, after, linePage)
		if err != nil {
			return err
		}
		if len(lines) == 0 {
			break
		}
		if err := another(to.LoadJournal(ctx, chain, lines, nil)); err != nil {
			return err
		}
		after = lines[len(lines)-1].Seq
	}
	// There are about as many as calls under way, or were when a server was killed.
	intentions, err := from.Intentions(ctx, chain, math.MaxInt32)
	if err != nil {
		return err
	}
	for page := range slices.Chunk(intentions, linePage) {
		if err := another(to.LoadJournal(ctx, chain, nil, page)); err != nil {
			return err
		}
	}
	return nil
}
