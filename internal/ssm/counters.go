package ssm

import "sync/atomic"

// Counters count reports by outcome since the process began.
type Counters struct {
	stored            atomic.Int64
	unchanged         atomic.Int64
	refused           atomic.Int64
	unknownAttributes atomic.Int64
	heartbeats        atomic.Int64
}

// Reports gives how many reports wrote content, how many only moved capture times, and how many were refused.
func (c *Counters) Reports() (stored, unchanged, refused int64) {
	return c.stored.Load(), c.unchanged.Load(), c.refused.Load()
}

// UnknownAttributes gives how many attributes of built-in types were kept though the type's schema does not have them.
func (c *Counters) UnknownAttributes() int64 { return c.unknownAttributes.Load() }

// Heartbeats gives how many heartbeats were taken.
func (c *Counters) Heartbeats() int64 { return c.heartbeats.Load() }

// Counters gives the service's counters.
func (s *Service) Counters() *Counters { return &s.counters }
