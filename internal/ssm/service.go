// Package ssm holds the verbs of the service: one method per API action on a Service, over a store and its replica. Every
// rule that needs state is here and nowhere else: the hash check, quotas, schema learning, paging, jobs.
//
// Begin with New, then Start, which resumes what an earlier process left unfinished and keeps the periodic work going
// until Stop. Every method takes the partition the caller's key and signature named; nothing is read across partitions.
//
// Promises: a method that returns without error has made its effect durable; one that returns an *inventory.Error has
// changed nothing a caller can see. Errors of other kinds are the store's, and Internal to callers.
package ssm

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"stocktake/internal/index"
	"stocktake/internal/inventory"
	"stocktake/internal/replica"
	"stocktake/internal/seal"
	"stocktake/internal/store"
)

// Config is what an operator chooses about the rules.
type Config struct {
	Limits inventory.Limits
	// Extensions switches on the documented supersets: any type in ResultAttributes, any attribute to count by.
	Extensions bool
	// StrictEnrollment refuses reports of nodes that were not registered. Otherwise an `i-` id enrols itself with its
	// first accepted report.
	StrictEnrollment bool
	// RefuseUnknownAttributes answers InvalidItemContent to attributes a built-in type does not have; otherwise they are
	// kept and counted, so that an agent's upgrade does not silence a fleet.
	RefuseUnknownAttributes bool
	// ConnectionLostAfter is how long a node that sends heartbeats may be silent before it counts as lost; 0: for ever.
	ConnectionLostAfter time.Duration
	// FeedAge is how long changes stay in the feed; 0 means DefaultFeedAge.
	FeedAge time.Duration
	// Exclusive says that no other process can have the store. Work one server does at a time then waits for nobody: what
	// an earlier process left is taken over at once, and nothing is renewed.
	Exclusive bool
	// LeaseTTL is how long a server that works alone at something may be silent before another takes over, and LeaseRenew
	// how often it says that it is there; 0 means DefaultLeaseTTL and DefaultLeaseRenew. The same on every server.
	LeaseTTL   time.Duration
	LeaseRenew time.Duration
	// RoleTokenTTL is how long the credentials of a managed node are good for; 0 means DefaultRoleTokenTTL. KeyRotation is
	// the age of a node's key pair from which on it is asked to make a new one; 0: never.
	RoleTokenTTL time.Duration
	KeyRotation  time.Duration
	// ScheduleFloor is how often an association may run at most; 0 means DefaultScheduleFloor.
	ScheduleFloor time.Duration
	// Upkeep, where not nil, is called every hour beside the periodic work of the service, on one server at a time.
	Upkeep func(ctx context.Context) error
	Logger *slog.Logger
}

// DefaultFeedAge is how long changes stay in the feed unless a registered reader needs them longer.
const DefaultFeedAge = 7 * 24 * time.Hour

// Service answers the API. Its methods may be called from any goroutine between New and Stop.
type Service struct {
	store   store.Store
	replica *replica.Replica
	cfg     Config
	log     *slog.Logger

	nodes       keyLocks // one report of a node at a time
	activations keyLocks // one registration with an activation takes its slot at a time
	known       *knownNodes
	heard       *heartbeats
	polls       *polls
	newest      newestCache
	schemas     *schemaRegistry
	answers     *answerCache
	counters    Counters
	seal        seal.Box

	policies []*Policy // that associations have nodes carry out
	lists    associationLists
	runs     *runTable

	unknownOnce sync.Map // built-in types whose unknown attributes were logged already

	leases      map[string]*lease
	newDeletion chan struct{} // a deletion was made here

	stop context.CancelFunc
	jobs sync.WaitGroup
	base context.Context // ends when the service stops; jobs run under it
}

