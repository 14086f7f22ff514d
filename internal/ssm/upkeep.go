package ssm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"stocktake/internal/store"
)

// The rhythm of the periodic work.
const (
	aliveEvery  = time.Minute
	upkeepEvery = time.Hour
	splitsEvery = 10 * time.Minute
	// outageFrom is how long a silence of the service must be to count as an outage; longStop how long to drop nothing for
	// its age for a day (afterStop), in which somebody may notice that it was the clock.
	outageFrom = 10 * time.Minute
	longStop   = 24 * time.Hour
	afterStop  = 24 * time.Hour
)

const (
	recordAlive   = "service/alive"
	recordOutages = "service/outages"
)

// outage is a time in which the service could not take reports. It does not count towards a document's age.
type outage struct {
	From time.Time
	To   time.Time
}

// aliveRecord says when the service was last up, and until when nothing is dropped for its age.
type aliveRecord struct {
	At      time.Time
	NotTill time.Time `json:",omitzero"`
}

// upkeep does the periodic work of the whole service for one tenure of the lease. The mark that the service is up is of
// all servers as one: whoever has the lease moves it, and that somebody always has is the lease's matter. (A command to
// drop what is old moves it too.)
func (s *Service) upkeep(ctx context.Context, t *tenure) {
	attempt := func(what string, f func(context.Context) error) { s.attempt(ctx, t, what, f) }
	attempt("note that the service is up", s.noteAlive)
	alive, upkeep, splits := time.NewTicker(aliveEvery), time.NewTicker(upkeepEvery), time.NewTicker(splitsEvery)
	defer alive.Stop()
	defer upkeep.Stop()
	defer splits.Stop()
	silence := time.NewTicker(silenceEvery)
	defer silence.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-alive.C:
			attempt("note that the service is up", s.noteAlive)
		case <-silence.C:
			attempt("look for silent nodes", func(ctx context.Context) error { return s.silence(ctx, t.fence) })
		case <-splits.C:
			attempt("learn volatile attributes", s.learnSplits)
		case <-upkeep.C:
			s.dropOld(ctx, t)
		}
	}
}

// dropOld drops whatever is kept for a time of its own, unless the clock made a jump of late: nothing brings back what a
// wrong clock dropped.
func (s *Service) dropOld(ctx context.Context, t *tenure) {
	attempt := func(what string, f func(context.Context) error) { s.attempt(ctx, t, what, f) }
	settled := false
	attempt("look at the clock", func(ctx context.Context) (err error) {
		settled, err = s.settled(ctx)
		return err
	})
	if !settled {
		return
	}
	attempt("retention", func(ctx context.Context) error { return s.runRetention(ctx, t.fence) })
	attempt("prune the feed", s.prune)
	attempt("drop expired activations", s.pruneActivations)
	attempt("drop old deletions", s.pruneDeletions)
	attempt("drop what is told of ignored items", s.pruneIgnored)
	attempt("drop what is left of associations", s.pruneAssociations)
	if s.cfg.Upkeep != nil {
		attempt("other upkeep", s.cfg.Upkeep)
	}
}

// settled reports whether the service was up and its clock went on for long enough that ages count.
func (s *Service) settled(ctx context.Context) (bool, error) {
	if err := s.noteAlive(ctx); err != nil { // the machine may have slept, or its clock jumped, a moment ago
		return false, err
	}
	var alive aliveRecord
	_, err := s.readRecord(ctx, recordAlive, &alive)
	return err == nil && !time.Now().Before(alive.NotTill), err
}

// attempt runs one piece of periodic work; a failure waits for the next time.
func (s *Service) attempt(ctx context.Context, t *tenure, what string, f func(context.Context) error) {
	err := f(ctx)
	switch {
	case err == nil || ctx.Err() != nil:
	case errors.Is(err, store.ErrFenced):
		t.lost()
	default:
		s.log.Error("periodic work failed; it is tried again later", "work", what, "error", err)
	}
}

// prune keeps the feed and the dictionaries of shapes in the store from growing without end.
func (s *Service) prune(ctx context.Context) error {
	if _, err := s.store.Prune(ctx, time.Now().Add(-s.cfg.FeedAge)); err != nil {
		return err
	}
	_, err := s.store.Sweep(ctx)
	return err
}

// sweepIndex keeps this server's memory from growing without end.
func (s *Service) sweepIndex(ctx context.Context) {
	for sleep(ctx, upkeepEvery) {
		s.replica.Sweep()
	}
}

