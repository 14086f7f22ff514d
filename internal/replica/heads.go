package replica

import (
	"context"
	"sync"

	"stocktake/internal/inventory"
)

// headReads lets questions that come at about the same time share one read of the store's heads. A question is served by
// a read that began after it came: an earlier one may lack what was acknowledged in between.
type headReads struct {
	read func() ([]inventory.Position, error)

	mu      sync.Mutex
	running bool
	next    *headRead // the one to begin when the one under way has ended
}

type headRead struct {
	done  chan struct{}
	heads []inventory.Position // not to be changed
	err   error
}

func (h *headReads) get(ctx context.Context) ([]inventory.Position, error) {
	h.mu.Lock()
	if h.next == nil {
		h.next = &headRead{done: make(chan struct{})}
	}
	mine := h.next
	if !h.running {
		h.running = true
		go h.run()
	}
	h.mu.Unlock()
	select {
	case <-mine.done:
		return mine.heads, mine.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// run reads for as long as somebody waits.
func (h *headReads) run() {
	for {
		h.mu.Lock()
		now := h.next
		h.next = nil
		h.running = now != nil
		h.mu.Unlock()
		if now == nil {
			return
		}
		now.heads, now.err = h.read()
		close(now.done)
	}
}

// readHeads gives the store's heads as of after the call.
func (r *Replica) readHeads(ctx context.Context) ([]inventory.Position, error) {
	if r.opt.Follow > 0 {
		return r.heads.get(ctx)
	}
	return r.store.Heads(ctx) // at hand
}