// New makes a service over an opened store and its replica. The service owns neither: close them after Stop.
func New(st store.Store, rep *replica.Replica, cfg Config) (*Service, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.FeedAge == 0 {
		cfg.FeedAge = DefaultFeedAge
	}
	cfg.RoleTokenTTL = cmp.Or(cfg.RoleTokenTTL, DefaultRoleTokenTTL)
	cfg.ScheduleFloor = cmp.Or(cfg.ScheduleFloor, DefaultScheduleFloor)
	tokens, err := seal.New(st.Identity().TokenKey)
	if err != nil {
		return nil, err
	}
	policies, err := builtInPolicies()
	if err != nil {
		return nil, err
	}
	base, stop := context.WithCancel(context.Background())
	s := &Service{
		store: st, replica: rep, cfg: cfg, log: cfg.Logger,
		schemas: newSchemaRegistry(st), answers: newAnswerCache(), seal: tokens, heard: newHeartbeats(), polls: newPolls(),
		leases: map[string]*lease{}, newDeletion: make(chan struct{}, 1),
		policies: policies, lists: associationLists{known: map[inventory.Partition]*associationList{}}, runs: newRunTable(st, cfg.Exclusive),
		base: base, stop: stop,
	}
	if !cfg.Exclusive {
		s.known = newKnownNodes()
	}
	server := newUUID()
	for _, name := range []string{leaseDeletions, leaseUpkeep} {
		s.leases[name] = &lease{
			store: st, name: name, holder: server, log: cfg.Logger, exclusive: cfg.Exclusive,
			ttl: cmp.Or(cfg.LeaseTTL, DefaultLeaseTTL), renew: cmp.Or(cfg.LeaseRenew, DefaultLeaseRenew),
		}
	}
	return s, nil
}

// Start begins the work of the service's own: deletions, among them those an earlier process left, and upkeep. Each is
// done here as long as no other server does it. Call it once.
func (s *Service) Start(ctx context.Context) error {
	if err := s.settleDeletions(ctx); err != nil {
		return err
	}
	if err := s.readHeartbeats(ctx); err != nil {
		return err
	}
	s.heard.settle(nil)
	for name, work := range map[string]func(context.Context, *tenure){leaseDeletions: s.workDeletions, leaseUpkeep: s.upkeep} {
		l := s.leases[name]
		first, err := l.try(ctx)
		if err != nil {
			return err
		}
		s.background(func(ctx context.Context) { l.keep(ctx, first, work) })
	}
	s.background(s.sweepIndex)
	s.background(s.keepHeartbeats)
	return nil
}

// Stop ends the periodic work and waits for jobs to reach a point they can be resumed from.
func (s *Service) Stop() {
	s.stop()
	s.jobs.Wait()
}

// background runs f as work of the service's own, which Stop waits for.
func (s *Service) background(f func(ctx context.Context)) {
	s.jobs.Go(func() { f(s.base) })
}

// index gives the index with everything acknowledged so far in it.
func (s *Service) index(ctx context.Context) (*index.Index, error) {
	if err := s.replica.CatchUp(ctx); err != nil {
		return nil, err
	}
	return s.replica.Index(), nil
}

// PageBounds gives the most nodes and the most entries one page may be asked to have.
func (s *Service) PageBounds() (nodes, entries int) {
	return s.cfg.Limits.PageNodes, s.cfg.Limits.PageEntries
}

// keyLocks serialises work on one key among many; the zero value is ready. It saves racing reports of a node their
// conflicts; correctness rests on the store's revisions.
type keyLocks [256]sync.Mutex

func (l *keyLocks) of(key inventory.NodeKey) *sync.Mutex {
	return &l[store.ShardOf(key, len(l))]
}

// conflictTries bounds how often something is computed anew because what it was computed from had moved.
const conflictTries = 20

// retry calls f again while it gives ErrConflict.
func retry(ctx context.Context, f func() error) error {
	for try := 0; ; try++ {
		err := f()
		if !errors.Is(err, store.ErrConflict) || try == conflictTries-1 || !pause(ctx, try) {
			return err
		}
	}
}

// pause waits before what met a conflict is tried again, so that servers that raced do not meet again: not at first,
// then longer and longer, at random. It gives false when ctx is done.
func pause(ctx context.Context, try int) bool {
	if try == 0 {
		return ctx.Err() == nil
	}
	return sleep(ctx, rand.N(time.Millisecond<<min(try, 6)))
}