// noteAlive moves the mark that the service is up. A mark that is old means that the service, or its clock, was away:
// that time is recorded as an outage. One that is yet to come means that a clock was ahead, and what was noted by it
// counts no further than now.
func (s *Service) noteAlive(ctx context.Context) error {
	now := time.Now().UTC()
	var last aliveRecord
	revision, err := s.readRecord(ctx, recordAlive, &last)
	if err != nil {
		return err
	}
	next := aliveRecord{At: now, NotTill: last.NotTill}
	switch gap := now.Sub(last.At); {
	case revision == 0:
	case gap <= -outageFrom:
		if err := s.endOutages(ctx, now); err != nil {
			return err
		}
		if latest := now.Add(afterStop); next.NotTill.After(latest) {
			next.NotTill = latest
		}
		s.log.Warn("the clock went back", "from", last.At, "to", now)
	case gap >= outageFrom:
		if err := s.addOutage(ctx, outage{From: last.At, To: now}); err != nil {
			return err
		}
		s.log.Info("the service was away; that time does not count towards retention", "from", last.At, "to", now)
		if gap >= longStop {
			next.NotTill = now.Add(afterStop)
			s.log.Warn("nothing is dropped for its age before a day is over, audit lines included: if the service was not away, its clock was or is wrong and must be set right by then",
				"till", next.NotTill)
		}
	}
	return s.writeRecord(ctx, recordAlive, next, revision)
}

// endOutages has no outage last longer than to now.
func (s *Service) endOutages(ctx context.Context, now time.Time) error {
	var all []outage
	revision, err := s.readRecord(ctx, recordOutages, &all)
	if err != nil || revision == 0 {
		return err
	}
	past := all[:0]
	for _, o := range all {
		if o.To.After(now) {
			o.To = now
		}
		if o.To.After(o.From) {
			past = append(past, o)
		}
	}
	return s.writeRecord(ctx, recordOutages, past, revision)
}

func (s *Service) addOutage(ctx context.Context, o outage) error {
	var all []outage
	revision, err := s.readRecord(ctx, recordOutages, &all)
	if err != nil {
		return err
	}
	// Outages older than anything that is kept no longer matter.
	horizon := o.To.Add(-2 * s.cfg.Limits.Retention)
	for _, past := range all {
		horizon = horizon.Add(past.From.Sub(past.To))
	}
	all = slices.DeleteFunc(all, func(past outage) bool { return s.cfg.Limits.Retention > 0 && past.To.Before(horizon) })
	return s.writeRecord(ctx, recordOutages, withOutage(all, o), revision)
}

// withOutage adds an outage to those known, in order. What was recorded already, because who recorded it got no further,
// does not count twice.
func withOutage(all []outage, o outage) []outage {
	all = slices.DeleteFunc(all, func(past outage) bool {
		if past.To.Before(o.From) || past.From.After(o.To) {
			return false
		}
		if past.From.Before(o.From) {
			o.From = past.From
		}
		if past.To.After(o.To) {
			o.To = past.To
		}
		return true
	})
	all = append(all, o)
	slices.SortFunc(all, func(a, b outage) int { return a.From.Compare(b.From) })
	return all
}

// readRecord reads a JSON record; a missing one leaves v as it is and has revision 0.
func (s *Service) readRecord(ctx context.Context, key string, v any) (uint64, error) {
	rec, err := s.store.Record(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(rec.Value, v); err != nil {
		return 0, fmt.Errorf("%w: record %s: %w", store.ErrCorrupt, key, err)
	}
	return rec.Revision, nil
}

// swapRecord writes a JSON record over the revision given, 0 for none. ErrConflict: it is of another one.
func (s *Service) swapRecord(ctx context.Context, key string, v any, revision uint64) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = s.store.PutRecord(ctx, store.Record{Key: key, Value: text, Revision: revision})
	return err
}

// writeRecord is swapRecord for what any server may write: that another one was faster is as good.
func (s *Service) writeRecord(ctx context.Context, key string, v any, revision uint64) error {
	err := s.swapRecord(ctx, key, v, revision)
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

// pruneDeletions drops finished deletions that are older than they are told of.
func (s *Service) pruneDeletions(ctx context.Context) error {
	now := time.Now()
	var old []store.Record
	err := eachRecord(ctx, s.store, store.Key(recordDeletion, ""), func(rec store.Record) error {
		d, err := parseDeletion(rec)
		if err == nil && (d.Done && d.Started.Before(now.Add(-deletionLife)) || !d.settled() && d.Started.Before(now.Add(-unclaimedLife))) {
			old = append(old, rec)
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := s.dropRecords(ctx, old); err != nil {
		return err
	}
	return s.pruneDeletionMarks(ctx)
}

// dropRecords deletes records as they were read; those that were written since stay.
func (s *Service) dropRecords(ctx context.Context, old []store.Record) error {
	for _, rec := range old {
		if err := s.store.DeleteRecord(ctx, rec.Key, rec.Revision); err != nil && !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}

// pruneDeletionMarks drops tokens and claims whose deletion is no longer told of. A job is there before what leads to it,
// so one that is not will not come.
func (s *Service) pruneDeletionMarks(ctx context.Context) error {
	for _, kind := range []string{recordDeletionToken, recordDeletionType} {
		err := eachRecord(ctx, s.store, store.Key(kind, ""), func(rec store.Record) error {
			parts := store.KeyParts(rec.Key)
			_, err := s.store.Record(ctx, store.Key(recordDeletion, parts[1], parts[2], string(rec.Value)))
			if errors.Is(err, store.ErrNotFound) {
				err = s.store.DeleteRecord(ctx, rec.Key, rec.Revision)
			}
			if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
