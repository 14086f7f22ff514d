package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// Player plays a script of random steps on a store. A script is its seed: two players of one seed do the same on two
// stores for as long as the stores behave the same, and one can be held against the other at any step.
type Player struct {
	Store store.Store
	seed  uint64
	step  uint64
	w     *Writer
	// fed are the positions of each shard that commits gave, so that a reader can begin wherever the feed does.
	fed [][]inventory.Position
	// stale is a commit that was computed some steps ago.
	stale *store.Commit
	// records holds revisions this store gave, heads every records' head it has had.
	records map[string]uint64
	heads   map[inventory.Position]bool
	// fences are those that were raised.
	fences map[string]uint64
}

// playHash names the shapes of every player, so that stores of other keys can be compared.
var playHash = inventory.HashKey{1, 2, 3}

// NewPlayer makes a player at the first step of a script, on an empty store.
func NewPlayer(s store.Store, seed uint64) *Player {
	p := &Player{
		seed: seed, fed: make([][]inventory.Position, s.Identity().Shards),
		records: map[string]uint64{}, heads: map[inventory.Position]bool{}, fences: map[string]uint64{},
	}
	p.Take(s)
	return p
}

// Take goes on with another handle of the same truth.
func (p *Player) Take(s store.Store) {
	p.Store = s
	p.w = NewWriter(s)
	p.w.HashKey = playHash
}

// Copy gives a player that stands where this one does, for reading what is left of its store while this one goes on.
func (p *Player) Copy() *Player {
	q := *p
	q.fed = slices.Clone(p.fed) // the positions themselves are only added to
	q.records, q.heads, q.fences = maps.Clone(p.records), maps.Clone(p.heads), maps.Clone(p.fences)
	return &q
}

// on gives a player that goes on from the same step on a store loaded with all that this one's has. What a loader does not
// take over it puts there itself.
func (p *Player) on(ctx context.Context, s store.Store) (*Player, error) {
	q := *p
	q.fed = slices.Clone(p.fed)
	for shard := range q.fed {
		q.fed[shard] = slices.Clone(q.fed[shard])
	}
	q.records, q.heads, q.fences = maps.Clone(p.records), map[inventory.Position]bool{}, maps.Clone(p.fences)
	q.Take(s)
	for lease, number := range q.fences {
		if err := s.RaiseFence(ctx, store.Fence{Lease: lease, Number: number}); err != nil {
			return nil, err
		}
	}
	return &q, nil
}

// Next plays one step and gives what came of it, in words that are the same for every sound store. An error is one that
// a sound store with a sound disk would not give.
func (p *Player) Next(ctx context.Context) (outcome string, err error) {
	p.step++
	src := NewSource(p.seed<<20 + p.step)
	at := Epoch.Add(time.Duration(p.step) * time.Minute)
	switch n := src.IntN(100); {
	case n < 55:
		return p.report(ctx, src, at)
	case n < 65:
		return p.refresh(ctx, src, at)
	case n < 75:
		return p.remove(ctx, src, at)
	case n < 80:
		return p.stalled(ctx, src, at)
	case n < 82:
		return p.raise(ctx, src)
	case n < 87:
		return p.record(ctx, src)
	case n < 90:
		return p.journal(ctx, src)
	case n < 93:
		read := make([]uint64, p.Store.Identity().Shards)
		for i := range read {
			read[i] = uint64(len(p.fed[i]) / 2)
		}
		return "reader", p.Store.SetReader(ctx, fmt.Sprint(src.IntN(2)), read)
	case n < 94:
		return "no reader", p.Store.DropReader(ctx, fmt.Sprint(src.IntN(2)))
	case n < 97:
		dropped, err := p.Store.Prune(ctx, at.Add(-time.Duration(src.IntN(60))*time.Minute))
		return fmt.Sprintf("pruned %d", dropped), err
	default:
		dropped, err := p.Store.Sweep(ctx)
		return fmt.Sprintf("swept %d", dropped), err
	}
}

// commit commits, now and then under a lease.
func (p *Player) commit(ctx context.Context, src *Source, what string, c store.Commit) (string, error) {
	if src.IntN(5) == 0 {
		c.Fence = p.fence(src)
	}
	done, err := p.Store.Commit(ctx, c)
	fenced := c.Fence.Number < p.fences[c.Fence.Lease]
	switch {
	case fenced && (errors.Is(err, store.ErrFenced) || errors.Is(err, store.ErrConflict)):
		return what + " is fenced", nil // one that conflicts too may be told either
	case errors.Is(err, store.ErrConflict):
		return what + " conflicts", nil
	}
	for _, change := range done.Changes {
		p.fed[change.Shard] = append(p.fed[change.Shard], change.Position)
		what += fmt.Sprintf(" %d/%d", change.Shard, change.Seq)
	}
	return what, err
}

