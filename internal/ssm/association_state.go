package ssm

import (
	"context"
	"sync"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// runsStale is how old this server's picture of all runs may be when others write runs too.
const runsStale = 10 * time.Second

// runFacts is what associations are summed up from.
type runFacts struct {
	revision      uint64
	status        string
	gone          bool
	last, success time.Time
	past          []pastRun
}

// runTable keeps the facts of all runs of a partition in memory, once somebody asked for them: how an association stands
// is a sum over all its nodes. What this server writes is in it at once; what others write after runsStale at most.
type runTable struct {
	store     store.Store
	exclusive bool
	mu        sync.Mutex
	known     map[inventory.Partition]*partitionRuns
}

type partitionRuns struct {
	loading sync.Mutex // one listing at a time

	mu    sync.RWMutex
	read  time.Time                                // when the listing began; zero: there is none
	by    map[string]map[inventory.NodeID]runFacts // by association
	noted map[string]map[inventory.NodeID]runFacts // written while a listing is under way; nil when none is
}

func newRunTable(st store.Store, exclusive bool) *runTable {
	return &runTable{store: st, exclusive: exclusive, known: map[inventory.Partition]*partitionRuns{}}
}

func (t *runTable) of(p inventory.Partition) *partitionRuns {
	t.mu.Lock()
	defer t.mu.Unlock()
	runs := t.known[p]
	if runs == nil {
		if len(t.known) >= knownCatalogues {
			clear(t.known)
		}
		runs = &partitionRuns{}
		t.known[p] = runs
	}
	return runs
}

// note takes a run as it was written.
func (t *runTable) note(key inventory.NodeKey, association string, r heldRun) {
	runs := t.of(key.Partition)
	runs.mu.Lock()
	defer runs.mu.Unlock()
	facts := factsOf(r)
	if runs.by != nil {
		noteIn(runs.by, association, key.Node, facts)
	}
	if runs.noted != nil {
		noteIn(runs.noted, association, key.Node, facts)
	}
}

// forget takes a run that was removed.
func (t *runTable) forget(key inventory.NodeKey, association string) {
	runs := t.of(key.Partition)
	runs.mu.Lock()
	defer runs.mu.Unlock()
	delete(runs.by[association], key.Node)
	delete(runs.noted[association], key.Node)
}

func noteIn(all map[string]map[inventory.NodeID]runFacts, association string, node inventory.NodeID, facts runFacts) {
	nodes := all[association]
	if nodes == nil {
		nodes = map[inventory.NodeID]runFacts{}
		all[association] = nodes
	}
	if nodes[node].revision < facts.revision { // revisions of records grow
		nodes[node] = facts
	}
}

func factsOf(r heldRun) runFacts {
	status, _ := r.state()
	f := runFacts{revision: r.revision, status: constant(status), gone: !r.Gone.IsZero(), last: r.Last, success: r.LastSuccess, past: r.Past}
	for i := range f.past {
		f.past[i].Status = constant(f.past[i].Status)
	}
	return f
}

// constant gives the constant of a status, so that a million of them are not a million texts.
func constant(status string) string {
	for _, s := range [...]string{statusPending, statusInProgress, statusSuccess, statusFailed, statusSkipped, statusTimedOut} {
		if s == status {
			return s
		}
	}
	return status
}

// each calls f for every node that has a run of the association, in no order.
func (t *runTable) each(ctx context.Context, p inventory.Partition, association string, f func(inventory.NodeID, runFacts)) error {
	runs := t.of(p)
	if err := t.refresh(ctx, p, runs); err != nil {
		return err
	}
	runs.mu.RLock()
	defer runs.mu.RUnlock()
	for node, facts := range runs.by[association] {
		f(node, facts)
	}
	return nil
}

// refresh lists the runs of a partition if what is known of them is too old.
func (t *runTable) refresh(ctx context.Context, p inventory.Partition, runs *partitionRuns) error {
	if runs.fresh(t.exclusive) {
		return nil
	}
	runs.loading.Lock()
	defer runs.loading.Unlock()
	if runs.fresh(t.exclusive) {
		return nil
	}
	began := time.Now()
	runs.mu.Lock()
	runs.noted = map[string]map[inventory.NodeID]runFacts{}
	runs.mu.Unlock()
	by := map[string]map[inventory.NodeID]runFacts{}
	err := eachRecord(ctx, t.store, store.Key(recordRun, p.Account, p.Region, ""), func(rec store.Record) error {
		association, key, r, err := parseRun(rec)
		if err == nil {
			noteIn(by, association, key.Node, factsOf(r))
		}
		return err
	})
	runs.mu.Lock()
	defer runs.mu.Unlock()
	noted := runs.noted
	runs.noted = nil
	if err != nil {
		return err
	}
	for association, nodes := range noted {
		for node, facts := range nodes {
			noteIn(by, association, node, facts)
		}
	}
	runs.by, runs.read = by, began
	return nil
}

func (r *partitionRuns) fresh(exclusive bool) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return !r.read.IsZero() && (exclusive || time.Since(r.read) < runsStale)
}
