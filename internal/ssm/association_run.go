package ssm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"stocktake/internal/inventory"
	"stocktake/internal/store"
)

// How a run stands, as agents say it (documented).
const (
	statusPending    = "Pending"
	statusInProgress = "InProgress"
	statusSuccess    = "Success"
	statusFailed     = "Failed"
	statusSkipped    = "Skipped"
	statusTimedOut   = "TimedOut"
)

// detailAssociated is the state of what was not run yet and waits for its tick.
const detailAssociated = "Associated"

const (
	recordRun = "run" // of an association on a node, by partition, node and association
	// pastRuns is how many runs of a node are told of.
	pastRuns = 5
	// longestSummary bounds a text an agent sends (it cuts its own near 510 characters).
	longestSummary = 1000
	// tickSlack is how much before a tick a run may begin, by the service's clock, and still be of it.
	tickSlack = 30 * time.Second
	// latestCall is how late a call can come: signatures are good for so long.
	latestCall = 15 * time.Minute
)

// run is how one association stands on one node.
type run struct {
	// Version and Once are what the node was last told of, and has run or is to run.
	Version int
	Once    time.Time `json:",omitzero"`
	// Tick is the last tick the node was told of, of a schedule the agent does not know.
	Tick time.Time `json:",omitzero"`
	// Due: the node is to run at once. A run that was under way when it was told (Flight) does not count as that.
	Due    bool `json:",omitempty"`
	Flight bool `json:",omitempty"`
	// Verdict is why the node is not told of the association.
	Verdict verdict `json:",omitempty"`
	// Gone is since when the node is no longer among the targets.
	Gone time.Time `json:",omitzero"`

	// What the agent said last. Last is by its clock, but never ahead of the service's.
	Status      string    `json:",omitempty"`
	Last        time.Time `json:",omitzero"`
	LastSuccess time.Time `json:",omitzero"`
	Summary     string    `json:",omitempty"`
	ErrorCode   string    `json:",omitempty"`
	OutputURL   string    `json:",omitempty"`
	Past        []pastRun `json:",omitempty"` // the newest first
}

// pastRun is one run of a node. Runs of one version and beginning are one execution of the association.
type pastRun struct {
	Version int
	Begun   time.Time // of the execution: when the version was made, the run asked for, or the tick
	Status  string
	At      time.Time // of the status
}

// verdict is why a node is not told of an association it is among the targets of.
type verdict string

const (
	overridden  verdict = "OverriddenByExplicitInventoryAssociation"
	conflicting verdict = "Conflict"
)

func underWay(status string) bool { return status == statusPending || status == statusInProgress }

// state gives how the association stands on the node, as it is told of.
func (r *run) state() (status, detailed string) {
	switch {
	case r.Verdict == overridden:
		return statusSkipped, string(overridden)
	case r.Verdict == conflicting:
		return statusFailed, statusFailed
	case r.Due:
		return statusPending, statusPending
	case r.Status == "":
		return statusPending, detailAssociated
	}
	return r.Status, r.Status
}

func runKey(key inventory.NodeKey, association string) string {
	return store.Key(recordRun, key.Account, key.Region, string(key.Node), association)
}

// heldRun is a run with its record's revision, 0 for none.
type heldRun struct {
	run
	revision uint64
}

func parseRun(rec store.Record) (association string, node inventory.NodeKey, r heldRun, err error) {
	parts := store.KeyParts(rec.Key)
	if len(parts) != 5 {
		return "", node, r, fmt.Errorf("%w: record %s", store.ErrCorrupt, rec.Key)
	}
	node = inventory.NodeKey{Partition: inventory.Partition{Account: parts[1], Region: parts[2]}, Node: inventory.NodeID(parts[3])}
	r.revision = rec.Revision
	if err := json.Unmarshal(rec.Value, &r.run); err != nil {
		return "", node, r, fmt.Errorf("%w: record %s: %w", store.ErrCorrupt, rec.Key, err)
	}
	return parts[4], node, r, nil
}

// nodeRuns reads all runs of a node, by association.
func (s *Service) nodeRuns(ctx context.Context, key inventory.NodeKey) (map[string]heldRun, error) {
	runs := map[string]heldRun{}
	err := eachRecord(ctx, s.store, store.Key(recordRun, key.Account, key.Region, string(key.Node), ""), func(rec store.Record) error {
		id, _, r, err := parseRun(rec)
		runs[id] = r
		return err
	})
	return runs, err
}

