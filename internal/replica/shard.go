package replica

import (
	"context"

	"stocktake/internal/inventory"
)

// shard applies one shard's changes one after the other.
type shard struct {
	turn chan struct{} // full while the lock is held
	// early are commits whose changes came before those that go before them, by their first sequence.
	early map[uint64]*commit
	trail trail
	// reload is what loads the shard anew; nil but while it does.
	reload *reloading
}

func newShards(n int) []shard {
	shards := make([]shard, n)
	for i := range shards {
		shards[i].turn = make(chan struct{}, 1)
	}
	return shards
}

func (s *shard) lock(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	default:
	}
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *shard) unlock() { <-s.turn }

// trail is the positions a shard came by last. A head among them is behind the index.
type trail struct {
	last [2 * followPage]inventory.Position
	n    int
}

func (t *trail) add(p inventory.Position) {
	t.last[t.n%len(t.last)] = p
	t.n++
}

func (t *trail) has(p inventory.Position) bool {
	for i := 1; i <= min(t.n, len(t.last)); i++ {
		if t.last[(t.n-i)%len(t.last)] == p {
			return true
		}
	}
	return false
}
