package postgres

import "sync/atomic"

// counts are since the store was opened.
type counts struct {
	commits, batches, retries atomic.Uint64
}

// Metrics are counts since the store was opened, and sizes of now.
type Metrics struct {
	// Commits is how many commits of nodes were acknowledged, Batches in how many transactions they were made.
	Commits, Batches uint64
	// Retries is how often something was tried again because the database did not answer or asked for it.
	Retries uint64
	// Connections is how many connections there are, Busy how many of them are in use.
	Connections, Busy uint64
	// KnownShapes is how many shapes this server remembers to be in the database.
	KnownShapes uint64
}

// Metrics gives the store's metrics. It may be called at any time.
func (s *Store) Metrics() Metrics {
	pool := s.pool.Stat()
	return Metrics{
		Commits: s.counts.commits.Load(), Batches: s.counts.batches.Load(), Retries: s.counts.retries.Load(),
		Connections: uint64(pool.TotalConns()), Busy: uint64(pool.AcquiredConns()), KnownShapes: uint64(s.known.size()),
	}
}
