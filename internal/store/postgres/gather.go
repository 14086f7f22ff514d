package postgres

import (
	"context"
	"sync"
)

// gather lets calls that wait at the same time share a statement. While as many statements as may be are under way, what
// comes gathers for the next; so a call is always served by a statement that began after it came.
type gather[T any] struct {
	mu      sync.Mutex
	waiting []T
	running int
	most    int // statements under way at once
	limit   int // calls in one
	run     func([]T)
	work    *sync.WaitGroup
}

func (g *gather[T]) init(s *Store, most, limit int, run func([]T)) {
	g.most, g.limit, g.run, g.work = most, limit, run, &s.work
}

func (g *gather[T]) add(x T) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = append(g.waiting, x)
	if g.running < g.most {
		g.running++
		g.work.Go(g.serve)
	}
}

// serve runs statements for as long as calls wait.
func (g *gather[T]) serve() {
	for {
		g.mu.Lock()
		n := min(len(g.waiting), g.limit)
		if n == 0 {
			g.waiting = nil
			g.running--
			g.mu.Unlock()
			return
		}
		batch := g.waiting[:n:n]
		g.waiting = g.waiting[n:]
		g.mu.Unlock()
		g.run(batch)
	}
}

// call is one that waits for an answer of type A.
type call[A any] struct {
	answer A
	err    error
	done   chan struct{}
}

func newCall[A any]() *call[A] { return &call[A]{done: make(chan struct{})} }

func (c *call[A]) end(answer A, err error) {
	c.answer, c.err = answer, err
	close(c.done)
}

// wait gives the answer, or gives up with the caller's context. What was asked may happen all the same.
func (c *call[A]) wait(ctx context.Context) (A, error) {
	select {
	case <-c.done:
		return c.answer, c.err
	case <-ctx.Done():
		var none A
		return none, ctx.Err()
	}
}
