package ssm_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"stocktake/internal/inventory"
	"stocktake/internal/ssm"
	"stocktake/internal/store"
	"stocktake/internal/store/memory"
)

// newServers starts several services over one store of memory, each with an index of its own and what a test does to the
// store calls of it.
func newServers(t *testing.T, n int) []*server {
	t.Helper()
	st, err := memory.New(4)
	if err != nil {
		t.Fatal(err)
	}
	all := make([]*server, n)
	for i := range all {
		s := &server{calls: &calls{}}
		s.trial = &trial{t: t, config: ssm.Config{Limits: inventory.DefaultLimits(), Logger: discard}, open: func() store.Store { return unclosed{st} }}
		s.wrap = func(st store.Store) store.Store { return watched{st, s.calls} }
		s.start()
		all[i] = s
	}
	return all
}

// server is one of several services over a store.
type server struct {
	*trial
	calls *calls
}

// watched is a store whose calls a test sees, and may hold up.
type watched struct {
	store.Store
	calls *calls
}

// calls are the calls of a server to its store. A call's name says what it is about: "put deletion/...".
type calls struct {
	mu    sync.Mutex
	seen  []string
	err   map[string]error // of calls that ended, by name
	match func(name string) bool
	once  bool
	held  chan struct{} // closed once a call is held
	free  chan struct{} // closed to let it go on
}

// holdOne holds up the first call that match picks until free is called; held is closed when it is there.
func (c *calls) holdOne(match func(name string) bool) (held <-chan struct{}, free func()) {
	return c.holdUp(match, true)
}

// holdAll is holdOne for every such call.
func (c *calls) holdAll(match func(name string) bool) (held <-chan struct{}, free func()) {
	return c.holdUp(match, false)
}

func (c *calls) holdUp(match func(name string) bool, once bool) (held <-chan struct{}, free func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen, c.err = nil, map[string]error{}
	c.match, c.once, c.held, c.free = match, once, make(chan struct{}), make(chan struct{})
	return c.held, sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.match = nil
		close(c.free)
	})
}

// watch forgets the calls seen so far.
func (c *calls) watch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen, c.err = nil, map[string]error{}
}

func (c *calls) names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.seen)
}

// outcome gives the error of the last call of a name, and whether there was one that ended.
func (c *calls) outcome(name string) (error, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	err, ended := c.err[name]
	return err, ended
}

func (c *calls) begin(name string) {
	c.mu.Lock()
	c.seen = append(c.seen, name)
	if c.match == nil || !c.match(name) {
		c.mu.Unlock()
		return
	}
	free := c.free
	select {
	case <-c.held:
	default:
		close(c.held)
	}
	if c.once {
		c.match = nil
	}
	c.mu.Unlock()
	<-free
}

func (c *calls) end(name string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		c.err[name] = err
	}
}

func (w watched) Commit(ctx context.Context, c store.Commit) (store.Committed, error) {
	name := "commit of " + string(c.Node.Key.Node)
	for _, write := range c.Writes {
		name += fmt.Sprint(" ", write.Key.Type, " by ", write.Cause)
	}
	w.calls.begin(name)
	// A commit of a stopped process is on its way already: it gives up no more.
	done, err := w.Store.Commit(context.WithoutCancel(ctx), c)
	w.calls.end(name, err)
	return done, err
}

func (w watched) Node(ctx context.Context, key inventory.NodeKey) (inventory.Node, error) {
	w.calls.begin("node")
	return w.Store.Node(ctx, key)
}

func (w watched) Read(ctx context.Context, keys []inventory.NodeKey, types []inventory.TypeName) ([]store.NodeScan, error) {
	w.calls.begin(fmt.Sprint("read ", types))
	return w.Store.Read(ctx, keys, types)
}

func (w watched) Document(ctx context.Context, key inventory.DocumentKey) (inventory.Document, error) {
	w.calls.begin("document")
	return w.Store.Document(ctx, key)
}

func (w watched) Heads(ctx context.Context) ([]inventory.Position, error) {
	w.calls.begin("heads")
	return w.Store.Heads(ctx)
}

func (w watched) Record(ctx context.Context, key string) (store.Record, error) {
	w.calls.begin("record " + key)
	return w.Store.Record(ctx, key)
}

func (w watched) ListRecords(ctx context.Context, prefix, after string, limit int) ([]store.Record, error) {
	w.calls.begin("list " + prefix)
	return w.Store.ListRecords(ctx, prefix, after, limit)
}

func (w watched) PutRecord(ctx context.Context, r store.Record) (uint64, error) {
	name := "put " + r.Key
	w.calls.begin(name)
	revision, err := w.Store.PutRecord(ctx, r)
	w.calls.end(name, err)
	return revision, err
}

func (w watched) DeleteRecord(ctx context.Context, key string, revision uint64) error {
	w.calls.begin("delete " + key)
	return w.Store.DeleteRecord(ctx, key, revision)
}

func (w watched) RecordsHead(ctx context.Context) (inventory.Position, error) {
	w.calls.begin("records head")
	return w.Store.RecordsHead(ctx)
}

func (w watched) RaiseFence(ctx context.Context, f store.Fence) error {
	name := "raise " + f.Lease
	w.calls.begin(name)
	err := w.Store.RaiseFence(ctx, f)
	w.calls.end(name, err)
	return err
}

func stopAll(all []*server) {
	for _, s := range all {
		s.stop()
	}
}

func isCommit(cause inventory.Cause) func(string) bool {
	return func(name string) bool {
		return strings.HasPrefix(name, "commit of ") && strings.HasSuffix(name, fmt.Sprint(" by ", cause))
	}
}
