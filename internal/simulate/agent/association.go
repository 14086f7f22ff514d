package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// association is one of the node's, as a listing tells it.
type association struct {
	AssociationId, AssociationVersion, Name, InstanceId, DocumentVersion, Checksum, DetailedStatus, ScheduleExpression string //nolint:revive,staticcheck // names on the wire
	LastExecutionDate                                                                                                  *float64
	Parameters                                                                                                         map[string][]string
}

func (s *association) lastExecution() time.Time {
	if s.LastExecutionDate == nil {
		return time.Time{}
	}
	return time.UnixMilli(int64(*s.LastExecutionDate * 1000))
}

// task is a run to come.
type task struct {
	association association
	at          time.Time
	legacy      bool
}

// nextRun is when the next run is due; the zero time: none is.
func (a *Agent) nextRun() time.Time {
	if len(a.due) == 0 {
		return time.Time{}
	}
	return a.due[0].at
}

// poll asks for the node's associations and sets down when each runs next.
func (a *Agent) poll(ctx context.Context) error {
	all, err := a.associations(ctx)
	if err != nil {
		if isCrash(err) || ctx.Err() != nil {
			return err
		}
		return a.fallBack(ctx)
	}
	a.polls.Add(1)
	a.due = a.due[:0]
	now := time.Now()
	for i := range all {
		s := &all[i]
		if s.DetailedStatus == "InProgress" {
			if last := s.lastExecution(); !last.IsZero() && now.Sub(last) >= a.scaled(2*time.Hour) {
				a.stuck.Add(1)
				if err := a.tell(ctx, s, "Failed", "StuckAtInProgress", "The execution was in progress for more than two hours"); isCrash(err) {
					return err
				}
			}
			continue
		}
		if at, ok := a.when(s, now); ok {
			a.due = append(a.due, task{association: *s, at: at})
		}
	}
	a.sortDue()
	return nil
}

func (a *Agent) sortDue() {
	slices.SortStableFunc(a.due, func(x, y task) int { return x.at.Compare(y.at) })
}

// when says when an association runs next, by the rules of the stock agent.
func (a *Agent) when(s *association, now time.Time) (time.Time, bool) {
	if s.DetailedStatus == "Pending" {
		return now, true
	}
	if s.ScheduleExpression == "" {
		return now, s.DetailedStatus == "Associated"
	}
	last := s.lastExecution()
	if last.IsZero() {
		return now, true
	}
	every, ok := rate(s.ScheduleExpression)
	if !ok {
		return now, true // see the package comment
	}
	return last.Add(a.scaled(every)), true
}

// rate reads a schedule such as rate(30 minutes).
func rate(expression string) (time.Duration, bool) {
	var n int
	var unit string
	text := strings.ToLower(strings.TrimSpace(expression))
	if _, err := fmt.Sscanf(strings.TrimSuffix(text, ")"), "rate(%d %s", &n, &unit); err != nil || n <= 0 {
		return 0, false
	}
	length, ok := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}[strings.TrimSuffix(unit, "s")]
	return time.Duration(n) * length, ok
}

// associations lists them, all pages.
func (a *Agent) associations(ctx context.Context) ([]association, error) {
	const action = "ListInstanceAssociations"
	const mostPages = 100
	request := struct {
		InstanceId string //nolint:revive,staticcheck // the member's name on the wire
		MaxResults int
		NextToken  string `json:",omitempty"`
	}{InstanceId: a.disk.Node, MaxResults: 20}
	var all []association
	for range mostPages {
		text, err := a.do(ctx, a.asRole(ssm, action, request))
		if err != nil {
			return nil, err
		}
		var page struct {
			Associations []json.RawMessage
			NextToken    string
		}
		if err := read(action, text, &page); err != nil {
			return nil, err
		}
		for _, one := range page.Associations {
			var s association
			if err := read(action, one, &s, "AssociationId", "Name", "InstanceId", "DocumentVersion", "Checksum"); err != nil {
				return nil, err
			}
			all = append(all, s)
		}
		if request.NextToken = page.NextToken; page.NextToken == "" {
			return all, nil
		}
	}
	return nil, &Crash{action, fmt.Sprintf("the list goes on after %d pages", mostPages)}
}

// runDue runs what is due, or all there is.
func (a *Agent) runDue(ctx context.Context, all bool) error {
	now := time.Now()
	var next []task
	for _, t := range slices.Clone(a.due) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !all && t.at.After(now) {
			next = append(next, t)
			continue
		}
		if err := a.runAssociation(ctx, t); err != nil {
			return err
		}
		if every, ok := rate(t.association.ScheduleExpression); ok && !t.legacy {
			// The agent goes on by itself between polls.
			t.association.DetailedStatus, t.at = "Success", time.Now().Add(a.scaled(every))
			next = append(next, t)
		}
	}
	a.due = next
	a.sortDue()
	return nil
}

// outcome is what a run says of itself at its end.
type outcome struct{ status, code, summary string }

// runAssociation is one run: its document, its reports of how far it is, its inventory. Only a crash is an error.
func (a *Agent) runAssociation(ctx context.Context, t task) error {
	s := &t.association
	number := a.number
	a.number++
	tell := a.tell
	if t.legacy {
		tell = a.tellLegacy
	}
	doc, err := a.document(ctx, s)
	if err != nil {
		if isCrash(err) {
			return err
		}
		return crashOnly(tell(ctx, s, "Failed", "InvalidAssoc", clip([]byte(err.Error()))))
	}
	for _, step := range [][2]string{{"Pending", "Pending"}, {"InProgress", "InProgress"}} {
		if err := tell(ctx, s, step[0], "", step[1]); isCrash(err) {
			return err
		}
	}
	if a.config.Hang != nil && a.config.Hang(number) {
		return nil
	}
	result := outcome{"Success", "", "1 out of 1 plugin processed, 1 success, 0 failed, 0 timedout, 0 skipped. "}
	if err := a.report(ctx, doc, s, number); err != nil {
		if isCrash(err) {
			return err
		}
		result = outcome{"Failed", "ExecutionError", "1 out of 1 plugin processed, 0 success, 1 failed, 0 timedout, 0 skipped. " + clip([]byte(err.Error()))}
	}
	if ctx.Err() != nil {
		return ctx.Err() // the agent was stopped, and tells nothing any more
	}
	if err := tell(ctx, s, "InProgress", "", result.summary); isCrash(err) {
		return err
	}
	if err := tell(ctx, s, result.status, result.code, result.summary); isCrash(err) {
		return err
	}
	a.runs.Add(1)
	if result.status != "Success" {
		a.failed.Add(1)
	}
	return crashOnly(a.comply(ctx, s, result.status))
}

func crashOnly(err error) error {
	if isCrash(err) {
		return err
	}
	return nil
}

// executionResult is the state of a run.
type executionResult struct {
	Status, ErrorCode string
	ExecutionDate     float64
	ExecutionSummary  string
}

// tell reports the state of a run.
func (a *Agent) tell(ctx context.Context, s *association, status, code, summary string) error {
	const action = "UpdateInstanceAssociationStatus"
	text, err := a.do(ctx, a.asRole(ssm, action, struct {
		AssociationId, InstanceId string //nolint:revive,staticcheck // names on the wire
		ExecutionResult           executionResult
	}{s.AssociationId, a.disk.Node, executionResult{status, code, seconds(time.Now()), summary}}))
	if err != nil {
		return err
	}
	return read(action, text, nil)
}

// seconds is a time on the wire: since 1970, with milliseconds.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