// putRun writes a run. ErrConflict: it was written in between.
func (s *Service) putRun(ctx context.Context, key inventory.NodeKey, association string, r heldRun) error {
	text, err := json.Marshal(r.run)
	if err != nil {
		return err
	}
	r.revision, err = s.store.PutRecord(ctx, store.Record{Key: runKey(key, association), Value: text, Revision: r.revision})
	if err == nil {
		s.runs.note(key, association, r)
	}
	return err
}

// assignment is an association a node is among the targets of.
type assignment struct {
	*heldAssociation
	run heldRun
	// rivals are the associations that count as much, where only one can be carried out.
	rivals []string
	// changed: the run's record does not say yet what the run says.
	changed bool
	// base is when the association began to be for the node.
	base time.Time
}

// assign says what a node is to do, from the associations there are and what it did. It reads and writes nothing.
func assign(found []*heldAssociation, runs map[string]heldRun, enrolled, now time.Time) []assignment {
	var all []assignment
	best, rivals := rankGlobal, []string(nil)
	for _, h := range found {
		if h.policy == nil {
			continue
		}
		if h.rank < best {
			best, rivals = h.rank, nil
		}
		if h.rank == best {
			rivals = append(rivals, h.ID)
		}
		all = append(all, assignment{heldAssociation: h, run: runs[h.ID], base: later(h.Updated, enrolled)})
	}
	for i := range all {
		a := &all[i]
		var v verdict
		switch {
		case a.rank > best:
			v = overridden
		case len(rivals) > 1 && best == rankGlobal:
			// There is but one for every node, unless one is just being taken back.
			if a.ID != rivals[0] {
				v = overridden
			}
		case len(rivals) > 1:
			v, a.rivals = conflicting, rivals
		}
		a.judge(v, now)
	}
	return all
}

// judge brings the run up to what the association is now.
func (a *assignment) judge(v verdict, now time.Time) {
	r := &a.run
	r.Past = slices.Clone(r.Past)
	back := r.Verdict != "" && v == "" || !r.Gone.IsZero()
	if r.Verdict != v || !r.Gone.IsZero() {
		r.Verdict, r.Gone, a.changed = v, time.Time{}, true
	}
	waiting := r.Due
	if v != "" {
		if r.Version != a.Version || r.Due {
			r.Version, r.Due, a.changed = a.Version, false, true
		}
		if a.changed {
			status, _ := r.state()
			r.Flight = underWay(r.Status)
			r.begin(pastRun{Version: a.Version, Begun: a.begun(now), Status: status, At: now}, waiting)
		}
		return
	}
	if waiting && len(r.Past) > 0 && a.over(r.Past[0].At, now) {
		waiting, r.Due, r.Flight, a.changed = false, false, false, true
		r.Past[0].Status = statusTimedOut
	}
	var due time.Time
	switch {
	case a.Once.After(r.Once) && a.Once.After(a.base):
		due = a.Once
	case (r.Version != a.Version || back) && !a.OnlyAtTicks:
		due = a.base
	}
	if a.schedule.served() {
		if tick := a.schedule.last(later(a.base, r.Tick), now); !tick.IsZero() {
			r.Tick, a.changed, due = tick, true, tick
		}
	}
	if r.Version != a.Version || a.Once.After(r.Once) {
		r.Version, r.Once, a.changed = a.Version, later(a.Once, r.Once), true
	}
	if due.IsZero() || a.over(due, now) {
		return
	}
	a.changed, r.Due, r.Flight = true, true, underWay(r.Status)
	r.begin(pastRun{Version: a.Version, Begun: a.begun(now), Status: statusPending, At: now}, waiting)
}

// over reports whether it is too late to begin what was due at a time.
func (a *assignment) over(due, now time.Time) bool {
	return a.DurationHours > 0 && now.Sub(due) > time.Duration(a.DurationHours)*time.Hour
}