func (p *Player) report(ctx context.Context, src *Source, at time.Time) (string, error) {
	var items []inventory.Item
	for range 1 + src.IntN(2) {
		item := src.Item(30)
		if !slices.ContainsFunc(items, func(o inventory.Item) bool { return KeyOf(o) == KeyOf(item) }) {
			items = append(items, item)
		}
	}
	c, err := p.w.Build(ctx, src.NodeKey(4), at, items...)
	if err != nil {
		return "report", err
	}
	if src.IntN(8) == 0 {
		p.stale = &c
		return "report put off", nil
	}
	return p.commit(ctx, src, "report", c)
}

// known gives a random node that is stored, if the one drawn is.
func (p *Player) known(ctx context.Context, src *Source) (node inventory.Node, ok bool, err error) {
	node, err = p.Store.Node(ctx, src.NodeKey(4))
	if errors.Is(err, store.ErrNotFound) {
		return node, false, nil
	}
	return node, err == nil && len(node.Items) > 0, err
}

func (p *Player) refresh(ctx context.Context, src *Source, at time.Time) (string, error) {
	node, ok, err := p.known(ctx, src)
	if !ok {
		return "nothing to refresh", err
	}
	state := node.Items[src.IntN(len(node.Items))]
	c, err := p.w.Build(ctx, node.Key, at, inventory.Item{
		Type: state.Type, SchemaVersion: state.SchemaVersion, CaptureTime: src.Time(), ContentHash: state.Hash, Context: state.Context,
	})
	if err != nil {
		return "refresh", err
	}
	return p.commit(ctx, src, "refresh", c)
}

func (p *Player) remove(ctx context.Context, src *Source, at time.Time) (string, error) {
	node, ok, err := p.known(ctx, src)
	if !ok {
		return "nothing to remove", err
	}
	var keys []inventory.ItemKey
	if src.IntN(3) > 0 {
		keys = append(keys, node.Items[src.IntN(len(node.Items))].ItemKey)
	}
	c, err := p.w.Drop(ctx, node.Key, at, inventory.CauseRetention, keys...)
	if err != nil {
		return "remove", err
	}
	return p.commit(ctx, src, "remove", c)
}

// stalled commits what was computed some steps ago.
func (p *Player) stalled(ctx context.Context, src *Source, at time.Time) (string, error) {
	if p.stale == nil {
		return p.report(ctx, src, at)
	}
	c := *p.stale
	p.stale = nil
	return p.commit(ctx, src, "stalled report", c)
}

func (p *Player) fence(src *Source) store.Fence {
	lease := fmt.Sprint("lease ", src.IntN(2))
	return store.Fence{Lease: lease, Number: max(2, p.fences[lease]+uint64(src.IntN(4))) - 1}
}

func (p *Player) raise(ctx context.Context, src *Source) (string, error) {
	f := p.fence(src)
	err := p.Store.RaiseFence(ctx, f)
	if errors.Is(err, store.ErrFenced) {
		return fmt.Sprintf("%s is above %d", f.Lease, f.Number), nil
	}
	if err == nil {
		p.fences[f.Lease] = f.Number
	}
	return fmt.Sprintf("%s raised to %d", f.Lease, f.Number), err
}

// record writes a record and tells whether the records' head moved to where it never was.
func (p *Player) record(ctx context.Context, src *Source) (string, error) {
	before, err := p.Store.RecordsHead(ctx)
	if err != nil {
		return "records' head", err
	}
	p.heads[before] = true
	what, err := p.write(ctx, src)
	if err != nil {
		return what, err
	}
	after, err := p.Store.RecordsHead(ctx)
	return fmt.Sprintf("%s, head moved: %v, to a new one: %v", what, after != before, !p.heads[after]), err
}

func (p *Player) write(ctx context.Context, src *Source) (string, error) {
	key := store.Key("job", fmt.Sprint(src.IntN(6)))
	revision := p.records[key]
	if src.IntN(4) == 0 {
		revision++ // one that was never given
	}
	var err error
	what := "put"
	if src.IntN(3) == 0 {
		what = "delete"
		if err = p.Store.DeleteRecord(ctx, key, revision); err == nil {
			delete(p.records, key)
		}
	} else {
		value := fmt.Sprint(src.Uint64())
		if revision, err = p.Store.PutRecord(ctx, store.Record{Key: key, Value: []byte(value), Revision: revision}); err == nil {
			p.records[key] = revision
		}
	}
	switch {
	case errors.Is(err, store.ErrConflict):
		return what + " conflicts", nil
	case errors.Is(err, store.ErrNotFound):
		return what + " finds nothing", nil
	}
	return what, err
}

// Read reads all of the player's store, the feed from as far back as it goes.
func (p *Player) Read(ctx context.Context) (State, error) {
	oldest := make([]inventory.Position, len(p.fed))
	for shard, positions := range p.fed {
		for i := 0; ; i++ {
			_, err := p.Store.Changes(ctx, shard, oldest[shard], 1)
			if err == nil {
				break
			}
			if !errors.Is(err, store.ErrBehind) || i == len(positions) {
				return State{}, fmt.Errorf("oldest change of shard %d: %w", shard, err)
			}
			oldest[shard] = positions[i]
		}
	}
	return Read(ctx, p.Store, oldest)
}