// begin puts a run before the others. It takes the place of one of the same execution, and of one that the node was told of
// and that never began (waiting).
func (r *run) begin(p pastRun, waiting bool) {
	if len(r.Past) > 0 && (waiting || r.Past[0].Version == p.Version && r.Past[0].Begun.Equal(p.Begun)) {
		r.Past[0] = p
		return
	}
	r.Past = slices.Insert(r.Past, 0, p)
	r.Past = r.Past[:min(len(r.Past), pastRuns)]
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// report is one thing an agent says of a run.
type runReport struct {
	status, errorCode, summary, url string
	at                              time.Time
}

// take takes what an agent says. It gives false for what is older than what it said already, or the same. What is older
// by more than a call can be late is of a clock that was set back, and new.
func (r *run) take(said runReport, begun time.Time) bool {
	if said.at.Before(r.Last) && r.Last.Sub(said.at) < latestCall || said.at.Equal(r.Last) && said.status == r.Status && said.summary == r.Summary {
		return false
	}
	r.Past = slices.Clone(r.Past)
	at := 0
	switch {
	case r.Flight && said.status != statusPending:
		at = r.flight()
		r.Flight = underWay(said.status)
	case r.Due:
		if lost := r.flight(); r.Flight && lost < len(r.Past) {
			r.Past[lost].Status = statusTimedOut // the agent begins anew, and will not tell of its end
		}
		r.Due, r.Flight = false, false
	case len(r.Past) == 0 || !underWay(r.Past[0].Status) && (underWay(said.status) || !r.Past[0].Begun.Equal(begun)):
		r.Flight = false
		r.begin(pastRun{Version: r.Version, Begun: begun}, false)
	}
	if at < len(r.Past) {
		r.Past[at].Status, r.Past[at].At = said.status, said.at
	}
	r.Status, r.Last, r.Summary, r.ErrorCode = said.status, said.at, said.summary, said.errorCode
	r.OutputURL = said.url
	if said.status == statusSuccess {
		r.LastSuccess = said.at
	}
	return true
}

// flight gives the place of the run that was under way when the node was told of another; past all where there is none.
func (r *run) flight() int {
	for i := 1; i < len(r.Past); i++ {
		if underWay(r.Past[i].Status) {
			return i
		}
	}
	return len(r.Past)
}

// begun gives when the execution began that a run beginning now is of.
func (h *heldAssociation) begun(now time.Time) time.Time {
	from := later(h.Updated, h.Once)
	if h.schedule.cron != nil {
		now = now.Add(tickSlack)
	}
	return later(from, h.schedule.last(from, now))
}

// RunReport is what an agent says of a run.
type RunReport struct {
	Association string
	Node        inventory.NodeID
	Status      string
	ErrorCode   string
	At          time.Time // by the node's clock
	Summary     string
	OutputURL   string
}

// UpdateRun takes what an agent says of a run. What is older than what it said already changes nothing, and neither does
// what it says again.
func (s *Service) UpdateRun(ctx context.Context, p inventory.Partition, in RunReport) error {
	key := inventory.NodeKey{Partition: p, Node: in.Node}
	if _, err := s.live(ctx, key); err != nil {
		return err
	}
	l, err := s.associations(ctx, p)
	if err != nil {
		return err
	}
	h := l.find(in.Association)
	if h == nil {
		return noAssociation(in.Association)
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	said := runReport{status: in.Status, errorCode: in.ErrorCode, summary: shorten(in.Summary, longestSummary), url: in.OutputURL, at: in.At.UTC()}
	if said.at.After(now) {
		said.at = now
	}
	return retry(ctx, func() error {
		var r heldRun
		rec, err := s.store.Record(ctx, runKey(key, h.ID))
		switch {
		case errors.Is(err, store.ErrNotFound):
			// It was never told. That it could have been is enough.
			if err := s.checkMeant(ctx, l, h, key); err != nil {
				return err
			}
			r.Version, r.Once = h.Version, h.Once
		case err != nil:
			return err
		default:
			if _, _, r, err = parseRun(rec); err != nil {
				return err
			}
		}
		if !r.take(said, h.begun(now)) {
			return nil
		}
		return s.putRun(ctx, key, h.ID, r)
	})
}

// checkMeant refuses a node that is not among the targets.
func (s *Service) checkMeant(ctx context.Context, l *associationList, h *heldAssociation, key inventory.NodeKey) error {
	tags, err := s.tagsOf(ctx, l, key)
	if err == nil && !h.meant(key.Node, tags) {
		return inventory.Errorf(inventory.AssociationDoesNotExist, "The association %s isn't for the node %s.", h.ID, key.Node)
	}
	return err
}

// shorten cuts a text to so many bytes, between characters.
func shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && text[most]&0xC0 == 0x80 {
		most--
	}
	return text[:most]
}
